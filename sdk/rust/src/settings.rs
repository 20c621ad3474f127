//! What an admin fills in, as a typed struct. `#[derive(Settings)]` makes both the reader and the manifest's fields.

use std::collections::BTreeMap;

pub use serde_json::{Map, Value};

use crate::{Error, headers};

/// A connector's settings.
pub trait Settings: Sized {
    /// The manifest's fields as parts of a JSON text.
    const FIELDS: &'static [&'static str];

    /// Reads the settings of one call. The hub has checked them against the manifest.
    fn read(settings: &Map<String, Value>) -> Result<Self, Error>;
}

/// A type that one setting can have.
pub trait Setting: Sized {
    /// The manifest's word for it.
    const TYPE: &'static str;
    /// Whether it must be given where there is no default.
    const REQUIRED: bool = true;
    /// The values it may have, as a JSON array; empty if any.
    const CHOICES: &'static str = "[]";

    /// Reads a value, or says what is wrong with it.
    fn read(value: Option<&Value>) -> Result<Self, String>;
}

/// Reads one field, for the derive.
pub fn field<T: Setting>(settings: &Map<String, Value>, name: &str, default: Option<Value>) -> Result<T, Error> {
    let given = settings.get(name).filter(|value| !value.is_null());
    T::read(given.or(default.as_ref())).map_err(|message| Error::setting(name, message))
}

/// A default that the derive wrote.
pub fn parse(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

/// An http or https URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Url> for String {
    fn from(url: &Url) -> Self {
        url.0.clone()
    }
}

fn text(value: Option<&Value>) -> Result<String, String> {
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("expected a text".into()),
        None => Err("is missing".into()),
    }
}

impl Setting for String {
    const TYPE: &'static str = "string";
    fn read(value: Option<&Value>) -> Result<Self, String> {
        text(value)
    }
}

impl Setting for Url {
    const TYPE: &'static str = "url";
    fn read(value: Option<&Value>) -> Result<Self, String> {
        text(value).map(Self)
    }
}

impl Setting for bool {
    const TYPE: &'static str = "boolean";
    fn read(value: Option<&Value>) -> Result<Self, String> {
        value.ok_or("is missing")?.as_bool().ok_or_else(|| "expected true or false".into())
    }
}

impl Setting for f64 {
    const TYPE: &'static str = "number";
    fn read(value: Option<&Value>) -> Result<Self, String> {
        value.ok_or("is missing")?.as_f64().ok_or_else(|| "expected a number".into())
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            const TYPE: &'static str = "integer";
            fn read(value: Option<&Value>) -> Result<Self, String> {
                let number = value.ok_or("is missing")?.as_i64().ok_or("expected a whole number")?;
                Self::try_from(number).map_err(|_| format!("{number} is out of range"))
            }
        }
    )*};
}
integers!(i64, i32, u32, u16, u8);

impl Setting for BTreeMap<String, String> {
    const TYPE: &'static str = "string_map";
    const REQUIRED: bool = false;
    fn read(value: Option<&Value>) -> Result<Self, String> {
        let Some(value) = value else { return Ok(Self::new()) };
        let object = value.as_object().ok_or("expected an object with text values")?;
        object.iter().map(|(name, value)| Ok((name.clone(), text(Some(value))?))).collect()
    }
}

/// Headers that an admin wishes for every request: at most 48 of 12 KiB in all, and none that the hub would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Setting for Headers {
    const TYPE: &'static str = <BTreeMap<String, String> as Setting>::TYPE;
    const REQUIRED: bool = false;
    fn read(value: Option<&Value>) -> Result<Self, String> {
        let all = Self(Setting::read(value)?);
        if let Some(problem) = all.iter().find_map(|(name, value)| headers::problem(name, value)) {
            return Err(problem);
        }
        // The rest of what the hub lets pass is for the connector's own.
        let (most, most_bytes) = (headers::MAX_HEADERS / 4 * 3, headers::MAX_HEADER_BYTES / 4 * 3);
        let bytes: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
        let few = all.0.len() <= most && bytes <= most_bytes;
        if few { Ok(all) } else { Err(format!("there can be {most} headers of {most_bytes} bytes in all")) }
    }
}

impl<T: Setting> Setting for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const REQUIRED: bool = false;
    const CHOICES: &'static str = T::CHOICES;
    fn read(value: Option<&Value>) -> Result<Self, String> {
        value.map(|value| T::read(Some(value))).transpose()
    }
}
