//! The hub as anyone meets it: JSON over HTTP with a key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Trouble;

/// A hub at an address, asked with one authority.
#[derive(Clone)]
pub struct Hub {
    url: String,
    authority: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Hub {
    /// The hub at `url`, asked with an operator token or an API key.
    pub fn new(url: impl Into<String>, token: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { url: url.into(), authority: format!("Bearer {token}"), client }
    }

    /// The same hub with another token or key.
    pub fn with_token(&self, token: &str) -> Self {
        Self { authority: format!("Bearer {token}"), ..self.clone() }
    }

    /// The same hub, as a client that writes events: the key is the user name of HTTP Basic.
    pub fn with_write_key(&self, key: &str) -> Self {
        Self { authority: format!("Basic {}", STANDARD.encode(format!("{key}:"))), ..self.clone() }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    ///
    /// # Errors
    /// When there is no answer, or none with a 2xx.
    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, None).await
    }

    /// Makes or does.
    ///
    /// # Errors
    /// As [`Hub::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let broken = |reason: String| Trouble::Http { path: path.to_owned(), reason };
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.url))
            .header(header::AUTHORIZATION, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default())))
            .map_err(|error| broken(error.to_string()))?;
        let response = self.client.request(request).await.map_err(|error| broken(error.to_string()))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| broken(error.to_string()))?.to_bytes();
        if !status.is_success() {
            return Err(Trouble::Answer {
                method: method.to_string(),
                path: path.to_owned(),
                status: status.as_u16(),
                body: String::from_utf8_lossy(&body).into_owned(),
            });
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
    }
}

/// The text at a JSON pointer, or nothing.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
