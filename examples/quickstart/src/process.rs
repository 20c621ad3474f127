//! The hub as a process of its own: started on a folder, listened to until it says where it is, ended in order.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};

use crate::Trouble;

/// How long the hub may take to start: compiling a plugin for the first time is slow in a debug build.
const START: Duration = Duration::from_secs(120);
/// How long it may take to end.
const END: Duration = Duration::from_secs(25);

/// What the hub is started with.
pub struct Start {
    /// The program `rialto`.
    pub binary: PathBuf,
    /// The folder of built plugins.
    pub plugins: PathBuf,
    /// The data folder; must be new, for the first start shows the operator's token.
    pub data: PathBuf,
    /// Where to listen; any free port is taken if it is busy.
    pub listen: SocketAddr,
}

/// A hub that runs.
pub struct HubProcess {
    /// Where it is.
    pub url: String,
    /// What it showed at its first start.
    pub operator_token: String,
    /// Where its log lines go.
    pub log: PathBuf,
    child: Child,
    // Kept open: a hub whose output nobody takes would be killed by its next line.
    _output: Lines<BufReader<ChildStdout>>,
}

impl HubProcess {
    /// Starts it and waits until it takes requests.
    ///
    /// # Errors
    /// When it ends or says nothing; with the last of what it logged.
    pub async fn start(start: &Start) -> Result<Self, Trouble> {
        std::fs::create_dir_all(&start.data)?;
        let log = start.data.join("hub.log");
        let mut child = Command::new(&start.binary)
            .arg("serve")
            .arg("--dev")
            .arg("--data")
            .arg(&start.data)
            .arg("--plugins")
            .arg(&start.plugins)
            .args(["--listen", &free(start.listen).await.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Trouble::NoHub(format!("{}: {error}", start.binary.display())))?;
        let Some(output) = child.stdout.take() else { return Err(Trouble::NoHub("it has no output".to_owned())) };
        let mut lines = BufReader::new(output).lines();
        let said = tokio::time::timeout(START, greeting(&mut lines)).await;
        match said {
            Ok(Some((url, operator_token))) => Ok(Self { url, operator_token, log, child, _output: lines }),
            Ok(None) => Err(Trouble::NoHub(format!("it ended\n{}", tail(&log)))),
            Err(_) => Err(Trouble::NoHub(format!("it said nothing for {} s\n{}", START.as_secs(), tail(&log)))),
        }
    }

    /// Ends it as a service manager would, and waits.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub async fn stop(mut self) -> Result<(), Trouble> {
        if let Some(id) = self.child.id() {
            // After Ctrl-C it has its signal already, and may be gone.
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).stderr(Stdio::null()).status().await;
        }
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Trouble::NoHub(format!("it did not end well ({status})\n{}", tail(&self.log)))),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Trouble::NoHub(format!("it had not ended after {} s\n{}", END.as_secs(), tail(&self.log)))),
        }
    }
}

/// The address and the token, from what the hub prints at its first start.
async fn greeting(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<(String, String)> {
    let (mut url, mut token) = (None, None);
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((_, at)) = line.split_once("listens on ") {
            url = Some(at.trim().to_owned());
        }
        if line.trim().starts_with("ro_") {
            token = Some(line.trim().to_owned());
        }
        if let (Some(url), Some(token)) = (&url, &token) {
            return Some((url.clone(), token.clone()));
        }
    }
    None
}

/// The address itself, or one with any port if that one is busy.
async fn free(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted).await {
        Ok(_) => wanted,
        Err(_) => SocketAddr::new(wanted.ip(), 0),
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
