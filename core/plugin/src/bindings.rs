//! What the WIT contract generates for the host.
#![allow(unreachable_pub, missing_docs, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "destination-connector",
    // A flood of lines ends the call.
    imports: { default: trappable },
});

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
