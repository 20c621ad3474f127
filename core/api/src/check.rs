//! A request's body against the schema that the document shows: every fault is found, not only the first.
//!
//! It knows the keywords that our own document uses; serde has the last word, so a gap here lets nothing through.

use serde_json::{Map, Value};

use crate::problem::FieldError;

/// The most faults that are told at a time.
const MAX_ERRORS: usize = 50;

/// Checks values against the named schemas of an OpenAPI document.
pub(crate) struct Checker {
    schemas: Map<String, Value>,
}

impl Checker {
    /// A checker over `components.schemas` of a document.
    pub(crate) fn new(document: &Value) -> Self {
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object).cloned();
        Self { schemas: schemas.unwrap_or_default() }
    }

    /// Everything that keeps `value` from being what the schema `name` describes.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Vec<FieldError> {
        let mut run = Run { checker: self, errors: Vec::new() };
        if let Some(schema) = self.schemas.get(name) {
            run.value(schema, value, "");
        }
        run.errors
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let named = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.rsplit('/').next());
        named.and_then(|name| self.schemas.get(name)).unwrap_or(schema)
    }

    /// The member by which a form is known: the first that it requires.
    fn mark<'s>(&'s self, form: &'s Value) -> Option<&'s str> {
        let form = self.resolve(form);
        let required = list(form, "required").first().and_then(Value::as_str);
        required.or_else(|| list(form, "allOf").iter().find_map(|part| self.mark(part)))
    }
}

struct Run<'c> {
    checker: &'c Checker,
    errors: Vec<FieldError>,
}

impl Run<'_> {
    fn say(&mut self, at: &str, detail: String) {
        if self.errors.len() < MAX_ERRORS {
            // RFC 6901: the whole document is the empty pointer; people read "/" more easily in a list.
            let pointer = if at.is_empty() { "/".to_owned() } else { at.to_owned() };
            self.errors.push(FieldError { pointer, detail });
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        let checker = self.checker;
        let schema = checker.resolve(schema);
        for part in list(schema, "allOf") {
            self.value(part, value, at);
        }
        for union in ["oneOf", "anyOf"] {
            if let Some(forms) = schema.get(union).and_then(Value::as_array) {
                self.union(forms, value, at);
            }
        }
        if !self.has_type(schema, value, at) {
            return;
        }
        let choices = list(schema, "enum");
        if !choices.is_empty() && !choices.contains(value) {
            let known: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.say(at, format!("must be one of {}", known.join(", ")));
        }
        match value {
            Value::Object(members) => self.object(schema, members, at),
            Value::Array(items) => {
                if let Some(of) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(of, item, &format!("{at}/{index}"));
                    }
                }
            }
            Value::String(text) => self.text(schema, text, at),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), at),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(&mut self, schema: &Value, members: &Map<String, Value>, at: &str) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                self.say(&format!("{at}/{}", escape(name)), "is missing".to_owned());
            }
        }
        let rest = schema.get("additionalProperties");
        for (name, value) in members {
            let at = format!("{at}/{}", escape(name));
            match (properties.and_then(|known| known.get(name)), rest) {
                (Some(of), _) => self.value(of, value, &at),
                (None, Some(Value::Bool(false))) => {
                    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect::<Vec<_>>();
                    self.say(&at, format!("is not known here; known are: {}", known.join(", ")));
                }
                (None, Some(of @ Value::Object(_))) => self.value(of, value, &at),
                (None, _) => {}
            }
        }
    }

    /// One of several forms: if none fits, the faults of the form that was most likely meant.
    fn union(&mut self, forms: &[Value], value: &Value, at: &str) {
        let checker = self.checker;
        let mut best: Option<(usize, Vec<FieldError>)> = None;
        for form in forms {
            let mut trial = Run { checker, errors: Vec::new() };
            trial.value(form, value, at);
            if trial.errors.is_empty() {
                return;
            }
            let meant = likeness(checker.resolve(form), value);
            if best.as_ref().is_none_or(|(likeness, _)| meant > *likeness) {
                best = Some((meant, trial.errors));
            }
        }
        match best {
            Some((likeness, errors)) if likeness > 0 => self.errors.extend(errors),
            _ => {
                let marks: Vec<&str> = forms.iter().filter_map(|form| checker.mark(form)).collect();
                self.say(
                    at,
                    match marks.len() {
                        0 => "has none of the forms that are known here; see /openapi.json".to_owned(),
                        _ => format!("must be an object with one of: {}", marks.join(", ")),
                    },
                );
            }
        }
        self.errors.truncate(MAX_ERRORS);
    }

    fn has_type(&mut self, schema: &Value, value: &Value, at: &str) -> bool {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let fits = types.iter().any(|kind| is_type(kind, value));
        if !fits {
            let words: Vec<&str> = types.iter().map(|kind| in_words(kind)).collect();
            self.say(at, format!("must be {}", words.join(" or ")));
        }
        fits
    }

    fn text(&mut self, schema: &Value, text: &str, at: &str) {
        let length = text.chars().count() as u64;
        if let Some(least) = schema.get("minLength").and_then(Value::as_u64).filter(|least| length < *least) {
            let detail = if least == 1 {
                "must not be empty".to_owned()
            } else {
                format!("must have at least {least} characters")
            };
            self.say(at, detail);
        }
        if let Some(most) = schema.get("maxLength").and_then(Value::as_u64).filter(|most| length > *most) {
            self.say(at, format!("must have at most {most} characters"));
        }
        let pattern = schema.get("pattern").and_then(Value::as_str).and_then(|pattern| regex::Regex::new(pattern).ok());
        if let Some(pattern) = pattern.filter(|pattern| !pattern.is_match(text)) {
            self.say(at, format!("must match {pattern}"));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, at: &str) {
        if let Some(least) = schema.get("minimum").and_then(Value::as_f64).filter(|least| number < *least) {
            self.say(at, format!("must be at least {least}"));
        }
        if let Some(most) = schema.get("maximum").and_then(Value::as_f64).filter(|most| number > *most) {
            self.say(at, format!("must be at most {most}"));
        }
    }
}

