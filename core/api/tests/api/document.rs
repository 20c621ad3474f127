//! The document: committed as it is made, whole, and good enough to learn from.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::DOCUMENT;

#[test]
fn the_committed_document_is_the_one_the_handlers_make() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let made = format!("{:#}\n", *DOCUMENT);
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &made).expect("openapi.json can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "openapi.json is not what the handlers make; `cargo xtask openapi` writes it anew");
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let mut found = BTreeSet::new();
    references(&DOCUMENT, &mut found);
    let found: BTreeSet<&str> = found.iter().filter_map(|to| to.strip_prefix("#/components/schemas/")).collect();
    let there: BTreeSet<&str> =
        DOCUMENT["components"]["schemas"].as_object().expect("schemas").keys().map(String::as_str).collect();
    assert_eq!(found, there);
}

#[test]
fn every_operation_has_its_own_id_a_summary_a_tag_and_says_how_to_be_let_in() {
    let mut ids = BTreeSet::new();
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id), "{id} is there twice");
            assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{method} {path} has no summary");
            let tag = operation["tags"][0].as_str().expect("a tag");
            let tags = DOCUMENT["tags"].as_array().expect("tags");
            assert!(tags.iter().any(|known| known["name"] == tag), "{method} {path} has the unknown tag {tag}");
            if path.starts_with("/api/v1/tenants") {
                assert!(operation["security"][0].get("operator_token").is_some(), "{method} {path} is the operator's");
            } else if path.starts_with("/api/v1/") {
                assert!(operation.get("security").is_none(), "{method} {path} takes an API key, as everything does");
            }
        }
    }
}

#[test]
fn request_bodies_refuse_what_they_do_not_know() {
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let schema = operation.pointer("/requestBody/content/application~1json/schema/$ref");
            if let Some(name) = schema.and_then(Value::as_str).and_then(|to| to.rsplit('/').next()) {
                let closed = &DOCUMENT["components"]["schemas"][name]["additionalProperties"];
                assert_eq!(closed, &Value::Bool(false), "{method} {path} takes unknown members");
            }
        }
    }
}
