//! The kinds of objects: where they lie in the store, and which of their fields are secret.

use crate::view::{Any, Tables};
use api::{
    Credential, Fleet, Image, JoinToken, Operation, Project, RoleBinding, ServiceAccount, Settings, Vm,
    Worker, access::Resource, meta::Metadata,
};
use base::{Name, Secret};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A kind of object.
pub trait Kind: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// What is wanted of it.
    type Spec: Serialize + DeserializeOwned + Clone + PartialEq + api::validate::Validate + Send + Sync;
    /// Its name in events, watches and messages.
    const KIND: &'static str;
    /// Its directory in the store.
    const DIRECTORY: &'static str;
    /// What a role must allow.
    const RESOURCE: Resource;

    /// Who it is.
    fn metadata(&self) -> &Metadata;
    /// Who it is, to change.
    fn metadata_mut(&mut self) -> &mut Metadata;
    /// What is wanted.
    fn spec(&self) -> &Self::Spec;
    /// What is wanted, to change.
    fn spec_mut(&mut self) -> &mut Self::Spec;
    /// Its secrets: sealed in the store, absent in answers. The text names the field.
    fn secrets(&mut self) -> Vec<(String, &mut Option<Secret>)> {
        Vec::new()
    }
    /// Its table in the view.
    fn table(tables: &Tables) -> &crate::view::Table<Self>;
    /// Wraps it for those who follow all kinds.
    fn any(object: Arc<Self>) -> Any;
}

/// The key of an object in the store.
pub fn key<K: Kind>(project: Option<&Name>, name: &str) -> String {
    match project {
        Some(project) => format!("/{}/{project}/{name}", K::DIRECTORY),
        None => format!("/{}/{name}", K::DIRECTORY),
    }
}

/// The key of an object that exists.
pub fn key_of<K: Kind>(object: &K) -> String {
    let m = object.metadata();
    key::<K>(m.project.as_ref(), m.name.as_str())
}

macro_rules! kinds {
    ($($type:ty, $spec:ty, $kind:literal, $directory:literal, $resource:ident, $table:ident, $any:ident
        $(, $secrets:expr)?;)*) => {
        /// The names of all kinds.
        pub const KINDS: &[&str] = &[$($kind),*];
        $(
        impl Kind for $type {
            type Spec = $spec;
            const KIND: &'static str = $kind;
            const DIRECTORY: &'static str = $directory;
            const RESOURCE: Resource = Resource::$resource;
            fn metadata(&self) -> &Metadata {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut Metadata {
                &mut self.metadata
            }
            fn spec(&self) -> &$spec {
                &self.spec
            }
            fn spec_mut(&mut self) -> &mut $spec {
                &mut self.spec
            }
            $(fn secrets(&mut self) -> Vec<(String, &mut Option<Secret>)> {
                $secrets(self)
            })?
            fn table(tables: &Tables) -> &crate::view::Table<Self> {
                &tables.$table
            }
            fn any(object: Arc<Self>) -> Any {
                Any::$any(object)
            }
        }
        )*
    };
}

kinds! {
    Vm, api::VmSpec, "vm", "vms", Vm, vms, Vm, vm_secrets;
    Worker, api::WorkerSpec, "worker", "workers", Worker, workers, Worker, worker_secrets;
    Image, api::ImageSpec, "image", "images", Image, images, Image, image_secrets;
    Project, api::ProjectSpec, "project", "projects", Project, projects, Project;
    ServiceAccount, api::ServiceAccountSpec, "service-account", "service-accounts", ServiceAccount, accounts, ServiceAccount,
        account_secrets;
    RoleBinding, api::RoleBindingSpec, "role-binding", "role-bindings", RoleBinding, bindings, RoleBinding;
    JoinToken, api::JoinTokenSpec, "join-token", "join-tokens", JoinToken, join_tokens, JoinToken,
        token_secrets;
    Settings, api::SettingsSpec, "settings", "settings", Settings, settings, Settings;
    Fleet, api::FleetSpec, "fleet", "fleets", Fleet, fleets, Fleet;
    Credential, api::CredentialSpec, "credential", "credentials", Credential, credentials, Credential, credential_secrets;
    Operation, api::record::OperationSpec, "operation", "operations", Operation, operations, Operation;
}

fn image_secrets(image: &mut Image) -> Vec<(String, &mut Option<Secret>)> {
    vec![("password".to_owned(), &mut image.spec.password), ("key".to_owned(), &mut image.spec.key)]
}

fn worker_secrets(worker: &mut Worker) -> Vec<(String, &mut Option<Secret>)> {
    vec![("tokenHash".to_owned(), &mut worker.status.token_hash)]
}

fn account_secrets(account: &mut ServiceAccount) -> Vec<(String, &mut Option<Secret>)> {
    vec![("tokenHash".to_owned(), &mut account.status.token_hash)]
}

fn token_secrets(token: &mut JoinToken) -> Vec<(String, &mut Option<Secret>)> {
    vec![("secretHash".to_owned(), &mut token.status.secret_hash)]
}

fn credential_secrets(credential: &mut Credential) -> Vec<(String, &mut Option<Secret>)> {
    vec![("value".to_owned(), &mut credential.spec.value)]
}

fn vm_secrets(vm: &mut Vm) -> Vec<(String, &mut Option<Secret>)> {
    let mut all = vec![("password".to_owned(), &mut vm.spec.guest.password)];
    if let Some(script) = &mut vm.spec.startup_script {
        all.extend(script.env.iter_mut().map(|(name, value)| (format!("env/{name}"), value)));
    }
    all
}
