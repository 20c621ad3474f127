//! Guests written by hand in the text format, for what Rust will not say.

use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A manifest that is sound.
pub(crate) const MANIFEST: &str = r#"{
    "id": "test/by-hand", "version": "0.1.0", "name": "By hand",
    "hosts": ["a.example"], "actions": [{ "name": "send" }]
}"#;

/// A component around a module: `extra` stands among its definitions, `body` is what `prepare` does.
pub(crate) fn component(extra: &str, body: &str) -> Vec<u8> {
    with_manifests(module(extra, body), &[MANIFEST])
}

/// A component with as many manifests as are given.
pub(crate) fn with_manifests(module: Vec<u8>, manifests: &[&str]) -> Vec<u8> {
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.validate(true).module(&module).and_then(|encoder| encoder.encode());
    let mut component = encoded.expect("a component");
    for manifest in manifests {
        component.extend(manifest_section(manifest));
    }
    component
}

/// A component with one more core module in it, and an instance of that.
pub(crate) fn beside(mut component: Vec<u8>, module: &str) -> Vec<u8> {
    let (mut depth, mut modules) = (0, 0);
    for payload in Parser::new(0).parse_all(&component) {
        match payload.expect("a component") {
            Payload::ModuleSection { .. } => {
                modules += u8::from(depth == 0);
                depth += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    component.extend(section(1, wat::parse_str(module).expect("a module")));
    // One instance, made of a module, without arguments.
    component.extend(section(2, vec![1, 0, modules, 0]));
    component
}

fn manifest_section(manifest: &str) -> Vec<u8> {
    let mut content = vec![15];
    content.extend_from_slice(b"rialto:manifest");
    content.extend_from_slice(manifest.as_bytes());
    section(0, content)
}

fn section(id: u8, content: Vec<u8>) -> Vec<u8> {
    let mut section = vec![id];
    let mut length = content.len();
    while length >= 0x80 {
        section.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.extend(content);
    section
}

/// A core module that has what the contract wants of a destination.
pub(crate) fn module(extra: &str, body: &str) -> Vec<u8> {
    module_for(&["destination-connector"], extra, body)
}

/// A core module that delivers and reads webhooks, which is `body` too.
pub(crate) fn module_of_both(body: &str) -> Vec<u8> {
    let receive = format!(
        r#"(func (export "rialto:plugin/webhook@0.1.0#receive") (param i64 i64 {}) (result i32) {body})"#,
        "i32 ".repeat(14)
    );
    module_for(&["destination-connector", "webhook-connector"], &receive, body)
}

fn module_for(worlds: &[&str], extra: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {extra}
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
            (func (export "rialto:plugin/destination@0.1.0#prepare")
                (param i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body})
            (func (export "rialto:plugin/destination@0.1.0#resume")
                (param i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
        )"#
    );
    let mut module = wat::parse_str(&text).expect("a module");
    let mut resolve = Resolve::default();
    let wit = include_str!("../../../../sdk/wit/rialto.wit");
    let package = resolve.push_str("rialto.wit", wit).expect("the contract");
    for world in worlds {
        let world = resolve.select_world(&[package], Some(world)).expect("its world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata");
    }
    module
}

/// A component from its text.
pub(crate) fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a component")
}