/// How much a value looks like a form: one for the type, and one for each member that the form names.
fn likeness(form: &Value, value: &Value) -> usize {
    let typed = match form.get("type") {
        Some(Value::String(kind)) => is_type(kind, value),
        _ => form.get("allOf").is_some() && value.is_object(),
    };
    let named = form.get("properties").and_then(Value::as_object).zip(value.as_object());
    let shared = named.map_or(0, |(known, members)| members.keys().filter(|name| known.contains_key(*name)).count());
    let parts: usize = list(form, "allOf").iter().map(|part| likeness(part, value)).sum();
    if value.is_object() { shared + parts } else { usize::from(typed) }
}

fn is_type(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "object" => "an object",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        other => other,
    }
}

fn list<'s>(schema: &'s Value, keyword: &str) -> &'s [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A member's name as a step of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(value: &Value) -> Vec<String> {
        let document = json!({"components": {"schemas": {
            "Thing": {"type": "object", "required": ["name", "kind"], "additionalProperties": false, "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 5},
                "kind": {"$ref": "#/components/schemas/Kind"},
                "parent": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Id"}]},
                "sizes": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "rule": {"$ref": "#/components/schemas/Rule"}}},
            "Kind": {"type": "string", "enum": ["a", "b"]},
            "Id": {"type": "string", "pattern": "^id_[0-9]+$"},
            "Rule": {"oneOf": [
                {"type": "object", "required": ["all"], "additionalProperties": false,
                 "properties": {"all": {"type": "array", "items": {"$ref": "#/components/schemas/Rule"}}}},
                {"type": "object", "required": ["field"], "properties": {"field": {"type": "string"}}}]}}}});
        let errors = Checker::new(&document).check("Thing", value);
        errors.into_iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
    }

    #[test]
    fn what_fits_has_no_faults() {
        let thing = json!({"name": "x", "kind": "a", "parent": null, "sizes": [1], "labels": {"a": "b"},
            "rule": {"all": [{"field": "x", "eq": 1}, {"all": []}]}});
        assert_eq!(faults(&thing), Vec::<String>::new());
        assert_eq!(faults(&json!({"name": "x", "kind": "b", "parent": "id_7"})), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let thing = json!({"name": "", "parent": "7", "sizes": [0, "1", 1.5], "labels": {"a/b": 1}, "color": 1,
            "rule": {"all": [{"field": 7}, 8]}});
        let mut found = faults(&thing);
        found.sort();
        assert_eq!(
            found,
            [
                "/color is not known here; known are: kind, labels, name, parent, rule, sizes",
                "/kind is missing",
                "/labels/a~1b must be a text",
                "/name must not be empty",
                "/parent must match ^id_[0-9]+$",
                "/rule/all/0/field must be a text",
                "/rule/all/1 must be an object with one of: all, field",
                "/sizes/0 must be at least 1",
                "/sizes/1 must be a whole number",
                "/sizes/2 must be a whole number",
            ]
        );
        assert_eq!(faults(&json!([])), ["/ must be an object"]);
        assert_eq!(
            faults(&json!({"name": "toolong", "kind": "c"})),
            ["/kind must be one of \"a\", \"b\"", "/name must have at most 5 characters"]
        );
    }
}
