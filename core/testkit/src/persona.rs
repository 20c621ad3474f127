//! Who speaks to a hub in a test, over HTTP and nothing else: the operator, and a tenant with its keys.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// Who runs the hub.
pub struct Operator {
    address: SocketAddr,
    client: Client,
}

impl Operator {
    /// The operator, by a token of the hub at an address.
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, client: Client::bearer(address, token) }
    }

    /// The connection, for calls of a test's own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a tenant with an API key, a source and its write key.
    ///
    /// # Panics
    /// When the hub refuses one of them.
    pub async fn tenant(&self, slug: &str) -> Persona {
        let tenant = self.client.post("/api/v1/tenants", &json!({"slug": slug, "name": slug})).await.expect(201).json();
        let id = text(&tenant, "id");
        let key = json!({"name": "tests", "role": "admin"});
        let key = self.client.post(&format!("/api/v1/tenants/{id}/api_keys"), &key).await.expect(201).json();
        let api_key = text(&key, "key");
        let client = Client::bearer(self.address, &api_key);
        let source = client.post("/api/v1/sources", &json!({"name": "web"})).await.expect(201).json();
        let source_id = text(&source, "id");
        let write_key = client.post(&format!("/api/v1/sources/{source_id}/write_keys"), &json!({})).await.expect(201);
        let write_key = text(&write_key.json(), "key");
        Persona { slug: slug.to_owned(), tenant_id: id, api_key, source_id, write_key, address: self.address, client }
    }
}

/// A tenant: its keys and a connection that presents its API key.
pub struct Persona {
    /// The tenant's short name.
    pub slug: String,
    /// The tenant's id.
    pub tenant_id: String,
    /// An admin's API key.
    pub api_key: String,
    /// Its first source.
    pub source_id: String,
    /// That source's write key.
    pub write_key: String,
    /// The hub's address.
    pub address: SocketAddr,
    client: Client,
}

/// A request that brings events, with the write key as the user of HTTP Basic.
///
/// # Panics
/// When the path is none.
pub fn ingest(write_key: &str, path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let basic = STANDARD.encode(format!("{write_key}:"));
    let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, "application/json");
    request.header(header::AUTHORIZATION, format!("Basic {basic}")).body(body.into()).expect("a path makes a request")
}

/// A part of a path, with everything encoded that could be taken for something else.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Persona {
    /// The connection with the API key.
    pub fn api(&self) -> &Client {
        &self.client
    }

    /// Sends a body to an ingest path as it is.
    ///
    /// # Panics
    /// When nothing comes back.
    pub async fn send(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = ingest(&self.write_key, path, body);
        self.client.send(request).await.unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Sends one event to the endpoint of its type.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn accept(&self, event: &Value) {
        let path = format!("/v1/{}", event["type"].as_str().expect("a test's event has a type"));
        self.send(&path, event.to_string()).await.expect(200);
    }

    /// Sends events as one batch.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn accept_all(&self, events: &[Value]) {
        self.send("/v1/batch", json!({ "batch": events }).to_string()).await.expect(200);
    }

    /// Makes a webhook destination that sends to an address, and a route to it of everything; gives its id.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn webhook(&self, name: &str, url: &str) -> String {
        self.destination(name, json!({"url": url, "mode": "batch"}), json!({})).await
    }

    /// Makes a webhook destination with settings and secrets, and a route to it of everything; gives its id.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn destination(&self, name: &str, settings: Value, secrets: Value) -> String {
        let new = json!({"name": name, "connector": "rialto/webhook", "settings": settings, "secrets": secrets});
        let id = text(&self.client.post("/api/v1/destinations", &new).await.expect(201).json(), "id");
        let route = json!({"name": format!("all to {name}"), "destination_id": id});
        self.client.post("/api/v1/routes", &route).await.expect(201);
        id
    }

    /// All items of a listing, page by page.
    ///
    /// # Panics
    /// When a page is refused.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.client.get(&format!("{path}{joint}limit=200{after}")).await.expect(200).json();
            items.extend(page["items"].as_array().expect("a page has items").iter().cloned());
            let Some(next) = page["next"].as_str() else { return items };
            after = format!("&after={}", segment(next));
        }
    }

    /// What is stored of an event, once it is processed.
    ///
    /// # Panics
    /// When it is not within 20 seconds.
    pub async fn stored(&self, message_id: &str) -> Value {
        let path = format!("/api/v1/events/{}", segment(message_id));
        self.wait(&path, "a processed event", |answer| answer.status == 200).await
    }

    /// What the hub says became of an event, once it says what is waited for.
    ///
    /// # Panics
    /// When it does not within 20 seconds.
    pub async fn explained(&self, message_id: &str, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/v1/events/{}/explain", segment(message_id));
        self.wait(&path, what, |answer| answer.status == 200 && enough(&answer.json())).await
    }

    /// The person with an identifier.
    ///
    /// # Panics
    /// When there is none within 20 seconds.
    pub async fn profile(&self, kind: &str, value: &str) -> Value {
        let path = format!("/api/v1/profiles/by/{}/{}", segment(kind), segment(value));
        self.wait(&path, "a profile", |answer| answer.status == 200).await
    }

    /// A destination's lane.
    ///
    /// # Panics
    /// When there is none.
    pub async fn lane(&self, destination: &str) -> Value {
        let lanes = self.all("/api/v1/lanes").await;
        let found = lanes.iter().find(|lane| lane["destination_id"] == destination);
        found.unwrap_or_else(|| panic!("no lane of {destination} in {lanes:?}")).clone()
    }

    /// Waits until a path answers as it should.
    ///
    /// # Panics
    /// When it does not within 20 seconds.
    pub async fn wait(&self, path: &str, what: &str, enough: impl Fn(&Answer) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.client.get(path).await;
            if enough(&answer) {
                return answer.json();
            }
            let waited = start.elapsed();
            assert!(
                waited < Duration::from_secs(20),
                "{what}: {path} still answers {} {}",
                answer.status,
                answer.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A member that is a text.
fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_else(|| panic!("{member} is a text in {object}")).to_owned()
}
