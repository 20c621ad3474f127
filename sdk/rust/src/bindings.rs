//! What the WIT contract generates. The names here are the contract's; the rest of the crate is how to say it.
#![allow(unsafe_code, unreachable_pub, missing_docs, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "destination-connector",
    pub_export_macro: true,
    export_macro_name: "export_destination",
    default_bindings_module: "rialto_sdk::bindings",
    additional_derives: [PartialEq, Clone],
});

/// The world of those that read webhooks, over the same types.
pub mod webhook {
    wit_bindgen::generate!({
        path: "../wit",
        world: "webhook-connector",
        pub_export_macro: true,
        export_macro_name: "export_webhook",
        default_bindings_module: "rialto_sdk::bindings::webhook",
        additional_derives: [PartialEq, Clone],
        with: {
            "rialto:plugin/log@0.1.0": crate::bindings::rialto::plugin::log,
            "rialto:plugin/types@0.1.0": crate::bindings::rialto::plugin::types,
        },
    });
}
