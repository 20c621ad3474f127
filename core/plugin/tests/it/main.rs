//! The plugin host against real guests, hostile ones among them, and against destinations that mean harm.

mod admission;
mod artifact;
mod bench;
mod hostile;
mod pools;
mod receiver;
mod reception;
mod replies;
mod rounds;
mod ssrf;
mod wat;
mod webhook;
