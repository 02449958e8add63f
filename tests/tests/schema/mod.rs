//! Is an answer what the API's description says of it? As much of JSON Schema as that description uses. Stricter in one
//! thing: a field that the description does not name is wrong.

use serde_json::Value;

/// The schemas of a description.
pub struct Described<'d>(&'d Value);

/// The name of the schema of an operation's JSON answer.
pub fn answer(operation: &Value) -> Option<String> {
    let reference = operation.pointer("/responses/200/content/application~1json/schema/$ref")?;
    Some(reference.as_str()?.rsplit('/').next()?.to_owned())
}

impl<'d> Described<'d> {
    /// Of this document.
    pub fn new(document: &'d Value) -> Self {
        Described(&document["components"]["schemas"])
    }

    /// Checks an answer against the schema of this name.
    pub fn check(&self, name: &str, answer: &Value) {
        let schema = &self.0[name];
        assert!(schema.is_object(), "there is no schema {name}");
        if let Err(wrong) = self.fits(schema, answer) {
            panic!("{name}: {wrong} in {answer}");
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.fits(&self.0[reference.rsplit('/').next().unwrap_or_default()], value);
        }
        for any in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[any].as_array() {
                let all: Vec<_> = choices.iter().map(|c| self.fits(c, value)).collect();
                return all
                    .iter()
                    .any(Result::is_ok)
                    .then_some(())
                    .ok_or(format!("none of {any} fits: {all:?}"));
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return parts.iter().try_for_each(|part| self.fits(part, value));
        }
        if let Some(allowed) = schema["enum"].as_array() {
            return allowed.contains(value).then_some(()).ok_or(format!("{value} is not one of {allowed:?}"));
        }
        if !schema["type"].is_null() && !has_type(&schema["type"], value) {
            return Err(format!("{value} is not of type {}", schema["type"]));
        }
        match value {
            Value::Object(fields) => self.object_fits(schema, fields),
            Value::Array(items) => items.iter().try_for_each(|item| self.fits(&schema["items"], item)),
            _ => Ok(()),
        }
    }

    fn object_fits(&self, schema: &Value, fields: &serde_json::Map<String, Value>) -> Result<(), String> {
        for required in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(required.as_str().unwrap_or_default()) {
                return Err(format!("{required} is missing"));
            }
        }
        let free = &schema["additionalProperties"];
        for (name, value) in fields {
            match (&schema["properties"][name], free) {
                (Value::Null, Value::Null) if schema["properties"].is_object() => {
                    return Err(format!("'{name}' is not described"));
                }
                (Value::Null, Value::Null) => {}
                (Value::Null, free) => self.fits(free, value).map_err(|e| format!("{name}: {e}"))?,
                (property, _) => self.fits(property, value).map_err(|e| format!("{name}: {e}"))?,
            }
        }
        Ok(())
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        _ => false,
    };
    match wanted {
        Value::Array(names) => names.iter().any(|n| n.as_str().is_some_and(is)),
        name => name.as_str().is_some_and(is),
    }
}
