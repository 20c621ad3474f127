//! What tests of the whole hub stand on: a hub to start and to kill, who speaks to it, and servers that misbehave.

pub mod child;
pub mod client;
pub mod gate;
pub mod persona;
pub mod postgres;
pub mod powercut;
pub mod receiver;
pub mod skip;
pub mod test_hub;
