//! The hub as a process of its own, that a test may kill as rudely as a power cut would.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;

/// The variable that names the hub's binary; else it is looked for beside the test's.
const BINARY: &str = "RIALTO_BIN";

/// How long a hub may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a hub is started with, every time.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its data folder.
    pub data: PathBuf,
    /// The folder with built connectors.
    pub plugins: Option<PathBuf>,
    /// More settings, as `RIALTO__…` names and values.
    pub settings: Vec<(String, String)>,
    /// The file that takes what it prints.
    pub output: PathBuf,
}

impl Setup {
    /// A hub over a folder, with the connectors that `cargo xtask plugins` has built and nothing else.
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            plugins: Some(plugins()),
            settings: Vec::new(),
            output: data.with_extension("output"),
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.env("RIALTO__PLUGINS__CACHE_DIR", plugin_cache());
        command.args(arguments).arg("--data").arg(&self.data).envs(self.settings.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null());
        command
    }
}

/// The hub's binary.
///
/// # Panics
/// When it is not there.
pub fn binary() -> PathBuf {
    let path = std::env::var_os(BINARY).map_or_else(|| target().join("rialto"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: cargo build -p rialto-hub", path.display());
    path
}

/// The folder of built connectors.
///
/// # Panics
/// When nothing was built.
pub fn plugins() -> PathBuf {
    let path = target().parent().map(|target| target.join("plugins")).unwrap_or_default();
    assert!(path.join("rialto-webhook.wasm").is_file(), "no connectors in {}: cargo xtask plugins", path.display());
    path
}

/// Where all hubs of all tests keep compiled connectors: a debug build takes seconds to compile one.
pub fn plugin_cache() -> PathBuf {
    target().parent().map(|target| target.join("test-plugin-cache")).unwrap_or_default()
}

/// The connector of the plugin host's tests that means harm: `test/hostile`, an action for each misdeed.
///
/// # Panics
/// When it was not built.
pub fn hostile_guest() -> PathBuf {
    let path = target().parent().map(|target| target.join("test-guests/rialto-hostile.wasm")).unwrap_or_default();
    assert!(path.is_file(), "{} is missing: cargo xtask plugins --test-guests", path.display());
    path
}

/// The connector of the plugin host's tests that does with each webhook what its query says: `test/hostile-webhook`.
///
/// # Panics
/// When it was not built.
pub fn hostile_webhook_guest() -> PathBuf {
    let path =
        target().parent().map(|target| target.join("test-guests/rialto-hostile-webhook.wasm")).unwrap_or_default();
    assert!(path.is_file(), "{} is missing: cargo xtask plugins --test-guests", path.display());
    path
}

/// The folder with the binaries of this build: `target/debug` or the like.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    test.ancestors().nth(2).expect("a test lies in target/<profile>/deps").to_owned()
}

/// A hub process; killed when dropped.
pub struct ChildHub {
    /// Where it listens, every time.
    pub address: SocketAddr,
    setup: Setup,
    process: Option<Child>,
}

impl ChildHub {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// When it is not within a minute; the end of its output is then shown.
    pub async fn start(setup: Setup) -> Self {
        if let Some(folder) = setup.output.parent() {
            fs::create_dir_all(folder).expect("a folder for its output can be made");
        }
        let mut hub = Self { address: free_address().expect("the loopback has a free port"), setup, process: None };
        hub.start_again().await;
        hub
    }

    /// Starts it again over the same data, and says how long it took to be ready.
    ///
    /// # Panics
    /// As [`ChildHub::start`].
    pub async fn start_again(&mut self) -> Duration {
        let start = Instant::now();
        self.spawn();
        self.until_ready(start).await;
        start.elapsed()
    }

    /// Starts the process and does not wait for anything.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&mut self) {
        let output =
            File::options().create(true).append(true).open(&self.setup.output).expect("a log file can be made");
        let errors = output.try_clone().expect("a file can be shared");
        let mut command = self.setup.command(&["serve", "--dev", "--listen", &self.address.to_string()]);
        if let Some(plugins) = &self.setup.plugins {
            command.arg("--plugins").arg(plugins);
        }
        self.process = Some(command.stdout(output).stderr(errors).spawn().expect("the hub's binary can be started"));
    }

    async fn until_ready(&mut self, since: Instant) {
        let client = Client::new(self.address);
        loop {
            if let Ok(answer) = client.call(http::Method::GET, "/readyz", None).await
                && answer.status == 200
            {
                return;
            }
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            assert!(ended.is_none(), "the hub ended with {ended:?}:\n{}", self.last_words());
            assert!(since.elapsed() < PATIENCE, "the hub is not ready after {PATIENCE:?}:\n{}", self.last_words());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it where it stands, and waits until it is gone.
    ///
    /// # Panics
    /// When it has ended by itself.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the hub is running");
        if let Ok(Some(status)) = process.try_wait() {
            panic!("the hub ended by itself with {status}:\n{}", self.last_words());
        }
        process.kill().expect("a child can be killed");
        process.wait().expect("a killed child can be waited for");
    }

    /// Asks it to stop, and says how long it took and with which code it ended.
    ///
    /// # Panics
    /// When it does not run, or does not end within 40 seconds.
    pub async fn stop(&mut self) -> (Duration, Option<i32>) {
        let mut process = self.process.take().expect("the hub is running");
        let start = Instant::now();
        let asked = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "the hub cannot be sent a signal");
        loop {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                return (start.elapsed(), status.code());
            }
            assert!(start.elapsed() < Duration::from_secs(40), "the hub does not stop:\n{}", self.last_words());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A new operator token for it.
    ///
    /// # Panics
    /// When the command fails.
    pub fn operator_token(&self) -> String {
        let output = self.setup.command(&["operator-token"]).output().expect("the hub's binary can be started");
        assert!(output.status.success(), "operator-token: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The process's id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The end of what it has printed.
    pub fn last_words(&self) -> String {
        let said = fs::read(&self.setup.output).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(4_000)..]).into_owned()
    }
}

impl Drop for ChildHub {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
