//! Who may do what: every route, stream and tunnel, asked for by every role wherever it can be bound, against a table of
//! its own (`tests/authorization.csv`). And what belongs to others stays out of sight.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use api::routes::{ROUTES, RouteId};
use e2e::{Cluster, Http, Layout, Setup, eventually};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Longest time for a stream to notice that its rights ended: 6 s, and what a busy machine adds.
const REVOKED: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(30);

/// The columns of the table: who asks.
const ROLES: [&str; 4] = ["admin", "operator", "connect", "viewer"];

/// A cluster with something of each kind to ask for: all of it in the project `red`.
struct Scene {
    _cluster: Cluster,
    admin: Http,
    worker: String,
    operation: String,
    started: String,
    digest: String,
}

impl Scene {
    async fn start() -> Self {
        let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
        let admin = Http::admin(&cluster);
        for project in ["red", "blue"] {
            admin.send("POST", "/v1/projects", &json!({"name": project, "spec": {}})).await.is(201);
        }
        let vm = json!({"name": "web", "spec": {"image": "synthetic"}});
        admin.send("POST", "/v1/projects/red/vms", &vm).await.is(201);
        wait_for_phase(&admin, "red", "web", "Running").await;
        let image = json!({"name": "disk", "spec": {"format": "raw", "arch": "amd64"}});
        admin.send("POST", "/v1/images", &image).await.is(201);
        let uploaded = admin.ask("PUT", "/v1/images/disk/parts/disk").body(disk()).send().await.is(200);
        let account = json!({"name": "victim", "spec": {}});
        admin.send("POST", "/v1/service-accounts", &account).await.is(201);
        admin.send("POST", "/v1/join-tokens", &json!({"name": "spare", "spec": {}})).await.is(201);
        let operation = admin.ask("POST", "/v1/backups").send().await.is(202);
        let word = json!({"name": "word", "spec": {"kind": "text", "value": "hush"}});
        admin.send("POST", "/v1/projects/red/credentials", &word).await.is(201);
        // A repository that nobody serves: the operation is there, and fails.
        let source = json!({"git": {"url": "https://fleet.invalid/estate"}});
        let fleet = json!({"name": "estate", "spec": {"source": source}});
        admin.send("POST", "/v1/projects/red/fleets", &fleet).await.is(201);
        let check = json!({"verb": "check", "arguments": ["--all"]});
        let started = admin.send("POST", "/v1/projects/red/fleets/estate/operations", &check).await.is(202);
        Scene {
            started: started["metadata"]["name"].as_str().unwrap().to_owned(),
            worker: cluster.worker_name(1),
            _cluster: cluster,
            admin,
            operation: operation["metadata"]["name"].as_str().unwrap().to_owned(),
            digest: uploaded["status"]["parts"][0]["digest"].as_str().unwrap().to_owned(),
        }
    }

    /// A new account with these roles.
    async fn account(&self, name: &str, roles: &[(&str, Option<&str>)]) -> Http {
        let new = json!({"name": name, "spec": {}});
        let token = self.admin.send("POST", "/v1/service-accounts", &new).await.is(201);
        for (i, (role, project)) in roles.iter().enumerate() {
            let mut spec = json!({"account": name, "role": role});
            if let Some(project) = project {
                spec["project"] = json!(project);
            }
            let new = json!({"name": format!("{name}-{i}"), "spec": spec});
            self.admin.send("POST", "/v1/role-bindings", &new).await.is(201);
        }
        self.admin.as_token(token["token"].as_str())
    }

    /// Whoever has a worker's token.
    async fn joined_worker(&self) -> Http {
        let new = json!({"name": "for-a-worker", "spec": {}});
        let token = self.admin.send("POST", "/v1/join-tokens", &new).await.is(201);
        let csr = link::pki::WorkerKey::generate().unwrap().csr_pem;
        let join = json!({"token": token["status"]["token"], "name": "joined", "csr": csr});
        let answer = self.admin.as_token(None).send("POST", "/v1/join", &join).await.is(200);
        self.admin.as_token(answer["token"].as_str())
    }

