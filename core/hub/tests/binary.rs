//! The program `rialto` as an operator meets it: started, asked, ended, started again.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn rialto(data: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rialto"));
    command.args(words).arg("--data").arg(data).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RIALTO__")) {
        command.env_remove(name);
    }
    command
}

fn done(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Serving {
    process: Child,
    output: BufReader<ChildStdout>,
    url: String,
    greeting: String,
}

impl Serving {
    /// Starts on any free port and reads what it prints up to the address.
    fn start(data: &Path) -> Self {
        let mut process = rialto(data, &["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut greeting = String::new();
        output.read_line(&mut greeting).expect("it says where it listens");
        let url = greeting.split("listens on ").nth(1).expect("an address").trim().to_owned();
        Self { process, output, url, greeting }
    }

    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Asks it to end; everything it printed, and how long it took.
    fn end(mut self) -> (String, Duration) {
        let begun = Instant::now();
        let told = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
        let mut rest = std::mem::take(&mut self.greeting);
        self.output.read_to_string(&mut rest).expect("text");
        let status = self.process.wait().expect("it ends");
        assert!(status.success(), "ended with {status}");
        (rest, begun.elapsed())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_first_start_shows_the_operator_token_and_no_later_one_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let first = Serving::start(&data);
    let checked = done(Command::new(env!("CARGO_BIN_EXE_rialto")).args(["healthcheck", "--address", first.address()]));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let (said, took) = first.end();
    let tokens: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("ro_")).collect();
    assert_eq!(tokens.len(), 1, "{said}");
    assert!(said.contains("curl"), "{said}");
    assert!(took < Duration::from_secs(25), "it took {took:?} to end");

    let again = Serving::start(&data);
    let made = done(&mut rialto(&data, &["operator-token"]));
    let (said, _) = again.end();
    assert!(!said.contains("ro_"), "shown again: {said}");
    let token = text(&made.stdout);
    assert!(token.starts_with("ro_") && token.trim() != tokens[0] && token.lines().count() == 1, "{token}");
}

#[test]
fn a_second_hub_on_the_same_address_or_folder_is_told_so_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let first = Serving::start(&data);
    let same_address = done(&mut rialto(&folder.path().join("other"), &["serve", "--listen", first.address()]));
    assert!(!same_address.status.success());
    assert!(text(&same_address.stderr).contains("--listen"), "{}", text(&same_address.stderr));
    let same_folder = done(&mut rialto(&data, &["serve", "--listen", "127.0.0.1:0"]));
    assert!(!same_folder.status.success());
    assert!(text(&same_folder.stderr).contains("log"), "{}", text(&same_folder.stderr));
    first.end();
}

#[test]
fn settings_are_shown_and_slips_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = done(rialto(folder.path(), &["config"]).env("RIALTO__STORE__URL", "postgres://a:canary@db/x"));
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let listing = text(&shown.stdout);
    assert!(listing.contains("postgres://a:…@db/x") && !listing.contains("canary"), "{listing}");
    let slip = done(rialto(folder.path(), &["config"]).env("RIALTO__SERVER__LISEN", "127.0.0.1:1"));
    assert!(!slip.status.success());
    assert!(text(&slip.stderr).contains("lisen"), "{}", text(&slip.stderr));
    let manual = done(Command::new(env!("CARGO_BIN_EXE_rialto")).args(["config", "--manual"]));
    assert_eq!(text(&manual.stdout), include_str!("../../../rialto.default.toml"));
}

#[test]
fn a_hub_that_is_not_there_fails_its_health_check() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let checked =
        done(Command::new(env!("CARGO_BIN_EXE_rialto")).args(["healthcheck", "--address", &free.to_string()]));
    assert!(!checked.status.success());
    assert!(text(&checked.stderr).contains("no hub answers"), "{}", text(&checked.stderr));
}
