//! What is not taken as a connector, and what is said of it.

use std::time::Duration;

use rialto_engine::{Connector, FailureKind};
use rialto_plugin::{Busy, CallLimits, EgressPolicy, PluginError, PluginHost, PluginOptions};
use serde_json::json;

use crate::{
    artifact,
    bench::{Bench, host},
    wat::{self, MANIFEST, with_manifests},
};

fn empty_host() -> PluginHost {
    PluginHost::open(PluginOptions::default()).expect("a host")
}

fn refusal(component: &[u8]) -> PluginError {
    empty_host().install(component).expect_err("it is refused")
}

#[test]
fn a_sound_component_is_taken_and_its_manifest_read() {
    let host = empty_host();
    let manifest = host.install(&wat::component("", "unreachable")).expect("taken");
    assert_eq!(manifest.id, "test/by-hand");
    let webhook = host.install(artifact::webhook()).expect("taken");
    assert_eq!((webhook.id.as_str(), webhook.license.as_str()), ("rialto/webhook", "Apache-2.0"));
    assert_eq!(
        webhook.settings.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
        ["url", "mode", "headers"]
    );
    assert!(webhook.settings[0].required && !webhook.settings[1].required && !webhook.settings[2].required);
    assert_eq!(webhook.settings[1].choices, ["single", "batch"]);
    assert_eq!(host.connectors().len(), 2);
    assert_eq!(host.limits("rialto/webhook").map(|limits| limits.batch_events), Some(100));
    assert_eq!(host.limits("rialto/nothing"), None);
}

#[test]
fn what_is_no_component_is_refused_by_name() {
    assert!(matches!(refusal(b"not wasm at all"), PluginError::Malformed { .. }));
    assert!(matches!(refusal(b""), PluginError::Malformed { .. }));
    let sound = wat::component("", "unreachable");
    for cut in [9, sound.len() / 4, sound.len() / 2] {
        let error = refusal(&sound[..cut]);
        assert!(matches!(error, PluginError::Malformed { .. } | PluginError::NoAbility), "{cut}: {error}");
    }
    assert!(matches!(refusal(&wat::module("", "unreachable")), PluginError::NotAComponent));
    assert!(matches!(refusal(b"\0asm\x0d\0\x01\0"), PluginError::NoAbility));
}

#[test]
fn any_import_but_log_is_refused() {
    let wasi = r#"(component
        (import "wasi:filesystem/types@0.2.0" (instance (export "open" (func))))
    )"#;
    let error = refusal(&wat::parse(wasi));
    assert!(
        matches!(&error, PluginError::ForbiddenImport { name } if name == "wasi:filesystem/types@0.2.0"),
        "{error}"
    );
}

#[test]
fn a_component_needs_exactly_one_sound_manifest() {
    let module = || wat::module("", "unreachable");
    assert!(matches!(refusal(&with_manifests(module(), &[])), PluginError::Manifests { count: 0 }));
    assert!(matches!(refusal(&with_manifests(module(), &[MANIFEST, MANIFEST])), PluginError::Manifests { count: 2 }));
    assert!(matches!(refusal(&with_manifests(module(), &["{"])), PluginError::ManifestJson { .. }));
    let unknown = MANIFEST.replacen('{', r#"{ "wishes": [],"#, 1);
    assert!(matches!(refusal(&with_manifests(module(), &[&unknown])), PluginError::ManifestJson { .. }));
    let nowhere = MANIFEST.replace(r#"["a.example"]"#, "[]");
    let error = refusal(&with_manifests(module(), &[&nowhere]));
    assert!(matches!(&error, PluginError::Manifest { source } if source.field == "hosts"), "{error}");
}

#[test]
fn a_component_that_loops_or_asks_for_too_much_at_its_start_is_refused() {
    let looping = wat::component("(func $forever (loop (br 0))) (start $forever)", "unreachable");
    assert!(matches!(refusal(&looping), PluginError::Instantiate { .. }));
    let table = wat::component("(table 5000000 funcref)", "unreachable");
    let error = refusal(&table);
    assert!(matches!(error, PluginError::Instantiate { .. } | PluginError::Compile { .. }), "{error}");
    let huge = vec![0; CallLimits::default().component + 1];
    assert!(matches!(refusal(&huge), PluginError::TooLarge { .. }));
}

/// 40 MiB are fine, but not beside the 40 of another module.
#[tokio::test]
async fn all_memories_of_a_component_share_one_limit() {
    let growing = wat::component("", "(drop (memory.grow (i32.const 640))) unreachable");
    for (pages, code) in [(640, "plugin_memory"), (64, "plugin_trap")] {
        let two = wat::beside(growing.clone(), &format!("(module (memory {pages}))"));
        let host = host(&two, CallLimits::default(), EgressPolicy::default());
        let failure = Bench::new(host, "test/by-hand", json!({}), &[]).one("send").await.expect_err("it traps");
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, code), "beside {pages} pages");
    }
}