    /// Everybody of the table, by column.
    async fn everybody(&self) -> BTreeMap<String, Http> {
        let mut all = BTreeMap::new();
        all.insert("anonymous".to_owned(), self.admin.as_token(None));
        all.insert("unbound".to_owned(), self.account("unbound", &[]).await);
        all.insert("worker".to_owned(), self.joined_worker().await);
        for role in ROLES {
            for (scope, project) in [("cluster", None), ("own", Some("red")), ("other", Some("blue"))] {
                let account = self.account(&format!("{role}-{scope}"), &[(role, project)]).await;
                all.insert(format!("{role}@{scope}"), account);
            }
        }
        all
    }

    /// Asks for a route so that nothing is changed even where it is allowed; the status it then has.
    #[allow(clippy::match_same_arms)] // in the order of the routes
    async fn ask(&self, who: &Http, route: RouteId, project: &str) -> (e2e::Answer, u16) {
        use RouteId as R;
        let uid = "0190f3a0-0000-7000-8000-000000000000";
        // A change that is refused for what it says, and a removal of something that has changed since.
        let (nonsense, stale) = (json!({"spec": {"nonsense": 1}}), "\"1-1\"");
        let vm = [project, "web"];
        let body = |parameters: &[&str], body: Value| {
            let method = route.route().method.as_str();
            who.ask(method, &route.path(parameters)).json(&body)
        };
        let plain = |parameters: &[&str]| who.ask(route.route().method.as_str(), &route.path(parameters));
        let outdated = |parameters: &[&str]| plain(parameters).header("if-match", stale);
        let (ask, status) = match route {
            R::Livez
            | R::Readyz
            | R::Metrics
            | R::Openapi
            | R::Version
            | R::WhoAmI
            | R::Watch
            | R::ListWorkers
            | R::ListImages
            | R::ListProjects
            | R::ListServiceAccounts
            | R::ListRoleBindings
            | R::ListJoinTokens
            | R::GetSettings
            | R::ListEvents
            | R::ListOperations
            | R::ListAudit
            | R::ListAllFleets
            | R::ListAllCredentials
            | R::ListAllVms => (plain(&[]), 200),
            R::CreateBackup => (plain(&[]), 202),
            R::Join
            | R::CreateImage
            | R::CreateProject
            | R::CreateServiceAccount
            | R::CreateRoleBinding
            | R::CreateJoinToken => (body(&[], json!({})), 400),
            R::PatchSettings => (body(&[], nonsense), 400),
            R::GetWorker => (plain(&[&self.worker]), 200),
            R::PatchWorker => (body(&[&self.worker], nonsense), 400),
            R::DeleteWorker => (plain(&[&self.worker]), 409),
            R::AdoptVm => (body(&[&self.worker, uid], json!("nonsense")), 400),
            R::RemoveUnclaimed => (plain(&[&self.worker, "nonsense"]), 400),
            R::GetImage => (plain(&["disk"]), 200),
            R::DeleteImage => (outdated(&["disk"]), 412),
            R::PutImagePart => (plain(&["disk", "disk"]), 409),
            R::GetBlob => (plain(&[&self.digest]), 200),
            R::GetProject => (plain(&[project]), 200),
            R::DeleteProject => (outdated(&[project]), 412),
            R::GetServiceAccount => (plain(&["victim"]), 200),
            R::PatchServiceAccount => (body(&["victim"], nonsense), 400),
            R::DeleteServiceAccount => (outdated(&["victim"]), 412),
            R::RotateToken => (plain(&["victim"]), 200),
            R::GetRoleBinding => (plain(&["admin"]), 200),
            R::DeleteRoleBinding => (outdated(&["admin"]), 412),
            R::DeleteJoinToken => (outdated(&["spare"]), 412),
            R::GetOperation | R::CancelOperation => (plain(&[&self.operation]), 200),
            R::ListVms | R::ListFleets | R::ListCredentials | R::ListProjectOperations => {
                (plain(&[project]), 200)
            }
            R::CreateVm | R::CreateFleet | R::CreateCredential => (body(&[project], json!({})), 400),
            R::GetFleet => (plain(&[project, "estate"]), 200),
            R::GetCredential => (plain(&[project, "word"]), 200),
            R::PatchFleet => (body(&[project, "estate"], nonsense), 400),
            R::PatchCredential => (body(&[project, "word"], nonsense), 400),
            R::DeleteFleet => (outdated(&[project, "estate"]), 412),
            R::DeleteCredential => (outdated(&[project, "word"]), 412),
            R::StartFleet => (body(&[project, "estate"], json!({})), 400),
            R::GetProjectOperation
            | R::CancelProjectOperation
            | R::GetOperationLog
            | R::GetOperationEvents => (plain(&[project, &self.started]), 200),
            R::GetVm => (plain(&vm), 200),
            R::PutVm => (body(&vm, json!({})), 400),
            R::PatchVm => (body(&vm, nonsense), 400),
            R::DeleteVm | R::RestartVm => (outdated(&vm), 412),
            R::GetVmLog => (plain(&[project, "web", "console"]), 200),
            R::ExecVm | R::ConsoleVm | R::VncVm => (plain(&vm), 400),
            R::PortVm => (plain(&[project, "web", "22"]), 400),
        };
        (ask.send().await, status)
    }
}

