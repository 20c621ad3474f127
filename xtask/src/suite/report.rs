//! Reads what `cargo test` prints: which suite, which test, what was skipped and why.

use crate::fault::{Done, Fault};

/// What only looks like a test: the life of a child process, which the tests that start it run.
const CHILDREN: [&str; 2] = ["clients::child", "log_power_cut::clients::child"];

/// Something worth showing while the tests run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A suite begins.
    Suite(String),
    /// A test ended well.
    Test(String),
    /// A test failed.
    Failed(String),
    /// A test takes long.
    Slow(String),
    /// A line of a failing test, of the compiler or of cargo.
    Said(String),
    /// A suite ended.
    Ended(Suite),
}

/// One test binary, or the documentation tests of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

/// What came of all of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) suites: Vec<Suite>,
    /// The test, and why it was skipped.
    pub(crate) skips: Vec<(String, String)>,
    pub(crate) failures: Vec<String>,
    /// A suite that died, a build that failed: something no test result tells of.
    pub(crate) broken: bool,
}

impl Report {
    pub(crate) fn passed(&self) -> usize {
        self.suites.iter().map(|suite| suite.passed).sum()
    }

    /// Failed tests; a suite that died counts as one.
    pub(crate) fn failed(&self) -> usize {
        let failed: usize = self.suites.iter().map(|suite| suite.failed).sum();
        failed.max(usize::from(self.broken))
    }

    pub(crate) fn skipped(&self) -> usize {
        self.skips.len()
    }

    /// Whether this is good enough: nothing failed, something ran, and in CI nothing was skipped.
    ///
    /// # Errors
    /// Says which of these does not hold.
    pub(crate) fn verdict(&self, in_ci: bool) -> Done {
        if self.broken && self.failures.is_empty() {
            return Err(Fault::new("a suite ended without telling its result; its last words stand above"));
        }
        if self.failed() > 0 {
            return Err(Fault::new(format!("{} failed", self.failed())));
        }
        if in_ci && self.skipped() > 0 {
            return Err(Fault::new(format!("{} skipped, and in CI nothing may be", self.skipped())));
        }
        if self.passed() == 0 {
            return Err(Fault::new("no test ran").fix("check the filter"));
        }
        Ok(())
    }
}

/// Where in the output of a suite the reader stands.
#[derive(Default, PartialEq, Eq)]
enum Part {
    #[default]
    Results,
    Successes,
    Failures,
}

/// Takes the output line by line.
#[derive(Default)]
pub(crate) struct Reader {
    report: Report,
    suite: Suite,
    part: Part,
    open: bool,
}

impl Reader {
    /// What one line tells.
    pub(crate) fn line(&mut self, text: &str) -> Vec<Event> {
        let text = text.trim_end();
        if let Some(name) = suite_name(text) {
            self.close_unfinished();
            self.suite = Suite { name: name.clone(), ..Suite::default() };
            (self.part, self.open) = (Part::Results, true);
            return vec![Event::Suite(name)];
        }
        if let Some(counts) = text.strip_prefix("test result: ") {
            return self.end(counts);
        }
        match text {
            "successes:" => self.part = Part::Successes,
            "failures:" => self.part = Part::Failures,
            _ => return self.within(text),
        }
        Vec::new()
    }

    fn within(&mut self, text: &str) -> Vec<Event> {
        // A skip that a test printed is a skip wherever it stands; libtest counts that test as passed.
        if let Some((name, why)) = text.trim_start().strip_prefix("skipped: ").and_then(|rest| rest.split_once(": ")) {
            let skip = (format!("{} {name}", self.suite.name), why.to_owned());
            if !self.report.skips.contains(&skip) {
                self.report.skips.push(skip);
                self.suite.skipped += 1;
            }
            return Vec::new();
        }
        if let Some((name, result)) = text.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            return self.result(name, result);
        }
        if text.starts_with("test ") && text.contains("has been running for over") {
            return vec![Event::Slow(text.to_owned())];
        }
        match self.part {
            Part::Failures => vec![Event::Said(text.to_owned())],
            Part::Successes => Vec::new(),
            Part::Results if text.is_empty() || text.starts_with("running ") => Vec::new(),
            Part::Results => vec![Event::Said(text.to_owned())],
        }
    }

    fn result(&mut self, name: &str, result: &str) -> Vec<Event> {
        let named = format!("{} {name}", self.suite.name);
        match result {
            "ok" => vec![Event::Test(named)],
            "FAILED" => {
                self.report.failures.push(named.clone());
                vec![Event::Failed(named)]
            }
            ignored => {
                let why = ignored.strip_prefix("ignored").unwrap_or(ignored).trim_start_matches([',', ' ']);
                if CHILDREN.contains(&name) {
                    return Vec::new();
                }
                let why = if why.is_empty() { "marked #[ignore]" } else { why };
                self.report.skips.push((named, why.to_owned()));
                self.suite.skipped += 1;
                Vec::new()
            }
        }
    }

    /// `ok. 12 passed; 0 failed; 1 ignored; …`
    fn end(&mut self, counts: &str) -> Vec<Event> {
        let number = |word: &str| {
            let before = counts.split(word).next().unwrap_or_default().trim_end();
            before.rsplit([' ', ';']).next().and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0)
        };
        let mut suite = std::mem::take(&mut self.suite);
        suite.failed = number(" failed");
        let ignored = number(" ignored");
        suite.passed = number(" passed").saturating_sub(suite.skipped.saturating_sub(ignored));
        (self.part, self.open) = (Part::Results, false);
        if suite.passed + suite.failed + suite.skipped == 0 {
            return Vec::new();
        }
        self.report.suites.push(suite.clone());
        vec![Event::Ended(suite)]
    }

    fn close_unfinished(&mut self) {
        if std::mem::take(&mut self.open) {
            self.report.broken = true;
            self.report.failures.push(format!("{} ended without a result", self.suite.name));
        }
    }

    /// The whole, once cargo has ended.
    pub(crate) fn finish(mut self, cargo_succeeded: bool) -> Report {
        self.close_unfinished();
        if !cargo_succeeded && self.report.failed() == 0 {
            self.report.broken = true;
        }
        self.report
    }
}

/// `Running tests/store.rs (target/debug/deps/store-0123456789abcdef)` or `Doc-tests rialto_model`.
fn suite_name(text: &str) -> Option<String> {
    let text = text.trim_start();
    if let Some(package) = text.strip_prefix("Doc-tests ") {
        return Some(format!("{package} (documentation)"));
    }
    let (file, binary) = text.strip_prefix("Running ")?.rsplit_once(" (")?;
    let binary = binary.strip_suffix(')')?.rsplit('/').next()?;
    let stem = binary.rsplit_once('-').map_or(binary, |(stem, _)| stem);
    Some(if file.starts_with("unittests") { format!("{stem} (unit)") } else { format!("{stem} ({file})") })
}

#[cfg(test)]
mod tests;
