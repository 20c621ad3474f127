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
