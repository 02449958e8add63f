//! Who asks, and what they may.

use crate::view::Tables;
use api::{
    Verb,
    access::{Resource, Role, RoleBindingSpec},
    routes::{Access, Route},
};
use base::{Code, Error, Name, Result, Revision, Uid};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fmt};

/// An authenticated account with its roles, as of one moment. Long streams ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account's uid; a worker's uid for workers.
    pub uid: Uid,
    /// Its name.
    pub name: Name,
    /// Its roles.
    pub roles: Vec<RoleBindingSpec>,
    /// SHA-256 of the token it came with; absent for a worker that has just joined.
    pub token_hash: Option<String>,
}

/// What a caller may see of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All of it.
    Everything,
    /// What belongs to these projects.
    Projects(BTreeSet<Name>),
}

impl Sees {
    /// Whether that includes an object of this project (`None`: of the cluster).
    pub fn includes(&self, project: Option<&Name>) -> bool {
        match self {
            Sees::Everything => true,
            Sees::Projects(projects) => project.is_some_and(|p| projects.contains(p)),
        }
    }
}

impl Principal {
    fn has_cluster(&self, verb: Verb, resource: Resource) -> bool {
        self.roles.iter().any(|r| r.project.is_none() && r.role.allows(verb, resource))
    }

    fn has_in(&self, project: &Name, verb: Verb, resource: Resource) -> bool {
        self.roles.iter().any(|r| r.project.as_ref() == Some(project) && r.role.allows(verb, resource))
    }

    /// What of a resource this principal may read.
    pub fn sees(&self, resource: Resource) -> Sees {
        if self.has_cluster(Verb::Read, resource) {
            return Sees::Everything;
        }
        let in_projects = resource.in_project() || resource == Resource::Project;
        let readable = |r: &&RoleBindingSpec| in_projects && r.role.allows(Verb::Read, resource);
        Sees::Projects(self.roles.iter().filter(readable).filter_map(|r| r.project.clone()).collect())
    }

    /// Whether a change of this resource and project may be shown.
    pub fn may_see(&self, resource: Resource, project: Option<&Name>) -> bool {
        self.sees(resource).includes(project) || (resource == Resource::Image && self.may_share(resource))
    }

    fn may_share(&self, resource: Resource) -> bool {
        resource.shared() && self.roles.iter().any(|r| r.role.allows(Verb::Read, resource))
    }
}

/// A request, as far as the controller cares.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who asks.
    pub principal: Principal,
    /// The address they ask from.
    pub source: String,
    /// The request's id.
    pub request_id: String,
    /// The path they ask for.
    pub path: String,
    /// `Idempotency-Key`, with a digest of method, path and body.
    pub idempotency: Option<Idempotency>,
    /// `If-Match`.
    pub if_match: Option<Revision>,
}

/// A request that may come several times and must happen once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// SHA-256 over method, path and body: the same key with another request is a mistake.
    pub fingerprint: String,
}

/// SHA-256 of a token, in hexadecimal: what is stored of it.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// The principal that a bearer token belongs to.
pub fn authenticate(tables: &Tables, token: &str) -> Result<Principal> {
    let unknown = || {
        Error::new(Code::Unauthenticated, "the token is not known")
            .hint("log in again: hostler context add NAME --url URL --token-file FILE")
    };
    let hash = token_hash(token);
    let owner = tables.token_owner(&hash).ok_or_else(unknown)?;
    principal_of(tables, owner, Some(hash)).ok_or_else(unknown)?
}

/// The same principal as it is now. Streams ask again, so that what was revoked ends.
pub fn refresh(tables: &Tables, principal: &Principal) -> Result<Principal> {
    let ended = |what| {
        Err(Error::new(Code::Unauthenticated, what)
            .hint("log in again: hostler context add NAME --url URL --token-file FILE"))
    };
    let hash = principal.token_hash.clone();
    if hash.as_deref().is_some_and(|hash| tables.token_owner(hash) != Some(principal.uid)) {
        return ended("the token is no longer valid");
    }
    principal_of(tables, principal.uid, hash).unwrap_or_else(|| ended("the account is gone"))
}

/// An account or worker with its present roles.
fn principal_of(tables: &Tables, uid: Uid, token_hash: Option<String>) -> Option<Result<Principal>> {
    if let Some(account) = tables.accounts.by_uid(uid) {
        if account.spec.disabled {
            return Some(Err(Error::new(Code::Unauthenticated, "the service account is disabled")
                .hint("an admin enables it: hostler service-account enable NAME")));
        }
        let name = &account.metadata.name;
        let mine = tables.bindings.iter().filter(|b| &b.spec.account == name);
        return Some(Ok(Principal {
            uid,
            name: name.clone(),
            roles: mine.map(|b| b.spec.clone()).collect(),
            token_hash,
        }));
    }
    let worker = tables.workers.by_uid(uid)?;
    let name = worker.metadata.name.clone();
    let role = RoleBindingSpec { account: name.clone(), role: Role::Worker, project: None };
    Some(Ok(Principal { uid, name, roles: vec![role], token_hash }))
}

/// Decides whether a route may be called. `project` is the one in the path. What belongs to a project that the caller
/// has no part in answers like what does not exist.
pub fn authorize(principal: Option<&Principal>, route: &Route, project: Option<&Name>) -> Result<()> {
    let anonymous = || {
        Error::new(Code::Unauthenticated, "this needs a token")
            .hint("send 'Authorization: Bearer TOKEN'; the CLI takes it from its context")
    };
    let (verb, resource) = match route.access {
        Access::Open => return Ok(()),
        Access::Authenticated => return principal.map(|_| ()).ok_or_else(anonymous),
        Access::Role(verb, resource) => (verb, resource),
    };
    let principal = principal.ok_or_else(anonymous)?;
    if principal.has_cluster(verb, resource) {
        return Ok(());
    }
    if let Some(project) = project {
        return in_project(principal, project, verb, resource);
    }
    let across = resource.in_project() && principal.roles.iter().any(|r| r.role.allows(verb, resource));
    if verb == Verb::Read && (across || principal.may_share(resource)) {
        return Ok(());
    }
    Err(forbidden(verb, resource))
}

fn in_project(principal: &Principal, project: &Name, verb: Verb, resource: Resource) -> Result<()> {
    if principal.has_in(project, verb, resource) {
        return Ok(());
    }
    let sees_cluster = principal.roles.iter().any(|r| r.project.is_none() && r.role != Role::Worker);
    if sees_cluster || principal.roles.iter().any(|r| r.project.as_ref() == Some(project)) {
        return Err(forbidden(verb, resource));
    }
    Err(no_project(project))
}

/// The answer for a project that is missing, or that the caller may not know of.
pub fn no_project(project: impl fmt::Display) -> Error {
    Error::not_found(format!("there is no project '{project}'")).hint("see: hostler project list")
}

fn forbidden(verb: Verb, resource: Resource) -> Error {
    let (verb, resource) = (format!("{verb:?}").to_lowercase(), format!("{resource:?}"));
    Error::new(Code::Forbidden, format!("your roles do not allow to {verb} here"))
        .because(format!("no role of yours has '{verb}' on {resource}"))
        .hint("ask an admin for a role: hostler service-account bind ACCOUNT ROLE")
}
