//! The table of routes: path, method, and who may. The server mounts these and nothing else; the client calls these and
//! nothing else; the authorisation test walks these.

use crate::access::{Resource, Verb};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// Whoever has a token.
    Authenticated,
    /// Whoever has a role that allows this: in the project of the path (`{project}`) or in the cluster. Lists across
    /// projects show what the caller may read.
    Role(Verb, Resource),
}

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its name; also the `operationId` of OpenAPI.
    pub id: RouteId,
    /// Its method.
    pub method: Method,
    /// Its path, with `{parameters}`.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

macro_rules! routes {
    ($($(#[$doc:meta])* $id:ident $method:ident $path:literal $access:expr;)*) => {
        /// The name of a route.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RouteId { $($(#[$doc])* $id,)* }

        /// All routes.
        pub const ROUTES: &[Route] = &[$(Route {
            id: RouteId::$id,
            method: Method::$method,
            path: $path,
            access: $access,
        },)*];

        impl RouteId {
            /// Its name, in camel case.
            pub fn as_str(self) -> &'static str {
                match self { $(RouteId::$id => stringify!($id),)* }
            }
        }
    };
}

use Access::{Authenticated, Open, Role};
use Resource as R;
use Verb as V;

routes! {
    /// Whether the process lives.
    Livez Get "/livez" Open;
    /// Whether it can serve.
    Readyz Get "/readyz" Open;
    /// Prometheus metrics.
    Metrics Get "/metrics" Role(V::Read, R::Metrics);
    /// This API's description.
    Openapi Get "/openapi.json" Open;
    /// Version of the program and pin of its CA.
    Version Get "/v1/version" Open;
    /// The caller's account and roles.
    WhoAmI Get "/v1/whoami" Authenticated;
    /// A new worker, authenticated by the join token in the body.
    Join Post "/v1/join" Open;

    /// All workers.
    ListWorkers Get "/v1/workers" Role(V::Read, R::Worker);
    /// One worker.
    GetWorker Get "/v1/workers/{name}" Role(V::Read, R::Worker);
    /// Changes a worker's spec.
    PatchWorker Patch "/v1/workers/{name}" Role(V::Update, R::Worker);
    /// Forgets a worker. With `confirmDead=true` its VMs are taken for dead.
    DeleteWorker Delete "/v1/workers/{name}" Role(V::Delete, R::Worker);
    /// Makes an unclaimed VM an object again.
    AdoptVm Post "/v1/workers/{name}/unclaimed/{uid}/adopt" Role(V::Update, R::Worker);
    /// Removes an unclaimed VM, disk and all.
    RemoveUnclaimed Delete "/v1/workers/{name}/unclaimed/{uid}" Role(V::Delete, R::Worker);

    /// All images.
    ListImages Get "/v1/images" Role(V::Read, R::Image);
    /// Declares an image; its parts follow.
    CreateImage Post "/v1/images" Role(V::Create, R::Image);
    /// One image.
    GetImage Get "/v1/images/{name}" Role(V::Read, R::Image);
    /// Removes an image that no VM uses.
    DeleteImage Delete "/v1/images/{name}" Role(V::Delete, R::Image);
    /// Uploads a part of an image.
    PutImagePart Put "/v1/images/{name}/parts/{part}" Role(V::Create, R::Image);
    /// The bytes of a part, with ranges.
    GetBlob Get "/v1/blobs/{digest}" Role(V::Read, R::Blob);

    /// The caller's projects.
    ListProjects Get "/v1/projects" Role(V::Read, R::Project);
    /// A new project.
    CreateProject Post "/v1/projects" Role(V::Create, R::Project);
    /// One project.
    GetProject Get "/v1/projects/{name}" Role(V::Read, R::Project);
    /// Removes an empty project.
    DeleteProject Delete "/v1/projects/{name}" Role(V::Delete, R::Project);

    /// All service accounts.
    ListServiceAccounts Get "/v1/service-accounts" Role(V::Read, R::ServiceAccount);
    /// A new service account; the answer has its token, once.
    CreateServiceAccount Post "/v1/service-accounts" Role(V::Create, R::ServiceAccount);
    /// One service account.
    GetServiceAccount Get "/v1/service-accounts/{name}" Role(V::Read, R::ServiceAccount);
    /// Changes a service account.
    PatchServiceAccount Patch "/v1/service-accounts/{name}" Role(V::Update, R::ServiceAccount);
    /// Removes a service account with its role bindings.
    DeleteServiceAccount Delete "/v1/service-accounts/{name}" Role(V::Delete, R::ServiceAccount);
    /// A new token; the old one ends.
    RotateToken Post "/v1/service-accounts/{name}/token" Role(V::Update, R::ServiceAccount);

    /// All role bindings.
    ListRoleBindings Get "/v1/role-bindings" Role(V::Read, R::RoleBinding);
    /// A new role binding.
    CreateRoleBinding Post "/v1/role-bindings" Role(V::Create, R::RoleBinding);
    /// One role binding.
    GetRoleBinding Get "/v1/role-bindings/{name}" Role(V::Read, R::RoleBinding);
    /// Removes a role binding.
    DeleteRoleBinding Delete "/v1/role-bindings/{name}" Role(V::Delete, R::RoleBinding);

    /// All join tokens.
    ListJoinTokens Get "/v1/join-tokens" Role(V::Read, R::JoinToken);
    /// A new join token; the answer has its text, once.
    CreateJoinToken Post "/v1/join-tokens" Role(V::Create, R::JoinToken);
    /// Ends a join token.
    DeleteJoinToken Delete "/v1/join-tokens/{name}" Role(V::Delete, R::JoinToken);

    /// The cluster's settings.
    GetSettings Get "/v1/settings" Role(V::Read, R::Settings);
    /// Changes the cluster's settings.
    PatchSettings Patch "/v1/settings" Role(V::Update, R::Settings);

    /// Events.
    ListEvents Get "/v1/events" Role(V::Read, R::Event);
    /// Operations.
    ListOperations Get "/v1/operations" Role(V::Read, R::Operation);
    /// One operation.
    GetOperation Get "/v1/operations/{name}" Role(V::Read, R::Operation);
    /// Asks an operation to end early.
    CancelOperation Post "/v1/operations/{name}/cancel" Role(V::Update, R::Operation);
    /// Audit records.
    ListAudit Get "/v1/audit" Role(V::Read, R::Audit);
    /// Starts a backup of the store: an operation.
    CreateBackup Post "/v1/backups" Role(V::Create, R::Backup);

    /// Changes of several kinds, as server-sent events.
    Watch Get "/v1/watch" Authenticated;

    /// VMs of all projects that the caller may read.
    ListAllVms Get "/v1/vms" Role(V::Read, R::Vm);
    /// VMs of a project.
    ListVms Get "/v1/projects/{project}/vms" Role(V::Read, R::Vm);
    /// A new VM. With `dryRun=true` only says where it would go.
    CreateVm Post "/v1/projects/{project}/vms" Role(V::Create, R::Vm);
    /// One VM.
    GetVm Get "/v1/projects/{project}/vms/{name}" Role(V::Read, R::Vm);
    /// Replaces a VM's labels and spec, or makes the VM.
    PutVm Put "/v1/projects/{project}/vms/{name}" Role(V::Update, R::Vm);
    /// Changes fields of a VM's labels and spec.
    PatchVm Patch "/v1/projects/{project}/vms/{name}" Role(V::Update, R::Vm);
    /// Removes a VM, disk and all.
    DeleteVm Delete "/v1/projects/{project}/vms/{name}" Role(V::Delete, R::Vm);
    /// Restarts a VM once.
    RestartVm Post "/v1/projects/{project}/vms/{name}/restart" Role(V::Update, R::Vm);
    /// A log of a VM, by offset.
    GetVmLog Get "/v1/projects/{project}/vms/{name}/logs/{log}" Role(V::Read, R::VmLog);
    /// WebSocket: a command or a shell in the guest.
    ExecVm Get "/v1/projects/{project}/vms/{name}/exec" Role(V::Connect, R::Vm);
    /// WebSocket: the serial console.
    ConsoleVm Get "/v1/projects/{project}/vms/{name}/console" Role(V::Connect, R::Vm);
    /// WebSocket: the screen, RFB.
    VncVm Get "/v1/projects/{project}/vms/{name}/vnc" Role(V::Connect, R::Vm);
    /// WebSocket: a TCP port of the guest.
    PortVm Get "/v1/projects/{project}/vms/{name}/ports/{port}" Role(V::Connect, R::Vm);

    /// Fleet directories of all projects that the caller may read.
    ListAllFleets Get "/v1/fleets" Role(V::Read, R::Fleet);
    /// Fleet directories of a project.
    ListFleets Get "/v1/projects/{project}/fleets" Role(V::Read, R::Fleet);
    /// Registers a fleet directory.
    CreateFleet Post "/v1/projects/{project}/fleets" Role(V::Create, R::Fleet);
    /// One fleet directory.
    GetFleet Get "/v1/projects/{project}/fleets/{name}" Role(V::Read, R::Fleet);
    /// Changes a fleet directory.
    PatchFleet Patch "/v1/projects/{project}/fleets/{name}" Role(V::Update, R::Fleet);
    /// Forgets a fleet directory.
    DeleteFleet Delete "/v1/projects/{project}/fleets/{name}" Role(V::Delete, R::Fleet);
    /// Runs, checks or deploys: an operation.
    StartFleet Post "/v1/projects/{project}/fleets/{name}/operations" Role(V::Connect, R::Fleet);
    /// Credentials of all projects that the caller may read, without their values.
    ListAllCredentials Get "/v1/credentials" Role(V::Read, R::Credential);
    /// Credentials of a project, without their values.
    ListCredentials Get "/v1/projects/{project}/credentials" Role(V::Read, R::Credential);
    /// A new credential.
    CreateCredential Post "/v1/projects/{project}/credentials" Role(V::Create, R::Credential);
    /// One credential, without its value.
    GetCredential Get "/v1/projects/{project}/credentials/{name}" Role(V::Read, R::Credential);
    /// Changes a credential.
    PatchCredential Patch "/v1/projects/{project}/credentials/{name}" Role(V::Update, R::Credential);
    /// Removes a credential.
    DeleteCredential Delete "/v1/projects/{project}/credentials/{name}" Role(V::Delete, R::Credential);
    /// Operations of a project.
    ListProjectOperations Get "/v1/projects/{project}/operations" Role(V::Read, R::Operation);
    /// One operation of a project.
    GetProjectOperation Get "/v1/projects/{project}/operations/{name}" Role(V::Read, R::Operation);
    /// Asks an operation of a project to end early: whoever may start one may.
    CancelProjectOperation Post "/v1/projects/{project}/operations/{name}/cancel" Role(V::Connect, R::Fleet);
    /// What an operation of a project has said, by offset.
    GetOperationLog Get "/v1/projects/{project}/operations/{name}/log" Role(V::Read, R::Operation);
    /// What happens on the nodes of an operation of a project, as it happens.
    GetOperationEvents Get "/v1/projects/{project}/operations/{name}/events" Role(V::Read, R::Operation);
}

impl RouteId {
    /// The whole entry.
    pub fn route(self) -> &'static Route {
        &ROUTES[self as usize]
    }

    /// The path with its parameters filled in, in the order they appear.
    pub fn path(self, parameters: &[&str]) -> String {
        let mut parameters = parameters.iter();
        let mut path = String::new();
        for segment in self.route().path.split('/').skip(1) {
            path.push('/');
            if segment.starts_with('{') {
                path.push_str(&encode(parameters.next().copied().unwrap_or_default()));
            } else {
                path.push_str(segment);
            }
        }
        path
    }
}

/// Percent-encodes one path segment or query value (RFC 3986: all but unreserved characters).
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_indexed_by_id_and_has_no_twins() {
        let mut seen = std::collections::BTreeSet::new();
        for route in ROUTES {
            assert_eq!(route.id.route().path, route.path);
            assert!(seen.insert((route.method, route.path)), "{} twice", route.path);
        }
    }

    #[test]
    fn paths_are_filled_in_and_encoded() {
        assert_eq!(RouteId::GetVm.path(&["default", "web"]), "/v1/projects/default/vms/web");
        assert_eq!(RouteId::GetBlob.path(&["sha256:00"]), "/v1/blobs/sha256%3A00");
    }

    #[test]
    fn what_belongs_to_a_project_says_so_in_its_path() {
        for route in ROUTES.iter().filter(|r| r.path.contains("{project}")) {
            let Access::Role(_, resource) = route.access else { panic!("{} is open", route.path) };
            assert!(resource.in_project(), "{}", route.path);
        }
    }
}
