//! What can go wrong in a task: one sentence on what happened, one on what to do about it.

use std::fmt;

/// A task failed. Shown to the person who started it, so it says what to do next where that is known.
#[derive(Debug)]
pub(crate) struct Fault {
    what: String,
    fix: Option<String>,
}

pub(crate) type Done<T = ()> = Result<T, Fault>;

impl Fault {
    /// A fault that explains itself.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), fix: None }
    }

    /// The same fault with what to do about it.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.fix.iter().try_for_each(|fix| write!(f, "\n  fix: {fix}"))
    }
}

impl std::error::Error for Fault {}

/// Says what was being done when an operation of the system failed.
pub(crate) trait During<T> {
    /// `self`, its error headed by `what`.
    fn during(self, what: impl fmt::Display) -> Done<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, what: impl fmt::Display) -> Done<T> {
        self.map_err(|error| Fault::new(format!("{what}: {error}")))
    }
}
