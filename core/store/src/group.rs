//! Group commit on SQLite: writes of the engine that wait at the same time share one transaction and one flush.
//!
//! A transaction costs a flush to disk whatever it writes; with ten thousand tenants that have little to write each,
//! the flushes would be all there is. So writes queue here, and whoever finds nobody writing starts a task that
//! takes what waits, each write in a savepoint of its own: one that fails alone is undone alone. All are answered
//! after the commit. PostgreSQL commits its connections' transactions together by itself.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use rialto_model::TenantId;
use sea_orm::{DatabaseTransaction, TransactionTrait};
use tokio::sync::oneshot;

use crate::connect::Connections;
use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::tx::TenantTx;

/// How many rows are enough for one transaction: it must not keep other writers waiting for long. At 8,000 a row costs
/// half of what it costs at 2,000, for neighbours in a tree are then written together.
const ENOUGH_ROWS: usize = 8_000;
/// How many writes are enough for one transaction.
const ENOUGH_WRITES: usize = 128;

/// A write's statements.
pub(crate) type Statements = Box<dyn for<'t> FnOnce(&'t TenantTx) -> Running<'t> + Send>;
/// Its statements under way.
pub(crate) type Running<'t> = Pin<Box<dyn Future<Output = Result<()>> + Send + 't>>;

/// A write that waits.
struct Waiting {
    tenant: TenantId,
    statements: Statements,
    rows: usize,
    answer: oneshot::Sender<Result<()>>,
}

/// The writes that wait, and whether a task takes them.
#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    taken_care_of: bool,
}

impl Connections {
    /// Runs a write's statements in a transaction, whole or not at all, and returns when it is committed. `rows` is
    /// about how many rows it writes.
    pub(crate) async fn write_together(&self, tenant: TenantId, rows: usize, statements: Statements) -> Result<()> {
        if self.dialect == Dialect::Postgres {
            let tx = self.write(tenant).await?;
            statements(&tx).await?;
            return tx.commit().await;
        }
        let (answer, answered) = oneshot::channel();
        let idle = {
            let mut state = self.queue.0.lock();
            state.waiting.push_back(Waiting { tenant, statements, rows, answer });
            !std::mem::replace(&mut state.taken_care_of, true)
        };
        if idle {
            tokio::spawn(take_care(self.clone()));
        }
        answered.await.unwrap_or_else(|_| Err(StoreError::unavailable("the write was broken off")))
    }
}

/// Commits group after group until nothing waits. A task of its own, so that no caller that gives up half-way takes
/// the others' writes with it.
async fn take_care(connections: Connections) {
    let care = Care(connections.queue.clone());
    while let Some(group) = care.next() {
        commit(&connections, group).await;
    }
}

/// Held by the task that takes care; should it die, waiting writes are refused and the next one starts anew.
struct Care(Arc<Queue>);

impl Care {
    /// What goes into the next transaction; `None` ends the care, under the same lock that a new write takes.
    fn next(&self) -> Option<Vec<Waiting>> {
        let mut state = self.0.0.lock();
        let (mut group, mut rows) = (Vec::new(), 0);
        while rows < ENOUGH_ROWS && group.len() < ENOUGH_WRITES {
            let Some(next) = state.waiting.pop_front() else { break };
            rows += next.rows;
            group.push(next);
        }
        state.taken_care_of = !group.is_empty();
        (!group.is_empty()).then_some(group)
    }
}

impl Drop for Care {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.0.lock();
            state.taken_care_of = false;
            state.waiting.clear();
        }
    }
}

async fn commit(connections: &Connections, group: Vec<Waiting>) {
    let (answers, writes): (Vec<_>, Vec<_>) =
        group.into_iter().map(|one| (one.answer, (one.tenant, one.statements))).unzip();
    let outcomes = match run(connections, writes).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            let reason = error.to_string();
            let mut first = Some(error);
            // The cause cannot be cloned: one gets it, the others its words. All may try again.
            answers.iter().map(|_| Err(first.take().unwrap_or_else(|| StoreError::unavailable(&reason)))).collect()
        }
    };
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // Whoever asked may have stopped waiting; the write stands all the same.
        drop(answer.send(outcome));
    }
}

/// One transaction. An error is everybody's; what concerns a write alone stands in its place of the list.
async fn run(connections: &Connections, mut writes: Vec<(TenantId, Statements)>) -> Result<Vec<Result<()>>> {
    if let [_] = writes[..] {
        let Some((tenant, statements)) = writes.pop() else { return Ok(Vec::new()) };
        let tx = connections.write(tenant).await?;
        statements(&tx).await?;
        tx.commit().await?;
        return Ok(vec![Ok(())]);
    }
    let whole = connections.write_for_many().await?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for (tenant, statements) in writes {
        outcomes.push(savepoint(connections, &whole, tenant, statements).await?);
    }
    whole.commit().await?;
    Ok(outcomes)
}

async fn savepoint(
    connections: &Connections,
    whole: &DatabaseTransaction,
    tenant: TenantId,
    statements: Statements,
) -> Result<Result<()>> {
    let tx = TenantTx { tx: whole.begin().await?, dialect: connections.dialect, tenant };
    match statements(&tx).await {
        Ok(()) => tx.commit().await.map(Ok),
        // A full disk and the like undo the whole transaction, not the savepoint alone.
        Err(error @ StoreError::Unavailable { .. }) => Err(error),
        Err(error) => {
            tx.tx.rollback().await?;
            Ok(Err(error))
        }
    }
}
