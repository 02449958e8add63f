//! Documents: read, checked, and able to say where in the file a field is.

use super::node::Node;
use api::{
    NewObject, ProjectSpec, RoleBindingSpec, ServiceAccountSpec, SettingsSpec, VmSpec, WorkerSpec,
    validate::Validate,
};
use base::{Code, Error, Name, Result};
use client::Key;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::str::FromStr;

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// A VM of a project.
    Vm,
    /// A project.
    Project,
    /// A service account.
    ServiceAccount,
    /// A role of an account.
    RoleBinding,
    /// A worker that has joined.
    Worker,
    /// The cluster's settings.
    Settings,
}

impl Kind {
    const ALL: [Kind; 6] =
        [Kind::Vm, Kind::Project, Kind::ServiceAccount, Kind::RoleBinding, Kind::Worker, Kind::Settings];

    /// As in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Vm => "Vm",
            Kind::Project => "Project",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::RoleBinding => "RoleBinding",
            Kind::Worker => "Worker",
            Kind::Settings => "Settings",
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.as_str().eq_ignore_ascii_case(text))
    }
}

/// The fields of a document.
const FIELDS: [&str; 5] = ["kind", "name", "project", "labels", "spec"];

/// A checked document.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it describes.
    pub kind: Kind,
    /// The object's name.
    pub name: Name,
    /// The object's project, for VMs.
    pub project: Option<Name>,
    file: String,
    node: Node,
    body: Value,
}

/// All documents of a file; VMs without a project belong to `project`.
///
/// # Errors
/// [`Code::Invalid`] at `file:line:column`.
pub fn parse(file: &str, text: &str, project: &str) -> Result<Vec<Document>> {
    let nodes: Vec<Node> = serde_saphyr::from_multiple(text).map_err(|e| syntax(file, &e))?;
    nodes.iter().map(|node| Document::new(file, node, project)).collect()
}

fn syntax(file: &str, error: &serde_saphyr::Error) -> Error {
    let place = error.location().map_or_else(String::new, |l| format!(":{}:{}", l.line(), l.column()));
    let words = error.without_snippet().to_string();
    let words = words.split(" at line ").next().unwrap_or(&words);
    Error::invalid(format!("{file}{place}"), words.trim()).hint("the file must be YAML or JSON")
}

impl Document {
    fn new(file: &str, node: &Node, project: &str) -> Result<Self> {
        let at = |pointer: &str, error: Error| place(file, node, error.at(pointer));
        let wrong = |pointer: &str, message: String| at(pointer, Error::new(Code::Invalid, message));
        let Some(entries) = node.entries() else {
            return Err(wrong("", "a document has fields: kind, name, project, labels, spec".into()));
        };
        if let Some((key, _)) = entries.iter().find(|(k, _)| !FIELDS.contains(&k.text.as_str())) {
            let error = Error::new(Code::Invalid, format!("unknown field '{}'", key.text));
            return Err(at(
                &format!("/{}", key.text),
                error.hint(format!("known are {}", FIELDS.join(", "))),
            ));
        }
        let text = |field: &str| match node.get(field).map(Node::to_value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(wrong(&format!("/{field}"), format!("{other} is not a text: put it into quotes")))
            }
        };
        let name_of = |field: &str, text: &str| {
            Name::from_str(text).map_err(|e| wrong(&format!("/{field}"), e.to_string()))
        };

        let kinds = || Kind::ALL.map(Kind::as_str).join(", ");
        let kind = text("kind")?
            .ok_or_else(|| wrong("", format!("the field 'kind' is missing: one of {}", kinds())))?;
        let kind = Kind::parse(&kind)
            .ok_or_else(|| wrong("/kind", format!("'{kind}' cannot be applied: use one of {}", kinds())))?;
        let name = match (text("name")?, kind) {
            (Some(name), _) => name_of("name", &name)?,
            (None, Kind::Settings) => name_of("name", api::settings::SETTINGS_NAME)?,
            (None, _) => return Err(wrong("", "the field 'name' is missing".into())),
        };
        let project = match (text("project")?, kind) {
            (Some(own), Kind::Vm) => Some(name_of("project", &own)?),
            (None, Kind::Vm) => Some(name_of("project", project)?),
            (Some(_), _) => {
                return Err(wrong("/project", format!("a {} belongs to no project", kind.as_str())));
            }
            (None, _) => None,
        };
        let part = |field: &str| {
            node.get(field).map(Node::to_value).filter(|v| !v.is_null()).unwrap_or_else(|| json!({}))
        };
        let body = json!({ "name": name, "labels": part("labels"), "spec": part("spec") });
        let document = Document { kind, name, project, file: file.to_owned(), node: node.clone(), body };
        document.check().map_err(|e| place(file, node, e))?;
        Ok(document)
    }

    /// What the server would refuse is refused here, before anything is changed.
    fn check(&self) -> Result<()> {
        match self.kind {
            Kind::Vm => self.check_spec::<VmSpec>(),
            Kind::Project => self.check_spec::<ProjectSpec>(),
            Kind::ServiceAccount => self.check_spec::<ServiceAccountSpec>(),
            Kind::RoleBinding => self.check_spec::<RoleBindingSpec>(),
            Kind::Worker => self.check_spec::<WorkerSpec>(),
            Kind::Settings => self.check_spec::<SettingsSpec>(),
        }
    }

    fn check_spec<S: DeserializeOwned + Validate>(&self) -> Result<()> {
        let new: NewObject<S> = self.typed()?;
        api::validate::labels("/labels", &new.labels)?;
        new.spec.validate()
    }

    /// The document as the type that the API takes.
    pub fn typed<S: DeserializeOwned>(&self) -> Result<NewObject<S>> {
        api::strict::from_value(self.body.clone())
    }

    /// The body for a PUT or POST, with nothing added to what the file says.
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The spec as the file says it.
    pub fn spec(&self) -> &Value {
        &self.body["spec"]
    }

    /// The object's key.
    pub fn key(&self) -> Key {
        Key { project: self.project.as_ref().map(ToString::to_string), name: self.name.to_string() }
    }

    /// An error about this document, with the place in the file that its field stands for.
    pub fn place(&self, mut error: client::Error) -> client::Error {
        error.error = place(&self.file, &self.node, error.error);
        error
    }
}

/// Turns the JSON pointer of an error into `file:line:column` and keeps the field in the message.
fn place(file: &str, node: &Node, mut error: Error) -> Error {
    let pointer = error.field.take().unwrap_or_default();
    let at = node.locate(&pointer);
    error.field = Some(format!("{file}:{}:{}", at.line, at.column));
    if pointer.len() > 1 {
        error.message = format!("{}: {}", pointer[1..].replace('/', "."), error.message);
    }
    error
}

#[cfg(test)]
mod tests;
