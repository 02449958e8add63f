//! Kinds of objects, so that get, list, create, change and delete are written once.

use crate::{Client, Error, Result};
use api::{
    Credential, Fleet, Image, JoinToken, Metadata, NewObject, Operation, Patch, Project, RoleBinding,
    ServiceAccount, Vm, Worker, routes::RouteId,
};
use base::{Error as Failure, Revision};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// Which object: by name, and by project where its kind has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The project, for kinds that belong to one.
    pub project: Option<String>,
    /// The name.
    pub name: String,
}

impl Key {
    /// An object of the cluster.
    pub fn cluster(name: impl Into<String>) -> Self {
        Key { project: None, name: name.into() }
    }

    /// An object of a project.
    pub fn in_project(project: impl Into<String>, name: impl Into<String>) -> Self {
        Key { project: Some(project.into()), name: name.into() }
    }

    /// The key of an object that exists.
    pub fn of(metadata: &Metadata) -> Self {
        Key { project: metadata.project.as_ref().map(ToString::to_string), name: metadata.name.to_string() }
    }

    /// As commands take it: without the project that nobody needs to name.
    pub fn short(&self) -> String {
        match self.project.as_deref() {
            None | Some(api::access::DEFAULT_PROJECT) => self.name.clone(),
            Some(_) => self.to_string(),
        }
    }

    fn parameters(&self) -> Vec<&str> {
        self.project.as_deref().into_iter().chain([self.name.as_str()]).collect()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.project.as_ref().map_or(Ok(()), |p| write!(f, ".{p}"))
    }
}

/// A kind of object that the API serves.
pub trait Kind: Serialize + DeserializeOwned + Send + Sync + Unpin + 'static {
    /// As in watches and events: `vm`, `role-binding`.
    const KIND: &'static str;
    /// As people write it: `VM`, `role binding`.
    const TITLE: &'static str;
    /// Lists them: all of the cluster.
    const LIST: RouteId;
    /// Lists those of one project.
    const LIST_IN_PROJECT: Option<RouteId> = None;
    /// Gets one.
    const GET: Option<RouteId>;
    /// Gets one of a project, for kinds whose objects belong to the cluster or to a project.
    const GET_IN_PROJECT: Option<RouteId> = None;
    /// Makes one.
    const CREATE: Option<RouteId>;
    /// Changes one.
    const PATCH: Option<RouteId>;
    /// Removes one.
    const DELETE: Option<RouteId>;

    /// Who it is.
    fn metadata(&self) -> &Metadata;
}

macro_rules! kind {
    ($type:ty, $kind:literal, $title:literal, $list:ident $(in $listp:ident)?, $get:expr, $create:expr, $patch:expr, $delete:expr) => {
        impl Kind for $type {
            const KIND: &'static str = $kind;
            const TITLE: &'static str = $title;
            const LIST: RouteId = RouteId::$list;
            $(const LIST_IN_PROJECT: Option<RouteId> = Some(RouteId::$listp);)?
            const GET: Option<RouteId> = $get;
            const CREATE: Option<RouteId> = $create;
            const PATCH: Option<RouteId> = $patch;
            const DELETE: Option<RouteId> = $delete;
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
        }
    };
}

