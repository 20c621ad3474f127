//! What came back for a request.

use std::{rc::Rc, str::FromStr};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Verdict,
    bindings::rialto::plugin::types::{Ext, HttpResponse},
    error::Result,
};

/// A reply of any status. A cheap copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply(Rc<HttpResponse>);

impl Reply {
    pub(crate) fn new(response: HttpResponse) -> Self {
        Self(Rc::new(response))
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// Whether the status is a 2xx.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.0.status)
    }

    /// The first header of a name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.0.headers, name)
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0.body)
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// `bad_reply`, which is retryable, if it is not what `T` expects.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.0.body)?)
    }

    /// The members of the array at a JSON pointer; none if there is no such array.
    pub fn array(&self, pointer: &str) -> Vec<Value> {
        let Ok(mut body) = serde_json::from_slice::<Value>(&self.0.body) else { return Vec::new() };
        match body.pointer_mut(pointer).map(Value::take) {
            Some(Value::Array(members)) => members,
            _ => Vec::new(),
        }
    }

    /// What the hub makes of the status, by the manifest's table.
    pub fn verdict(&self) -> Verdict {
        match find(&self.0.ext, "verdict") {
            Some("delivered") => Verdict::Delivered,
            Some("skipped") => Verdict::Skipped,
            Some("rejected") => Verdict::Rejected,
            Some("unauthorized") => Verdict::Unauthorized,
            _ => Verdict::Retry,
        }
    }

    /// How long the destination asked to be left alone, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        find(&self.0.ext, "retry_after_ms").and_then(|text| u64::from_str(text).ok())
    }

    /// Whether the body was too long and is cut.
    pub fn is_truncated(&self) -> bool {
        find(&self.0.ext, "truncated").is_some()
    }

    /// A sentence on what came back: the status and the beginning of the body.
    pub fn summary(&self) -> String {
        let body: String = self.text().chars().filter(|c| !c.is_control()).take(300).collect();
        format!("the destination answered {}{}{body}", self.0.status, if body.is_empty() { "" } else { ": " })
    }
}

fn find<'a>(pairs: &'a Ext, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
