//! The description of the API (OpenAPI 3.1), made from the table of routes and the types, so that it cannot drift.

use api::{
    AuditRecord, Credential, CredentialSpec, Empty, Event, Fleet, FleetSpec, Image, ImageSpec, ImageStatus,
    JoinToken, JoinTokenSpec, NewObject, Operation, Patch, Problem, Project, ProjectSpec, RoleBinding,
    RoleBindingSpec, ServiceAccount, ServiceAccountSpec, Settings, SettingsSpec, Vm, VmSpec, VmStatus,
    Worker, WorkerSpec, WorkerStatus,
    access::{JoinTokenStatus, NewToken, ServiceAccountStatus, WhoAmI},
    fleet::{FleetRequest, FleetStatus},
    record::{OperationSpec, OperationStatus},
    routes::{Access, Method, ROUTES, Route, RouteId as R},
    stream,
    vm::PlacementPreview,
    worker::{AdoptRequest, JoinAnswer, JoinRequest},
};
use utoipa::{
    ToSchema,
    openapi::{
        ArrayBuilder, ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, LicenseBuilder,
        ObjectBuilder, OpenApi as Document, OpenApiBuilder, PathsBuilder, Ref, Required, ResponseBuilder,
        ResponsesBuilder,
        path::{OperationBuilder, ParameterBuilder, ParameterIn, PathItem},
        request_body::RequestBodyBuilder,
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// The schemas by the names that this document uses: generic types are named after what they hold.
fn schemas() -> ComponentsBuilder {
    let mut all = Schemas(ComponentsBuilder::new());
    all.object::<Vm>("Vm").object::<Worker>("Worker").object::<Image>("Image").object::<Project>("Project");
    all.object::<ServiceAccount>("ServiceAccount")
        .object::<RoleBinding>("RoleBinding")
        .object::<JoinToken>("JoinToken");
    all.object::<Settings>("Settings").object::<Operation>("Operation");
    all.object::<Fleet>("Fleet").object::<Credential>("Credential");
    all.own::<FleetSpec>().own::<FleetStatus>().own::<CredentialSpec>();
    all.named::<NewObject<FleetSpec>>("NewFleet").named::<NewObject<CredentialSpec>>("NewCredential");
    all.named::<FleetRequest>("FleetRequest");
    all.object::<Event>("Event").object::<AuditRecord>("AuditRecord");
    all.own::<VmSpec>()
        .own::<VmStatus>()
        .own::<WorkerSpec>()
        .own::<WorkerStatus>()
        .own::<ImageSpec>()
        .own::<ImageStatus>();
    all.own::<ProjectSpec>()
        .own::<ServiceAccountSpec>()
        .own::<ServiceAccountStatus>()
        .own::<RoleBindingSpec>();
    all.own::<JoinTokenSpec>().own::<JoinTokenStatus>().own::<SettingsSpec>().own::<OperationSpec>();
    all.own::<OperationStatus>().own::<Empty>();
    all.named::<NewObject<VmSpec>>("NewVm").named::<NewObject<ImageSpec>>("NewImage");
    all.named::<NewObject<ProjectSpec>>("NewProject")
        .named::<NewObject<ServiceAccountSpec>>("NewServiceAccount");
    all.named::<NewObject<RoleBindingSpec>>("NewRoleBinding")
        .named::<NewObject<JoinTokenSpec>>("NewJoinToken");
    all.named::<PlacementPreview>("PlacementPreview").named::<AdoptRequest>("AdoptRequest");
    all.named::<JoinRequest>("JoinRequest").named::<JoinAnswer>("JoinAnswer").named::<NewToken>("NewToken");
    all.named::<Patch>("Patch").named::<Problem>("Problem").named::<WhoAmI>("WhoAmI");
    all.named::<stream::Change>("Change").named::<stream::Control>("Control");
    all.0
}

struct Schemas(ComponentsBuilder);

impl Schemas {
    /// A schema with all that it refers to.
    fn named<T: ToSchema>(&mut self, name: &str) -> &mut Self {
        let mut referred = Vec::new();
        T::schemas(&mut referred);
        let components = std::mem::take(&mut self.0).schemas_from_iter(referred);
        self.0 = components.schema(name, T::schema());
        self
    }

    /// A schema under the name of its type.
    fn own<T: ToSchema>(&mut self) -> &mut Self {
        self.named::<T>(&T::name())
    }

    /// A schema and the list of it.
    fn object<T: ToSchema>(&mut self, name: &str) -> &mut Self {
        self.named::<T>(name);
        let list = ObjectBuilder::new()
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(name)))
            .property("revision", Ref::from_schema_name("Revision"))
            .property("next", ObjectBuilder::new().schema_type(Type::String))
            .required("items")
            .required("revision");
        self.0 = std::mem::take(&mut self.0).schema(format!("{name}List"), list.build());
        self
    }
}