#[tokio::test]
async fn a_table_that_grows_without_end_is_stopped() {
    let bomb = wat::component(
        "(table $t 1 funcref)",
        "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable",
    );
    let bench = Bench::new(host(&bomb, CallLimits::default(), EgressPolicy::default()), "test/by-hand", json!({}), &[]);
    let failure = bench.one("send").await.expect_err("it is stopped");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, "plugin_memory"));
}

#[tokio::test]
async fn a_call_that_calls_itself_without_end_runs_out_of_stack() {
    let deep = wat::component("(func $dig (result i32) (i32.add (call $dig) (i32.const 1)))", "(call $dig)");
    let bench = Bench::new(host(&deep, CallLimits::default(), EgressPolicy::default()), "test/by-hand", json!({}), &[]);
    let failure = bench.one("send").await.expect_err("it is stopped");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, "plugin_stack"));
}

#[tokio::test]
async fn a_result_that_lies_outside_the_memory_is_refused() {
    let liar = wat::component("", "(i32.const 2147483632)");
    let bench = Bench::new(host(&liar, CallLimits::default(), EgressPolicy::default()), "test/by-hand", json!({}), &[]);
    let failure = bench.one("send").await.expect_err("it is refused");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Plugin, "plugin_trap"));
}

#[test]
fn a_bad_file_is_told_of_and_stops_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("a.wasm"), artifact::webhook()).expect("written");
    std::fs::write(folder.path().join("b.wasm"), b"nonsense").expect("written");
    std::fs::write(folder.path().join("c.wasm"), artifact::webhook()).expect("written");
    std::fs::write(folder.path().join("d.cwasm"), b"machine code from elsewhere").expect("written");
    let options = PluginOptions { dirs: vec![folder.path().to_owned()], ..PluginOptions::default() };
    let host = PluginHost::open(options).expect("a host");
    assert_eq!(host.connectors().len(), 1);
    let refused: Vec<_> = host.refused().iter().map(|refused| &refused.error).collect();
    assert!(matches!(refused.as_slice(), [PluginError::Malformed { .. }, PluginError::Twice { .. }]), "{refused:?}");
}

#[test]
fn settings_that_could_never_be_delivered_to_are_told_when_they_are_given() {
    let host = empty_host();
    host.install(artifact::webhook()).expect("taken");
    let check = |url: &str| {
        let settings = [("url".to_owned(), json!(url))].into();
        let errors =
            host.check("rialto/webhook", &settings, &Default::default(), &Default::default()).expect("installed");
        errors.expect("asked").into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    assert!(check("https://example.com/in").is_empty());
    for bad in ["http://example.com/", "https://10.0.0.1/", "https://[::1]/", "https://example.com:25/", "nonsense"] {
        assert_eq!(check(bad), ["settings.url"], "{bad}");
    }
    let check = |headers: serde_json::Value| {
        let settings = [("url".to_owned(), json!("https://example.com/in")), ("headers".to_owned(), headers)].into();
        let errors = host.check("rialto/webhook", &settings, &Default::default(), &Default::default());
        errors.expect("installed").expect("asked")
    };
    assert_eq!(check(json!({ "X-Team": "growth" })), []);
    let errors = check(json!({ "Authorization": "Bearer x" }));
    assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["settings.headers"]);
    assert!(errors[0].message.contains("Authorization"), "{errors:?}");
    assert!(host.check("rialto/nothing", &Default::default(), &Default::default(), &Default::default()).is_none());
}

#[test]
fn a_check_waits_for_another_ones_and_is_not_taken_for_made_when_it_was_not() {
    let bad = [("url".to_owned(), json!("https://example.com/in")), ("headers".to_owned(), json!({ "Host": "x" }))];
    let check = |host: &PluginHost, connector: &str| {
        let settings = if connector == "rialto/webhook" { bad.clone().into() } else { Default::default() };
        let errors = host.check(connector, &settings, &Default::default(), &Default::default()).expect("installed");
        errors.map(|errors| errors.len())
    };
    let limits = CallLimits { time: Duration::from_secs(3), ..CallLimits::default() };
    let host = host(&wat::component("", "(loop (br 0)) unreachable"), limits, EgressPolicy::default());
    host.install(artifact::webhook()).expect("taken");
    let mut told = Vec::new();
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| check(&host, "test/by-hand"));
        while !slow.is_finished() {
            told.push(check(&host, "rialto/webhook"));
        }
        assert_eq!(slow.join().expect("ends"), Ok(0), "what runs out of time says nothing");
    });
    told.push(check(&host, "rialto/webhook"));
    assert!(told.contains(&Err(Busy)), "it was never waited for");
    assert!(told.iter().all(|told| matches!(told, Ok(1) | Err(Busy))), "a fault was passed over");
    assert_eq!(told.last(), Some(&Ok(1)));
}
