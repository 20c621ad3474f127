//! Two tenants with everything a tenant can have, and a connector that does what a destination's settings say.

use async_trait::async_trait;
use http::Request;
use rialto_engine::receiver::Answer as Said;
use rialto_engine::{Connector, Failure, Job, NotRead, Received, Receiver, Webhook};
use rialto_model::TenantId;
use rialto_model::delivery::{Outcome, Verdict};
use rialto_model::manifest::{Action, AuthScheme, AuthSlot, Limits, Manifest, SettingField, SettingType};
use serde_json::{Value, json};

use crate::harness::{Answer, Hub};

pub(crate) const CONNECTOR: &str = "test/script";

/// Delivers, or fails as the destination's `mode` says.
pub(crate) struct Script;

#[async_trait]
impl Connector for Script {
    fn limits(&self, connector: &str) -> Option<Limits> {
        (connector == CONNECTOR).then(Limits::default)
    }

    async fn deliver(&self, job: Job) -> Result<Vec<Outcome>, Failure> {
        let (verdict, code) = match job.destination.settings.get("mode").and_then(Value::as_str) {
            Some("reject") => (Verdict::Rejected, "http_400"),
            Some("retry") => (Verdict::Retry, "http_503"),
            Some("skip") => (Verdict::Skipped, "nothing_to_send"),
            _ => (Verdict::Delivered, "http_200"),
        };
        let outcome = Outcome { verdict, code: code.to_owned(), message: "as told".to_owned(), retry_after_ms: None };
        Ok(vec![outcome; job.events.len()])
    }
}

/// The id of the connector that reads webhooks.
pub(crate) const HOOKS: &str = "test/hooks";

/// A connector that reads webhooks: the body is a list of records, or says what goes wrong.
pub(crate) fn hooks() -> Manifest {
    serde_json::from_value(json!({
        "id": HOOKS, "version": "1.0.0", "name": "Hooks",
        "settings": [
            {"name": "signed", "type": "string", "default": "X-Signed"},
            {"name": "mode", "type": "string", "choices": ["a", "b"]},
        ],
        "webhook": {"verify": [
            {"name": "signing", "scheme": "standard_webhooks"},
            {"name": "hmac", "scheme": "hmac_sha256", "header": "{settings.signed}", "prefix": "sha256="},
        ]},
    }))
    .expect("a manifest")
}

#[async_trait]
impl Receiver for Script {
    async fn receive(&self, webhook: Webhook) -> Result<Received, NotRead> {
        let (code, message) = ("told".to_owned(), "as told".to_owned());
        let records = match serde_json::from_slice(&webhook.body) {
            Ok(Value::Array(records)) => records,
            Ok(Value::String(word)) if word == "later" => return Err(NotRead::Later { code, message }),
            Ok(Value::String(word)) if word == "answer" => {
                let answer = Said { status: 202, content_type: "text/plain".into(), body: "hello".into() };
                return Ok(Received { records: Vec::new(), answer: Some(answer) });
            }
            _ => return Err(NotRead::Refused { code, message, setting: Some("mode".into()) }),
        };
        Ok(Received { records: records.iter().map(Value::to_string).collect(), answer: None })
    }
}

pub(crate) fn manifest() -> Manifest {
    let field = |name: &str, kind, required| SettingField {
        name: name.to_owned(),
        label: String::new(),
        help: String::new(),
        kind,
        required,
        default: None,
        pattern: None,
        choices: Vec::new(),
    };
    let slot = AuthSlot { name: "token".to_owned(), label: String::new(), required: false, scheme: AuthScheme::Bearer };
    Manifest {
        id: CONNECTOR.to_owned(),
        version: "1.0.0".to_owned(),
        name: "Script".to_owned(),
        description: String::new(),
        license: String::new(),
        settings: vec![field("url", SettingType::Url, true), field("mode", SettingType::String, false)],
        auth: vec![slot],
        hosts: Vec::new(),
        limits: Limits::default(),
        verdicts: Default::default(),
        actions: vec![Action { name: "send".to_owned(), description: String::new() }],
        webhook: None,
    }
}

/// One tenant, its keys, and one of everything.
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) admin: String,
    pub(crate) editor: String,
    pub(crate) viewer: String,
    pub(crate) source: String,
    pub(crate) write_key: String,
    pub(crate) write_key_id: String,
}

impl Hub {
    /// A tenant with keys of each role, a source and a write key.
    pub(crate) async fn tenant(&self, slug: &str) -> Tenant {
        let tenant =
            self.post("/api/v1/tenants", &self.operator, &json!({"slug": slug, "name": slug})).await.expect(201);
        let id = tenant["id"].as_str().expect("an id").to_owned();
        let mut keys = Vec::new();
        for role in ["admin", "editor", "viewer"] {
            let path = format!("/api/v1/tenants/{id}/api_keys");
            let made = self.post(&path, &self.operator, &json!({"name": role, "role": role})).await.expect(201);
            keys.push(text(&made, "key"));
        }
        let [admin, editor, viewer] = <[String; 3]>::try_from(keys).expect("three keys");
        let source = self.post("/api/v1/sources", &editor, &json!({"name": format!("{slug} shop")})).await.expect(201);
        let source = text(&source, "id");
        let key = self.post(&format!("/api/v1/sources/{source}/write_keys"), &admin, &json!({})).await.expect(201);
        let (write_key, write_key_id) = (text(&key, "key"), text(&key, "id"));
        Tenant { id: id.parse().expect("a tenant id"), admin, editor, viewer, source, write_key, write_key_id }
    }

    /// A destination that does as `mode` says, with a route to it.
    pub(crate) async fn destination(&self, tenant: &Tenant, name: &str, mode: &str) -> (String, String) {
        let body = json!({"name": name, "connector": CONNECTOR, "settings": {"url": "https://example.com", "mode": mode},
            "secrets": {"token": "hush-hush"}});
        let destination = text(&self.post("/api/v1/destinations", &tenant.editor, &body).await.expect(201), "id");
        let body = json!({"name": format!("to {name}"), "destination_id": destination});
        let route = text(&self.post("/api/v1/routes", &tenant.editor, &body).await.expect(201), "id");
        (destination, route)
    }

    /// Sends one event with the tenant's key.
    pub(crate) async fn track(&self, tenant: &Tenant, event: &Value) -> Answer {
        self.ingest("/v1/track", &[("x-write-key", &tenant.write_key)], event.to_string()).await
    }

    /// A request with more to say than a body.
    pub(crate) async fn with_headers(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_string().into()).expect("a request")).await
    }
}

/// A text member.
#[track_caller]
pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{value} has no text '{name}'")).to_owned()
}
