//! Every rule of checking and validating, each with a value that passes and one that does not.

use serde_json::json;

use super::*;

fn manifest() -> Manifest {
    serde_json::from_value(json!({
        "id": "acme/orders", "version": "1.2.3", "name": "Acme",
        "settings": [
            { "name": "url", "type": "url", "required": true },
            { "name": "pixel", "type": "string", "required": true, "pattern": "\\d+" },
            { "name": "mode", "type": "string", "choices": ["single", "batch"], "default": "single" },
            { "name": "limit", "type": "integer" },
            { "name": "share", "type": "number" },
            { "name": "strict", "type": "boolean" },
            { "name": "headers", "type": "string_map" },
        ],
        "auth": [
            { "name": "token", "required": true, "scheme": "bearer" },
            { "name": "signing", "scheme": "standard_webhooks" },
            { "name": "login", "scheme": "basic" },
        ],
        "hosts": ["{settings.url}", "*.acme.com", "{settings.pixel}.api.acme.com"],
        "actions": [{ "name": "send" }],
    }))
    .expect("a manifest")
}

fn settings(value: serde_json::Value) -> BTreeMap<String, Value> {
    serde_json::from_value(value).expect("an object")
}

fn faults(value: serde_json::Value) -> Vec<String> {
    let mut whole = settings(json!({ "url": "https://acme.com/in", "pixel": "12" }));
    whole.extend(settings(value));
    check_settings(&manifest(), &whole).into_iter().map(|e| format!("{} {}", e.field, e.message)).collect()
}

#[test]
fn sound_settings_pass() {
    let all = json!({ "mode": "batch", "limit": 3, "share": 0.5, "strict": true, "headers": { "x-a": "b" } });
    assert_eq!(faults(all), Vec::<String>::new());
    assert_eq!(faults(json!({ "mode": null })), Vec::<String>::new(), "null is not given");
}

#[test]
fn every_fault_is_told_at_once() {
    let errors = check_settings(&manifest(), &settings(json!({ "colour": 1 })));
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["settings.colour", "settings.url", "settings.pixel"]);
}

#[test]
fn a_value_of_the_wrong_kind_is_refused() {
    for (name, bad) in [
        ("url", json!("ftp://acme.com")),
        ("url", json!("acme.com")),
        ("url", json!("https://user:pass@acme.com")),
        ("url", json!(7)),
        ("pixel", json!("12a")),
        ("pixel", json!("12\n")),
        ("pixel", json!("")),
        ("mode", json!("sometimes")),
        ("limit", json!(1.5)),
        ("share", json!("1")),
        ("strict", json!("true")),
        ("headers", json!({ "a": 1 })),
        ("headers", json!([])),
    ] {
        assert_eq!(faults(json!({ name: bad })).len(), 1, "{name}: {bad}");
    }
}

#[test]
fn a_pattern_binds_the_whole_text_even_with_alternatives() {
    let mut manifest = manifest();
    manifest.settings[1].pattern = Some("a|b".into());
    let given = settings(json!({ "url": "https://acme.com", "pixel": "axxx" }));
    assert_eq!(check_settings(&manifest, &given).len(), 1);
}

fn secret_faults(secrets: &[(&str, &str)], filled: &[&str]) -> Vec<String> {
    let secrets = Secrets(secrets.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect());
    let filled = filled.iter().map(|name| (*name).to_owned()).collect();
    check_secrets(&manifest(), &secrets, &filled).into_iter().map(|e| format!("{} {}", e.field, e.message)).collect()
}

#[test]
fn a_required_secret_must_be_given_once() {
    assert_eq!(secret_faults(&[], &[]), ["secrets.token is required"]);
    assert!(secret_faults(&[], &["token"]).is_empty());
    assert!(secret_faults(&[("token", "t0ken")], &[]).is_empty());
    assert_eq!(secret_faults(&[("other", "x")], &["token"]), ["secrets.other acme/orders has no such auth slot"]);
}

#[test]
fn a_secret_that_cannot_fill_its_slot_is_refused_and_not_shown() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert!(secret_faults(&[("signing", key)], &["token"]).is_empty());
    assert!(secret_faults(&[("signing", &format!("{key} {key}"))], &["token"]).is_empty());
    for (slot, bad) in [
        ("token", "line\nbreak"),
        ("token", ""),
        ("signing", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("signing", "whsec_dG9vc2hvcnQ="),
        ("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!"),
        ("login", "nobody"),
    ] {
        let faults = secret_faults(&[(slot, bad)], &["token"]);
        assert_eq!(faults.len(), 1, "{slot}: {bad}");
        assert!(bad.is_empty() || !faults[0].contains(bad), "{faults:?}");
    }
}

#[test]
fn a_manifest_that_makes_no_sense_is_refused() {
    assert_eq!(manifest().validate(), Ok(()));
    for (pointer, bad, field) in [
        ("/id", json!("acme"), "id"),
        ("/id", json!("Acme/orders"), "id"),
        ("/version", json!("1.2"), "version"),
        ("/name", json!(" "), "name"),
        ("/actions", json!([]), "actions"),
        ("/actions/0/name", json!("Send it"), "actions"),
        ("/settings/1/name", json!("url"), "settings"),
        ("/settings/1/pattern", json!("("), "settings.pixel.pattern"),
        ("/settings/2/default", json!("never"), "settings.mode.default"),
        ("/hosts", json!([]), "hosts"),
        ("/hosts/1", json!("https://acme.com"), "hosts"),
        ("/hosts/1", json!("{settings.nothing}"), "hosts"),
        ("/hosts/1", json!("*"), "hosts"),
        ("/hosts/1", json!("*.com"), "hosts"),
    ] {
        let mut value = serde_json::to_value(manifest()).expect("JSON");
        *value.pointer_mut(pointer).expect("a place") = bad.clone();
        let manifest: Manifest = serde_json::from_value(value).expect("of the right shape");
        let fault = manifest.validate().map_err(|fault| fault.field);
        assert_eq!(fault, Err(field.to_owned()), "{pointer}: {bad}");
    }
    let mut limits = manifest();
    limits.limits.batch_events = 0;
    assert!(limits.validate().is_err());
    let mut verdicts = manifest();
    verdicts.verdicts.insert("6xx".into(), crate::delivery::Verdict::Retry);
    assert!(verdicts.validate().is_err());
}
