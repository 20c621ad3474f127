//! The document's own words: what the API is, its tags, its keys, and the schemas that answers refer to.

use serde_json::{Map, Value};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::ingest::reply::{Refused, Success};
use crate::ingest::settings::BrowserSettings;
use crate::manage::api_keys::MadeApiKey;
use crate::manage::dead_letters::OpenedDeadLetter;
use crate::manage::events::DecidedEvent;
use crate::manage::lanes::StandingLane;
use crate::manage::profiles::Person;
use crate::manage::write_keys::MadeWriteKey;
use crate::probe::{Alive, Readiness};
use crate::problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rialto",
        description = "Events in, one profile, routed out.\n\n\
            **Ingest** (`/v1/…`) takes what Segment's SDKs send; clients authenticate with a *write key*. \
            **Management** (`/api/v1/…`) takes `Authorization: Bearer` with an *API key* (`rk_…`), which belongs to \
            one tenant and has a role: `viewer`, `editor` or `admin`. Tenants themselves are the operator's, whose \
            token starts with `ro_`.\n\n\
            Listings are pages: give `next` back as `after`. Things that change have an `ETag`; name it in \
            `If-Match` to change that version and no other. Where an operation lists `Idempotency-Key`, it makes a \
            repeated request harmless; elsewhere it is not looked at. Errors are `application/problem+json`; their \
            `type` is the path of a page here that explains them.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "Ingest", description = "Events in, by the Segment tracking API."),
        (name = "Tenants", description = "The client organisations, for the operator."),
        (name = "API keys", description = "Who may use the management API of a tenant."),
        (name = "Sources", description = "Where events come from."),
        (name = "Write keys", description = "What clients of a source send with."),
        (name = "Destinations", description = "Where events go."),
        (name = "Routes", description = "Which events of which source go to which destination."),
        (name = "Connectors", description = "What kinds of destination, and of webhook, are installed."),
        (name = "Profiles", description = "The people that events were resolved to."),
        (name = "Events", description = "What came in, what was decided, and what became of it."),
        (name = "Suppressions", description = "Whose events are taken and go nowhere."),
        (name = "Deliveries", description = "What waits, what was given up, and how each lane goes."),
        (name = "Hub", description = "Whether the hub lives and works.")
    ),
    components(schemas(
        rialto_model::decision::TimelineEntry,
        rialto_model::delivery::DeadLetter,
        rialto_model::delivery::Parked,
        rialto_model::destination::Destination,
        rialto_model::explain::Explanation,
        rialto_model::key::ApiKey,
        rialto_model::key::WriteKey,
        rialto_model::live::LiveEvent,
        rialto_model::manifest::Manifest,
        rialto_model::profile::Merge,
        rialto_model::profile::Profile,
        rialto_model::route::Route,
        rialto_model::source::Source,
        rialto_model::suppression::Suppression,
        rialto_model::tenant::Tenant,
        Alive, BrowserSettings, DecidedEvent, MadeApiKey, MadeWriteKey, OpenedDeadLetter, Person, Readiness, Refused, StandingLane, Success,
    )),
    security(("api_key" = [])),
    modifiers(&Keys)
)]
struct Base;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let bearer = |text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
        };
        let basic = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some(
                "The write key as user name, with an empty password. It may stand in the body instead, as `writeKey`.",
            ))
            .build();
        let header = ApiKeyValue::with_description("X-Write-Key", "The write key.");
        components.add_security_scheme("api_key", bearer("An API key of a tenant: `rk_…`."));
        components.add_security_scheme("operator_token", bearer("The operator's token: `ro_…`."));
        components.add_security_scheme("write_key", SecurityScheme::Http(basic));
        components.add_security_scheme("write_key_header", SecurityScheme::ApiKey(ApiKey::Header(header)));
        components.schemas.extend(problem::schemas());
    }
}

/// Gives the operations ids that are theirs alone, `sources_create` for the `create` of the tag "Sources", and
/// writes a number as a number where the derived schema names Rust's type.
pub(crate) fn finish(document: &Document) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for item in members(&mut document, "/paths") {
        for operation in item.as_object_mut().into_iter().flat_map(|item| item.values_mut()) {
            let tag = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
            operation["operationId"] = format!("{}_{id}", tag.to_lowercase().replace(' ', "_")).into();
        }
    }
    let number =
        document.pointer_mut("/components/schemas").and_then(Value::as_object_mut).and_then(|s| s.remove("u64"));
    if let Some(Value::Object(number)) = number {
        inline(&mut document, "#/components/schemas/u64", &number);
    }
    document
}

fn members<'d>(document: &'d mut Value, at: &str) -> impl Iterator<Item = &'d mut Value> {
    document.pointer_mut(at).and_then(Value::as_object_mut).into_iter().flat_map(|members| members.values_mut())
}

fn inline(value: &mut Value, reference: &str, schema: &Map<String, Value>) {
    match value {
        Value::Object(members) => {
            if members.get("$ref").and_then(Value::as_str) == Some(reference) {
                members.remove("$ref");
                members.extend(schema.clone());
            }
            members.values_mut().for_each(|member| inline(member, reference, schema));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, reference, schema)),
        _ => {}
    }
}

/// The document before the operations are in it.
pub(crate) fn base() -> Document {
    Base::openapi()
}