async fn wait_for_phase(http: &Http, project: &str, vm: &str, phase: &str) -> Value {
    let path = format!("/v1/projects/{project}/vms/{vm}");
    eventually(&format!("{vm} {phase}"), READY, || async {
        Some(http.get(&path).await.is(200)).filter(|vm| vm["status"]["phase"] == phase)
    })
    .await
}

/// The smallest disk that may be one: a boot sector.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// The table: route, then column, then what is expected.
fn table() -> BTreeMap<String, BTreeMap<String, String>> {
    let text = include_str!("../authorization.csv");
    let mut lines = text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split(',').map(str::to_owned));
    let columns: Vec<String> = lines.next().unwrap().skip(1).collect();
    lines.map(|mut cells| (cells.next().unwrap(), columns.iter().cloned().zip(cells).collect())).collect()
}

#[test]
fn every_route_has_a_row_and_every_row_a_route() {
    let table = table();
    for route in ROUTES {
        assert!(table.contains_key(route.id.as_str()), "{} has no row", route.id.as_str());
    }
    for (route, row) in table {
        assert!(ROUTES.iter().any(|r| r.id.as_str() == route), "{route} is no route");
        assert_eq!(row.len(), 3 + 3 * ROLES.len(), "{route}: a cell is missing");
    }
    assert_eq!(ROLES.len() + 1, api::access::Role::ALL.len(), "a role is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_server_answers_as_the_table_says() {
    let scene = Scene::start().await;
    let table = table();
    let mut wrong = Vec::new();
    for (column, who) in scene.everybody().await {
        for route in ROUTES {
            let (answer, allowed) = scene.ask(&who, route.id, "red").await;
            let expected = match table[route.id.as_str()][&column].as_str() {
                "allow" => allowed,
                status => status.parse().unwrap(),
            };
            if answer.status != expected {
                wrong.push(format!(
                    "{column} {}: {} instead of {expected}: {}",
                    route.id.as_str(),
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ));
                continue;
            }
            if expected >= 400 {
                answer.problem(expected);
            }
            if expected == 401 {
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_belongs_to_others_answers_like_what_does_not_exist() {
    let scene = Scene::start().await;
    for role in ROLES {
        let who = scene.account(&format!("{role}-blue"), &[(role, Some("blue"))]).await;
        let in_projects =
            ROUTES.iter().filter(|r| r.path.contains("{project}") || r.id == RouteId::GetProject);
        for route in in_projects {
            let (others, _) = scene.ask(&who, route.id, "red").await;
            let (missing, _) = scene.ask(&who, route.id, "green").await;
            assert_eq!(stripped(&others, "red"), stripped(&missing, "green"), "{role} {}", route.id.as_str());
        }
        for path in ["/v1/watch?project=", "/v1/events?project="] {
            let others = who.get(&format!("{path}red")).await;
            others.problem(404);
            let missing = who.get(&format!("{path}green")).await;
            assert_eq!(stripped(&others, "red"), stripped(&missing, "green"), "{role} {path}");
        }
        for route in [RouteId::GetVm, RouteId::ConsoleVm] {
            let never = who.get(&route.path(&["Never A Name", "web"])).await.problem(404);
            assert!(never["detail"].as_str().unwrap().contains("there is no project"), "{never}");
        }
    }
    let stranger = scene.account("stranger", &[]).await;
    let refused = stranger.send("POST", "/v1/projects/Bad!/vms", &json!({})).await;
    refused.problem(404);
    scene.admin.as_token(None).send("POST", "/v1/projects/Bad!/vms", &json!({})).await.problem(401);
}

/// An answer without what differs by name and request.
fn stripped(answer: &e2e::Answer, project: &str) -> (u16, Vec<String>, Value) {
    let mut body = answer.json();
    body["requestId"] = Value::Null;
    let body = body.to_string().replace(project, "PROJECT");
    let headers = answer.headers.keys().map(ToString::to_string).collect();
    (answer.status, headers, serde_json::from_str(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_belongs_to_others_shows_nowhere() {
    let scene = Scene::start().await;
    let blue = scene.account("blue-admin", &[("admin", Some("blue"))]).await;
    let mut events = blue.events("/v1/watch").await.unwrap();
    // Red fills the one worker and queues up, before and after blue asks.
    for n in 0..3 {
        let big =
            json!({"name": format!("crimson-{n}"), "spec": {"image": "synthetic", "cpus": 9, "priority": 5}});
        scene.admin.send("POST", "/v1/projects/red/vms", &big).await.is(201);
    }
    wait_for_phase(&scene.admin, "red", "crimson-0", "Running").await;
    let small = json!({"name": "sky", "spec": {"image": "synthetic", "cpus": 10}});
    let made = blue.send("POST", "/v1/projects/blue/vms", &small).await.is(201);
    let pending = wait_for_phase(&blue, "blue", "sky", "Pending").await;
    assert!(!pending["status"]["message"].as_str().unwrap().is_empty());
    let mut seen = vec![made, pending];
    for path in [
        "/v1/vms",
        "/v1/projects",
        "/v1/events",
        "/v1/projects/blue/vms",
        "/v1/events?kind=vm",
        "/v1/events?last=1000",
        "/v1/operations",
        "/v1/fleets",
        "/v1/credentials",
    ] {
        seen.push(blue.get(path).await.is(200));
    }
    scene.admin.delete("/v1/projects/red/vms/web").await.is(202);
    scene.admin.delete("/v1/projects/blue/vms/sky").await;
    loop {
        let event = events.next().await.expect("the watch goes on");
        let done = event.data["change"] == "deleted" && event.data["object"]["metadata"]["name"] == "sky";
        seen.push(event.data);
        if done {
            break;
        }
    }
    for value in seen {
        let text = value.to_string();
        for secret in
            ["\"red\"", "crimson", "web", "estate", "hush", "backup", "role-binding", "service-account"]
        {
            assert!(!text.contains(secret), "{secret} shows in {text}");
        }
    }
    for path in ["/v1/audit", "/v1/service-accounts", "/v1/workers?watch"] {
        blue.get(path).await.problem(403);
    }
}

/// How an account loses its rights.
async fn revoke(scene: &Scene, name: &str, how: &str) {
    let account = format!("/v1/service-accounts/{name}");
    match how {
        "token" => scene.admin.ask("POST", &format!("{account}/token")).send().await.is(200),
        "binding" => scene.admin.delete(&format!("/v1/role-bindings/{name}-0")).await.is(204),
        "disabled" => scene.admin.send("PATCH", &account, &json!({"spec": {"disabled": true}})).await.is(200),
        _ => scene.admin.delete(&account).await.is(204),
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_open_streams_end_with_their_rights() {
    let scene = Scene::start().await;
    let ways = ["token", "binding", "disabled", "gone"];
    futures::future::join_all(ways.map(|how| {
        let scene = &scene;
        async move {
            let name = format!("by-{how}");
            let who = scene.account(&name, &[("operator", Some("red"))]).await;
            let mut watch = who.events("/v1/watch?project=red").await.unwrap();
            let mut list = who.events("/v1/projects/red/vms?watch").await.unwrap();
            let log = "/v1/projects/red/vms/web/logs/console?follow=true";
            let (log, _log) = who.ask("GET", log).open().await;
            assert_eq!(log.status(), 200);
            let console = "/v1/projects/red/vms/web/console";
            let (console, _console) =
                who.ask("GET", console).websocket(api::stream::TCP_PROTOCOL).open().await;
            assert_eq!(console.status(), 101);
            let console = hyper::upgrade::on(console).await.unwrap();
            revoke(scene, &name, how).await;
            let last = watch.end(REVOKED).await.unwrap();
            assert_eq!(last.event, "problem", "{how}: {last:?}");
            assert_eq!(list.end(REVOKED).await.unwrap().event, "problem", "{how}");
            ended(log.into_body(), how).await;
            closed(console, how).await;
            let status = who.get("/v1/projects/red/vms/web").await.status;
            assert_eq!(status, if how == "binding" { 404 } else { 401 }, "{how}");
        }
    }))
    .await;
}

async fn ended(body: hyper::body::Incoming, how: &str) {
    use http_body_util::BodyExt;
    let ended = tokio::time::timeout(REVOKED, body.collect()).await;
    let ended = ended.unwrap_or_else(|_| panic!("the log goes on: {how}"));
    assert!(ended.is_err(), "a log that is cut off must not look whole: {how}");
}

async fn closed(stream: hyper::upgrade::Upgraded, how: &str) {
    use tokio::io::AsyncReadExt;
    let mut stream = hyper_util::rt::TokioIo::new(stream);
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(REVOKED, stream.read_to_end(&mut bytes)).await;
    let _ = read.unwrap_or_else(|_| panic!("the console goes on: {how}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_last_admin_stays_and_workers_are_only_made_by_joining() {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let admin = Http::admin(&cluster);
    let me = admin.get("/v1/whoami").await.is(200);
    let name = me["account"].as_str().unwrap();
    let account = format!("/v1/service-accounts/{name}");
    let bindings = admin.get("/v1/role-bindings").await.is(200);
    let binding = bindings["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    for refused in [
        admin.delete(&account).await,
        admin.send("PATCH", &account, &json!({"spec": {"disabled": true}})).await,
        admin.delete(&format!("/v1/role-bindings/{binding}")).await,
    ] {
        let problem = refused.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains("without an admin"), "{problem}");
        assert!(problem["hint"].is_string());
    }
    admin.send("POST", "/v1/service-accounts", &json!({"name": "second", "spec": {}})).await.is(201);
    let worker = json!({"name": "w", "spec": {"account": "second", "role": "worker"}});
    let problem = admin.send("POST", "/v1/role-bindings", &worker).await.problem(400);
    assert_eq!(problem["field"], "/spec/role");
    let another = json!({"name": "second", "spec": {"account": "second", "role": "admin"}});
    admin.send("POST", "/v1/role-bindings", &another).await.is(201);
    admin.delete(&format!("/v1/role-bindings/{binding}")).await.is(204);
    admin.get("/v1/workers").await.problem(403);
}
