//! What the tests need beside cargo: a private PostgreSQL on a free port, in a scratch folder, gone afterwards.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fault::{Done, During as _, Fault};
use crate::process::{find, in_ci, quietly, run, target};
use crate::terminal::dim;

/// The variable that names a server where tests may make databases and roles.
pub(crate) const POSTGRES: &str = "RIALTO_TEST_POSTGRES";

/// What is run with the services.
#[derive(clap::Args)]
pub(crate) struct ServicesArgs {
    /// The command and its arguments: `cargo xtask services cargo test -p rialto-store`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Brings the services and runs the command; without one, waits until it is ended.
///
/// # Errors
/// When a service does not start or the command fails.
pub(crate) fn serve(arguments: &ServicesArgs) -> Done {
    let postgres = Postgres::bring()?.ok_or_else(|| Fault::new("no PostgreSQL to serve"))?;
    let Some((program, rest)) = arguments.command.split_first() else {
        println!("export {POSTGRES}={}", postgres.url);
        println!("{}", dim("up until Ctrl-C"));
        loop {
            std::thread::park();
        }
    };
    run(Command::new(program).args(rest).env(POSTGRES, &postgres.url))
}

/// A PostgreSQL for tests: one that the environment names, or one of our own that ends with this value.
pub(crate) struct Postgres {
    /// `postgres://…`, of a user that may make databases and roles.
    pub(crate) url: String,
    _own: Option<Server>,
}

struct Server {
    process: Child,
    bin: PathBuf,
    folder: PathBuf,
    user: Option<&'static str>,
}

impl Postgres {
    /// The server that the environment names; else a private one, its binaries installed if they may be. `None` when
    /// there is none and none can be had, with the reason printed; never `None` in CI.
    ///
    /// # Errors
    /// When a server was found but does not start, or in CI when there is none.
    pub(crate) fn bring() -> Done<Option<Self>> {
        if let Some(url) = std::env::var(POSTGRES).ok().filter(|url| !url.is_empty()) {
            println!("  {POSTGRES} names a server; it is used");
            return Ok(Some(Self { url, _own: None }));
        }
        match binaries().or_else(install) {
            Some(bin) => Self::start(bin).map(Some),
            None if in_ci() => {
                Err(Fault::new("no PostgreSQL server here, and in CI nothing may be skipped").fix(ADVICE))
            }
            None => {
                println!("  no PostgreSQL server here: tests on PostgreSQL will be skipped\n  {ADVICE}");
                Ok(None)
            }
        }
    }

    fn start(bin: PathBuf) -> Done<Self> {
        let user = is_root().then_some("postgres");
        let folder = scratch(user)?;
        println!("  {}", dim(format!("private server: {} in {}", bin.display(), folder.display())));
        let cluster = folder.join("cluster");
        quietly(
            as_user(user, &bin.join("initdb"), false)
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
                .arg(&cluster)
                .current_dir(&folder),
        )?;
        let port = free_port()?;
        let log = fs::File::create(folder.join("server.log")).during("the server's log")?;
        let process = as_user(user, &bin.join("postgres"), true)
            .arg("-D")
            .arg(&cluster)
            .args(["-p", &port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "max_connections=300", "-c", "fsync=on", "-c", "synchronous_commit=on"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().during("the server's log")?)
            .stderr(log)
            .spawn()
            .during("postgres did not start")?;
        let mut server = Server { process, bin, folder, user };
        server.wait_ready(port)?;
        Ok(Self { url: format!("postgres://postgres@127.0.0.1:{port}/postgres"), _own: Some(server) })
    }
}

const ADVICE: &str = "install one (Debian: apt-get install postgresql), or set RIALTO_TEST_POSTGRES to the URL of a \
                      server where tests may make databases and roles";

impl Server {
    fn wait_ready(&mut self, port: u16) -> Done {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Ok(Some(status)) = self.process.try_wait() {
                let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                return Err(Fault::new(format!("postgres ended at its start ({status})\n{}", log.trim_end())));
            }
            let mut ask = Command::new(self.bin.join("pg_isready"));
            if quietly(ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Fault::new("postgres was not ready after 60 s").fix(format!("read {}/server.log", self.folder.display())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = as_user(self.user, &self.bin.join("pg_ctl"), false);
        stop.args(["stop", "--mode=immediate", "--wait", "-D"]).arg(self.folder.join("cluster"));
        if quietly(stop.current_dir(&self.folder)).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The newest folder that holds the server's programs.
fn binaries() -> Option<PathBuf> {
    let has_server =
        |dir: &PathBuf| ["initdb", "postgres", "pg_ctl", "pg_isready"].iter().all(|p| dir.join(p).is_file());
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let told = quietly(Command::new("pg_config").arg("--bindir")).ok().map(|text| PathBuf::from(text.trim()));
    let on_path = find("postgres").and_then(|path| path.parent().map(Path::to_path_buf));
    versions.into_iter().rev().map(|(_, dir)| dir).chain(told).chain(on_path).find(has_server)
}

/// Installs the server from the system's packages where this user may: root, or sudo that asks nothing.
fn install() -> Option<PathBuf> {
    find("apt-get")?;
    let sudo = !is_root();
    if sudo && quietly(Command::new("sudo").args(["-n", "true"])).is_err() {
        return None;
    }
    println!("  no PostgreSQL server here: installing Debian's package");
    let apt = |arguments: &[&str]| {
        let mut command = if sudo { Command::new("sudo") } else { Command::new("apt-get") };
        if sudo {
            command.args(["-n", "apt-get"]);
        }
        run(command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdout(Stdio::null()))
    };
    let outcome =
        apt(&["update", "-qq"]).and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", "postgresql"]));
    if let Err(fault) = outcome {
        println!("  {fault}");
    }
    binaries()
}

fn is_root() -> bool {
    quietly(Command::new("id").arg("-u")).is_ok_and(|text| text.trim() == "0")
}

/// A program run as another user, because PostgreSQL refuses to run as root. With `bound` it ends when we end.
fn as_user(user: Option<&str>, program: &Path, bound: bool) -> Command {
    let Some(setpriv) = find("setpriv") else {
        let Some(user) = user else { return Command::new(program) };
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--"]).arg(program);
        return command;
    };
    let mut command = Command::new(setpriv);
    if bound {
        command.args(["--pdeathsig", "INT"]);
    }
    if let Some(user) = user {
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// A fresh folder that the server's user can reach: below the target folder, or the system's scratch folder where
/// the way to the target folder is closed to others (a checkout in root's home).
fn scratch(user: Option<&'static str>) -> Done<PathBuf> {
    let name = format!("rialto-postgres-{}", std::process::id());
    for parent in [target(), std::env::temp_dir()] {
        remove_stale(&parent);
        let folder = parent.join(&name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).during(folder.display())?;
        if let Some(user) = user {
            quietly(Command::new("chown").arg(user).arg(&folder))?;
        }
        if quietly(as_user(user, Path::new("test"), false).arg("-w").arg(&folder).current_dir("/")).is_ok() {
            return Ok(folder);
        }
        let _ = fs::remove_dir_all(&folder);
    }
    Err(Fault::new("no scratch folder that PostgreSQL's user may write to"))
}

/// Removes what servers left behind whose task was ended by a signal.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix("rialto-postgres-") else { continue };
        if Path::new("/proc/self").exists() && !Path::new("/proc").join(owner).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn free_port() -> Done<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").during("no free port")?;
    listener.local_addr().map(|address| address.port()).during("no free port")
}
