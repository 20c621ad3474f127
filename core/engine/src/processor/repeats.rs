//! Which events were seen before: exactly, each by its own look-back of 24 hours, in one query where all is clear.

use std::collections::HashMap;

use rialto_model::{Position, Timestamp};
use rialto_store::{StoreError, TenantScope, Wanted};

use crate::step::{DEDUPE, Incoming};

/// An event that may be a repeat of the one at `first`.
struct Doubt<'i> {
    position: Position,
    message_id: &'i str,
    since: Timestamp,
}

/// Where each of these was seen before it, by its position. `seen` is what the store knows within the longest
/// look-back of them all: it is asked again only of ids that it knew, and alone only of those that are about a day
/// old.
pub(super) async fn repeats(
    scope: &TenantScope,
    incoming: &[Incoming],
    seen: &HashMap<String, Position>,
    longest: Timestamp,
) -> Result<HashMap<Position, Position>, StoreError> {
    let mut certain = HashMap::new();
    let mut doubts = Vec::new();
    for (one, event) in incoming.iter().filter_map(|one| Some((one, &one.read.as_ref().ok()?.0))) {
        let Some(first) = seen.get(&event.message_id) else { continue };
        let since = event.received_at.before(DEDUPE);
        match since == longest {
            true => drop(certain.insert(one.position, *first)),
            false => doubts.push(Doubt { position: one.position, message_id: &event.message_id, since }),
        }
    }
    let Some(shortest) = doubts.iter().map(|doubt| doubt.since).max() else { return Ok(certain) };
    let recent = ask(scope, doubts.iter().map(|doubt| doubt.message_id.to_owned()).collect(), shortest).await?;
    for doubt in doubts {
        let first = match recent.get(doubt.message_id) {
            Some(first) => Some(*first),
            None => ask(scope, vec![doubt.message_id.to_owned()], doubt.since).await?.into_values().next(),
        };
        certain.extend(first.map(|first| (doubt.position, first)));
    }
    Ok(certain)
}

async fn ask(
    scope: &TenantScope,
    mut message_ids: Vec<String>,
    dedupe_since: Timestamp,
) -> Result<HashMap<String, Position>, StoreError> {
    message_ids.sort_unstable();
    message_ids.dedup();
    Ok(scope.load(&Wanted { message_ids, dedupe_since, ..Wanted::default() }).await?.seen)
}
