//! The hub under measurement: the release binary as a child process on a real disk, in its embedded form.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::machine::{Footprint, footprint, processor_time};
use crate::wire::Wire;

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The binary `rialto`.
    pub(crate) hub: PathBuf,
    /// The folder with the built connectors.
    pub(crate) plugins: PathBuf,
    /// Scratch space on a real disk; each measurement has a folder in it.
    pub(crate) scratch: PathBuf,
    /// Additional settings for every hub, as `RIALTO__…` names and values.
    pub(crate) settings: Vec<(String, String)>,
}

impl Places {
    /// An empty folder for a measurement's hub.
    pub(crate) fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// A running hub; killed when dropped.
pub(crate) struct Hub {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From starting the process to the first 200 of `/readyz`.
    pub(crate) ready_in: Duration,
}

impl Hub {
    /// Starts the hub over a data folder and waits until it is ready.
    pub(crate) async fn start(places: &Places, data: &Path) -> Outcome<Self> {
        let address = free_address()?;
        let log = File::options().create(true).append(true).open(data.join("output.log"))?;
        let start = Instant::now();
        let child = Command::new(&places.hub)
            .args(["serve", "--dev", "--listen", &address.to_string()])
            .arg("--data")
            .arg(data)
            .arg("--plugins")
            .arg(&places.plugins)
            .envs(places.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut hub = Self { child, address, ready_in: Duration::ZERO };
        loop {
            if let Some(status) = hub.child.try_wait()? {
                return Err(format!("the hub ended with {status}; see {}/output.log", data.display()).into());
            }
            if is_ready(address).await {
                hub.ready_in = start.elapsed();
                return Ok(hub);
            }
            if start.elapsed() > Duration::from_secs(120) {
                return Err(format!("the hub was not ready within 2 min; see {}/output.log", data.display()).into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time it has used.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        processor_time(self.child.id())
    }

    /// Memory and threads it holds.
    pub(crate) fn footprint(&self) -> Outcome<Footprint> {
        footprint(self.child.id())
    }

    /// Waits until it has nothing left to do: less than a twentieth of a core for half a second.
    pub(crate) async fn settle(&self) -> Outcome<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(300) {
            let before = self.processor_time()?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if self.processor_time()?.saturating_sub(before) <= Duration::from_millis(20) {
                return Ok(());
            }
        }
        Err("the hub was still busy after 5 min without load".into())
    }

    /// Ends it in good order and waits for it.
    pub(crate) async fn stop(mut self) -> Outcome<()> {
        // The standard library sends no SIGTERM; the shell's own `kill` does, and names the process by its id.
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()]).status()?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > Duration::from_secs(30) {
                return Err("the hub did not end within 30 s of SIGTERM".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Ended already after `stop`; otherwise a measurement failed and its figures are void anyway.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut wire) = Wire::connect(address).await else { return false };
    let answer = wire.exchange(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    answer.is_ok_and(|answer| answer.status == 200)
}

/// A port that is free now; the hub takes it a moment later.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
