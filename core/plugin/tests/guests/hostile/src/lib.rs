//! A connector whose actions each mean harm, or are clumsy, in one way. The plugin host must stop every one within
//! its limits.

use rialto_sdk::{log, prelude::*};
use serde_json::Value;

/// Where the harm is to be done.
#[derive(Settings)]
pub struct Hostile {
    /// The address that it may call.
    url: Url,
    /// An address that it may not call.
    elsewhere: Option<String>,
}

/// Does harm.
#[destination(
    id = "test/hostile",
    name = "Hostile",
    hosts = ["{settings.url}"],
    auth(token = bearer, key = query("api_key"), login = basic, must = header("x-must")),
    verdicts("409" = delivered, "404" = skipped),
    batch(max = 1000)
)]
impl Hostile {
    /// Never returns.
    #[action]
    async fn spin(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let mut n = batch.len();
        loop {
            n = std::hint::black_box(n.wrapping_mul(3));
        }
    }

    /// Wants all memory.
    #[action]
    async fn memory(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let mut hoard = Vec::new();
        loop {
            hoard.push(vec![u8::try_from(batch.len() % 251).unwrap_or(1); 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }

    /// Calls itself without end.
    #[action]
    async fn recursion(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let deep = dig(batch.len() as u64);
        Ok(batch.all(Verdict::Delivered, "deep", &deep.to_string()))
    }

    /// Says 16 MB.
    #[action]
    async fn output(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.all(Verdict::Delivered, "loud", &"x".repeat(16 << 20)))
    }

    /// Logs a million lines.
    #[action]
    async fn lines(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        (0..1_000_000).for_each(|line| log::info(&format!("line {line}")));
        Ok(batch.all(Verdict::Delivered, "logged", ""))
    }

    /// Panics and says why.
    #[action]
    async fn trap(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        panic!("the {} events are not to my taste", batch.len());
    }

    /// Panics on an event that has a member `poison`, and takes the others.
    #[action]
    async fn poison(_: &Cx<Self>, batch: Batch<Value>) -> Result<Outcomes> {
        assert!(batch.iter().all(|item| item.pointer("/properties/poison").is_none()), "poison");
        Ok(batch.all(Verdict::Delivered, "taken", ""))
    }

    /// Always has one more request to make.
    #[action]
    async fn rounds(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        for _ in 0..1_000 {
            cx.get(&cx.settings().url).send().await?;
        }
        Ok(batch.all(Verdict::Delivered, "done", ""))
    }

    /// Goes where it may not go.
    #[action]
    async fn elsewhere(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let url = cx.settings().elsewhere.clone().unwrap_or_else(|| "https://elsewhere.example/".into());
        Ok(batch.each(|_| cx.get(url.clone())))
    }

    /// Asks for 5,000 requests at once.
    #[action]
    async fn flood(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        cx.all((0..5_000).map(|_| cx.get("https://a.example/"))).await?;
        Ok(batch.all(Verdict::Delivered, "done", ""))
    }

    /// Sets a header that is the hub's alone.
    #[action]
    async fn forge(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.each(|_| cx.post(&cx.settings().url).header("Authorization", "Bearer forged")))
    }

    /// Sets a header whose name is the payload's `header`.
    #[action]
    async fn named(cx: &Cx<Self>, batch: Batch<Value>) -> Result<Outcomes> {
        Ok(batch.each(|item| cx.post(&cx.settings().url).header(item["header"].as_str().unwrap_or_default(), "x")))
    }

    /// Smuggles a second request behind a header.
    #[action]
    async fn smuggle(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.each(|_| cx.post(&cx.settings().url).header("x-a", "b\r\nx-injected: 1")))
    }

