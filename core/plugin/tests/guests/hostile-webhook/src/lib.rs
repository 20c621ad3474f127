//! A connector that does with each webhook whatever its query says, and harm among it. The plugin host must stop every
//! call within its limits.

use rialto_sdk::{log, prelude::*};
use serde_json::Value;

/// Nothing to choose.
#[derive(Settings)]
pub struct Hostile {}

/// Does as it is told.
#[webhook(
    id = "test/hostile-webhook",
    name = "Hostile webhook",
    verify(signing = standard_webhooks, hmac = hmac_sha256("X-Signature", prefix = "sha256="))
)]
impl Hostile {
    /// The query's `do` is done; without one the body is a list of records.
    fn receive(cx: &Cx<Self>, webhook: Incoming) -> Result<Accepted> {
        let event = json!({ "type": "track", "event": "e", "userId": "u" });
        match webhook.query("do").unwrap_or_default() {
            "spin" => loop {
                std::hint::black_box(webhook.body());
            },
            "memory" => {
                let mut hoard = Vec::new();
                loop {
                    hoard.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "trap" => panic!("{} bytes are not to my taste", webhook.body().len()),
            "output" => Ok(Accepted::nothing().answer(200, "text/plain", vec![b'x'; 16 << 20])),
            "lines" => {
                (0..1_000_000).for_each(|line| log::info(&format!("line {line}")));
                Ok(Accepted::nothing())
            }
            "many" => Ok((0..2_501).map(|_| &event).collect()),
            "large" => {
                Ok((0..600).map(|_| json!({ "type": "track", "event": "x".repeat(1_000), "userId": "u" })).collect())
            }
            "escape" => Ok(Accepted::nothing().record(&event).record(&json!(7))),
            "redirect" => Ok(Accepted::nothing().answer(302, "text/plain", "elsewhere")),
            "html" => Ok(Accepted::nothing().answer(200, "text/html", "<script>alert(1)</script>")),
            "flood" => Ok(Accepted::nothing().answer(200, "text/plain", vec![b'x'; 70_000])),
            "answer" => Ok(Accepted::nothing().record(&event).answer(202, "application/xml", "<Response/>")),
            "later" => Err(Error::retry("asleep", "come again")),
            "never" => Err(Error::fatal("unloved", "never come again")),
            "nowhere" => Err(Error::setting("x".repeat(100_000), "is not set")),
            // What it is shown of a webhook.
            "tell" => {
                let shown =
                    ["authorization", "cookie", "x-write-key", "x-signature", "webhook-signature", "webhook-id"];
                let shown: Vec<&str> = shown.into_iter().filter(|name| webhook.header(name).is_some()).collect();
                let told = json!({
                    "shown": shown, "key": webhook.query("writeKey"), "verified": webhook.is_verified(),
                    "seed": cx.seed().to_string(), "body": webhook.text(),
                });
                Ok(Accepted::nothing().answer(200, "application/json", told.to_string()))
            }
            _ => Ok(webhook.json::<Vec<Value>>()?.into_iter().collect()),
        }
    }
}
