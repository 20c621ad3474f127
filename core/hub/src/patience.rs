//! Which threads leave the processor to others: what came in is processed later rather than refused now.

/// How much nicer than others a patient thread is: at 5 it gets about a quarter of a core that both want.
#[cfg(target_os = "linux")]
const PATIENCE: i32 = 5;

/// Makes this thread patient, and those that it starts from now on. For good: only who runs as root could take it back.
/// Patience does not add up: a thread of a patient one has as much.
pub(crate) fn have_patience() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, PATIENCE) {
        tracing::debug!(%error, "this thread keeps its priority");
    }
}
