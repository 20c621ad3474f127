//! How large a profile's traits are: known at every change without being measured anew.

use rialto_model::profile::{MAX_TRAIT_BYTES, MAX_TRAITS, Profile, Provenance, TraitValue};
use serde_json::Value;

/// The bytes of JSON around a trait's name, value and message id.
const FRAME: usize = 128;

/// The bytes of JSON that a profile's traits make, and the marks of those that were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    traits: usize,
    marks: usize,
}

impl Size {
    /// Measures a profile.
    pub(crate) fn of(profile: &Profile) -> Self {
        let traits = profile.traits.iter().map(|(name, kept)| trait_bytes(name, kept)).sum();
        let marks = profile.deleted_traits.iter().map(|(name, mark)| mark_bytes(name, mark)).sum();
        Self { traits, marks }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> usize {
        self.traits + self.marks
    }

    /// Puts a trait on the profile; false if there is no room for it. One that takes no more than what it replaces
    /// always has room.
    pub(crate) fn put(&mut self, profile: &mut Profile, name: &str, kept: impl FnOnce() -> TraitValue) -> bool {
        let old = profile.traits.get(name).map(|old| trait_bytes(name, old));
        if old.is_none() && profile.traits.len() >= MAX_TRAITS {
            return false;
        }
        let kept = kept();
        let (old, new) = (old.unwrap_or(0), trait_bytes(name, &kept));
        let traits = self.traits - old + new;
        if traits > MAX_TRAIT_BYTES && new > old {
            return false;
        }
        self.traits = traits;
        if let Some(mark) = profile.deleted_traits.remove(name) {
            self.marks -= mark_bytes(name, &mark);
        }
        profile.traits.insert(name.to_owned(), kept);
        true
    }

    /// Deletes a trait and leaves a mark.
    pub(crate) fn mark(&mut self, profile: &mut Profile, name: String, mark: Provenance) {
        if let Some(old) = profile.traits.remove(&name) {
            self.traits -= trait_bytes(&name, &old);
        }
        self.marks += mark_bytes(&name, &mark);
        if let Some(old) = profile.deleted_traits.get(&name) {
            self.marks -= mark_bytes(&name, old);
        }
        profile.deleted_traits.insert(name, mark);
    }

    /// Lets the oldest marks go that there is no room for.
    pub(crate) fn let_marks_go(&mut self, profile: &mut Profile) {
        while profile.deleted_traits.len() > MAX_TRAITS || self.marks > MAX_TRAIT_BYTES {
            let oldest = profile.deleted_traits.iter().min_by_key(|(_, mark)| mark.at).map(|(name, _)| name.clone());
            let Some((name, mark)) = oldest.and_then(|name| profile.deleted_traits.remove_entry(&name)) else { return };
            self.marks -= mark_bytes(&name, &mark);
        }
    }
}

fn trait_bytes(name: &str, kept: &TraitValue) -> usize {
    mark_bytes(name, &kept.provenance) + json_bytes(&kept.value)
}

fn mark_bytes(name: &str, mark: &Provenance) -> usize {
    FRAME + text_bytes(name) + text_bytes(&mark.message_id)
}

/// The bytes of a text within JSON.
fn text_bytes(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).count() * 5
}

fn json_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 24,
        Value::String(text) => 2 + text_bytes(text),
        Value::Array(items) => 2 + items.iter().map(|item| 1 + json_bytes(item)).sum::<usize>(),
        Value::Object(members) => {
            2 + members.iter().map(|(name, value)| 4 + text_bytes(name) + json_bytes(value)).sum::<usize>()
        }
    }
}
