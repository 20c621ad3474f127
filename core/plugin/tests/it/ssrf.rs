//! Addresses that are not the public internet are never called, by whatever name, spelling or trick. A canary on this
//! machine counts who comes by.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method};
use rialto_engine::Connector;
use rialto_model::{TenantId, manifest::Manifest};
use rialto_plugin::{
    EgressPolicy, PluginHost, PluginOptions,
    egress::{Allowed, Egress, EgressError, Incoming, Outgoing, Resolve, Target},
};
use serde_json::json;

use crate::{
    artifact,
    bench::{self, Bench, said},
    receiver::{Answer, Receiver},
};

/// Answers with one list after the other, the last one for ever.
struct Scripted(Vec<Vec<IpAddr>>, AtomicUsize);

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |all: &&[&str]| all.iter().map(|ip| ip.parse().expect("an address")).collect();
        Arc::new(Self(answers.iter().map(parse).collect(), AtomicUsize::new(0)))
    }
}

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, EgressError> {
        let asked = self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get(asked).or(self.0.last()).cloned().ok_or(EgressError::Dns)
    }
}

/// Fetches a URL that the tenant's own settings name, which is as much as anyone can be allowed.
async fn fetch(egress: &Egress, url: &str) -> Result<Incoming, EgressError> {
    let manifest: Manifest = serde_json::from_value(json!({
        "id": "test/any", "version": "0.1.0", "name": "Any",
        "settings": [{ "name": "url", "type": "url" }],
        "hosts": ["{settings.url}"], "actions": [{ "name": "send" }],
    }))
    .expect("a manifest");
    let target = Target::check(url, &Allowed::of(&manifest, &[("url".into(), json!(url))].into()), egress.policy())?;
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    let (tenant, target) = (TenantId::from_parts(1, &[1; 10]), &target);
    egress.send(Outgoing { tenant, method: Method::GET, target, headers, body, most: 1 << 20, beyond: 0 }).await
}

fn egress(policy: EgressPolicy, resolver: Arc<Scripted>) -> Egress {
    let policy = EgressPolicy { connect_timeout: Duration::from_millis(300), ..policy };
    Egress::new(policy, resolver).expect("TLS")
}

fn is_refused(result: &Result<Incoming, EgressError>) -> bool {
    matches!(result, Err(EgressError::Refused(_)))
}

