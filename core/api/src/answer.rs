//! What a handler can answer: found, listed, created, done. The document is made from the same types.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rialto_model::Timestamp;
use rialto_model::destination::Destination;
use rialto_model::page::Page;
use rialto_model::route::Route;
use rialto_model::source::Source;
use rialto_model::tenant::Tenant;
use serde::Serialize;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Ref, RefOr, Response as Documented, ResponseBuilder, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// Things that change, and so have an `ETag` that `If-Match` can name.
pub(crate) trait Versioned {
    /// When it last changed.
    fn version(&self) -> Timestamp;
}

macro_rules! versioned {
    ($($name:ident),*) => {$(
        impl Versioned for $name {
            fn version(&self) -> Timestamp {
                self.updated_at
            }
        }
    )*};
}
versioned!(Source, Destination, Route, Tenant);

/// 200 with one thing.
pub(crate) struct Found<T>(pub(crate) T);

/// 200 with one thing that changes, and its `ETag`.
pub(crate) struct Current<T>(pub(crate) T);

/// 200 with one page of a listing.
pub(crate) struct Listed<T>(pub(crate) Page<T>);

/// 201 with what was made, and where it is.
pub(crate) struct Created<T> {
    /// What was made.
    pub(crate) body: T,
    /// Its path.
    pub(crate) location: String,
}

/// 204: it is so now.
pub(crate) struct Done;

/// The `ETag` of a version.
pub(crate) fn etag(version: Timestamp) -> String {
    format!("\"{}\"", version.0)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = (status, bytes).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => crate::problem::Problem::internal(&error).into_response(),
    }
}

fn with_header(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

impl<T: Serialize> IntoResponse for Found<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + Versioned> IntoResponse for Current<T> {
    fn into_response(self) -> Response {
        with_header(json(StatusCode::OK, &self.0), header::ETAG, &etag(self.0.version()))
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        with_header(json(StatusCode::CREATED, &self.body), header::LOCATION, &self.location)
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

type Responses = BTreeMap<String, RefOr<Documented>>;

/// A response whose body is described elsewhere in the document, under the type's name.
fn documented(description: &str, schema: impl Into<RefOr<Schema>>) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/json", content)
}

fn reference<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

fn one(status: &str, response: ResponseBuilder) -> Responses {
    BTreeMap::from([(status.to_owned(), response.build().into())])
}

fn text_header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build()
}

impl<T: ToSchema> IntoResponses for Found<T> {
    fn responses() -> Responses {
        one("200", documented("Found.", reference::<T>()))
    }
}

impl<T: ToSchema> IntoResponses for Current<T> {
    fn responses() -> Responses {
        let tag = text_header("Name it in `If-Match` to change this version and no other.");
        one("200", documented("Found, or changed.", reference::<T>()).header("ETag", tag))
    }
}

impl<T: ToSchema> IntoResponses for Listed<T> {
    fn responses() -> Responses {
        let next = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Give it as `after` to get the next page; absent on the last."));
        let page = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(reference::<T>()))
            .property("next", next)
            .required("items");
        one("200", documented("One page.", Schema::from(page)))
    }
}

impl<T: ToSchema> IntoResponses for Created<T> {
    fn responses() -> Responses {
        one("201", documented("Made.", reference::<T>()).header("Location", text_header("Where it is.")))
    }
}

impl IntoResponses for Done {
    fn responses() -> Responses {
        one("204", ResponseBuilder::new().description("It is so now."))
    }
}
