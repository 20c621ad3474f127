//! `#[webhook]`: the manifest and the export of a connector that reads webhooks.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::{Value, json};
use syn::{
    Error, Ident, ImplItem, ImplItemFn, ItemImpl, Token, Type,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use crate::{
    documentation::of,
    manifest,
    slots::{Scheme, slots, text},
};

/// How webhooks are proved, with what each scheme is told in brackets.
const SCHEMES: &[Scheme] = &[
    Scheme { word: "standard_webhooks", place: None, more: &[] },
    Scheme { word: "hmac_sha256", place: Some("header"), more: &["prefix"] },
    Scheme { word: "token", place: Some("header"), more: &[] },
];

/// What stands in `#[webhook(…)]`.
pub(crate) struct Arguments {
    id: String,
    name: String,
    description: Option<String>,
    verify: Vec<Value>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        let whole = input.span();
        let (mut id, mut name, mut description, mut verify) = (None, None, None, Vec::new());
        while !input.is_empty() {
            let key = input.call(Ident::parse_any)?;
            match key.to_string().as_str() {
                "id" => id = Some(text(input)?),
                "name" => name = Some(text(input)?),
                "description" => description = Some(text(input)?),
                "verify" => verify = slots(input, SCHEMES)?,
                _ => return Err(Error::new(key.span(), "expected id, name, description or verify")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what: &str| Error::new(whole, format!("a webhook connector needs {what}"));
        Ok(Self {
            id: id.ok_or_else(|| missing("id = \"publisher/name\""))?,
            name: name.ok_or_else(|| missing("name = \"…\""))?,
            description,
            verify,
        })
    }
}

pub(crate) fn expand(arguments: &Arguments, item: ItemImpl) -> Result<TokenStream, Error> {
    let receive = find_receive(&item)?;
    let mut manifest = manifest::head(&arguments.id, &arguments.name, arguments.description.as_deref(), &item.attrs);
    let webhook = json!({ "description": of(&receive.attrs), "verify": arguments.verify });
    manifest.insert("webhook".to_owned(), webhook);
    let connector = item.self_ty.as_ref();
    let constant = manifest::constant(connector, manifest);
    let export = export(connector);
    Ok(quote! {
        #item

        impl ::rialto_sdk::Receiver for #connector {
            #constant

            fn receive(
                cx: &::rialto_sdk::Cx<Self>,
                webhook: ::rialto_sdk::Incoming,
            ) -> ::rialto_sdk::Result<::rialto_sdk::Accepted> {
                // The block's own function, which goes before the trait's.
                <#connector>::receive(cx, webhook)
            }
        }

        #export
    })
}

fn find_receive(item: &ItemImpl) -> Result<&ImplItemFn, Error> {
    let functions = item.items.iter().filter_map(|item| match item {
        ImplItem::Fn(function) => Some(function),
        _ => None,
    });
    let wanted = "a webhook connector needs `fn receive(cx: &Cx<Self>, webhook: Incoming) -> Result<Accepted>`";
    let Some(receive) = functions.into_iter().find(|function| function.sig.ident == "receive") else {
        return Err(Error::new_spanned(&item.self_ty, wanted));
    };
    if let Some(word) = &receive.sig.asyncness {
        let why = "a webhook is read in one call and without requests: there is nothing to await";
        return Err(Error::new_spanned(word, why));
    }
    if receive.sig.inputs.len() != 2 {
        return Err(Error::new_spanned(&receive.sig, wanted));
    }
    Ok(receive)
}

fn export(connector: &Type) -> TokenStream {
    let section = manifest::section(connector, &quote!(::rialto_sdk::Receiver));
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "an export of a component has a name that the contract gives")]
        const _: () = {
            use ::rialto_sdk::bindings::{
                rialto::plugin::types::{Context, Failure},
                webhook::exports::rialto::plugin::webhook::{Accepted, Guest, Request},
            };

            #section

            struct Exported;

            impl Guest for Exported {
                fn receive(context: Context, request: Request) -> ::core::result::Result<Accepted, Failure> {
                    ::rialto_sdk::executor::report_panics();
                    ::rialto_sdk::webhook::receive::<#connector>(&context, request)
                }
            }

            ::rialto_sdk::bindings::webhook::export_webhook!(Exported with_types_in ::rialto_sdk::bindings::webhook);
        };
    }
}