#[tokio::test]
async fn no_spelling_of_an_inside_address_is_called() {
    let canary = Receiver::willing().await;
    let port = canary.port;
    // Even where plain http is allowed.
    let egress = egress(EgressPolicy { allow_http: true, ..EgressPolicy::default() }, Scripted::new(&[&["127.0.0.1"]]));
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "127。0。0。1",
        "①27.0.0.1",
        "127.0.0.1.",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "224.0.0.1",
        "255.255.255.255",
        // Names that lead inside.
        "localhost",
        "localhost.",
        "LOCALHOST",
        "inside.example",
        "metadata.google.internal",
        "127.0.0.1.nip.io",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let result = fetch(&egress, &url).await;
            assert!(is_refused(&result), "{url}: {result:?}");
        }
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn tricks_with_the_url_do_not_help() {
    let canary = Receiver::willing().await;
    let port = canary.port;
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    let egress = egress(policy, Scripted::new(&[&["127.0.0.1"]]));
    for url in [
        format!("http://user:pass@127.0.0.1:{port}/"),
        format!("https://good.example:443@127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        format!("file://127.0.0.1:{port}/etc/passwd"),
        format!("gopher://127.0.0.1:{port}/"),
        format!("//127.0.0.1:{port}/"),
        format!("http://inside.example:{port}/"),
        "https://good.example:22/".to_owned(),
        "https://good.example:25/".to_owned(),
        format!("https://{}.example/", "a".repeat(9_000)),
        String::new(),
    ] {
        let result = fetch(&egress, &url).await;
        assert!(is_refused(&result), "{url}: {result:?}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_host_must_be_one_that_the_manifest_allows() {
    let manifest: Manifest = serde_json::from_value(json!({
        "id": "test/some", "version": "0.1.0", "name": "Some",
        "settings": [{ "name": "url", "type": "url" }, { "name": "region", "type": "string" }],
        "hosts": ["api.good.example", "*.wide.example", "{settings.region}.geo.example", "{settings.url}"],
        "actions": [{ "name": "send" }],
    }))
    .expect("a manifest");
    let settings = [("url".to_owned(), json!("https://own.example:8443/in")), ("region".to_owned(), json!("eu1"))];
    let allowed = Allowed::of(&manifest, &settings.into());
    let policy = EgressPolicy::default();
    let passes = |url: &str| Target::check(url, &allowed, &policy).is_ok();
    for good in [
        "https://api.good.example/x",
        "https://API.good.example./x",
        "https://a.wide.example/",
        "https://a.b.wide.example/",
        "https://eu1.geo.example/",
        "https://own.example:8443/other",
    ] {
        assert!(passes(good), "{good}");
    }
    let dotted = Target::check("https://api.good.example./x#y", &allowed, &policy).expect("the same name");
    assert_eq!(dotted.url().as_str(), "https://api.good.example/x");
    for bad in [
        "https://good.example/",
        "https://evil.example/",
        "https://api.good.example.evil.example/",
        "https://evil.example/api.good.example",
        "https://evil.example#api.good.example",
        "https://evilwide.example/",
        "https://wide.example/",
        "https://us1.geo.example/",
        "https://own.example/",
        "https://api.good.example:8443/",
        "https://evil.example\\@api.good.example/",
        "https://api.good.example%2eevil.example/",
        "https://xapi.good.example/",
    ] {
        assert!(!passes(bad), "{bad}");
    }
    // A setting that is more than one label cannot widen a template.
    for region in ["evil.example/", "evil.example#", "a.b", "", "@evil.example"] {
        let settings = [("region".to_owned(), json!(region))].into();
        let allowed = Allowed::of(&manifest, &settings);
        let url = format!("https://{region}.geo.example/");
        assert!(Target::check(&url, &allowed, &policy).is_err(), "{region}");
    }
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_called() {
    let canary = Receiver::willing().await;
    // Public when it is looked at, this machine when it is looked at again. The public one is nobody's here.
    let rebinding = Scripted::new(&[&["198.41.0.4"], &["127.0.0.1"]]);
    let egress = egress(EgressPolicy { allow_http: true, ..EgressPolicy::default() }, Arc::clone(&rebinding));
    let url = format!("http://rebind.example:{}/", canary.port);
    let first = fetch(&egress, &url).await;
    assert!(matches!(first, Err(EgressError::Connect | EgressError::Timeout)), "{first:?}");
    assert_eq!(rebinding.1.load(Ordering::SeqCst), 1, "one look-up a connection");
    let second = fetch(&egress, &url).await;
    assert!(is_refused(&second), "{second:?}");
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn one_inside_address_among_public_ones_refuses_them_all() {
    let canary = Receiver::willing().await;
    for mixed in [["198.41.0.4", "127.0.0.1"], ["127.0.0.1", "198.41.0.4"]] {
        let egress = egress(EgressPolicy { allow_http: true, ..EgressPolicy::default() }, Scripted::new(&[&mixed]));
        let result = fetch(&egress, &format!("http://mixed.example:{}/", canary.port)).await;
        assert!(is_refused(&result), "{result:?}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn the_development_setting_opens_this_machine_and_nothing_else() {
    let receiver = Receiver::willing().await;
    let policy = EgressPolicy { allow_loopback: true, ..EgressPolicy::default() };
    let egress = egress(policy, Scripted::new(&[&["10.0.0.1"]]));
    let reply = fetch(&egress, &receiver.url()).await.expect("this machine answers");
    assert_eq!(reply.status, 200);
    for inside in [
        "http://10.0.0.1/",
        "https://192.168.0.1/",
        "http://169.254.169.254/",
        "https://named.example/",
        "http://localhost/",
    ] {
        let result = fetch(&egress, inside).await;
        assert!(is_refused(&result), "{inside}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_an_answer_and_never_followed() {
    let canary = Receiver::willing().await;
    let inside = canary.url();
    for location in [inside, "http://169.254.169.254/latest/meta-data/".to_owned(), "//127.0.0.1/".to_owned()] {
        let redirecting =
            Receiver::start(move |_| Answer::Reply(302, vec![("location", location.clone())], Vec::new())).await;
        let bench = Bench::hostile(&redirecting.url());
        let outcomes = bench.deliver("each", vec![bench::event(1, 1, &json!({ "n": 1 }))]).await.expect("outcomes");
        assert_eq!(said(&outcomes), [(rialto_model::delivery::Verdict::Rejected, "http_302")]);
        assert_eq!(redirecting.received().len(), 1);
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_cannot_go_where_its_manifest_does_not_say() {
    let (own, canary) = (Receiver::willing().await, Receiver::willing().await);
    let host = bench::host(artifact::hostile(), Default::default(), bench::local());
    for elsewhere in
        [canary.url(), "https://elsewhere.example/".into(), "http://169.254.169.254/".into(), "nonsense".into()]
    {
        let settings = json!({ "url": own.url(), "elsewhere": elsewhere });
        let bench = Bench::new(host.clone(), "test/hostile", settings, &[]);
        let outcomes = bench.one("elsewhere").await.expect("outcomes");
        assert_eq!(said(&outcomes), [(rialto_model::delivery::Verdict::Retry, "egress_refused")], "{elsewhere}");
        assert!(!outcomes[0].message.is_empty());
    }
    assert_eq!((own.connections(), canary.connections()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_to_an_inside_name_is_refused_before_anything_is_sent() {
    let canary = Receiver::willing().await;
    let options = PluginOptions {
        egress: EgressPolicy { allow_http: true, ..EgressPolicy::default() },
        ..PluginOptions::default()
    };
    let host = PluginHost::open_with(options, Scripted::new(&[&["127.0.0.1"]])).expect("a host");
    host.install(artifact::webhook()).expect("taken");
    assert!(host.limits("rialto/webhook").is_some());
    let url = format!("http://inside.example:{}/", canary.port);
    let outcomes = Bench::new(host, "rialto/webhook", json!({ "url": url }), &[]).one("send").await.expect("outcomes");
    assert_eq!(said(&outcomes), [(rialto_model::delivery::Verdict::Retry, "egress_refused")]);
    assert_eq!(canary.connections(), 0);
}