/// The document.
pub fn document() -> Document {
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = schemas().security_scheme("bearer", bearer).build();
    let info = InfoBuilder::new()
        .title("Hostler")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("One control plane for a herd of machines."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").build()))
        .build();
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        paths = paths.path(route.path, PathItem::new(method(route.method), operation(route)));
    }
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components)).build()
}

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let shape = shape(route.id);
    let mut operation =
        OperationBuilder::new().operation_id(Some(camel(route.id.as_str()))).responses(responses(&shape));
    for segment in route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
        let parameter = ParameterBuilder::new()
            .name(segment)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(utoipa::schema!(String).build()));
        operation = operation.parameter(parameter);
    }
    for (name, what) in shape.query {
        let parameter = ParameterBuilder::new()
            .name(*name)
            .parameter_in(ParameterIn::Query)
            .description(Some(*what))
            .schema(Some(utoipa::schema!(String).build()));
        operation = operation.parameter(parameter);
    }
    if let Some(body) = shape.body {
        let body =
            RequestBodyBuilder::new().content(shape.body_type, content(body)).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    if route.access != Access::Open {
        operation = operation.security(SecurityRequirement::new("bearer", Vec::<String>::new()));
    }
    if let Access::Role(verb, resource) = route.access {
        operation =
            operation.description(Some(format!("Needs a role that allows {verb:?} on {resource:?}.")));
    }
    operation.build()
}

fn responses(shape: &Shape) -> utoipa::openapi::Responses {
    let mut ok = ResponseBuilder::new().description(shape.says);
    if let Some(answer) = shape.answer {
        ok = ok.content(shape.answer_type, content(answer));
    }
    let problem = ResponseBuilder::new()
        .description("A problem (RFC 9457)")
        .content(api::problem::MEDIA_TYPE, content("Problem"));
    ResponsesBuilder::new().response(shape.status, ok.build()).response("default", problem.build()).build()
}

fn content(schema: &str) -> utoipa::openapi::Content {
    match schema {
        "" => ContentBuilder::new().build(),
        name => ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build(),
    }
}

