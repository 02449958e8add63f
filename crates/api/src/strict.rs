//! Reading requests: unknown fields are refused and every failure names its place by a JSON pointer (RFC 6901).

use crate::validate::pointer;
use base::{Error, Result};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// Reads a request from JSON text.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = from(&mut reader)?;
    reader
        .end()
        .map_err(|e| Error::invalid("", "there is more after the end of the JSON document").because(e))?;
    Ok(value)
}

/// Reads the query of a request. The failure's field is the parameter.
pub fn from_query<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(query: D) -> Result<T>
where
    D::Error: std::fmt::Display,
{
    from(query).map_err(|mut e| {
        e.field = e.field.map(|field| field.trim_start_matches('/').to_owned());
        e.hint("check the name and the value of the parameter; the parameters are in /openapi.json")
    })
}

/// Reads a request from a JSON value.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T> {
    from(value)
}

fn from<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(reader: D) -> Result<T>
where
    D::Error: std::fmt::Display,
{
    let mut track = serde_path_to_error::Track::new();
    let mut unknown: Option<String> = None;
    let result = {
        let reader = serde_path_to_error::Deserializer::new(reader, &mut track);
        serde_ignored::deserialize(reader, |path| {
            unknown.get_or_insert_with(|| ignored_pointer(&path));
        })
    };
    let value = result.map_err(|e: D::Error| {
        Error::invalid(path_pointer(&track.path()), wording(&e.to_string()))
            .hint("correct that place; the fields and their types are in /openapi.json")
    })?;
    match unknown {
        Some(field) => {
            Err(Error::invalid(&field, format!("unknown field '{}'", field.rsplit('/').next().unwrap_or("")))
                .hint("check the spelling; the fields are in /openapi.json"))
        }
        None => Ok(value),
    }
}

/// serde_json's words without the position, which the pointer replaces.
fn wording(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

fn path_pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |mut out, segment| {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => pointer(key),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => return out,
        };
        out.push('/');
        out.push_str(&part);
        out
    })
}

fn ignored_pointer(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path as P;
    match path {
        P::Root => String::new(),
        P::Seq { parent, index } => format!("{}/{index}", ignored_pointer(parent)),
        P::Map { parent, key } => format!("{}/{}", ignored_pointer(parent), pointer(key)),
        P::Some { parent } | P::NewtypeStruct { parent } | P::NewtypeVariant { parent } => {
            ignored_pointer(parent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NewObject, VmSpec};

    fn refused(text: &str) -> Error {
        from_slice::<NewObject<VmSpec>>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn failures_name_their_place() {
        for (text, field) in [
            (r#"{"name": "a", "spec": {"image": "x", "cpus": "two"}}"#, "/spec/cpus"),
            (r#"{"name": "a", "spec": {"image": "x", "cpu": 2}}"#, "/spec/cpu"),
            (r#"{"name": "a", "spec": {"image": "x", "guest": {"usr": "me"}}}"#, "/spec/guest/usr"),
            (
                r#"{"name": "a", "spec": {"image": "x", "probe": {"kind": "tcp", "prt": 1}}}"#,
                "/spec/probe/prt",
            ),
            (r#"{"name": "A", "spec": {"image": "x"}}"#, "/name"),
            (r#"{"name": "a", "spec": {"image": "x", "memory": "4 pounds"}}"#, "/spec/memory"),
            (
                r#"{"name": "a", "spec": {"image": "x", "networks": [{"type": "mesh"}]}}"#,
                "/spec/networks/0/type",
            ),
        ] {
            let e = refused(text);
            assert_eq!(e.field.as_deref(), Some(field), "{text}: {e:?}");
        }
        assert_eq!(refused("{} x").code, base::Code::Invalid);
    }
}
