//! The story, in order: set up three shops, send their morning, wait until it has come out at the other end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::hub::{Hub, text};
use crate::paint::{dim, green, heading};
use crate::receiver::{self, Arrival, Secrets};
use crate::shops::{Call, SHOPS, Shop, Via};
use crate::{Trouble, signature};

/// How many calls the web shop sends in one request.
const BATCH: usize = 20;
/// How long everything may take to come out. Generous: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shop once it is set up.
pub struct Desk {
    /// Which.
    pub shop: &'static Shop,
    /// The hub, with the shop's own API key.
    pub api: Hub,
    /// That key.
    pub api_key: String,
    /// The write key of its web shop.
    pub web_key: String,
    /// The write key of its app.
    pub app_key: String,
    /// Its sources' names by id.
    pub sources: BTreeMap<String, String>,
    /// Where its events go.
    pub destination_id: String,
    /// What it sent.
    pub calls: Vec<Call>,
    /// The message ids that it sent twice, as a client does that missed the answer.
    pub repeated: BTreeSet<String>,
}

/// What came out.
#[derive(Default)]
pub struct Arrived {
    /// How often each event came, by shop and message id.
    pub events: BTreeMap<(String, String), usize>,
    /// How many requests brought them.
    pub requests: usize,
}

impl Arrived {
    /// How often an event came to a shop.
    pub fn count(&self, shop: &str, message_id: &str) -> usize {
        self.events.get(&(shop.to_owned(), message_id.to_owned())).copied().unwrap_or(0)
    }

    /// Takes note of an arrival.
    pub fn note(&mut self, arrival: &Arrival) {
        self.requests += 1;
        for event in &arrival.events {
            let id = (arrival.shop.clone(), text(event, "/message_id").to_owned());
            *self.events.entry(id).or_default() += 1;
        }
    }
}

/// Everything the report tells of.
pub struct Told {
    /// The shops.
    pub desks: Vec<Desk>,
    /// What came out.
    pub arrived: Arrived,
    /// What comes from now on.
    pub arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// How long it took from the first call to the last arrival.
    pub took: Duration,
}

/// Tells the story on a hub: sets up, sends, waits.
///
/// # Errors
/// When the hub refuses something. What does not arrive is the report's to say.
pub async fn tell(operator: &Hub) -> Result<Told, Trouble> {
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    let mut secrets = Secrets::new();
    for shop in &SHOPS {
        secrets.insert(shop.slug.to_owned(), signature::new_secret()?);
    }
    let address = receiver::start(secrets.clone(), sender).await?;

    heading("Three tenants, each with two sources, a webhook destination and a route");
    let mut desks = Vec::new();
    for shop in &SHOPS {
        let desk = set_up(operator, shop, address, &secrets[shop.slug]).await?;
        println!("  {} {:<16}wants {}", green("✓"), shop.name, shop.wants);
        desks.push(desk);
    }

    heading("A morning in three shops");
    let begun = Instant::now();
    for desk in &mut desks {
        send(operator, desk).await?;
        let (calls, twice) = (desk.calls.len(), desk.repeated.len());
        println!("  {} {:<16}{calls} calls accepted; {twice} of them sent twice", green("→"), desk.shop.name);
    }
    let arrived = wait(&desks, &mut arrivals).await;
    Ok(Told { desks, arrived, arrivals, took: begun.elapsed() })
}

async fn set_up(operator: &Hub, shop: &'static Shop, receiver: SocketAddr, secret: &str) -> Result<Desk, Trouble> {
    let tenant = operator.post("/api/v1/tenants", &json!({"slug": shop.slug, "name": shop.name})).await?;
    let keys = format!("/api/v1/tenants/{}/api_keys", text(&tenant, "/id"));
    let key = operator.post(&keys, &json!({"name": "quickstart", "role": "admin"})).await?;
    let api_key = text(&key, "/key").to_owned();
    let api = operator.with_token(&api_key);
    let (web_id, web_key) = source(&api, "Web shop").await?;
    let (app_id, app_key) = source(&api, "App").await?;
    let destination = json!({
        "name": "Order desk",
        "connector": "rialto/webhook",
        "settings": {"url": format!("http://{receiver}/{}", shop.slug), "mode": "batch"},
        "secrets": {"signing": secret},
    });
    let destination = api.post("/api/v1/destinations", &destination).await?;
    let destination_id = text(&destination, "/id").to_owned();
    let mut route = json!({"name": format!("To the desk: {}", shop.wants), "destination_id": destination_id});
    if let Some(condition) = shop.condition() {
        route["condition"] = condition;
    }
    api.post("/api/v1/routes", &route).await?;
    let sources = BTreeMap::from([(web_id, "Web shop".to_owned()), (app_id, "App".to_owned())]);
    let calls = shop.morning(Timestamp::now());
    Ok(Desk { shop, api, api_key, web_key, app_key, sources, destination_id, calls, repeated: BTreeSet::new() })
}

