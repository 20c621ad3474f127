//! Looking for an event among those that wait to be processed: the log knows no message ids, so it is read.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rialto_log::{Entry, EventLog, LogError};
use rialto_model::event::Event;
use rialto_model::{Position, TenantId};
use tokio::time::Instant;

/// How far is looked.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// The most events.
    pub(super) events: u64,
    /// How many of them at a time.
    pub(super) at_a_time: usize,
    /// The longest time.
    pub(super) time: Duration,
}

/// Far enough for a long standstill, and never so far that the caller gives up first.
pub(super) const LOOK: Look = Look { events: 500_000, at_a_time: 1_000, time: Duration::from_secs(2) };

/// The most that look at a time, each for a tenant of its own: a look reads and compares as fast as it can.
const LOOKS: usize = 4;

/// Who looks at the moment.
#[derive(Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<HashSet<TenantId>>>);

/// The right to look, given back when it is dropped.
pub(super) struct Looking {
    looks: Looks,
    tenant: TenantId,
}

impl Looks {
    /// `None` while it is looked for another event of the tenant, or for too many tenants.
    pub(super) fn begin(&self, tenant: TenantId) -> Option<Looking> {
        let mut looking = self.0.lock();
        let may = looking.len() < LOOKS && looking.insert(tenant);
        may.then(|| Looking { looks: self.clone(), tenant })
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.looks.0.lock().remove(&self.tenant);
    }
}

/// The most bytes that are read at a time.
const BYTES: usize = 4 << 20;

/// What looking came to.
#[derive(Debug)]
pub(super) enum Looked {
    /// Here it is.
    Found(Box<(Entry, Event)>),
    /// All that wait were looked through.
    Nowhere,
    /// More wait than were looked through.
    GaveUp {
        /// How many were.
        looked: u64,
    },
}

/// The first event after a position with a message id.
pub(super) async fn look_ahead(
    log: &dyn EventLog,
    tenant: TenantId,
    mut after: Position,
    message_id: &str,
    look: Look,
) -> Result<Looked, LogError> {
    // An event begins with its message id, so most can be told apart without being read.
    let start = format!("{{\"message_id\":{}", serde_json::Value::from(message_id));
    // By the machine's own time: it is about its load, and decides nothing.
    let end = Instant::now() + look.time;
    let mut looked = 0;
    while looked < look.events && Instant::now() < end {
        let entries = log.read(tenant, after, look.at_a_time, BYTES).await?;
        let Some(last) = entries.last() else { return Ok(Looked::Nowhere) };
        after = last.position;
        looked += entries.len() as u64;
        for entry in entries {
            if entry.body.starts_with(start.as_bytes())
                && let Ok(event) = serde_json::from_slice::<Event>(&entry.body)
                && event.message_id == message_id
            {
                return Ok(Looked::Found(Box::new((entry, event))));
            }
        }
        // What is in memory is read without a pause.
        tokio::task::yield_now().await;
    }
    Ok(if log.head(tenant).await? > after { Looked::GaveUp { looked } } else { Looked::Nowhere })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rialto_log::{EmbeddedLog, EmbeddedOptions};
    use rialto_model::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_a_tenant_and_a_few_in_all_look_at_a_time() {
        let tenant = |n| TenantId::from_parts(1, &[n; 10]);
        let looks = Looks::default();
        let mut looking = vec![looks.begin(tenant(0)).expect("nobody looks")];
        assert!(looks.begin(tenant(0)).is_none(), "one a tenant");
        looking.extend((1..9).filter_map(|n| looks.begin(tenant(n))));
        assert_eq!(looking.len(), LOOKS);
        looking.clear();
        assert!(looks.begin(tenant(0)).is_some(), "it was given back");
    }

    #[tokio::test]
    async fn who_gives_up_says_so() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let log = EmbeddedLog::open(folder.path().join("log"), EmbeddedOptions::default()).expect("the log opens");
        let (tenant, at) = (TenantId::from_parts(1, &[1; 10]), Timestamp::from_millis(1));
        let source = rialto_model::SourceId::from_parts(1, &[1; 10]);
        let body = |n: u64| {
            let event = format!(
                r#"{{"message_id":"m{n}","type":"page","source_id":"{source}","timestamp":{0},"received_at":{0}}}"#,
                json!(at)
            );
            Bytes::from(event)
        };
        log.append(tenant, at, (1..=10).map(body).collect()).await.expect("appends");
        let look = |id: &'static str, after: Position, events: u64, time: Duration| {
            let log = &log;
            async move { look_ahead(log, tenant, after, id, Look { events, at_a_time: 2, time }).await.expect("reads") }
        };
        let second = Duration::from_secs(1);
        let found = look("m5", 0, 6, second).await;
        assert!(matches!(&found, Looked::Found(found) if found.0.position == 5), "{found:?}");
        assert!(matches!(look("m5", 5, 6, second).await, Looked::Nowhere));
        assert!(matches!(look("m7", 0, 6, second).await, Looked::GaveUp { looked: 6 }));
        assert!(matches!(look("m11", 0, 10, second).await, Looked::Nowhere), "the last one was reached");
        assert!(matches!(look("m7", 0, 100, Duration::ZERO).await, Looked::GaveUp { looked: 0 }));
    }
}