fn camel(name: &str) -> String {
    let mut text = name.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// What goes in and out of a route.
struct Shape {
    status: &'static str,
    says: &'static str,
    body: Option<&'static str>,
    body_type: &'static str,
    answer: Option<&'static str>,
    answer_type: &'static str,
    query: &'static [(&'static str, &'static str)],
}

const PAGE: &[(&str, &str)] = &[
    ("limit", "Most objects of the page: 1 to 1000"),
    ("cursor", "`next` of the page before"),
    ("labels", "Only objects with all these labels: a=1,b=2"),
    ("watch", "true: answer with server-sent events instead"),
    ("since", "With watch: changes after this revision"),
];
const RECORDS: &[(&str, &str)] = &[
    ("limit", "Most records of the page: 1 to 1000"),
    ("cursor", "`next` of the page before"),
    ("after", "Only records with a higher id"),
    ("last", "Only the newest ones, this many"),
    ("project", "Only records of this project"),
    ("kind", "Only events about this kind of object"),
    ("name", "Only events about objects of this name"),
];
const LOG: &[(&str, &str)] = &[
    ("offset", "The first byte wanted"),
    ("limit", "Most bytes"),
    ("follow", "true: go on with what is written later"),
];
const EXEC: &[(&str, &str)] = &[
    ("command", "For the login shell; absent: a login shell"),
    ("subsystem", "An SSH subsystem instead of a command"),
    ("env", "NAME=value, one a line"),
    ("tty", "true: with a terminal"),
    ("term", "The kind of terminal"),
    ("rows", "Lines of the terminal"),
    ("cols", "Characters a line"),
    ("wait", "Seconds to wait for a guest that does not answer yet"),
];

fn shape(route: R) -> Shape {
    let get = |answer| Shape {
        status: "200",
        says: "What was asked for",
        body: None,
        body_type: JSON,
        answer: Some(answer),
        answer_type: JSON,
        query: &[],
    };
    let list = |answer| Shape { query: PAGE, ..get(answer) };
    let send = |body, answer| Shape { body: Some(body), ..get(answer) };
    let make = |body, answer| Shape { status: "201", says: "It was made", ..send(body, answer) };
    let gone = || Shape { status: "204", says: "It is gone", answer: None, ..get("") };
    let text = || Shape { answer_type: "text/plain", ..get("") };
    let stream = |query| Shape { status: "101", says: "The stream is open", answer: None, query, ..get("") };
    match route {
        R::Livez | R::Readyz | R::Metrics => text(),
        R::Openapi | R::Version => get(""),
        R::WhoAmI => get("WhoAmI"),
        R::Join => send("JoinRequest", "JoinAnswer"),
        R::ListWorkers => list("WorkerList"),
        R::GetWorker => get("Worker"),
        R::PatchWorker => send("Patch", "Worker"),
        R::DeleteWorker => Shape { query: &[("confirmDead", "true: its VMs are taken for dead")], ..gone() },
        R::AdoptVm => make("AdoptRequest", "Vm"),
        R::ListImages => list("ImageList"),
        R::CreateImage => make("NewImage", "Image"),
        R::GetImage => get("Image"),
        R::PutImagePart => Shape { body: Some(""), body_type: BYTES, ..get("Image") },
        R::GetBlob => Shape { answer_type: BYTES, ..get("") },
        R::ListProjects => list("ProjectList"),
        R::CreateProject => make("NewProject", "Project"),
        R::GetProject => get("Project"),
        R::ListServiceAccounts => list("ServiceAccountList"),
        R::CreateServiceAccount => make("NewServiceAccount", "NewToken"),
        R::GetServiceAccount => get("ServiceAccount"),
        R::PatchServiceAccount => send("Patch", "ServiceAccount"),
        R::RotateToken => get("NewToken"),
        R::ListRoleBindings => list("RoleBindingList"),
        R::CreateRoleBinding => make("NewRoleBinding", "RoleBinding"),
        R::GetRoleBinding => get("RoleBinding"),
        R::ListJoinTokens => list("JoinTokenList"),
        R::CreateJoinToken => make("NewJoinToken", "JoinToken"),
        R::GetSettings => get("Settings"),
        R::PatchSettings => send("Patch", "Settings"),
        R::ListEvents => Shape { query: RECORDS, ..get("EventList") },
        R::ListOperations | R::ListProjectOperations => list("OperationList"),
        R::GetOperation | R::CancelOperation | R::GetProjectOperation | R::CancelProjectOperation => {
            get("Operation")
        }
        R::ListAllFleets | R::ListFleets => list("FleetList"),
        R::CreateFleet => make("NewFleet", "Fleet"),
        R::GetFleet => get("Fleet"),
        R::PatchFleet => send("Patch", "Fleet"),
        R::StartFleet => Shape { status: "202", says: "It has begun", ..send("FleetRequest", "Operation") },
        R::ListAllCredentials | R::ListCredentials => list("CredentialList"),
        R::CreateCredential => make("NewCredential", "Credential"),
        R::GetCredential => get("Credential"),
        R::PatchCredential => send("Patch", "Credential"),
        R::ListAudit => Shape { query: RECORDS, ..get("AuditRecordList") },
        R::CreateBackup => Shape { status: "202", says: "It has begun", ..get("Operation") },
        R::Watch => Shape {
            answer_type: "text/event-stream",
            query: &[
                ("kinds", "vm,worker,..."),
                ("project", "Only this project"),
                ("since", "After this revision"),
            ],
            ..get("Change")
        },
        R::ListAllVms | R::ListVms => list("VmList"),
        R::CreateVm => {
            Shape { query: &[("dryRun", "true: only say where it would go")], ..make("NewVm", "Vm") }
        }
        R::GetVm | R::RestartVm => get("Vm"),
        R::PutVm => send("NewVm", "Vm"),
        R::PatchVm => send("Patch", "Vm"),
        R::DeleteVm => Shape { status: "202", says: "Its worker removes it (204: it is gone)", ..get("Vm") },
        R::GetVmLog | R::GetOperationLog | R::GetOperationEvents => {
            Shape { answer_type: BYTES, query: LOG, ..get("") }
        }
        R::ExecVm => stream(EXEC),
        R::ConsoleVm | R::VncVm | R::PortVm => stream(&[]),
        R::RemoveUnclaimed
        | R::DeleteImage
        | R::DeleteProject
        | R::DeleteServiceAccount
        | R::DeleteRoleBinding
        | R::DeleteJoinToken
        | R::DeleteFleet
        | R::DeleteCredential => gone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_has_a_schema() {
        let text = serde_json::to_string(&document()).unwrap();
        let schemas = document().components.unwrap().schemas;
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                schemas.contains_key(name),
                "{name} is missing; there are {:?}",
                schemas.keys().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn the_committed_document_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let now = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == now, "outdated: run cargo run -p server --example openapi > docs/openapi.json");
    }
}