/// A source and its write key.
async fn source(api: &Hub, name: &str) -> Result<(String, String), Trouble> {
    let source = api.post("/api/v1/sources", &json!({"name": name})).await?;
    let id = text(&source, "/id").to_owned();
    let key = api.post(&format!("/api/v1/sources/{id}/write_keys"), &json!({})).await?;
    Ok((id, text(&key, "/key").to_owned()))
}

/// Sends the morning in order: the web shop in batches, the app call by call. The last batch is sent twice.
async fn send(hub: &Hub, desk: &mut Desk) -> Result<(), Trouble> {
    let (web, app) = (hub.with_write_key(&desk.web_key), hub.with_write_key(&desk.app_key));
    let mut last = None;
    for run in desk.calls.chunk_by(|one, next| one.via == next.via) {
        for calls in run.chunks(if run[0].via == Via::Web { BATCH } else { 1 }) {
            let sent_at = Timestamp::now().to_string();
            if let (Via::App, [call]) = (calls[0].via, calls) {
                let mut body = call.body.clone();
                body["sentAt"] = sent_at.into();
                app.post(&format!("/v1/{}", text(&body, "/type")), &body).await?;
                continue;
            }
            let bodies: Vec<&Value> = calls.iter().map(|call| &call.body).collect();
            let batch = json!({"batch": bodies, "sentAt": sent_at});
            web.post("/v1/batch", &batch).await?;
            last = Some(batch);
        }
    }
    let Some(batch) = last else { return Ok(()) };
    web.post("/v1/batch", &batch).await?;
    let again = batch["batch"].as_array().into_iter().flatten();
    desk.repeated = again.map(|call| text(call, "/messageId").to_owned()).collect();
    Ok(())
}

/// Waits until every wanted event has come, and a moment longer for what should not come; prints what does.
async fn wait(desks: &[Desk], arrivals: &mut mpsc::UnboundedReceiver<Arrival>) -> Arrived {
    heading("What the receiver gets (every signature checked)");
    let mut open: BTreeSet<(String, String)> = desks
        .iter()
        .flat_map(|desk| desk.calls.iter().filter(|call| desk.shop.wants(call)).map(move |call| (desk, call)))
        .map(|(desk, call)| (desk.shop.slug.to_owned(), text(&call.body, "/messageId").to_owned()))
        .collect();
    let mut arrived = Arrived::default();
    let mut until = Instant::now() + PATIENCE;
    let mut settling = false;
    while let Ok(Some(arrival)) = timeout_at(until, arrivals.recv()).await {
        show(&arrival);
        arrived.note(&arrival);
        for event in &arrival.events {
            open.remove(&(arrival.shop.clone(), text(event, "/message_id").to_owned()));
        }
        if open.is_empty() && !settling {
            // Long enough for the repeats and the unwanted, were they not left out.
            until = Instant::now() + Duration::from_secs(1);
            settling = true;
        }
    }
    arrived
}

/// One line for one request: how many events, and which.
pub fn show(arrival: &Arrival) {
    let mut names = BTreeMap::<&str, usize>::new();
    for event in &arrival.events {
        let name = [text(event, "/event"), text(event, "/name"), text(event, "/type")];
        *names.entry(name.into_iter().find(|name| !name.is_empty()).unwrap_or("?")).or_default() += 1;
    }
    let words: Vec<String> = names
        .iter()
        .map(|(name, count)| if *count == 1 { (*name).to_owned() } else { format!("{count} × {name}") })
        .collect();
    println!("  {} {:<8}{:>3}  {}", green("←"), arrival.shop, arrival.events.len(), dim(words.join(", ")));
}
