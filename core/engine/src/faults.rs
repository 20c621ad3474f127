//! Places at which a test may have the engine crash: around every effect, for it is there that order matters.

/// A place around an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// A step is decided and not written.
    BeforeCommitStep,
    /// A step is written and nobody knows yet.
    AfterCommitStep,
    /// What a step had to say is in the log and still in the outbox.
    AfterRelay,
    /// Jobs are about to leave.
    BeforeDeliver,
    /// Jobs are done and what came of them is not written.
    AfterDeliver,
    /// What came of a window or of retries is written and nobody knows yet.
    AfterCommitLane,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BeforeCommitStep,
        Self::AfterCommitStep,
        Self::AfterRelay,
        Self::BeforeDeliver,
        Self::AfterDeliver,
        Self::AfterCommitLane,
    ];
}

/// The step is to be abandoned at once, and what it held in memory forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("crashed on purpose")]
pub struct Crash;

/// Decides where to crash.
pub trait Faults: Send + Sync + 'static {
    /// Whether to go on from here.
    ///
    /// # Errors
    /// [`Crash`], to crash here and now.
    fn reach(&self, point: Point) -> Result<(), Crash>;
}

/// Never crashes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn reach(&self, _: Point) -> Result<(), Crash> {
        Ok(())
    }
}
