//! `#[destination]`: the manifest, the table of actions, and the exports.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::{Value, json};
use syn::{Attribute, Error, Ident, ImplItem, ItemImpl, LitStr, Meta, Type};

use crate::{arguments::Arguments, documentation::of};

pub(crate) fn expand(arguments: &Arguments, mut item: ItemImpl) -> Result<TokenStream, Error> {
    let actions = take_actions(&mut item)?;
    if actions.is_empty() {
        return Err(Error::new_spanned(&item.self_ty, "a destination needs a method marked #[action]"));
    }
    let (head, tail) = manifest(arguments, &item, &actions);
    let connector = item.self_ty.as_ref();
    let names = actions.iter().map(|action| &action.name);
    let methods = actions.iter().map(|action| &action.method);
    let exports = exports(connector);
    Ok(quote! {
        #item

        impl ::rialto_sdk::Destination for #connector {
            const MANIFEST: &'static [u8] = {
                const PARTS: &[&[&str]] =
                    &[&[#head], <#connector as ::rialto_sdk::settings::Settings>::FIELDS, &[#tail]];
                const JOINED: [u8; ::rialto_sdk::section::length(PARTS)] = ::rialto_sdk::section::join(PARTS);
                &JOINED
            };

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

/// The manifest's text before and after the settings, which only the compiler can join.
fn manifest(arguments: &Arguments, item: &ItemImpl, actions: &[Action]) -> (String, String) {
    let package = |what: &str| std::env::var(format!("CARGO_PKG_{what}")).unwrap_or_default();
    let documented = of(&item.attrs);
    let described = arguments.description.clone().or((!documented.is_empty()).then_some(documented));
    let actions: Vec<Value> = actions.iter().map(|a| json!({ "name": a.name, "description": a.description })).collect();
    let rest = json!({
        "id": arguments.id,
        "version": package("VERSION"),
        "name": arguments.name,
        "description": described.unwrap_or_else(|| package("DESCRIPTION")),
        "license": package("LICENSE"),
        "auth": arguments.auth,
        "hosts": arguments.hosts,
        "limits": arguments.limits,
        "verdicts": arguments.verdicts,
        "actions": actions,
    });
    let text = rest.to_string();
    let open = text.strip_suffix('}').unwrap_or(&text);
    (format!("{open},\"settings\":["), "]}".to_owned())
}

fn exports(connector: &Type) -> TokenStream {
    quote! {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, reason = "an export of a component has a name that the contract gives")]
        const _: () = {
            use ::rialto_sdk::bindings::{
                exports::rialto::plugin::destination::{Guest, Job, Step},
                rialto::plugin::types::{Context, Failure, Reply},
            };

            const LENGTH: usize = <#connector as ::rialto_sdk::Destination>::MANIFEST.len();
            #[used]
            #[unsafe(link_section = "rialto:manifest")]
            static MANIFEST: [u8; LENGTH] =
                *<#connector as ::rialto_sdk::Destination>::MANIFEST.first_chunk::<LENGTH>().unwrap();

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
