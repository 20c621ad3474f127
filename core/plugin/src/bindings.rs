//! What the WIT contract generates for the host: a world for each thing that a connector can do, over the same types.
#![allow(unreachable_pub, missing_docs, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "destination-connector",
    // A flood of lines ends the call.
    imports: { default: trappable },
});

/// The world of those that read webhooks.
pub(crate) mod webhook {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "webhook-connector",
        imports: { default: trappable },
        with: {
            "rialto:plugin/log": super::rialto::plugin::log,
            "rialto:plugin/types": super::rialto::plugin::types,
        },
    });

    pub(crate) use self::exports::rialto::plugin::webhook::{Accepted, Answer, Request};
}

pub(crate) use self::{
    exports::rialto::plugin::destination::{Item, Job, LastCalls, Step},
    rialto::plugin::{
        log::Level,
        types::{
            Calls, Context, Ext, Failure, HttpRequest, HttpResponse, Outcome, Reply, TransportError,
            Verdict as WitVerdict,
        },
    },
};
