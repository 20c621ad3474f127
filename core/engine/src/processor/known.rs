//! What has to be known of a step's events: asked for, unless it was read ahead. The documents of all persons of a
//! step are held, changed and written at once, so a step has only as many events as its persons leave room for.

use rialto_store::{Loaded, Wanted};

use super::Processor;
use super::owned::Owned;
use super::trouble::Trouble;
use crate::config::Config;
use crate::people::People;
use crate::step::{Incoming, strangers, wanted};

impl Processor {
    /// What was wanted of these, and what there is of it.
    pub(super) async fn known(
        &self,
        owned: &Owned,
        people: &People,
        config: &Config,
        incoming: &[Incoming],
        ahead: Option<(Wanted, Loaded)>,
    ) -> Result<(Wanted, Loaded), Trouble> {
        // One event has to go through, whoever it is of; its identifiers are bounded.
        let most_bytes = (incoming.len() > 1).then_some(self.step_bytes);
        let Some((wanted, mut loaded)) = ahead else {
            let wanted = Wanted { most_bytes, ..wanted(incoming, people, config) };
            let loaded = ask(owned, &wanted, incoming).await?;
            return Ok((wanted, loaded));
        };
        // Whoever was in memory then may have had to make room since.
        let missing = Wanted { most_bytes, ..missing(incoming, people, &wanted) };
        if !(missing.identifiers.is_empty() && missing.profile_ids.is_empty()) {
            let more = ask(owned, &missing, incoming).await?;
            loaded.profiles.extend(more.profiles);
            loaded.aliases.extend(more.aliases);
            loaded.suppressed.extend(more.suppressed);
        }
        Ok((wanted, loaded))
    }
}

async fn ask(owned: &Owned, wanted: &Wanted, incoming: &[Incoming]) -> Result<Loaded, Trouble> {
    owned.scope.load(wanted).await.map_err(|error| Trouble::of_reading(error, incoming))
}

/// What has to be known of these and neither is nor was asked for.
fn missing(incoming: &[Incoming], people: &People, asked: &Wanted) -> Wanted {
    let mut missing = strangers(incoming, people);
    missing.identifiers.retain(|identifier| asked.identifiers.binary_search(identifier).is_err());
    missing.profile_ids.retain(|id| !asked.profile_ids.contains(id));
    // Of the events' own identifiers it was asked; of what these persons hold it was not.
    missing.suppressible = asked.suppressible.as_ref().map(|_| Vec::new());
    missing
}
