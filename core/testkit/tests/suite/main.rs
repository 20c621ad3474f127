//! What the whole hub is held to, seen from outside: real clients, corpora, crashes, full disks, lost databases,
//! hostile destinations and guests. All but `in_process` drive the hub's own binary over HTTP.
// What was skipped, and what was counted, is said where the test command reads it.
#![allow(clippy::print_stdout)]

mod clients;
mod corpora;
mod crash;
mod database;
mod destinations;
mod disk_full;
mod ground;
mod guests;
mod in_process;
mod isolation;
mod load;
mod log_power_cut;
mod naughty;
mod order;
mod power_cut;
mod restart;
mod story;
mod webhook_sources;
mod webhooks;
