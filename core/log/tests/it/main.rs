//! The embedded log against real files: what it promises, and what it does when it is killed, filled or damaged.

mod clients;
mod conformance;
mod damage;
mod disk_full;
mod erasure;
mod kill;
mod lock;
