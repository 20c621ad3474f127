//! What an event says of a person: identifiers, traits, and, in an alias call, which two ids are one.

use rialto_model::ProfileId;
use rialto_model::decision::SetAside;
use rialto_model::event::{Event, EventType};
use rialto_model::identifier::{Identifier, IdentityRules, MAX_VALUE, Unusable, normalise};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::derive::ENGINE_SOURCE;
use crate::members::{pick, text};

/// The most external ids that are looked at on one event.
const MAX_EXTERNAL_IDS: usize = 50;
/// The longest name of a custom kind, in bytes.
const MAX_KIND: usize = 64;

/// What an event says of a person.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Identifiers that may be used, highest priority first, none twice.
    pub(crate) identifiers: Vec<Identifier>,
    /// The alias call's other id, as it would be if it were a device's and if it were a customer's.
    pub(crate) previous: Option<Previous>,
    /// An email and a phone that the event carries along beside others of its own: they identify nobody, and yet are
    /// somebody's.
    pub(crate) carried: Vec<Identifier>,
    /// Identifiers that name no one person.
    pub(crate) set_aside: Vec<SetAside>,
    /// Traits to fold; null deletes one.
    pub(crate) traits: Map<String, Value>,
    /// The person that one of the hub's own events speaks of.
    pub(crate) profile: Option<ProfileId>,
}

/// An alias call's `previousId`: it does not say of which kind it is.
#[derive(Debug, Clone)]
pub(crate) struct Previous {
    pub(crate) anonymous: Identifier,
    pub(crate) user: Identifier,
}

/// Reads an event by a tenant's rules.
pub(crate) fn facts(event: &Event, rules: &IdentityRules) -> Facts {
    if event.source_id == ENGINE_SOURCE {
        let [profile] = event.properties.as_deref().map_or([None], |properties| pick(properties, ["profile_id"]));
        let profile = profile.and_then(text).and_then(|id| id.parse().ok());
        return Facts { profile, ..Facts::default() };
    }
    let mut found = Finder { rules, facts: Facts::default() };
    let [traits, device, external] =
        event.context.as_deref().map_or([None; 3], |context| pick(context, ["traits", "device", "externalIds"]));
    let own = event.traits.as_deref().filter(|_| event.kind == EventType::Identify);
    found.add("user_id", event.user_id.as_deref());
    found.add("anonymous_id", event.anonymous_id.as_deref());
    found.take_traits(own, traits);
    found.take_device(device);
    found.take_external(external);
    if event.kind == EventType::Alias {
        found.previous(event.previous_id.as_deref());
    }
    let mut facts = found.facts;
    facts.identifiers.sort_by(|a, b| rules.rank(&a.kind).cmp(&rules.rank(&b.kind)).then_with(|| a.kind.cmp(&b.kind)));
    // The event's own traits stand over those that it carries along.
    for raw in [traits, own].into_iter().flatten() {
        if let Ok(traits) = serde_json::from_str::<Map<String, Value>>(raw.get()) {
            facts.traits.extend(traits);
        }
    }
    facts
}

struct Finder<'r> {
    rules: &'r IdentityRules,
    facts: Facts,
}

impl Finder<'_> {
    fn add(&mut self, kind: &str, raw: Option<&str>) {
        let Some(raw) = raw.filter(|raw| !raw.trim().is_empty()) else { return };
        match Identifier::new(kind, raw, self.rules) {
            Ok(identifier) if self.facts.identifiers.contains(&identifier) => {}
            Ok(identifier) => self.facts.identifiers.push(identifier),
            Err(why) => self.set_aside(kind, raw, why),
        }
    }

    fn set_aside(&mut self, kind: &str, raw: &str, why: Unusable) {
        let mut value = normalise(kind, raw);
        let end = (0..=MAX_VALUE.min(value.len())).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
        value.truncate(end);
        let aside = SetAside { identifier: Identifier { kind: kind.to_owned(), value }, why: why.into() };
        if !self.facts.set_aside.contains(&aside) {
            self.facts.set_aside.push(aside);
        }
    }

    /// Email and phone: the event's own where it has them, else those it carries along.
    fn take_traits(&mut self, own: Option<&RawValue>, carried: Option<&RawValue>) {
        let of = |raw: Option<&'_ RawValue>| -> [Option<String>; 2] {
            raw.map_or([None; 2], |raw| pick(raw, ["email", "phone"]))
                .map(|raw| raw.and_then(text).map(|text| text.into_owned()).filter(|text| !text.trim().is_empty()))
        };
        for ((kind, own), carried) in ["email", "phone"].into_iter().zip(of(own)).zip(of(carried)) {
            if let (Some(_), Some(carried)) = (&own, &carried) {
                self.facts.carried.extend(Identifier::new(kind, carried, self.rules));
            }
            self.add(kind, own.or(carried).as_deref());
        }
    }

    fn take_device(&mut self, device: Option<&RawValue>) {
        let [advertising, token, kind] =
            device.map_or([None; 3], |device| pick(device, ["advertisingId", "token", "type"]));
        let system = kind.and_then(text).map(|kind| kind.to_ascii_lowercase());
        let kind = match system.as_deref() {
            Some("ios") => Some("device.idfa"),
            Some("android") => Some("device.gaid"),
            // An advertising id of neither system cannot be compared with those that are known.
            _ => None,
        };
        if let (Some(kind), Some(id)) = (kind, advertising.and_then(text)) {
            self.add(kind, Some(&id));
        }
        self.add("device.push_token", token.and_then(text).as_deref());
    }

    fn take_external(&mut self, external: Option<&RawValue>) {
        let listed: Vec<&RawValue> = external.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        for raw in listed.into_iter().take(MAX_EXTERNAL_IDS) {
            let [id, kind, collection, encoding] =
                pick(raw, ["id", "type", "collection", "encoding"]).map(|member| member.and_then(text));
            let (Some(id), Some(kind)) = (id, kind) else { continue };
            let of_users = collection.is_none_or(|collection| collection == "users");
            let plain = encoding.is_none_or(|encoding| encoding == "none");
            let kind = kind.trim();
            if of_users && plain && (1..=MAX_KIND).contains(&kind.len()) {
                self.add(kind, Some(&id));
            }
        }
    }

    fn previous(&mut self, raw: Option<&str>) {
        let Some(raw) = raw.filter(|raw| !raw.trim().is_empty()) else { return };
        match (Identifier::new("anonymous_id", raw, self.rules), Identifier::new("user_id", raw, self.rules)) {
            (Ok(anonymous), Ok(user)) => self.facts.previous = Some(Previous { anonymous, user }),
            (Err(why), _) | (_, Err(why)) => self.set_aside("anonymous_id", raw, why),
        }
    }
}

#[cfg(test)]
mod tests;
