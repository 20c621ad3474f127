//! What a lane looks at next: from the feed when it keeps up, else from the timeline and the log.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rialto_log::{EventLog, LogError};
use rialto_model::decision::{RouteVerdict, TimelineEntry};
use rialto_model::{DestinationId, Position, ProfileId, TenantId};
use rialto_store::{StoreError, TenantScope};

use super::feed::{Feed, Stretch};
use super::judge::Waiting;
use super::send::Parcel;
use crate::derive::{delivery_id, is_nobody, nobody};

/// How many timeline rows a lane looks at in one go.
const ROWS: usize = 1_000;
/// About how many bytes of events a window holds.
const BYTES: usize = 4 << 20;

/// Why a window could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A stretch of the timeline as one lane sees it.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The last position it covers; the lane's own cursor if there is nothing new.
    pub(super) to: Position,
    /// Whether there was anything to look at.
    pub(super) any: bool,
    /// What goes to this destination, in order.
    pub(super) parcels: Vec<Parcel>,
    /// What would go there, but its payload is gone from the log.
    pub(super) lost: Vec<Waiting>,
    /// Who of the window's persons, and of those held back, is another by now.
    pub(super) canonical: HashMap<ProfileId, ProfileId>,
}

/// Whose window it is and where from.
pub(super) struct Reader<'a> {
    pub(super) scope: &'a TenantScope,
    pub(super) log: &'a dyn EventLog,
    pub(super) feed: &'a Feed,
    pub(super) destination: DestinationId,
}

impl Reader<'_> {
    /// The next stretch after `cursor` with at most `most` events for this destination. The persons held back are
    /// looked up together with the window's, so that a merge is seen on both or on neither.
    pub(super) async fn next(
        &self,
        cursor: Position,
        most: usize,
        held: &HashSet<ProfileId>,
    ) -> Result<Window, ReadError> {
        let (rows, mut bodies, canonical) = match self.feed.read(cursor, ROWS, BYTES, held) {
            Some(Stretch { events, canonical }) => {
                let bodies = events.iter().map(|ready| (ready.entry.position, ready.body.clone())).collect();
                (events.into_iter().map(|ready| ready.entry).collect::<Vec<_>>(), bodies, canonical)
            }
            None => {
                // Else merges would be seen that the feed does not know yet.
                let _quiet = self.feed.merges.read().await;
                let rows: Vec<_> = self.scope.timeline_after(cursor, ROWS).await?.into_iter().map(Arc::new).collect();
                let persons = rows.iter().filter_map(|row| row.profile_id);
                let persons: HashSet<ProfileId> = persons.chain(held.iter().copied()).collect();
                let persons: Vec<ProfileId> = persons.into_iter().collect();
                (rows, HashMap::new(), self.scope.canonical(&persons).await?)
            }
        };
        let mut window = Window { to: cursor, any: !rows.is_empty(), ..Window::default() };
        let mut waiting = Vec::new();
        for row in rows {
            let mut mine = taken(self.scope.tenant_id(), self.destination, &row, &canonical);
            if !waiting.is_empty() && waiting.len() + mine.len() > most {
                break;
            }
            waiting.append(&mut mine);
            window.to = row.position;
        }
        if bodies.is_empty() && !waiting.is_empty() {
            bodies = self.bodies(&waiting).await?;
        }
        (window.parcels, window.lost) = pack(waiting, &bodies);
        window.canonical = canonical;
        Ok(window)
    }

    /// Puts payloads to parked deliveries.
    pub(super) async fn fetch(&self, waiting: Vec<Waiting>) -> Result<(Vec<Parcel>, Vec<Waiting>), ReadError> {
        let bodies = self.bodies(&waiting).await?;
        Ok(pack(waiting, &bodies))
    }

    async fn bodies(&self, waiting: &[Waiting]) -> Result<HashMap<Position, Bytes>, LogError> {
        let mut positions: Vec<Position> = waiting.iter().map(|waiting| waiting.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let entries = self.log.get_many(self.scope.tenant_id(), &positions).await?;
        Ok(entries.into_iter().map(|entry| (entry.position, entry.body)).collect())
    }
}

/// The deliveries that a decision made for a destination: one for each action it was taken for.
fn taken(
    tenant: TenantId,
    destination: DestinationId,
    row: &TimelineEntry,
    canonical: &HashMap<ProfileId, ProfileId>,
) -> Vec<Waiting> {
    // Who is nobody waits behind nobody.
    let profile_id = row.profile_id.unwrap_or_else(|| nobody(tenant, row.position));
    let profile_id = canonical.get(&profile_id).copied().unwrap_or(profile_id);
    let mine = |route: &&rialto_model::decision::RouteDecision| {
        route.destination_id == destination && route.verdict == RouteVerdict::Taken
    };
    let waiting = |route: &rialto_model::decision::RouteDecision| {
        let action = route.action.clone().unwrap_or_default();
        Waiting {
            position: row.position,
            message_id: row.message_id.clone(),
            delivery_id: delivery_id(tenant, destination, &action, row.position, &row.message_id),
            action,
            profile_id,
            attempts: 0,
            parked_at: None,
            history: Vec::new(),
        }
    };
    row.decision.routes.iter().filter(mine).map(waiting).collect()
}

fn pack(waiting: Vec<Waiting>, bodies: &HashMap<Position, Bytes>) -> (Vec<Parcel>, Vec<Waiting>) {
    let (mut parcels, mut lost) = (Vec::with_capacity(waiting.len()), Vec::new());
    for waiting in waiting {
        match bodies.get(&waiting.position) {
            Some(body) => parcels.push(Parcel { body: payload(body, waiting.profile_id), waiting }),
            None => lost.push(waiting),
        }
    }
    (parcels, lost)
}

/// The event as a connector gets it: as it lies in the log, and whose it is.
fn payload(body: &Bytes, profile_id: ProfileId) -> Bytes {
    let Some(rest) = body.strip_prefix(b"{").filter(|_| !is_nobody(profile_id)) else { return body.clone() };
    let member = format!("{{\"profile_id\":\"{profile_id}\"");
    let mut payload = BytesMut::with_capacity(member.len() + 1 + rest.len());
    payload.put_slice(member.as_bytes());
    if !rest.starts_with(b"}") {
        payload.put_u8(b',');
    }
    payload.put_slice(rest);
    payload.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_whose_it_is_and_stays_json() {
        let id = ProfileId::from_parts(1, &[1; 10]);
        for body in ["{}", r#"{"message_id":"a"}"#] {
            let payload = payload(&Bytes::from_static(body.as_bytes()), id);
            let value: serde_json::Value = serde_json::from_slice(&payload).expect("is JSON");
            assert_eq!(value["profile_id"], id.to_string());
        }
        let nobody = nobody(TenantId::from_parts(1, &[1; 10]), 7);
        assert_eq!(payload(&Bytes::from_static(b"{}"), nobody), "{}", "nobody has no id to say");
        assert!(!is_nobody(id));
    }
}
