//! The attributes of rialto-sdk: `#[derive(Settings)]`, `#[derive(Choice)]`, `#[destination]` and `#[webhook]`.

mod arguments;
mod choice;
mod destination;
mod documentation;
mod manifest;
mod settings;
mod slots;
mod webhook;

use proc_macro::TokenStream;

/// Reads a connector's settings and describes them in its manifest.
///
/// A field is described by its doc comment and `#[field(label = "…", default = …, pattern = "…")]`; its type decides
/// which input it is and whether it is required.
#[proc_macro_derive(Settings, attributes(field))]
pub fn derive_settings(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    settings::derive(item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an enum without fields a setting with choices, in snake_case.
#[proc_macro_derive(Choice)]
pub fn derive_choice(item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::DeriveInput);
    choice::derive(item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an impl block a destination connector: writes its manifest and, for Wasm, its exports.
///
/// `id`, `name` and `hosts` must be given; `description`, `auth(…)`, `batch(max = …, max_bytes = …)`,
/// `concurrency` and `verdicts(…)` may. Methods marked `#[action]` are what it can do.
#[proc_macro_attribute]
pub fn destination(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(arguments as arguments::Arguments);
    let item = syn::parse_macro_input!(item as syn::ItemImpl);
    destination::expand(&arguments, item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an impl block a connector that reads webhooks: writes its manifest and, for Wasm, its export.
///
/// `id` and `name` must be given; `description` and `verify(…)` may. Its function `receive` makes records of what came
/// in.
#[proc_macro_attribute]
pub fn webhook(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(arguments as webhook::Arguments);
    let item = syn::parse_macro_input!(item as syn::ItemImpl);
    webhook::expand(&arguments, item).unwrap_or_else(syn::Error::into_compile_error).into()
}
