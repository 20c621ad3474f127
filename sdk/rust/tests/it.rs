//! What the macros write and how code is replayed, on connectors as an author would write them.

use std::{cell::Cell, collections::BTreeMap};

use rialto_sdk::{
    Destination,
    prelude::*,
    testing::{Answer, Trial, header},
};
use serde_json::Value;

#[derive(Debug, PartialEq, Choice)]
enum Pace {
    Slow,
    AsFastAsYouCan,
}

/// Settings of every kind.
#[derive(Settings)]
struct Acme {
    /// Where the API is.
    url: Url,
    #[field(label = "Pixel ID", help = "Ten digits.", pattern = r"\d{10}")]
    pixel: String,
    #[field(default = "slow")]
    pace: Pace,
    #[field(default = 3)]
    tries: u8,
    #[field(default = 0.5)]
    share: f64,
    strict: Option<bool>,
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Purchase {
    message_id: String,
    value: f64,
}

/// Takes "orders" and tells of them.
#[destination(
    id = "acme/orders",
    name = "Acme",
    hosts = ["api.acme.com", "{settings.url}"],
    auth(token = bearer(required, label = "API token"), key = header("x-api-key"), signing = standard_webhooks),
    batch(max = 50, max_bytes = 1_000_000),
    concurrency = 4,
    verdicts("404" = skipped, "5xx" = rejected)
)]
impl Acme {
    /// Send a purchase.
    #[action]
    async fn purchase(cx: &Cx<Self>, batch: Batch<Purchase>) -> Result<Outcomes> {
        let orders: Vec<_> = batch.iter().map(|item| json!({ "id": item.message_id, "value": item.value })).collect();
        let reply = cx.post("https://api.acme.com/orders").auth("token").json(&orders).send().await?;
        let outcomes = batch.outcomes(&reply);
        Ok(outcomes.reject_each(reply.array("/errors"), |e: &Value| (e["index"].as_u64(), e["message"].as_str())))
    }

    /// Look people up, then tell of them.
    #[action(name = "look_up_and_tell")]
    async fn tell(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let found = cx.all(batch.iter().map(|item| cx.get(format!("https://api.acme.com/{}", item.id())))).await?;
        rialto_sdk::log::info(&format!("{} found", found.len()));
        let known: Vec<_> = found.iter().map(|reply| reply.is_ok()).collect();
        let reply = cx.put("https://api.acme.com/known").json(&known).send().await?;
        Ok(batch.outcomes(&reply))
    }

    #[action]
    async fn stall(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        std::future::pending::<()>().await;
        Ok(batch.all(Verdict::Delivered, "never", ""))
    }

    #[action]
    async fn waver(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
        let calls = CALLS.replace(CALLS.get() + 1);
        cx.get(format!("https://api.acme.com/{calls}")).send().await?;
        Ok(batch.all(Verdict::Delivered, "ok", ""))
    }

    #[action]
    async fn forge(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.each(|item| cx.get("https://api.acme.com/").header(item.id(), "x")))
    }

    #[action]
    async fn hoard(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        cx.get("https://api.acme.com/1").send().await?;
        cx.get("https://api.acme.com/2").send().await?;
        Ok(batch.all(Verdict::Delivered, "ok", ""))
    }
}

fn settings() -> Value {
    json!({ "url": "https://own.example", "pixel": "1234567890" })
}

fn trial(ids: &[&str]) -> Trial<Acme> {
    let payload = |id: &str| json!({ "message_id": id, "value": 1.5 });
    ids.iter().fold(Trial::new(settings()), |trial, id| trial.event(id, &payload(id)))
}

