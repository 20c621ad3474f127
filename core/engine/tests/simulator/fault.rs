//! Crashes at places of the engine's choosing and moments of the seed's.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rialto_engine::faults::{Crash, Faults, Point};

/// Crashes now and then while it is armed.
pub(crate) struct Dice(Mutex<Inner>);

struct Inner {
    rng: StdRng,
    armed: bool,
    struck: Vec<Point>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { rng: StdRng::seed_from_u64(seed), armed: true, struck: Vec::new() })))
    }

    pub(crate) fn disarm(&self) {
        self.0.lock().armed = false;
    }

    /// Where it struck since it was last asked.
    pub(crate) fn take(&self) -> Vec<Point> {
        std::mem::take(&mut self.0.lock().struck)
    }
}

impl Faults for Dice {
    fn reach(&self, point: Point) -> Result<(), Crash> {
        let mut inner = self.0.lock();
        if inner.armed && inner.rng.random_bool(0.05) {
            inner.struck.push(point);
            return Err(Crash);
        }
        Ok(())
    }
}
