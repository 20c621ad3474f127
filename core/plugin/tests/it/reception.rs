//! Webhooks read by guests: what is bounded, and what a component that can do both, or neither, is.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use rialto_engine::{Connector, FailureKind, NotRead, Received, Receiver, Webhook};
use rialto_model::{SourceId, TenantId, Timestamp, manifest::VerifyScheme};
use rialto_plugin::{PluginError, PluginHost, PluginOptions};
use serde_json::{Value, json};

use crate::{
    artifact,
    bench::Bench,
    wat::{self, MANIFEST, with_manifests},
};

const HOSTILE: &str = "test/hostile-webhook";

fn host(component: &[u8]) -> PluginHost {
    let host = PluginHost::open(PluginOptions::default()).expect("a host");
    host.install(component).expect("taken");
    host
}

fn webhook(connector: &str, what: &str, body: &'static str) -> Webhook {
    Webhook {
        tenant_id: TenantId::from_parts(1, &[1; 10]),
        source_id: SourceId::from_parts(1, &[2; 10]),
        connector: connector.into(),
        settings: Arc::default(),
        headers: vec![("content-type".into(), "application/json".into())],
        query: vec![("do".into(), what.into())],
        body: Bytes::from_static(body.as_bytes()),
        verified: true,
        seed: 7,
        now: Timestamp::from_millis(1_767_225_600_000),
    }
}

async fn receive(host: &PluginHost, what: &str) -> Result<Received, NotRead> {
    host.receive(webhook(HOSTILE, what, "[]")).await
}

#[tokio::test]
async fn whatever_a_guest_does_with_a_webhook_is_bounded_and_may_be_sent_again() {
    let host = host(artifact::hostile_webhook());
    for (what, expected) in [
        ("spin", "plugin_deadline"),
        ("memory", "plugin_memory"),
        ("trap", "plugin_trap"),
        ("output", "plugin_output"),
        ("lines", "plugin_log"),
        ("redirect", "plugin_answer"),
        ("html", "plugin_answer"),
        ("flood", "plugin_answer"),
        ("later", "asleep"),
    ] {
        let begun = Instant::now();
        match receive(&host, what).await {
            Err(NotRead::Later { code, message }) => {
                assert_eq!(code, expected, "{what}: {message}");
                assert!(!message.contains("taste"), "a sender hears nothing of what a guest said last: {message}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(begun.elapsed().as_secs() < 5, "{what} took {:?}", begun.elapsed());
    }
    let Err(NotRead::Refused { code, message, setting }) = receive(&host, "never").await else { panic!("refused") };
    assert_eq!((code.as_str(), message.as_str(), setting), ("unloved", "never come again", None));
    let Err(NotRead::Refused { setting, .. }) = receive(&host, "nowhere").await else { panic!("refused") };
    assert_eq!(setting, None, "a setting that it does not have");
    let missing = host.receive(webhook("test/none", "", "[]")).await;
    assert!(matches!(&missing, Err(NotRead::Later { code, .. }) if code == "no_connector"), "{missing:?}");
}

#[tokio::test]
async fn records_and_an_answer_come_out_as_the_guest_gave_them() {
    let host = host(artifact::hostile_webhook());
    let body = r#"[{"type":"track","n":1},7]"#;
    let received = host.receive(webhook(HOSTILE, "", body)).await.expect("read");
    assert_eq!(received, Received { records: vec![r#"{"n":1,"type":"track"}"#.into(), "7".into()], answer: None });
    let answer = receive(&host, "answer").await.expect("read").answer.expect("an answer");
    assert_eq!(
        (answer.status, answer.content_type.as_str(), &answer.body[..]),
        (202, "application/xml", &b"<Response/>"[..])
    );
    let told = receive(&host, "tell").await.expect("read").answer.expect("an answer");
    let told: Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!((&told["seed"], &told["verified"], &told["body"]), (&json!("7"), &json!(true), &json!("[]")));
}

#[tokio::test]
async fn the_json_webhook_is_taken_and_reads() {
    let host = host(artifact::json_webhook());
    let manifest = host.manifest("rialto/json-webhook").expect("installed");
    let verify = &manifest.webhook.as_ref().expect("it receives").verify;
    let schemes: Vec<_> = verify.iter().map(|slot| (slot.name.as_str(), &slot.scheme)).collect();
    let [("signing", VerifyScheme::StandardWebhooks), ("hmac", VerifyScheme::HmacSha256 { .. }), ("token", _)] =
        schemes[..]
    else {
        panic!("{schemes:?}")
    };
    let settings = [("user_id_pointer".to_owned(), json!("/user"))].into();
    let asked = Webhook { settings: Arc::new(settings), ..webhook("rialto/json-webhook", "", r#"{"user":"u"}"#) };
    let received = host.receive(asked).await.expect("read");
    let record: Value = serde_json::from_str(&received.records[0]).expect("JSON");
    assert_eq!((&record["userId"], &record["event"]), (&json!("u"), &json!("Webhook Received")), "the default is in");
    let failure =
        Bench::new(host, "rialto/json-webhook", json!({}), &[]).one("send").await.expect_err("it delivers nothing");
    assert_eq!(failure.kind, FailureKind::Fatal, "{failure}");
}

#[tokio::test]
async fn a_destination_reads_no_webhooks() {
    let host = host(artifact::webhook());
    assert!(host.limits("rialto/webhook").is_some());
    let refused = host.receive(webhook("rialto/webhook", "", "[]")).await;
    assert!(matches!(&refused, Err(NotRead::Later { code, .. }) if code == "plugin_unable"), "{refused:?}");
}

/// What a component can do is what it exports, and its manifest says the same.
#[test]
fn a_component_may_do_either_or_both_and_says_which() {
    let with = |part: &str| MANIFEST.replacen('{', &format!("{{ {part},"), 1);
    let receives = with(r#""webhook": {"verify": [{"name": "s", "scheme": "token", "header": "x-token"}]}"#);
    let delivers = || wat::module("", "unreachable");
    let both = || wat::module_of_both("unreachable");
    let install = |module, manifest: &str| {
        let host = PluginHost::open(PluginOptions::default()).expect("a host");
        host.install(&with_manifests(module, &[manifest])).map(|manifest| manifest.webhook.is_some())
    };
    assert!(matches!(install(delivers(), MANIFEST), Ok(false)));
    assert!(matches!(install(both(), &receives), Ok(true)));
    let refused = install(delivers(), &receives);
    assert!(matches!(refused, Err(PluginError::MissingExport { part: "webhook", .. })), "{refused:?}");
    let refused = install(both(), MANIFEST);
    assert!(matches!(refused, Err(PluginError::Untold { part: "webhook", .. })), "{refused:?}");
    for (part, field) in [
        (
            r#""webhook": {"verify": [{"name": "s", "scheme": "token", "header": "not a header"}]}"#,
            "webhook.verify.s.header",
        ),
        (
            r#""webhook": {"verify": [{"name": "s", "scheme": "token", "header": "{settings.none}"}]}"#,
            "webhook.verify.s.header",
        ),
        (r#""webhook": {"verify": [{"name": "S", "scheme": "standard_webhooks"}]}"#, "webhook.verify"),
    ] {
        let refused = install(both(), &with(part)).expect_err("it is refused");
        assert!(matches!(&refused, PluginError::Manifest { source } if source.field == field), "{refused}");
    }
}