#[test]
fn the_manifest_says_what_the_attributes_say() {
    let manifest: Value = serde_json::from_slice(Acme::MANIFEST).expect("JSON");
    let expected = json!({
        "id": "acme/orders", "name": "Acme", "version": env!("CARGO_PKG_VERSION"), "license": "Apache-2.0",
        "description": "Takes \"orders\" and tells of them.",
        "hosts": ["api.acme.com", "{settings.url}"],
        "limits": { "batch_events": 50, "batch_bytes": 1_000_000, "concurrency": 4 },
        "verdicts": { "404": "skipped", "5xx": "rejected" },
        "auth": [
            { "name": "token", "label": "API token", "required": true, "scheme": "bearer" },
            { "name": "key", "label": "Key", "required": false, "scheme": "header", "header": "x-api-key" },
            { "name": "signing", "label": "Signing", "required": false, "scheme": "standard_webhooks" },
        ],
        "actions": [
            { "name": "purchase", "description": "Send a purchase." },
            { "name": "look_up_and_tell", "description": "Look people up, then tell of them." },
            { "name": "stall", "description": "" },
            { "name": "waver", "description": "" },
            { "name": "forge", "description": "" },
            { "name": "hoard", "description": "" },
        ],
        "settings": [
            { "name": "url", "label": "Url", "help": "Where the API is.", "type": "url", "required": true, "choices": [] },
            { "name": "pixel", "label": "Pixel ID", "help": "Ten digits.", "type": "string", "required": true,
              "choices": [], "pattern": "\\d{10}" },
            { "name": "pace", "label": "Pace", "help": "", "type": "string", "required": false,
              "choices": ["slow", "as_fast_as_you_can"], "default": "slow" },
            { "name": "tries", "label": "Tries", "help": "", "type": "integer", "required": false, "choices": [], "default": 3 },
            { "name": "share", "label": "Share", "help": "", "type": "number", "required": false, "choices": [], "default": 0.5 },
            { "name": "strict", "label": "Strict", "help": "", "type": "boolean", "required": false, "choices": [] },
            { "name": "headers", "label": "Headers", "help": "", "type": "string_map", "required": false, "choices": [] },
        ],
    });
    assert_eq!(manifest, expected);
}

fn read(settings: &Value) -> Result<Acme> {
    <Acme as rialto_sdk::settings::Settings>::read(settings.as_object().expect("an object"))
}

#[test]
fn settings_are_typed_and_have_their_defaults() {
    let acme = read(&settings()).expect("sound");
    assert_eq!((acme.url.as_str(), acme.pace, acme.tries, acme.share), ("https://own.example", Pace::Slow, 3, 0.5));
    assert_eq!((acme.pixel.as_str(), acme.strict, acme.headers.len()), ("1234567890", None, 0));
    let mut given = settings();
    given["pace"] = "as_fast_as_you_can".into();
    given["strict"] = true.into();
    given["headers"] = json!({ "x-a": "b" });
    let acme = read(&given).expect("sound");
    assert_eq!((acme.pace, acme.strict), (Pace::AsFastAsYouCan, Some(true)));
    assert_eq!(acme.headers["x-a"], "b");
}

#[test]
fn a_setting_that_cannot_be_read_is_named() {
    for (name, bad) in [
        ("url", json!(1)),
        ("pixel", Value::Null),
        ("pace", json!("never")),
        ("tries", json!(300)),
        ("headers", json!({ "a": 1 })),
    ] {
        let mut given = settings();
        given[name] = bad;
        let error = read(&given).err().expect("refused");
        assert!(error.to_string().contains(&format!("setting {name}")) && !error.is_retryable(), "{error}");
    }
}

#[test]
fn the_outcome_of_a_batch_is_its_status_but_for_those_that_the_reply_names() {
    let run = trial(&["a", "b", "c"])
        .answer(|_| {
            Answer::json(200, &json!({ "errors": [{ "index": 1, "message": "too old" }, { "message": "of nobody" }] }))
        })
        .run("purchase");
    assert_eq!(run.failure, None);
    let verdicts: Vec<_> = (0..3).map(|n| run.verdict(n)).collect();
    assert_eq!(verdicts, [Some(Verdict::Delivered), Some(Verdict::Rejected), Some(Verdict::Delivered)]);
    assert_eq!(run.outcomes[&1].message, "too old");
    let request = run.requests().next().expect("one");
    assert_eq!((request.method.as_str(), request.auth.as_slice()), ("POST", ["token".to_owned()].as_slice()));
    assert_eq!(header(request, "Content-Type"), Some("application/json"));
}

