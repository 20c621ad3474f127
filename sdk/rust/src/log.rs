//! Lines for the connector's author. The hub bounds them; the last error is shown with a delivery that failed, without
//! credentials. What is replayed is not said again.

use std::cell::Cell;

use crate::bindings::rialto::plugin::log::Level;

thread_local! {
    static REPLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Whether what runs now ran before, in an earlier round.
pub(crate) fn set_replaying(replaying: bool) {
    REPLAYING.set(replaying);
}

/// Logs a line for the author, who is looking for a fault.
pub fn debug(message: &str) {
    emit_once(Level::Debug, message);
}

/// Logs a line that says what happened.
pub fn info(message: &str) {
    emit_once(Level::Info, message);
}

/// Logs a line that says what is odd.
pub fn warn(message: &str) {
    emit_once(Level::Warn, message);
}

/// Logs a line that says what went wrong; the last one is shown with the delivery if the call fails.
pub fn error(message: &str) {
    emit(Level::Error, message);
}

fn emit_once(level: Level, message: &str) {
    if !REPLAYING.get() {
        emit(level, message);
    }
}

#[cfg(target_arch = "wasm32")]
fn emit(level: Level, message: &str) {
    crate::bindings::rialto::plugin::log::emit(level, message, &[]);
}

#[cfg(not(target_arch = "wasm32"))]
fn emit(level: Level, message: &str) {
    let word = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    crate::testing::record_line(format!("{word}: {message}"));
}
