//! Where a request may go: checked on the parsed URL, as it will be connected to, and never on its text.

use std::{collections::BTreeMap, net::IpAddr};

use rialto_model::manifest::Manifest;
use serde_json::Value;
use url::{Host, Url};

use super::EgressError;
use crate::EgressPolicy;

/// The longest URL, in bytes.
const LONGEST: usize = 8 << 10;

/// The hosts that a destination may be reached at, from the manifest's templates and its settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Host and port; without one, the scheme's own.
    exact: Vec<(String, Option<u16>)>,
    /// What a host must end with, dot included.
    suffixes: Vec<String>,
}

impl Allowed {
    /// Fills the manifest's templates in.
    pub fn of(manifest: &Manifest, settings: &BTreeMap<String, Value>) -> Self {
        let mut allowed = Self::default();
        for template in &manifest.hosts {
            let only = template.strip_prefix("{settings.").and_then(|rest| rest.strip_suffix('}'));
            if let Some(url) = only.and_then(|name| settings.get(name)?.as_str()).and_then(|text| Url::parse(text).ok())
            {
                // A whole setting that is a URL allows that URL's host and port.
                let port = url.port_or_known_default();
                allowed.exact.extend(url.host_str().map(|host| (plain(host), port)));
            } else if let Some(host) = fill(template, settings) {
                match host.strip_prefix('*') {
                    Some(suffix) => allowed.suffixes.push(suffix.to_owned()),
                    None => allowed.exact.push((host, None)),
                }
            }
        }
        allowed
    }

    fn permits(&self, url: &Url) -> bool {
        let Some(host) = url.host_str().map(plain) else { return false };
        let own_port = url.port().is_none();
        let exactly = self.exact.iter().any(|(allowed, port)| {
            *allowed == host && port.map_or(own_port, |port| url.port_or_known_default() == Some(port))
        });
        exactly || (own_port && self.suffixes.iter().any(|suffix| host.ends_with(suffix)))
    }
}

/// Puts settings into a template; only what can be one label of a name.
fn fill(template: &str, settings: &BTreeMap<String, Value>) -> Option<String> {
    let mut host = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{settings.") {
        let (name, after) = after.split_once('}')?;
        let value = settings.get(name)?.as_str()?.to_ascii_lowercase();
        let label = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !label {
            return None;
        }
        host.push_str(before);
        host.push_str(&value);
        rest = after;
    }
    host.push_str(rest);
    Some(host)
}

/// A host's name without the dot that may stand at its end.
fn plain(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// A URL that a request may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Checks a connector's URL.
    ///
    /// # Errors
    /// [`EgressError::Refused`] with the reason.
    pub fn check(url: &str, allowed: &Allowed, policy: &EgressPolicy) -> Result<Self, EgressError> {
        let mut url = Self::plausible(url, policy)?;
        if !allowed.permits(&url) {
            let host = url.host_str().unwrap_or_default();
            return refused(format!("the connector's manifest does not allow requests to {host}{}", port(&url)));
        }
        url.set_fragment(None);
        if let Some(host) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned) {
            // The dot means the same name, but certificates and servers know it without.
            url.set_host(Some(&host)).or_else(|_| refused("the URL's host is no name"))?;
        }
        Ok(Self(url))
    }

    /// What is wrong with a URL whoever asks for it: its scheme, host, port or user.
    pub(crate) fn plausible(url: &str, policy: &EgressPolicy) -> Result<Url, EgressError> {
        if url.len() > LONGEST {
            return refused(format!("the URL is longer than {LONGEST} bytes"));
        }
        let url = Url::parse(url).or_else(|_| refused("the URL is not an absolute one"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return refused("the URL holds a user name or password; credentials go by auth slots");
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(v4)) if policy.allow_loopback && v4.is_loopback() => true,
            Some(Host::Ipv6(v6)) if policy.allow_loopback && v6.is_loopback() => true,
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => {
                return refused("the URL's host is an address; only names are allowed");
            }
            Some(Host::Domain(name)) => policy.allow_loopback && plain(name) == "localhost",
            None => return refused("the URL has no host"),
        };
        match url.scheme() {
            "https" => {}
            "http" if policy.allow_http || loopback => {}
            "http" => return refused("plain http is not allowed; use https"),
            _ => return refused("only https is allowed"),
        }
        // Lower ports belong to other protocols, which can be made to take HTTP for their own.
        match url.port_or_known_default() {
            Some(80 | 443 | 1024..) => Ok(url),
            _ if loopback => Ok(url),
            _ => refused("the URL's port is neither 80, 443 nor above 1023"),
        }
    }

    /// The URL, to be completed by credentials in its query.
    pub(crate) fn url_mut(&mut self) -> &mut Url {
        &mut self.0
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// Whether an address may be connected to.
pub(crate) fn may_connect(address: IpAddr, https: bool, policy: &EgressPolicy) -> bool {
    if address.is_loopback() {
        return policy.allow_loopback;
    }
    super::address::is_public(address) && (https || policy.allow_http)
}

fn port(url: &Url) -> String {
    url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

fn refused<T>(why: impl Into<String>) -> Result<T, EgressError> {
    Err(EgressError::Refused(why.into()))
}
