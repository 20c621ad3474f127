//! Where the hub's time goes: `perf` samples the running hub by its cores' clock, and each sample is counted for
//! the part of Rialto that asked for the work, and for the kind of work it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Outcome;

/// Samples a second and thread that runs. Not a round number, so that it does not fall in step with timers.
const FREQUENCY: &str = "499";

/// The parts of Rialto, by what the symbols of their code start with. The innermost such frame asked for the work.
const PARTS: [(&str, &str); 7] = [
    ("rialto_api", "api"),
    ("rialto_log", "log"),
    ("rialto_store", "store"),
    ("rialto_engine", "engine"),
    ("rialto_plugin", "plugin host"),
    ("rialto_model", "model"),
    ("rialto_hub", "hub"),
];

/// Kinds of work, by what a symbol or its file holds; the innermost frame that matches any decides, and of several
/// that match it the first.
const KINDS: [(&str, &str); 24] = [
    ("tcp_", "kernel: network"),
    ("sock_", "kernel: network"),
    ("inet_", "kernel: network"),
    ("ext4", "kernel: file system"),
    ("jbd2", "kernel: file system"),
    ("vfs_", "kernel: files"),
    ("epoll", "kernel: waiting"),
    ("futex", "kernel: waiting"),
    ("clear_page", "kernel: memory"),
    ("page_fault", "kernel: memory"),
    ("madvise", "kernel: memory"),
    ("sqlite3", "SQLite"),
    ("serde_json", "JSON"),
    ("lsm_tree", "fjall"),
    ("fjall", "fjall"),
    ("wasmtime", "wasmtime"),
    ("hyper", "HTTP"),
    ("httparse", "HTTP"),
    ("blake3", "hashing"),
    ("sqlx", "sqlx and sea-orm"),
    ("sea_orm", "sqlx and sea-orm"),
    ("memcpy", "copying"),
    ("memmove", "copying"),
    ("malloc", "allocation"),
];

/// A recording under way.
pub(crate) struct Recording {
    perf: Child,
    data: PathBuf,
}

impl Recording {
    /// Starts to sample a process.
    pub(crate) fn start(pid: u32, folder: &Path) -> Outcome<Self> {
        let data = folder.join("perf.data");
        let perf = Command::new("perf")
            .args(["record", "--event", "cpu-clock", "--freq", FREQUENCY, "--call-graph", "dwarf,16384"])
            .args(["--pid", &pid.to_string(), "--output"])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("perf does not run ({error}): it is in Debian's package linux-perf"))?;
        // perf attaches within some milliseconds and says nothing when it has.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Self { perf, data })
    }

    /// Ends it and tells what was found, as text; the raw stacks stay beside it.
    pub(crate) fn finish(mut self) -> Outcome<String> {
        Command::new("sh").args(["-c", "kill -INT \"$0\"", &self.perf.id().to_string()]).status()?;
        self.perf.wait()?;
        let output = Command::new("perf")
            .args(["script", "--no-inline", "--fields", "comm,ip,sym,dso", "--input"])
            .arg(&self.data)
            .stderr(Stdio::null())
            .output()?;
        let stacks = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::write(self.data.with_extension("stacks.txt"), &stacks)?;
        Ok(summary(&stacks))
    }
}

/// Shares by part, by kind, by thread and by function.
fn summary(stacks: &str) -> String {
    let mut counts: [BTreeMap<String, usize>; 4] = Default::default();
    let mut samples = 0;
    for sample in stacks.split("\n\n").map(|sample| sample.trim_matches('\n')).filter(|sample| !sample.is_empty()) {
        let mut lines = sample.lines();
        let Some(thread) = lines.next() else { continue };
        let frames: Vec<&str> = lines.filter_map(|line| line.trim().split_once(' ').map(|(_, frame)| frame)).collect();
        samples += 1;
        let innermost = frames.first().map_or("unknown", |frame| frame.split("+0x").next().unwrap_or(frame));
        let keys = [part(&frames), kind(&frames), thread.trim(), innermost];
        for (counts, key) in counts.iter_mut().zip(keys) {
            *counts.entry(key.to_owned()).or_default() += 1;
        }
    }
    let mut text = format!("{samples} samples of the hub's processor time\n");
    for (title, counts) in ["part", "kind of work", "thread", "function"].iter().zip(counts) {
        let _ = writeln!(text, "\nby {title}");
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (key, count) in counts.iter().take(30) {
            let _ = writeln!(text, "{:>6.1} %  {key}", *count as f64 * 100.0 / samples as f64);
        }
    }
    text
}

fn part<'a>(frames: &[&str]) -> &'a str {
    if frames.first().is_some_and(|frame| is_guest(frame)) {
        return "guest";
    }
    frames
        .iter()
        .find_map(|frame| PARTS.iter().find(|(mark, _)| frame.contains(mark)).map(|(_, part)| *part))
        .unwrap_or("none of them (runtime, connections)")
}

fn kind<'a>(frames: &[&str]) -> &'a str {
    if frames.first().is_some_and(|frame| is_guest(frame)) {
        return "guest code";
    }
    frames
        .iter()
        .find_map(|frame| KINDS.iter().find(|(mark, _)| frame.contains(mark)).map(|(_, kind)| *kind))
        .unwrap_or("Rialto itself, and the rest")
}

/// Compiled guests have neither a symbol nor a file.
fn is_guest(frame: &str) -> bool {
    frame.contains("[unknown]")
        && (frame.contains("//anon") || frame.contains("perf-") || frame.contains("([unknown])"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_for_the_innermost_part_that_asked_for_it() {
        let stacks = "tokio-rt-worker \n\t  55 sqlite3VdbeExec+0x1 (/x/rialto)\n\t  56 rialto_store::write::step+0x2 (/x/rialto)\n\t  57 rialto_engine::processor::run+0x2 (/x/rialto)\n\nlog-writer \n\t  55 [unknown] (//anon)\n\n";
        let text = summary(stacks);
        assert!(text.starts_with("2 samples"), "{text}");
        assert!(text.contains("50.0 %  store") && text.contains("50.0 %  SQLite"), "{text}");
        assert!(text.contains("50.0 %  guest\n") && text.contains("50.0 %  log-writer"), "{text}");
    }
}
