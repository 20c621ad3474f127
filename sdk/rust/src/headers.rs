//! Which headers a connector may set, by the list that the hub goes by too.

/// The most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// The most bytes of a request's headers, names and values together.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

const HUB_ONLY: &str = include_str!("../../wit/hub-headers.txt");

/// Whether only the hub, or an auth slot, sets the header of a name, in any case.
pub fn is_hub_only(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HUB_ONLY.lines().any(|own| own.strip_suffix('*').map_or(name == own, |start| name.starts_with(start)))
}

/// Why the hub would not make a request with this header.
pub fn problem(name: &str, value: &str) -> Option<String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Some(format!("'{name}' is not a header's name"));
    }
    if is_hub_only(name) {
        return Some(format!("the header {name} is not a connector's to set; credentials go by auth slots"));
    }
    let printed = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    (!value.bytes().all(printed)).then(|| format!("the value of {name} holds control characters"))
}
