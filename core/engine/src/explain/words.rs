//! What was recorded, in sentences.

use rialto_log::Entry;
use rialto_model::decision::{Decision, How, Resolution, SetAsideReason, TimelineEntry};
use rialto_model::explain::{Fate, FateStatus, Step, StepName};
use rialto_model::suppression::Suppressed;
use rialto_model::{Position, ProfileId, Timestamp};

use super::step;

pub(super) fn accepted(at: Timestamp, position: Position, entry: Option<&Entry>) -> Step {
    let detail = match entry {
        Some(entry) => format!("{} bytes in the log", entry.body.len()),
        None => "the payload is no longer in the log".to_owned(),
    };
    step(StepName::Accepted, Some(at), format!("It was made durable at position {position}."), vec![detail])
}

/// The steps of the processor, as far as the event came.
pub(super) fn decided(row: &TimelineEntry, copies: &[TimelineEntry]) -> Vec<Step> {
    let Decision { duplicate_of, refused, suppressed, resolution, stale_traits, dropped_traits, routes } =
        &row.decision;
    if let Some(reason) = refused {
        let said = format!("It could not be processed and nothing else was done: {reason}.");
        return vec![step(StepName::Deduplicated, None, said, Vec::new())];
    }
    if let Some(first) = duplicate_of {
        let said = format!(
            "It was dropped: the event at position {first} has the same message id and came within 24 hours before."
        );
        return vec![step(StepName::Deduplicated, None, said, Vec::new())];
    }
    let mut steps = vec![deduplicated(copies)];
    if let Some(suppressed) = suppressed {
        let said = format!("{} Nothing of it is kept but this.", nowhere(suppressed));
        let by = format!("the suppression is {}", suppressed.suppression_id);
        steps.push(step(StepName::Identified, None, said, vec![by]));
        return steps;
    }
    if let Some(resolution) = resolution {
        steps.push(identified(row.profile_id, resolution));
    }
    if row.profile_id.is_some() {
        steps.push(folded(stale_traits, dropped_traits));
    }
    let taken = routes.iter().filter(|route| route.verdict == rialto_model::decision::RouteVerdict::Taken).count();
    let said = match (taken, routes.len()) {
        (_, 0) => "No route leads from its source.".to_owned(),
        (taken, all) => format!("{taken} of {all} routes from its source took it."),
    };
    steps.push(step(StepName::Planned, None, said, Vec::new()));
    steps
}

fn deduplicated(copies: &[TimelineEntry]) -> Step {
    let said = "No event with its message id had come in the 24 hours before.".to_owned();
    let copy = |copy: &TimelineEntry| format!("a copy at position {} was dropped", copy.position);
    step(StepName::Deduplicated, None, said, copies.iter().map(copy).collect())
}

fn identified(profile: Option<ProfileId>, resolution: &Resolution) -> Step {
    let Resolution { how, by, set_aside, merges } = resolution;
    let kinds: Vec<&str> = by.iter().map(|identifier| identifier.kind.as_str()).collect();
    let kinds = if kinds.is_empty() { "its content".to_owned() } else { kinds.join(", ") };
    let who = profile.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    let said = match how {
        How::Created => format!("Nobody was known by its {kinds}: profile {who} was made."),
        How::Matched => format!("Its {kinds} belong to profile {who}."),
        How::Merged => format!("Its {kinds} showed {} profiles to be one person: {who}.", merges.len() + 1),
        How::Nobody => "No identifier on it names one person: it belongs to no profile.".to_owned(),
    };
    let mut detail: Vec<String> = merges.iter().map(|id| format!("merge {id} is in the journal")).collect();
    detail.extend(set_aside.iter().map(|aside| {
        let why = match aside.why {
            SetAsideReason::Blocked => "its value does not name one person",
            SetAsideReason::TooLong => "its value is too long to identify",
            SetAsideReason::Demoted => "using it would have broken a limit, and it has the lowest priority",
            SetAsideReason::Capped => "the profile has all the identifiers or merges that it may have",
        };
        format!("{} was set aside: {why}", aside.identifier.kind)
    }));
    step(StepName::Identified, None, said, detail)
}

fn folded(stale: &[String], dropped: &[String]) -> Step {
    let said = match (stale.len(), dropped.len()) {
        (0, 0) => "Its traits, if it has any, are on the profile.".to_owned(),
        _ => "Some of its traits were left.".to_owned(),
    };
    let stale = stale.iter().map(|name| format!("{name:?} is older than what the profile has"));
    let dropped = dropped.iter().map(|name| format!("the profile has no room for {name:?}"));
    step(StepName::Folded, None, said, stale.chain(dropped).collect())
}

fn nowhere(suppressed: &Suppressed) -> String {
    format!("Its person is suppressed since {}; it went nowhere.", suppressed.since)
}

/// All of it in a sentence.
pub(super) fn story(decision: &Decision, fates: &[Fate]) -> String {
    if let Some(reason) = &decision.refused {
        return format!("It was refused: {reason}.");
    }
    if let Some(suppressed) = &decision.suppressed {
        return nowhere(suppressed);
    }
    let of = |wanted: &[FateStatus]| fates.iter().filter(|fate| wanted.contains(&fate.status)).count();
    let parts: Vec<String> = [
        (of(&[FateStatus::Delivered]), "delivered"),
        (of(&[FateStatus::Skipped]), "skipped"),
        (of(&[FateStatus::Waiting]), "still to come"),
        (of(&[FateStatus::LaneStopped]), "standing still"),
        (of(&[FateStatus::Parked, FateStatus::HeldBehind]), "to be tried again"),
        (of(&[FateStatus::Dead]), "given up"),
        (of(&[FateStatus::Discarded]), "discarded"),
        (of(&[FateStatus::NotTaken]), "not taken"),
        (of(&[FateStatus::Gone]), "deleted"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{what}: {count}"))
    .collect();
    match parts.is_empty() {
        true => "It was processed; no route leads from its source.".to_owned(),
        false => format!("It was processed. Of its destinations: {}.", parts.join(", ")),
    }
}
