//! Fleet directories, their operations, and the credentials of a project.

use super::{generic::missing, new_metadata};
use crate::{
    caller::{Caller, Sees},
    controller::Controller,
    kind,
};
use api::{
    Credential, CredentialSpec, Empty, Fleet, FleetSpec, NewObject, Operation, Patch, Project, Verb,
    access::Role,
    fleet::{CredentialKind, FleetInput, FleetRequest, FleetSource, FleetStatus},
    record::{OperationSpec, OperationState, OperationStatus, OperationStep},
    validate::Validate,
};
use base::{Code, Error, Name, Result};
use std::{collections::BTreeMap, path::Path};

/// The steps of every operation with a fleet directory.
pub(crate) const STEPS: [&str; 2] = ["fetch the directory", "run the verb"];

impl Controller {
    /// Registers a fleet directory.
    pub async fn create_fleet(
        &self,
        caller: &Caller,
        project: &Name,
        new: NewObject<FleetSpec>,
    ) -> Result<Fleet> {
        self.existing_project(project)?;
        self.check_fleet(caller, project, &new.spec).await?;
        self.create_simple(caller, Some(project), new, FleetStatus::default()).await
    }

    /// Changes a fleet directory. What runs goes on with what it was given.
    pub async fn patch_fleet(
        &self,
        caller: &Caller,
        project: &Name,
        name: &str,
        patch: &Patch,
    ) -> Result<Fleet> {
        let changed = self.find::<Fleet>(Some(project), name)?;
        let spec = super::generic::patched("/spec", &changed.spec, patch.spec.as_ref())?;
        self.check_fleet(caller, project, &spec).await?;
        self.patch_simple(caller, Some(project), name, patch, |_, _: &mut Fleet| Ok(())).await
    }

    /// Forgets a fleet directory. Its nodes and its operations stay as they are.
    pub async fn delete_fleet(&self, caller: &Caller, project: &Name, name: &str) -> Result<()> {
        self.delete_simple::<Fleet>(caller, Some(project), name, |_, _| Ok(())).await
    }

    /// Keeps a credential, sealed.
    pub async fn create_credential(
        &self,
        caller: &Caller,
        project: &Name,
        new: NewObject<CredentialSpec>,
    ) -> Result<Credential> {
        self.existing_project(project)?;
        if new.spec.value.is_none() {
            return Err(Error::invalid("/spec/value", "a credential needs its value"));
        }
        check_value(&new.spec)?;
        self.create_simple(caller, Some(project), new, Empty {}).await
    }

    /// Changes a credential: another value, another description.
    pub async fn patch_credential(
        &self,
        caller: &Caller,
        project: &Name,
        name: &str,
        patch: &Patch,
    ) -> Result<Credential> {
        self.patch_simple(caller, Some(project), name, patch, |_, new: &mut Credential| {
            check_value(&new.spec)
        })
        .await
    }

    /// Removes a credential.
    pub async fn delete_credential(&self, caller: &Caller, project: &Name, name: &str) -> Result<()> {
        self.delete_simple::<Credential>(caller, Some(project), name, |_, _| Ok(())).await
    }

    /// Starts an operation with a fleet directory. The answer is the operation, with its exact input.
    pub async fn start_fleet(
        &self,
        caller: &Caller,
        project: &Name,
        name: &str,
        request: FleetRequest,
    ) -> Result<Operation> {
        request.validate()?;
        if let Some(answer) = self.writer().replay(caller).await? {
            return Ok(answer);
        }
        let fleet = self.find::<Fleet>(Some(project), name)?;
        let operation = operation(&fleet, request, caller.principal.name.as_str())?;
        self.commit_new(caller, operation, None, |change| {
            change.require(&kind::key::<Project>(None, project.as_str()));
            change.require(&kind::key_of(&*fleet));
            Ok(())
        })
        .await
    }

    /// One operation of the cluster, where the caller may see it.
    pub fn get_operation(&self, sees: &Sees, name: &str) -> Result<Operation> {
        if !sees.includes(None) {
            return Err(missing::<Operation>(name));
        }
        self.get::<Operation>(None, name)
    }

    /// A directory of the host is copied with the controller's rights, so only who has those says which; never one that
    /// holds the controller's own files. Every credential must be there.
    async fn check_fleet(&self, caller: &Caller, project: &Name, spec: &FleetSpec) -> Result<()> {
        if let FleetSource::Path(path) = &spec.source {
            let refusal = refused_path(caller, self.data_dir(), Path::new(path));
            if let Err(e) = refusal {
                self.audit_refusal(caller, Verb::Create, Some(project), &e).await;
                return Err(e);
            }
        }
        for (i, name) in spec.credentials.iter().enumerate() {
            if self.find::<Credential>(Some(project), name.as_str()).is_err() {
                let field = format!("/spec/credentials/{i}");
                return Err(Error::invalid(field, missing::<Credential>(name.as_str()).message)
                    .hint("make it first: hostler credential create NAME --ssh-key FILE"));
            }
        }
        Ok(())
    }
}

fn refused_path(caller: &Caller, data_dir: &Path, path: &Path) -> Result<()> {
    let admin = |role: &api::RoleBindingSpec| role.project.is_none() && role.role == Role::Admin;
    if !caller.principal.roles.iter().any(admin) {
        return Err(Error::new(Code::Forbidden, "only a cluster's admin registers a directory of the host")
            .at("/spec/source/path")
            .hint("register a git repository, or ask an admin"));
    }
    let real = |p: &Path| p.canonicalize().map_err(|e| Error::io(format_args!("find {}", p.display()), &e));
    let (path, state) = (real(path).map_err(|e| e.at("/spec/source/path"))?, real(data_dir)?);
    if path.starts_with(&state) || state.starts_with(&path) {
        return Err(Error::new(Code::Forbidden, "that directory holds the controller's own files")
            .at("/spec/source/path")
            .hint("keep fleet directories apart from the state directory"));
    }
    Ok(())
}

fn check_value(spec: &CredentialSpec) -> Result<()> {
    match (&spec.value, spec.kind) {
        (Some(key), CredentialKind::SshKey) => {
            ssh::KeyPair::from_openssh(key).map(drop).map_err(|e| e.at("/spec/value"))
        }
        _ => Ok(()),
    }
}

/// A new operation with a fleet directory.
pub(crate) fn operation(fleet: &Fleet, request: FleetRequest, author: &str) -> Result<Operation> {
    let verb = request.verb;
    let name = Name::new(format!("{}-{}", verb.as_str(), rt::ids::uid()))
        .map_err(|e| Error::internal(e.to_string()))?;
    let input = FleetInput { fleet: fleet.metadata.name.clone(), source: fleet.spec.source.clone(), request };
    let input = serde_json::to_value(input)
        .map_err(|e| Error::internal("the input of an operation cannot be written").because(e))?;
    let step = |name: &str| OperationStep { name: name.into(), state: OperationState::Pending };
    Ok(Operation {
        metadata: new_metadata(name, fleet.metadata.project.clone(), BTreeMap::new()),
        spec: OperationSpec {
            kind: format!("fleet-{}", verb.as_str()),
            input,
            author: author.to_owned(),
            cancelled: false,
        },
        status: OperationStatus {
            steps: STEPS.iter().map(|s| step(s)).collect(),
            ..OperationStatus::default()
        },
    })
}