    /// Tells of an event that is not there.
    #[action]
    async fn ghost(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.all(Verdict::Delivered, "ok", "").set(99, Verdict::Delivered, "ghost", ""))
    }

    /// Says nothing of the first event.
    #[action]
    async fn silent(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.iter().skip(1).fold(Outcomes::none(), |all, item| all.set(item.index(), Verdict::Delivered, "ok", "")))
    }

    /// Tells whatever the destination answered, hoping for a credential in it.
    #[action]
    async fn gossip(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let request = cx.post(&cx.settings().url).auth("token").auth("key").auth("login");
        let reply = request.send().await?;
        let heard = format!("{} {:?}", reply.text(), reply.header("x-echo"));
        Ok(batch.all(Verdict::Rejected, "Heard: it!", &heard))
    }

    /// Says what it heard with its last words.
    #[action]
    async fn last_words(cx: &Cx<Self>, _: Batch<Raw>) -> Result<Outcomes> {
        let reply = cx.post(&cx.settings().url).auth("token").send().await?;
        panic!("I heard {}", reply.text());
    }

    /// Says of every event that it is held back, which counts no attempt.
    #[action]
    async fn held(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.all(Verdict::Retry, "Held", "later, always later"))
    }

    /// Says that of the whole job.
    #[action]
    async fn all_held(_: &Cx<Self>, _: Batch<Raw>) -> Result<Outcomes> {
        Err(Error::retry("held", "later, always later"))
    }

    /// Says that the connector is at fault, which is the host's to say.
    #[action]
    async fn blame(_: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.all(Verdict::Retry, "plugin_trap", "it was not me"))
    }

    /// Sends every event twice, so that the second request is held back behind the first one that fails.
    #[action]
    async fn twice(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let posted = || batch.each(|_| cx.post(&cx.settings().url));
        Ok(posted().and(posted()))
    }

    /// Awaits requests that carry the events, and cannot go on without every reply.
    #[action]
    async fn together(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        cx.all(batch.iter().map(|item| cx.post(&cx.settings().url).carries([item.index()]))).await?;
        Ok(batch.all(Verdict::Delivered, "done", ""))
    }

    /// Asks for a slot that its manifest has not got.
    #[action]
    async fn stranger(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        Ok(batch.each(|_| cx.post(&cx.settings().url).auth("stranger")))
    }

    /// Posts each event by itself, the payload's `n` at the end of the URL.
    #[action]
    async fn each(cx: &Cx<Self>, batch: Batch<Value>) -> Result<Outcomes> {
        Ok(batch.each(|item| cx.post(format!("{}{}", cx.settings().url, item["n"]))))
    }

    /// Looks three things up at once, then one more, then posts what it has found.
    #[action]
    async fn lookup(cx: &Cx<Self>, batch: Batch<Raw>) -> Result<Outcomes> {
        let url = cx.settings().url.as_str();
        let found = cx.all((0..3).map(|n| cx.get(format!("{url}{n}")))).await?;
        let last = cx.get(format!("{url}last")).send().await?;
        let texts: Vec<_> = found.iter().chain([&last]).map(|reply| reply.text().into_owned()).collect();
        let posted = cx.post(url).json(&json!({ "found": texts, "seed": cx.seed(), "at": cx.now_ms() })).send().await?;
        Ok(batch.outcomes(&posted))
    }

    /// Reads and writes JSON as a connector does, and asks for nothing: what a call costs.
    #[action]
    async fn measure(_: &Cx<Self>, batch: Batch<Value>) -> Result<Outcomes> {
        let rows: Vec<_> = batch
            .iter()
            .map(|item| json!({ "id": item.id(), "event": item["event"], "user": item["user_id"], "properties": item["properties"] }))
            .collect();
        let body = serde_json::to_vec(&rows)?;
        Ok(batch.all(Verdict::Delivered, &format!("b{}", body.len()), ""))
    }
}

#[allow(unconditional_recursion, reason = "that is the harm")]
#[inline(never)]
fn dig(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    dig(depth + 1).wrapping_add(room[(depth % 64) as usize])
}
