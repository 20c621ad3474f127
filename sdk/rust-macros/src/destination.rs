//! `#[destination]`: the manifest, the table of actions, and the exports.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::{Map, Value, json};
use syn::{Attribute, Error, Ident, ImplItem, ItemImpl, LitStr, Meta, Type};

use crate::{arguments::Arguments, documentation::of, manifest};

pub(crate) fn expand(arguments: &Arguments, mut item: ItemImpl) -> Result<TokenStream, Error> {
    let actions = take_actions(&mut item)?;
    if actions.is_empty() {
        return Err(Error::new_spanned(&item.self_ty, "a destination needs a method marked #[action]"));
    }
    let connector = item.self_ty.as_ref();
    let constant = manifest::constant(connector, manifest(arguments, &item, &actions));
    let names = actions.iter().map(|action| &action.name);
    let methods = actions.iter().map(|action| &action.method);
    let exports = exports(connector);
    Ok(quote! {
        #item

        impl ::rialto_sdk::Destination for #connector {
            #constant

            fn act<'a>(
                cx: &'a ::rialto_sdk::Cx<Self>,
                action: &str,
                events: ::std::vec::Vec<::rialto_sdk::executor::Event>,
            ) -> ::core::option::Option<::rialto_sdk::executor::Acting<'a>> {
                match action {
                    #(#names => ::core::option::Option::Some(::std::boxed::Box::pin(
                        ::rialto_sdk::executor::act(events, move |batch| Self::#methods(cx, batch)),
                    )),)*
                    _ => ::core::option::Option::None,
                }
            }
        }

        #exports
    })
}

/// One method marked `#[action]`.
struct Action {
    name: String,
    method: Ident,
    description: String,
}

fn take_actions(item: &mut ItemImpl) -> Result<Vec<Action>, Error> {
    let mut actions = Vec::new();
    for member in &mut item.items {
        let ImplItem::Fn(method) = member else { continue };
        let Some(at) = method.attrs.iter().position(|a| a.path().is_ident("action")) else { continue };
        let attribute = method.attrs.remove(at);
        if method.sig.asyncness.is_none() || method.sig.inputs.len() != 2 {
            let wanted = "an action is `async fn name(cx: &Cx<Self>, batch: Batch<…>) -> Result<Outcomes>`";
            return Err(Error::new_spanned(&method.sig, wanted));
        }
        let name = given_name(&attribute)?.unwrap_or_else(|| method.sig.ident.to_string());
        actions.push(Action { name, method: method.sig.ident.clone(), description: of(&method.attrs) });
    }
    Ok(actions)
}

/// The name in `#[action(name = "…")]`.
fn given_name(attribute: &Attribute) -> Result<Option<String>, Error> {
    if matches!(attribute.meta, Meta::Path(_)) {
        return Ok(None);
    }
    let mut name = None;
    attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("expected name = \"…\""));
        }
        name = Some(meta.value()?.parse::<LitStr>()?.value());
        Ok(())
    })?;
    Ok(name)
}

fn manifest(arguments: &Arguments, item: &ItemImpl, actions: &[Action]) -> Map<String, Value> {
    let mut manifest = manifest::head(&arguments.id, &arguments.name, arguments.description.as_deref(), &item.attrs);
    let actions: Vec<Value> = actions.iter().map(|a| json!({ "name": a.name, "description": a.description })).collect();
    for (name, value) in [
        ("auth", json!(arguments.auth)),
        ("hosts", json!(arguments.hosts)),
        ("limits", json!(arguments.limits)),
        ("verdicts", json!(arguments.verdicts)),
        ("actions", json!(actions)),
    ] {
        manifest.insert(name.to_owned(), value);
    }
    manifest
}

fn exports(connector: &Type) -> TokenStream {
    let section = manifest::section(connector, &quote!(::rialto_sdk::Destination));
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "an export of a component has a name that the contract gives")]
        const _: () = {
            use ::rialto_sdk::bindings::{
                exports::rialto::plugin::destination::{Guest, Job, Step},
                rialto::plugin::types::{Context, Failure, Reply},
            };

            #section

            struct Exported;

            impl Guest for Exported {
                fn prepare(context: Context, job: Job) -> ::core::result::Result<Step, Failure> {
                    ::rialto_sdk::executor::report_panics();
                    ::rialto_sdk::executor::prepare::<#connector>(&context, job)
                }

                fn resume(
                    context: Context,
                    job: ::core::option::Option<Job>,
                    state: ::std::vec::Vec<u8>,
                    replies: ::std::vec::Vec<Reply>,
                ) -> ::core::result::Result<Step, Failure> {
                    ::rialto_sdk::executor::report_panics();
                    ::rialto_sdk::executor::resume::<#connector>(&context, job, &state, replies)
                }
            }

            ::rialto_sdk::bindings::export_destination!(Exported with_types_in ::rialto_sdk::bindings);
        };
    }
}