#[test]
fn a_payload_that_cannot_be_read_is_rejected_by_itself_and_places_still_fit() {
    let run = trial(&["a"])
        .event("broken", &json!({ "message_id": 1 }))
        .event("c", &json!({ "message_id": "c", "value": 2.0 }))
        .answer(|_| Answer::json(200, &json!({ "errors": [{ "index": 1, "message": "of c" }] })))
        .run("purchase");
    assert_eq!(run.outcomes[&1].code, "payload");
    assert_eq!((run.verdict(0), run.verdict(1)), (Some(Verdict::Delivered), Some(Verdict::Rejected)));
    assert_eq!(run.outcomes[&2].message, "of c", "the second of those that were sent is the third of the job");
    let none = Trial::<Acme>::new(settings()).event("x", &json!({})).run("purchase");
    assert_eq!((none.rounds.len(), none.verdict(0)), (0, Some(Verdict::Rejected)), "nothing is sent for nothing");
}

#[test]
fn statuses_are_judged_by_the_manifest_and_then_as_usual() {
    for (status, verdict) in
        [(404, Verdict::Skipped), (503, Verdict::Rejected), (429, Verdict::Retry), (401, Verdict::Unauthorized)]
    {
        let run = trial(&["a"]).answer(move |_| Answer::status(status).header("retry-after", "9")).run("purchase");
        assert_eq!(run.verdict(0), Some(verdict), "{status}");
        assert_eq!(run.outcomes[&0].retry_after_ms, Some(9_000));
    }
}

#[test]
fn requests_awaited_together_are_one_round_and_nothing_is_asked_twice() {
    let run = trial(&["a", "b"])
        .answer(|request| if request.url.ends_with("/b") { Answer::status(404) } else { Answer::status(200) })
        .run("look_up_and_tell");
    let urls: Vec<Vec<_>> = run.rounds.iter().map(|round| round.iter().map(|r| r.url.as_str()).collect()).collect();
    let (a, b) = ("https://api.acme.com/a", "https://api.acme.com/b");
    assert_eq!(urls, [vec![a, b], vec!["https://api.acme.com/known"]]);
    assert_eq!(run.rounds[1][0].body, b"[true,false]");
    assert_eq!(run.lines, ["info: 2 found"], "what is replayed is not said again");
}

#[test]
fn no_answer_is_a_retryable_failure() {
    let failure = trial(&["a"]).answer(|_| Answer::nothing("timeout")).run("purchase").failure.expect("it failed");
    assert_eq!((failure.code.as_str(), failure.retryable), ("timeout", true));
}

#[test]
fn what_a_connector_must_not_do_is_told_and_never_hangs() {
    for (action, answer, said) in [
        ("stall", Answer::status(200), "awaits something that is no request"),
        ("waver", Answer::status(200), "depends on more than its inputs"),
        ("sing", Answer::status(200), "no action 'sing'"),
    ] {
        let failure = trial(&["a"]).answer(move |_| answer.clone()).run(action).failure.expect("it failed");
        assert!(failure.message.contains(said) && !failure.retryable, "{action}: {failure:?}");
    }
}

#[test]
#[should_panic(expected = "plugin_state")]
fn replies_that_are_more_than_the_hub_keeps_fail_the_test() {
    trial(&["a"]).answer(|_| Answer::status(200).body(vec![b'x'; 70_000])).run("hoard");
}

#[test]
fn a_header_that_is_the_hub_s_fails_the_test() {
    let listed = include_str!("../../wit/hub-headers.txt").lines().map(|own| own.replace('*', "Authorization"));
    for name in listed.chain(["Cookie".to_owned(), "a b".to_owned()]) {
        let ran = std::panic::catch_unwind(|| trial(&[&name]).run("forge"));
        assert!(ran.is_err(), "{name}");
    }
    assert_eq!(trial(&["x-a"]).run("forge").verdict(0), Some(Verdict::Delivered));
}
