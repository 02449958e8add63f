//! What the controller answers to a sandbox, and what it writes down of it.

use crate::{
    caller::{Caller, Principal},
    change::Writer,
    kind,
    view::View,
};
use api::{Credential, Operation, Verb, fleet::CredentialKind};
use base::{Code, Error, Name, Result, Secret};
use runner::{Overseer, Reach};
use std::{future::Future, pin::Pin};

/// Answers for one operation.
pub(super) struct OfOperation {
    view: View,
    writer: Writer,
    project: Name,
    /// The credentials that its fleet directory may use.
    granted: Vec<Name>,
    caller: Caller,
}

impl OfOperation {
    pub(super) fn new(
        view: &View,
        writer: &Writer,
        operation: &Operation,
        project: &Name,
        granted: &[Name],
    ) -> Self {
        let name = &operation.metadata.name;
        let author = Name::new(operation.spec.author.as_str()).unwrap_or_else(|_| name.clone());
        let caller = Caller {
            principal: Principal {
                uid: operation.metadata.uid,
                name: author,
                roles: Vec::new(),
                token_hash: None,
            },
            source: "sandbox".into(),
            request_id: operation.metadata.uid.to_string(),
            path: format!("/v1/projects/{project}/operations/{name}"),
            idempotency: None,
            if_match: None,
        };
        let (view, writer) = (view.clone(), writer.clone());
        OfOperation { view, writer, project: project.clone(), granted: granted.to_vec(), caller }
    }

    /// Writes down that the operation reached for something. It is refused all the same where that fails.
    pub(super) async fn audit(&self, what: &str, outcome: &Result<()>) {
        let mut caller = self.caller.clone();
        caller.path = format!("{}/{what}", caller.path);
        let result = outcome.as_ref().map_or_else(|e| e.code.as_str(), |()| "ok");
        if let Err(e) = self.writer.audit(&caller, Verb::Connect, Some(&self.project), result).await {
            tracing::error!(error = %e, what, "what a sandbox reached for could not be audited");
        }
    }

    /// A granted text.
    fn text(&self, project: Option<&str>, name: &str) -> Result<Secret> {
        let refused = |why: &str| {
            Error::new(Code::Forbidden, format!("the credential '{name}' is not this operation's"))
                .because(why)
                .hint("grant it: hostler fleet create NAME --credential CREDENTIAL")
        };
        if project.is_some_and(|p| p != self.project.as_str()) {
            return Err(refused("it is named in another project"));
        }
        if !self.granted.iter().any(|g| g.as_str() == name) {
            return Err(refused("its fleet directory does not name it"));
        }
        let key = kind::key::<Credential>(Some(&self.project), name);
        let credential = self.view.get::<Credential>(&key).ok_or_else(|| refused("it is gone"))?;
        if credential.spec.kind != CredentialKind::Text {
            return Err(refused("a private key never leaves the controller: ask the agent for signatures"));
        }
        credential.spec.value.clone().ok_or_else(|| refused("it has no value"))
    }
}

impl Overseer for OfOperation {
    fn credential<'a>(
        &'a self,
        project: Option<&'a str>,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Secret>> + Send + 'a>> {
        Box::pin(async move { self.text(project, name) })
    }

    fn reached<'a>(
        &'a self,
        what: Reach,
        outcome: &'a Result<()>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let what = match what {
                Reach::Address(address) => format!("connect/{address}"),
                Reach::Credential(project, name) => {
                    format!("credentials/{}/{name}", project.as_deref().unwrap_or(self.project.as_str()))
                }
                Reach::File(path) => {
                    format!("files/{}", path.file_name().unwrap_or_default().to_string_lossy())
                }
            };
            self.audit(&what, outcome).await;
        })
    }
}
