//! Clients that append for as long as they live and tell what was acknowledged, and the check of what they told.
//!
//! The clients run in a child process (this test binary, started again): it prints a line for each acknowledgement,
//! after it got it, and its parent believes nothing else.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    ops::RangeInclusive,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, Position, TenantId, Timestamp};

const FOLDER: &str = "RIALTO_LOG_TEST_FOLDER";
const CLIENTS: u64 = 64;
const TENANTS: u64 = 5;

/// Small enough that tables are written and windows change within a test.
pub(crate) fn options() -> EmbeddedOptions {
    let window = std::time::Duration::from_millis(500);
    EmbeddedOptions { memtable_bytes: 1024 * 1024, window, ..EmbeddedOptions::default() }
}

pub(crate) fn tenant(n: u64) -> TenantId {
    TenantId::from_parts(1_700_000_000_000, &[0, 0, 0, 0, 0, 0, 0, 0, 0, n as u8])
}

pub(crate) fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp(now.as_micros() as i64)
}

/// What one append was: a client's turn, of so many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Turn {
    round: u64,
    client: u64,
    turn: u64,
}

fn body(turn: Turn, n: u64, of: u64) -> Bytes {
    let Turn { round, client, turn } = turn;
    let filler = "-".repeat(200 + (client * 37 % 800) as usize);
    Bytes::from(format!("{round} {client} {turn} {n} {of} {filler}"))
}

fn read_body(body: &[u8]) -> (Turn, u64, u64) {
    let text = std::str::from_utf8(body).expect("a body is text");
    let numbers: Vec<u64> = text.split(' ').take(5).map(|n| n.parse().expect("a number")).collect();
    let [round, client, turn, n, of] = numbers[..] else { panic!("a body is not as it was sent: {text}") };
    (Turn { round, client, turn }, n, of)
}

/// The child's life: it ends when it is killed.
#[test]
#[ignore = "started by other tests as a child process"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let round: u64 = std::env::var("RIALTO_LOG_TEST_ROUND").expect("a round").parse().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let log = Arc::new(EmbeddedLog::open(folder, options()).expect("open"));
        tell("ready");
        let clients: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(live(log.clone(), round, client))).collect();
        for client in clients {
            client.await.expect("a client lives for ever");
        }
    });
}

async fn live(log: Arc<EmbeddedLog>, round: u64, client: u64) {
    for turn in 0.. {
        let turn = Turn { round, client, turn };
        // Half of the clients send single events, half of them batches.
        let of = if client.is_multiple_of(2) { 1 } else { 2 + (client + turn.turn) % 60 };
        let bodies = (0..of).map(|n| body(turn, n, of)).collect();
        match log.append(tenant(client % TENANTS), now(), bodies).await {
            Ok(range) => tell(&format!("ack {client} {} {} {}", turn.turn, range.start(), range.end())),
            Err(error) => tell(&format!("refused {client} {error}")),
        }
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then so are we, soon.
    let _ = writeln!(out, "\n>{line}").and_then(|()| out.flush());
}

/// A child at work, with what it has told so far.
pub(crate) struct Clients {
    pub(crate) child: Child,
    round: u64,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Clients {
    /// Starts a child on the log in `folder` and waits until that is open.
    pub(crate) fn start(folder: &Path, round: u64) -> Self {
        let (_, here) = module_path!().split_once("::").expect("a module of a test binary");
        let child = format!("{here}::child");
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", &child, "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .env("RIALTO_LOG_TEST_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a child");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix('>') {
                    let _ = send.send(line.to_string());
                }
            }
        });
        let first = lines.recv_timeout(std::time::Duration::from_secs(60)).expect("the child opens the log in 60 s");
        assert_eq!(first, "ready");
        Self { child, round, lines }
    }

    /// Adds to `acknowledged` all that the child told before it ended; call it after the child has ended.
    pub(crate) fn collect(self, acknowledged: &mut Acknowledged) {
        for line in self.lines.iter() {
            let words: Vec<_> = line.split(' ').collect();
            if let ["ack", client, turn, first, last] = words[..] {
                let number = |word: &str| word.parse::<u64>().expect("a number");
                let turn = Turn { round: self.round, client: number(client), turn: number(turn) };
                acknowledged.0.insert(turn, number(first)..=number(last));
            }
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every append that any child said was acknowledged.
#[derive(Default)]
pub(crate) struct Acknowledged(HashMap<Turn, RangeInclusive<Position>>);

impl Acknowledged {
    /// How many entries were acknowledged.
    pub(crate) fn entries(&self) -> u64 {
        self.0.values().map(|range| range.end() - range.start() + 1).sum()
    }

    /// Reads the whole log and holds it against what was acknowledged: all of it there and at its place, appends all
    /// or nothing, positions without a gap, each client's turns in order.
    pub(crate) async fn check(&self, log: &EmbeddedLog) {
        let mut there: HashMap<Turn, Vec<(Position, u64, u64)>> = HashMap::new();
        for n in 0..TENANTS {
            let mut last_turn: HashMap<(u64, u64), u64> = HashMap::new();
            let mut cursor = 0;
            loop {
                let entries = log.read(tenant(n), cursor, 10_000, 8 << 20).await.expect("read");
                let Some(last) = entries.last() else { break };
                assert_eq!(entries.len() as u64, last.position - cursor, "positions have no gap");
                cursor = last.position;
                for entry in &entries {
                    let (turn, n, of) = read_body(&entry.body);
                    there.entry(turn).or_default().push((entry.position, n, of));
                    let before = last_turn.insert((turn.round, turn.client), turn.turn);
                    assert!(before.is_none_or(|before| before <= turn.turn), "a client's turns are out of order");
                }
            }
            assert_eq!(cursor, log.head(tenant(n)).await.expect("head"), "all that counts can be read");
        }
        for (turn, range) in &self.0 {
            let entries = there.get(turn).unwrap_or_else(|| panic!("{turn:?} was acknowledged and is lost"));
            assert_eq!(entries.first().map(|e| e.0), Some(*range.start()), "{turn:?} stands elsewhere");
            assert_eq!(entries.last().map(|e| e.0), Some(*range.end()), "{turn:?} stands elsewhere");
        }
        for (turn, entries) in there {
            let numbers: Vec<_> = entries.iter().map(|(_, n, _)| *n).collect();
            assert_eq!(numbers, (0..entries[0].2).collect::<Vec<_>>(), "{turn:?} is there in part");
            let span = entries[entries.len() - 1].0 - entries[0].0 + 1;
            assert_eq!(span, entries.len() as u64, "{turn:?} is torn apart by others");
        }
    }
}