use RouteId as R;
kind!(Vm, "vm", "VM", ListAllVms in ListVms, Some(R::GetVm), Some(R::CreateVm), Some(R::PatchVm), Some(R::DeleteVm));
kind!(
    Worker,
    "worker",
    "worker",
    ListWorkers,
    Some(R::GetWorker),
    None,
    Some(R::PatchWorker),
    Some(R::DeleteWorker)
);
kind!(
    Image,
    "image",
    "image",
    ListImages,
    Some(R::GetImage),
    Some(R::CreateImage),
    None,
    Some(R::DeleteImage)
);
kind!(
    Project,
    "project",
    "project",
    ListProjects,
    Some(R::GetProject),
    Some(R::CreateProject),
    None,
    Some(R::DeleteProject)
);
kind!(
    ServiceAccount,
    "service-account",
    "service account",
    ListServiceAccounts,
    Some(R::GetServiceAccount),
    Some(R::CreateServiceAccount),
    Some(R::PatchServiceAccount),
    Some(R::DeleteServiceAccount)
);
kind!(
    RoleBinding,
    "role-binding",
    "role binding",
    ListRoleBindings,
    Some(R::GetRoleBinding),
    Some(R::CreateRoleBinding),
    None,
    Some(R::DeleteRoleBinding)
);
kind!(
    JoinToken,
    "join-token",
    "join token",
    ListJoinTokens,
    None,
    Some(R::CreateJoinToken),
    None,
    Some(R::DeleteJoinToken)
);
kind!(
    Fleet,
    "fleet",
    "fleet",
    ListAllFleets in ListFleets,
    Some(R::GetFleet),
    Some(R::CreateFleet),
    Some(R::PatchFleet),
    Some(R::DeleteFleet)
);
kind!(
    Credential,
    "credential",
    "credential",
    ListAllCredentials in ListCredentials,
    Some(R::GetCredential),
    Some(R::CreateCredential),
    Some(R::PatchCredential),
    Some(R::DeleteCredential)
);

impl Kind for Operation {
    const KIND: &'static str = "operation";
    const TITLE: &'static str = "operation";
    const LIST: RouteId = R::ListOperations;
    const LIST_IN_PROJECT: Option<RouteId> = Some(R::ListProjectOperations);
    const GET: Option<RouteId> = Some(R::GetOperation);
    const GET_IN_PROJECT: Option<RouteId> = Some(R::GetProjectOperation);
    const CREATE: Option<RouteId> = None;
    const PATCH: Option<RouteId> = None;
    const DELETE: Option<RouteId> = None;
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

fn route<K: Kind>(route: Option<RouteId>, verb: &str) -> Result<RouteId> {
    route.ok_or_else(|| Error::from(Failure::internal(format!("a {} has no route to {verb} it", K::TITLE))))
}

impl Client {
    /// One object.
    pub async fn get<K: Kind>(&self, key: &Key) -> Result<K> {
        let in_project = K::GET_IN_PROJECT.filter(|_| key.project.is_some());
        self.call(route::<K>(in_project.or(K::GET), "get")?, &key.parameters()).send().await
    }

    /// One object, or nothing where there is none.
    pub async fn find<K: Kind>(&self, key: &Key) -> Result<Option<K>> {
        match self.get(key).await {
            Ok(object) => Ok(Some(object)),
            Err(e) if e.code() == base::Code::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Makes an object, in a project for kinds that belong to one.
    pub async fn create<K: Kind, S: Serialize + Sync>(
        &self,
        project: Option<&str>,
        new: &NewObject<S>,
    ) -> Result<K> {
        let parameters: Vec<&str> = project.into_iter().collect();
        self.call(route::<K>(K::CREATE, "create")?, &parameters).json(new).send().await
    }

    /// Changes an object, whatever others do to its other fields.
    pub async fn patch<K: Kind>(&self, key: &Key, patch: &Patch) -> Result<K> {
        self.call(route::<K>(K::PATCH, "change")?, &key.parameters()).json(patch).send().await
    }

    /// Changes an object if it has not moved since it was read.
    pub async fn patch_if<K: Kind>(&self, key: &Key, patch: &Patch, revision: Revision) -> Result<K> {
        self.call(route::<K>(K::PATCH, "change")?, &key.parameters())
            .json(patch)
            .if_match(revision)
            .send()
            .await
    }

    /// Removes an object. What is left of it while it goes, where the server tells.
    pub async fn delete<K: Kind>(&self, key: &Key) -> Result<Option<K>> {
        self.call(route::<K>(K::DELETE, "delete")?, &key.parameters()).send_optional().await
    }
}
