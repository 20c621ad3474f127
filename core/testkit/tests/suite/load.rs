//! Clients that send without pause and keep a book of what the hub has said of each request. A quarter of the persons
//! come on phones that nobody knows at first, and are one with them from an identify call on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rialto_testkit::client::Client;
use rialto_testkit::persona::{Persona, ingest};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many phones a newcomer has, one after the other. A profile holds five.
const PHONES: u64 = 4;
/// For how many requests a phone is nobody's, and how many more are sent before the next one comes.
const UNKNOWN: u64 = 12;
const KNOWN: u64 = 8;

/// One request: the message ids in it, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Which tenant.
    pub(crate) tenant: String,
    pub(crate) message_ids: Vec<String>,
    /// Whether the hub said 200.
    pub(crate) acknowledged: bool,
}

/// One answer, or none.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) took: Duration,
    /// None when the connection failed.
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: bool,
}

/// What all clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answers: Vec<Answered>,
}

impl Book {
    /// The message ids that the hub took in, of one tenant.
    pub(crate) fn acknowledged(&self, tenant: &str) -> impl Iterator<Item = &str> {
        let of = self.entries.iter().filter(move |entry| entry.acknowledged && entry.tenant == tenant);
        of.flat_map(|entry| entry.message_ids.iter().map(String::as_str))
    }
}

/// How the clients behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How many clients each tenant has.
    pub(crate) clients: usize,
    /// The pause between two requests of a client.
    pub(crate) pause: Duration,
}

/// Clients under way.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    running: JoinSet<Book>,
}

impl Load {
    /// Starts clients for each tenant. Half of them send single events, half batches; half send a request that was
    /// not acknowledged again, as an SDK does, half give it up and go on.
    pub(crate) fn start(personas: &[&Persona], pace: Pace) -> Self {
        let (stop, stopping) = watch::channel(false);
        let mut running = JoinSet::new();
        for persona in personas {
            for number in 0..pace.clients {
                let sender = Sender {
                    address: persona.address,
                    write_key: persona.write_key.clone(),
                    tenant: persona.slug.clone(),
                    person: format!("p-{number}"),
                    batches: number % 2 == 1,
                    insists: number / 2 % 2 == 0,
                    pause: pace.pause,
                    // Those insist, so that no call that joins two persons into one is given up.
                    newcomer: number % 8 / 2 == 2,
                    seq: 0,
                    turn: 0,
                    joined: 0,
                    book: Book::default(),
                };
                running.spawn(sender.run(stopping.clone()));
            }
        }
        Self { stop, running }
    }

    /// Lets every client finish what it is at, and gathers their books. The hub has to be up.
    pub(crate) async fn stop(self) -> Arc<Book> {
        self.stop.send_replace(true);
        let mut all = Book::default();
        for book in self.running.join_all().await {
            all.entries.extend(book.entries);
            all.answers.extend(book.answers);
        }
        Arc::new(all)
    }
}

struct Sender {
    address: SocketAddr,
    write_key: String,
    tenant: String,
    person: String,
    batches: bool,
    insists: bool,
    pause: Duration,
    newcomer: bool,
    seq: u64,
    /// How many requests it has sent.
    turn: u64,
    /// How many phones are known to be the person's.
    joined: u64,
    book: Book,
}

impl Sender {
    async fn run(mut self, stopping: watch::Receiver<bool>) -> Book {
        let client = Client::new(self.address);
        while !*stopping.borrow() {
            let size = if self.batches { rand::random_range(2..=12) } else { 1 };
            self.send(&client, size).await;
            let pause = self.pause.mul_f64(rand::random_range(0.5..1.5));
            tokio::time::sleep(pause).await;
        }
        if self.phone().is_some() {
            // Whoever was about to be known is.
            self.turn = self.joined * (UNKNOWN + KNOWN) + UNKNOWN;
            self.send(&client, 1).await;
        }
        self.book
    }

    async fn send(&mut self, client: &Client, size: u64) {
        let events: Vec<Value> = (0..size).map(|_| self.next_event(size)).collect();
        let acknowledged = self.deliver(client, &events).await;
        let ids = events.iter().filter_map(|event| event["messageId"].as_str().map(str::to_owned));
        self.book.entries.push(Entry { tenant: self.tenant.clone(), message_ids: ids.collect(), acknowledged });
        self.turn += 1;
    }

    /// The phone that is not known to be the person's, while there is one.
    fn phone(&self) -> Option<u64> {
        let begun = self.turn > self.joined * (UNKNOWN + KNOWN);
        (self.newcomer && self.joined < PHONES && begun).then_some(self.joined)
    }

    /// The person's next step; the first says who it is. A newcomer's are those of two persons, turn by turn, until
    /// they are known to be one.
    fn next_event(&mut self, size: u64) -> Value {
        let (seq, person) = (self.seq, self.person.clone());
        self.seq += 1;
        let mut event = json!({
            "type": "track", "event": "Step", "userId": person, "messageId": format!("{person}-{seq}"),
            "properties": {"person": person, "seq": seq, "size": size},
        });
        let traits = json!({"email": format!("{person}@example.com")});
        if let Some(phone) = self.phone() {
            let device = json!(format!("{person}-phone-{phone}"));
            if self.turn >= phone * (UNKNOWN + KNOWN) + UNKNOWN {
                self.joined += 1;
                event["type"] = json!("identify");
                event["traits"] = traits;
                event["anonymousId"] = device;
            } else if seq.is_multiple_of(2) {
                event["properties"]["phone"] = json!(phone);
                event["userId"] = Value::Null;
                event["anonymousId"] = device;
            }
        } else if seq == 0 {
            event["type"] = json!("identify");
            event["traits"] = traits;
        } else if seq % 10 == 3 && !self.newcomer {
            event["anonymousId"] = json!(format!("{person}-device-{}", seq / 10 % 3));
        }
        event["properties"]["joined"] = json!(self.joined);
        event
    }

    async fn deliver(&mut self, client: &Client, events: &[Value]) -> bool {
        let (path, body) = match events {
            [one] => (format!("/v1/{}", one["type"].as_str().unwrap_or_default()), one.to_string()),
            many => ("/v1/batch".to_owned(), json!({ "batch": many }).to_string()),
        };
        loop {
            let sent = Instant::now();
            let answer = client.send(ingest(&self.write_key, &path, body.clone())).await;
            let status = answer.as_ref().ok().map(|answer| answer.status);
            let retry_after = answer.is_ok_and(|answer| answer.header("retry-after").is_some());
            self.book.answers.push(Answered { took: sent.elapsed(), status, retry_after });
            match status {
                Some(200) => return true,
                // Anything else is judged by the test; here it is no acknowledgement.
                _ if !self.insists => return false,
                _ => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
    }
}
