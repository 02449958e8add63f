//! The few filters of Ansible that variables of connections use, beside those of Jinja itself.

use fancy_regex::Regex;
use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// Adds them.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("bool", |value: Value| truth(&value).unwrap_or(false));
    environment.add_filter("ternary", ternary);
    environment.add_filter("mandatory", mandatory);
    environment.add_filter("regex_replace", regex_replace);
}

/// A truth value as Ansible reads it; `None` for a word that is none.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value.kind() {
        ValueKind::String => match value.as_str()?.to_lowercase().trim() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
            _ => None,
        },
        ValueKind::Bool => Some(value.is_true()),
        ValueKind::Number => match f64::try_from(value.clone()).ok()? {
            1.0 => Some(true),
            0.0 => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn ternary(value: &Value, yes: Value, no: Value, none: Option<Value>) -> Value {
    match none {
        Some(none) if value.is_none() => none,
        _ if value.is_true() => yes,
        _ => no,
    }
}

fn mandatory(value: Value, message: Option<String>) -> Result<Value, Error> {
    if !value.is_undefined() {
        return Ok(value);
    }
    let message = message.unwrap_or_else(|| "a mandatory variable is not defined".to_owned());
    Err(Error::new(ErrorKind::UndefinedError, message))
}

#[allow(clippy::needless_pass_by_value)] // as minijinja hands it over
fn regex_replace(text: &str, pattern: &str, replacement: &str, options: Kwargs) -> Result<String, Error> {
    let flags = match (options.get::<Option<bool>>("ignorecase")?, options.get::<Option<bool>>("multiline")?)
    {
        (Some(true), Some(true)) => "(?im)",
        (Some(true), _) => "(?i)",
        (_, Some(true)) => "(?m)",
        _ => "",
    };
    options.assert_all_used()?;
    let wrong =
        |e| Error::new(ErrorKind::InvalidOperation, "this is not a regular expression").with_source(e);
    let regex = Regex::new(&format!("{flags}{pattern}")).map_err(wrong)?;
    Ok(regex.replace_all(text, python_groups(replacement).as_str()).into_owned())
}

/// `\1` and `\g<name>` of Python as `${1}` and `${name}`.
fn python_groups(replacement: &str) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        match c {
            '$' => out.push_str("$$"),
            '\\' if digits > 0 => {
                out.extend(["${", &rest[..digits], "}"]);
                rest = &rest[digits..];
            }
            '\\' if rest.starts_with("g<") && rest.contains('>') => {
                let (name, after) = rest[2..].split_once('>').unwrap_or_default();
                out.extend(["${", name, "}"]);
                rest = after;
            }
            '\\' if rest.starts_with('\\') => {
                out.push('\\');
                rest = &rest[1..];
            }
            c => out.push(c),
        }
    }
    out
}
