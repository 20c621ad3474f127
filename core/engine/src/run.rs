//! The loops: one that hears which streams have grown, and a few that take turns at processing them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use rialto_log::Tail;
use rialto_model::{Position, TenantId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::processor::Processor;
use crate::turns::{Turn, Turns};

/// The first wait after the database or the log was not there; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The wait of a tenant whose step failed for a reason of its own.
const TENANT_WAIT: Duration = Duration::from_secs(5);

/// The running loops.
pub(crate) struct Loops {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

struct Shared {
    processor: Arc<Processor>,
    turns: Turns,
    /// Why and until when everybody waits, and for how long the last time.
    pause: Mutex<Option<Pause>>,
}

#[derive(Clone)]
struct Pause {
    reason: String,
    until: Timestamp,
    wait: Duration,
}

impl Loops {
    pub(crate) fn start(processor: Arc<Processor>, workers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        // Taken before the streams are listed, so that none that grows in between is missed.
        let tail = processor.log.tail();
        let shared = Arc::new(Shared { processor, turns: Turns::default(), pause: Mutex::new(None) });
        let mut tasks = JoinSet::new();
        tasks.spawn(until(stopped.clone(), Arc::clone(&shared).take_up()));
        tasks.spawn(until(stopped.clone(), Arc::clone(&shared).hear(tail)));
        for _ in 0..workers {
            tasks.spawn(Arc::clone(&shared).work(stopped.clone()));
        }
        Self { shared, tasks: Mutex::new(tasks), stop }
    }

    /// There is a reason to look after a tenant.
    pub(crate) fn wake(&self, tenant: TenantId) {
        self.shared.turns.wake(tenant, 0);
    }

    /// How many events are known to wait, and of how many tenants.
    pub(crate) fn backlog(&self) -> (u64, u64) {
        self.shared.turns.backlog()
    }

    /// Why processing waits, if it does.
    pub(crate) fn unavailable(&self) -> Option<String> {
        self.shared.pause.lock().as_ref().map(|pause| pause.reason.clone())
    }

    /// Ends the loops; steps under way have `patience` to end.
    pub(crate) async fn stop(&self, patience: Duration) {
        // Fails when every task has ended already.
        let _ = self.stop.send(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("a step of the processor was cut off; the next start makes it again");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        // An error means that the engine is gone, which is the same news.
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = work => {}
    }
}

impl Shared {
    /// Takes up what waits from before: every tenant gets a turn, in which its lanes are seated too.
    async fn take_up(self: Arc<Self>) {
        loop {
            let processor = &self.processor;
            let tenants = processor.store.operator().all_tenants().await.map_err(EngineError::from);
            let streams = processor.log.tenants().await.map_err(EngineError::from);
            match (tenants, streams) {
                (Ok(tenants), Ok(streams)) => {
                    for (tenant, head) in streams {
                        self.turns.wake(tenant, head);
                    }
                    tenants.into_iter().for_each(|tenant| self.turns.wake(tenant, 0));
                    return;
                }
                (Err(error), _) | (_, Err(error)) => self.wait(&error).await,
            }
        }
    }

    async fn hear(self: Arc<Self>, mut tail: Tail) {
        loop {
            for (tenant, head) in tail.next().await {
                self.turns.wake(tenant, head);
            }
        }
    }

    async fn work(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        loop {
            let turn = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                turn = self.turns.next() => turn,
            };
            // By the machine's own time: it is about its load, and decides nothing.
            until(stopped.clone(), tokio::time::sleep(self.processor.company(&turn))).await;
            self.take_turn(turn).await;
            let pause = self.pause.lock().as_ref().map(|pause| pause.until);
            if let Some(at) = pause {
                until(stopped.clone(), self.processor.clock.sleep_until(at)).await;
            }
        }
    }

    async fn take_turn(self: &Arc<Self>, turn: Turn) {
        let Turn { tenant, bytes, .. } = turn;
        match AssertUnwindSafe(self.processor.step(tenant, bytes)).catch_unwind().await {
            Ok(Ok(stepped)) => {
                *self.pause.lock() = None;
                self.turns.done(tenant, stepped.to, stepped.cost, stepped.events > 0);
            }
            Ok(Err(error)) if error.is_gone() => {
                // Removed while its events were on their way.
                self.turns.failed(tenant);
                self.processor.forget(tenant);
                self.processor.dispatcher.drop_tenant(tenant);
            }
            Ok(Err(error)) if error.is_unavailable() => {
                let head = self.turns.failed(tenant);
                self.turns.wake(tenant, head);
                self.pause(&error);
            }
            Ok(Err(error)) => {
                tracing::error!(%tenant, %error, "a tenant's events cannot be processed; trying again");
                self.later(tenant);
            }
            Err(_) => {
                tracing::error!(%tenant, "a step of the processor panicked; trying again");
                self.processor.forget(tenant);
                self.later(tenant);
            }
        }
    }

    /// Gives a tenant another turn after a while; the others go on.
    fn later(self: &Arc<Self>, tenant: TenantId) {
        let head: Position = self.turns.failed(tenant);
        let shared = Arc::downgrade(self);
        let (clock, at) = (Arc::clone(&self.processor.clock), self.processor.clock.now().after(TENANT_WAIT));
        tokio::spawn(async move {
            clock.sleep_until(at).await;
            if let Some(shared) = shared.upgrade() {
                shared.turns.wake(tenant, head);
            }
        });
    }

    /// The database or the log is gone for everybody: all wait, longer each time, and the log absorbs what comes in.
    fn pause(&self, error: &EngineError) -> Timestamp {
        let now = self.processor.clock.now();
        let mut pause = self.pause.lock();
        if let Some(pause) = pause.as_ref().filter(|pause| pause.until > now) {
            return pause.until;
        }
        let wait = pause.as_ref().map_or(FIRST_WAIT, |pause| (pause.wait * 2).min(LONGEST_WAIT));
        // Up to a quarter more, so that the nodes of a hub do not come back in step.
        let until = now.after(wait.mul_f64(1.0 + rand::random::<f64>() / 4.0));
        tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "processing waits");
        *pause = Some(Pause { reason: error.to_string(), until, wait });
        until
    }

    async fn wait(&self, error: &EngineError) {
        let until = self.pause(error);
        self.processor.clock.sleep_until(until).await;
    }
}
