//! Tenants for a measurement, each with a source, a write key, a webhook destination and a route, made through the
//! management API as an operator would.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::Outcome;
use crate::report::say;
use crate::wire::Wire;

/// How many are made at a time; the hub writes them down one after the other anyhow.
const MAKERS: usize = 8;

/// The tenants of a hub.
pub(crate) struct Fleet {
    address: SocketAddr,
    operator_token: Rc<str>,
    /// Where their webhooks go; without one they have no destination and no route.
    receiver: Option<SocketAddr>,
    keys: Rc<RefCell<Vec<String>>>,
}

impl Fleet {
    /// No tenants yet. The operator's token is read from what the hub printed when it first started.
    pub(crate) async fn of(address: SocketAddr, data: &Path, receiver: Option<SocketAddr>) -> Outcome<Self> {
        for _ in 0..100 {
            // The hub answers that it is ready a moment before it prints.
            let printed = std::fs::read_to_string(data.join("output.log"))?;
            let mut words = printed.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
            if let Some(token) = words.find(|word| word.starts_with("ro_")) {
                return Ok(Self { address, operator_token: token.into(), receiver, keys: Rc::default() });
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Err("the hub printed no operator token".into())
    }

    /// The same tenants after their hub was started anew.
    pub(crate) fn moved_to(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    /// Makes tenants until there are so many. Must run inside a `LocalSet`.
    pub(crate) async fn grow(&self, tenants: usize) -> Outcome<()> {
        let start = std::time::Instant::now();
        let have = self.keys.borrow().len();
        if tenants <= have {
            return Ok(());
        }
        let next = Rc::new(RefCell::new(have..tenants));
        let makers: Vec<_> = (0..MAKERS.min(tenants - have))
            .map(|_| {
                let (next, keys, token) = (Rc::clone(&next), Rc::clone(&self.keys), Rc::clone(&self.operator_token));
                let (address, receiver) = (self.address, self.receiver);
                tokio::task::spawn_local(async move {
                    let mut api = Api { wire: Wire::connect(address).await?, address };
                    loop {
                        let Some(number) = next.borrow_mut().next() else { return Outcome::Ok(()) };
                        let key = make_tenant(&mut api, &token, number, receiver).await?;
                        keys.borrow_mut().push(key);
                    }
                })
            })
            .collect();
        for maker in makers {
            maker.await??;
        }
        say(format!("    {} tenants made in {:.1} s", tenants - have, start.elapsed().as_secs_f64()));
        Ok(())
    }

    /// The first write keys, in the form Basic authentication has them.
    pub(crate) fn keys(&self, tenants: usize) -> Rc<[String]> {
        self.keys.borrow()[..tenants].to_vec().into()
    }
}

/// Makes one tenant and returns its write key.
async fn make_tenant(api: &mut Api, operator: &str, number: usize, receiver: Option<SocketAddr>) -> Outcome<String> {
    let slug = format!("bench-{number:05}");
    let tenant = api.post(operator, "/api/v1/tenants", &json!({"slug": slug, "name": slug})).await?;
    let tenant = text_with_prefix(&tenant, "ten_")?;
    let path = format!("/api/v1/tenants/{tenant}/api_keys");
    let key = api.post(operator, &path, &json!({"name": "bench", "role": "admin"})).await?;
    let key = text_with_prefix(&key, "rk_")?;
    let source = api.post(&key, "/api/v1/sources", &json!({"name": "shop"})).await?;
    let source = text_with_prefix(&source, "src_")?;
    if let Some(receiver) = receiver {
        let destination = json!({
            "name": "receiver", "connector": "rialto/webhook", "enabled": true,
            "settings": {"url": format!("http://{receiver}/{slug}"), "mode": "batch"},
        });
        let destination = api.post(&key, "/api/v1/destinations", &destination).await?;
        let route = json!({
            "name": "all", "source_id": source, "destination_id": text_with_prefix(&destination, "dst_")?,
            "enabled": true,
        });
        api.post(&key, "/api/v1/routes", &route).await?;
    }
    let write_key = api.post(&key, &format!("/api/v1/sources/{source}/write_keys"), &json!({})).await?;
    let write_key = text_with_prefix(&write_key, "wk_")?;
    Ok(base64::engine::general_purpose::STANDARD.encode(format!("{write_key}:")))
}

/// The management API over one connection.
struct Api {
    wire: Wire,
    address: SocketAddr,
}

impl Api {
    async fn post(&mut self, token: &str, path: &str, body: &Value) -> Outcome<Value> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = self.wire.exchange(request.as_bytes()).await?;
        let text = String::from_utf8_lossy(self.wire.body(answer)).into_owned();
        if !(200..300).contains(&answer.status) {
            return Err(format!("POST {path} answered {}: {text}", answer.status).into());
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// The first text in an answer that starts with an id's or key's prefix.
fn text_with_prefix(value: &Value, prefix: &str) -> Outcome<String> {
    fn find<'v>(value: &'v Value, prefix: &str) -> Option<&'v str> {
        match value {
            Value::String(text) => text.starts_with(prefix).then_some(text.as_str()),
            Value::Array(items) => items.iter().find_map(|item| find(item, prefix)),
            Value::Object(members) => members.values().find_map(|member| find(member, prefix)),
            _ => None,
        }
    }
    find(value, prefix).map(str::to_owned).ok_or_else(|| format!("no {prefix}… in {value}").into())
}
