//! Whole commands against a server that answers what the test says.

use super::*;
use crate::{args::Format, printer::Printer};
use base::{Code, Error};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Mutex};
use testkit::fake_http::{FakeServer, Reply, Seen};

/// What a command did.
#[derive(Debug)]
struct Done {
    code: u8,
    out: String,
    err: String,
}

/// Daemons that only remember what they were asked for.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Asked {
    fn note(&self, what: &impl std::fmt::Debug) -> BoxFuture<'static, base::Result<()>> {
        self.0.lock().unwrap().push(format!("{what:?}"));
        Box::pin(async { Ok(()) })
    }
}

impl Daemons for Asked {
    fn dev(&self, options: DevOptions) -> BoxFuture<'static, base::Result<()>> {
        self.note(&options)
    }
    fn controller(&self, options: ControllerOptions) -> BoxFuture<'static, base::Result<()>> {
        self.note(&options)
    }
    fn worker(&self, options: WorkerOptions) -> BoxFuture<'static, base::Result<()>> {
        self.note(&options)
    }
    fn shim(&self, _: PathBuf) -> u8 {
        7
    }
    fn verify_backup(&self, _: PathBuf) -> BoxFuture<'static, base::Result<Value>> {
        Box::pin(async { Ok(json!({"revision": "1-9", "vms": 3})) })
    }
    fn restore_backup(&self, _: RestoreOptions) -> BoxFuture<'static, base::Result<Value>> {
        Box::pin(async { Err(Error::conflict("the store is in use")) })
    }
}

/// Runs a command line against a server.
async fn run_against(server: &FakeServer, line: &[&str]) -> Done {
    let head = ["hostler", "--url", server.url(), "--project", "default"];
    run_line(&[&head[..], line].concat()).await
}

async fn run_line(line: &[&str]) -> Done {
    let cli = args::parse(line.iter().map(OsString::from)).unwrap();
    let printer = Printer::in_memory(cli.global.output, cli.global.quiet);
    let app = App { global: cli.global, printer };
    let result = dispatch(&app, cli.command, &Asked::default()).await;
    let code = finish(&app, result);
    let (out, err) = app.printer.taken();
    Done { code, out, err }
}

async fn serve(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(answer).await.unwrap()
}

fn metadata(name: &str, project: Option<&str>) -> Value {
    let uid = base::Uid::from_parts(1, &[7; 10]);
    let then = rt::clock::wall() - jiff::SignedDuration::from_secs(90);
    json!({"uid": uid, "name": name, "project": project, "createdAt": then, "generation": 1, "revision": "1-5"})
}

fn vm(name: &str, project: &str, phase: &str, message: &str) -> Value {
    json!({"metadata": metadata(name, Some(project)), "spec": {"image": "tiny", "cpus": 2},
        "status": {"phase": phase, "message": message}})
}

fn list(items: &[Value]) -> Reply {
    Reply::Json(200, json!({"items": items, "revision": "1-9"}))
}

#[tokio::test]
async fn a_list_in_all_formats() {
    let server = serve(|_| {
        list(&[vm("web", "default", "Running", ""), vm("db", "ci", "Pending", "3 of 5 workers lack 4 GiB")])
    })
    .await;
    let table = run_against(&server, &["vm", "list", "-A"]).await;
    insta::assert_snapshot!(table.out, @r"
    NAME   PROJECT   PHASE     IMAGE   CPUS   MEMORY    WORKER   AGE   MESSAGE
    web    default   Running   tiny    2      512 MiB   -        90s   -
    db     ci        Pending   tiny    2      512 MiB   -        90s   3 of 5 workers lack 4 GiB
    ");
    let names = run_against(&server, &["vm", "ls", "-A", "-o", "name"]).await;
    assert_eq!(names.out, "web\ndb.ci\n");
    let data = run_against(&server, &["vms", "list", "-A", "-o", "json"]).await;
    let value: Value = serde_json::from_str(&data.out).unwrap();
    assert_eq!(
        (value["items"][1]["metadata"]["name"].as_str(), value["revision"].as_str()),
        (Some("db"), Some("1-9"))
    );
    let yaml = run_against(&server, &["vm", "list", "-o", "yaml"]).await;
    assert!(yaml.out.starts_with("items:\n"), "{}", yaml.out);
    assert_eq!(server.paths()[3], "GET /v1/projects/default/vms");
}

#[tokio::test]
async fn an_empty_list_is_no_data() {
    let server = serve(|_| list(&[])).await;
    let done = run_against(&server, &["worker", "list"]).await;
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", "no workers\n"));
}

#[tokio::test]
async fn a_failure_says_cause_hint_and_request() {
    let server = serve(|_| {
        let error =
            Error::not_found("there is no VM 'web'").because("it was deleted").hint("hostler vm list");
        Reply::problem(error, "req-1")
    })
    .await;
    let done = run_against(&server, &["vm", "get", "web"]).await;
    assert_eq!((done.code, done.out.as_str()), (5, ""));
    insta::assert_snapshot!(done.err, @r"
    error: there is no VM 'web'
    cause: it was deleted
    hint: hostler vm list
    request id: req-1
    ");
    let done = run_against(&server, &["vm", "get", "web", "-o", "json"]).await;
    let problem: Value = serde_json::from_str(done.err.lines().last().unwrap()).unwrap();
    assert_eq!((problem["code"].as_str(), problem["exitCode"].as_u64()), (Some("not_found"), Some(5)));
    assert_eq!(problem["requestId"], "req-1");
}

#[tokio::test]
async fn every_code_has_its_exit_code() {
    for (code, exit) in [
        (Code::Invalid, 2),
        (Code::Unauthenticated, 4),
        (Code::Forbidden, 4),
        (Code::NotFound, 5),
        (Code::Conflict, 6),
        (Code::PreconditionFailed, 6),
        (Code::Timeout, 7),
        (Code::Exhausted, 1),
        (Code::Internal, 1),
    ] {
        let server = serve(move |_| Reply::problem(Error::new(code, "x"), "")).await;
        assert_eq!(run_against(&server, &["whoami"]).await.code, exit, "{code}");
        assert_eq!(run_against(&server, &["vm", "exec", "web", "--", "true"]).await.code, 255, "{code}");
    }
}

#[tokio::test]
async fn some_of_several_failed() {
    let server = serve(|seen| {
        if seen.path.ends_with("/web") {
            Reply::Plain(204, vec![], "".into())
        } else {
            Reply::problem(Error::not_found("there is no such VM"), "")
        }
    })
    .await;
    let done = run_against(&server, &["vm", "delete", "web", "db"]).await;
    assert_eq!(done.code, 8, "{done:?}");
    assert!(done.err.contains("VM web is being deleted\n") && done.err.contains("there is no such VM"));
    assert_eq!(run_against(&server, &["vm", "delete", "db", "--ignore-not-found"]).await.code, 0);
    assert_eq!(run_against(&server, &["vm", "delete", "db"]).await.code, 5);
}

#[tokio::test]
async fn a_deletion_by_label_needs_a_yes() {
    let server = serve(|seen| match seen.method.as_str() {
        "DELETE" => Reply::Json(200, vm("web", "default", "Deleting", "")),
        _ => list(&[vm("web", "default", "Running", "")]),
    })
    .await;
    let done = run_against(&server, &["vm", "delete", "--label", "a=b", "--no-input"]).await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--yes"), "{}", done.err);
    assert_eq!(run_against(&server, &["vm", "delete", "--label", "a=b", "--yes"]).await.code, 0);
    assert_eq!(server.paths().last().unwrap(), "DELETE /v1/projects/default/vms/web");
    assert_eq!(run_against(&server, &["vm", "delete"]).await.code, 2);
}

#[tokio::test]
async fn create_sends_what_the_flags_say() {
    let server = serve(|seen| {
        if seen.path.contains("dryRun=true") {
            return Reply::Json(200, json!({"pending": "2 of 2 workers lack 64 GiB", "fix": "add a worker"}));
        }
        Reply::Json(201, vm("web", "ci", "Pending", ""))
    })
    .await;
    let line = [
        "vm",
        "create",
        "web.ci",
        "-i",
        "tiny",
        "--memory",
        "1GiB",
        "-l",
        "a=b",
        "--ephemeral",
        "--ttl",
        "2h",
        "--restart-policy",
        "on-failure",
        "--probe",
        "exec:true",
    ];
    let done = run_against(&server, &line).await;
    assert_eq!((done.code, done.err.as_str()), (0, "VM web.ci created\n"));
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/projects/ci/vms");
    let body: api::NewObject<api::VmSpec> = api::strict::from_value(seen.json()).unwrap();
    assert_eq!(body.labels["a"], "b");
    assert_eq!((body.spec.memory, body.spec.ephemeral), (base::ByteSize::gib(1), true));
    assert_eq!(
        (body.spec.ttl_seconds, body.spec.restart_policy),
        (Some(7200), api::vm::RestartPolicy::OnFailure)
    );
    assert_eq!(body.spec.probe.command.as_deref(), Some("true"));

    let done = run_against(&server, &["vm", "create", "big", "-i", "tiny", "--dry-run"]).await;
    assert_eq!(done.out, "big would wait: 2 of 2 workers lack 64 GiB\n");
    assert_eq!(done.err, "hint: add a worker\n");
}

#[tokio::test]
async fn a_token_is_data() {
    let server = serve(|seen| match seen.path.as_str() {
        "/v1/join-tokens" => {
            let mut token = json!({"metadata": metadata("t", None), "spec": {}, "status": {}});
            token["status"]["token"] = "hst_join_x".into();
            Reply::Json(201, token)
        }
        _ => Reply::Json(201, json!({"account": "ci", "token": "hst_secret"})),
    })
    .await;
    let done = run_against(&server, &["sa", "create", "ci"]).await;
    assert_eq!(done.out, "hst_secret\n");
    assert_eq!(run_against(&server, &["sa", "token", "rotate", "ci", "-q"]).await.err, "");
    assert_eq!(run_against(&server, &["worker", "token", "create", "t"]).await.out, "hst_join_x\n");
}

#[tokio::test]
async fn apply_twice_changes_nothing_the_second_time() {
    let made = Mutex::new(false);
    let server = serve(move |seen| {
        let mut made = made.lock().unwrap();
        match (seen.method.as_str(), *made) {
            ("GET", false) => Reply::problem(Error::not_found("no"), ""),
            ("PUT", _) => {
                *made = true;
                Reply::Json(200, vm("web", "default", "Pending", ""))
            }
            _ => Reply::Json(200, vm("web", "default", "Running", "")),
        }
    })
    .await;
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("web.yaml");
    std::fs::write(&file, "kind: Vm\nname: web\nspec:\n  image: tiny\n  cpus: 2\n").unwrap();
    let file = file.to_str().unwrap();
    let plan = run_against(&server, &["apply", "-f", file, "--dry-run", "--exit-code"]).await;
    assert_eq!((plan.code, plan.out.as_str()), (3, "Vm web would be created\n"));
    assert_eq!(run_against(&server, &["apply", "-f", file]).await.out, "Vm web created\n");
    assert_eq!(run_against(&server, &["apply", "-f", file]).await.out, "Vm web unchanged\n");
    let plan = run_against(&server, &["apply", "-f", file, "--dry-run", "--exit-code"]).await;
    assert_eq!((plan.code, plan.out.as_str()), (0, "Vm web unchanged\n"));
    std::fs::write(file, "kind: Vm\nname: web\nspec:\n  image: tiny\n  cpus: 3\n").unwrap();
    let plan = run_against(&server, &["apply", "-f", file, "--dry-run", "--exit-code"]).await;
    assert_eq!((plan.code, plan.out.as_str()), (3, "Vm web would be changed\n  ~ spec.cpus: 2 -> 3\n"));
}

#[tokio::test]
async fn a_file_with_a_mistake_changes_nothing() {
    let server = serve(|_| Reply::problem(Error::internal("not expected"), "")).await;
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.yaml"), "kind: Project\nname: ci\n").unwrap();
    std::fs::write(dir.path().join("b.yaml"), "kind: Vm\nname: web\nspec:\n  image: tiny\n  cpus: none\n")
        .unwrap();
    let done = run_against(&server, &["apply", "-f", dir.path().to_str().unwrap()]).await;
    assert_eq!(done.code, 2);
    assert!(done.err.contains("b.yaml:5:9: spec.cpus: "), "{}", done.err);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn settings_are_flat_lines() {
    let server = serve(|_| {
        let spec = serde_json::to_value(api::SettingsSpec::default()).unwrap();
        Reply::Json(200, json!({"metadata": metadata("cluster", None), "spec": spec, "status": {}}))
    })
    .await;
    let done = run_against(&server, &["settings", "get"]).await;
    assert!(done.out.contains("retention.auditDays=90\n"), "{}", done.out);
    assert_eq!(run_against(&server, &["settings", "get", "placementProfile"]).await.out, "pack\n");
    assert_eq!(run_against(&server, &["settings", "set", "retention.auditDays=30"]).await.code, 0);
    assert_eq!(server.seen().last().unwrap().json(), json!({"spec": {"retention": {"auditDays": 30}}}));
    assert_eq!(run_against(&server, &["settings", "set", "x=1"]).await.code, 2);
}

#[tokio::test]
async fn raw_requests_are_possible() {
    let server = serve(|seen| match seen.path.as_str() {
        "/metrics" => Reply::Plain(200, vec![("content-type", "text/plain".into())], "vms 3\n".into()),
        _ => Reply::Json(200, json!({"a": 1})),
    })
    .await;
    assert_eq!(run_against(&server, &["api", "get", "/v1/x?y=1"]).await.out, "{\n  \"a\": 1\n}\n");
    assert_eq!(run_against(&server, &["api", "GET", "/metrics"]).await.out, "vms 3\n");
    assert_eq!(server.paths(), ["GET /v1/x?y=1", "GET /metrics"]);
}

#[tokio::test]
async fn logs_end_with_the_lines_asked_for() {
    let server = serve(|seen| {
        let ends = |body: &'static str, offset: &str| {
            Reply::Plain(200, vec![("x-log-offset", offset.into()), ("x-log-end", "12".into())], body.into())
        };
        if seen.path.contains("limit=0") { ends("", "12") } else { ends("one\ntwo\nend\n", "0") }
    })
    .await;
    let done = run_against(&server, &["vm", "logs", "web", "--tail", "2", "--log", "startup"]).await;
    assert_eq!((done.code, done.out.as_str()), (0, "two\nend\n"));
    assert_eq!(server.paths()[0], "GET /v1/projects/default/vms/web/logs/startup?limit=0");
}

#[tokio::test]
async fn a_command_passes_its_exit_code_through() {
    use futures::{SinkExt, StreamExt};
    use testkit::fake_http::Message;
    let server = serve(|_| {
        Reply::socket(api::stream::EXEC_PROTOCOL, |mut socket| async move {
            let _eof = socket.next().await;
            for text in ["\x01out\n", "\x02err\n", "\x03{\"type\":\"exit\",\"code\":3}"] {
                socket.send(Message::Binary(text.into())).await.unwrap();
            }
            while socket.next().await.is_some() {}
        })
    })
    .await;
    let done = run_against(&server, &["vm", "exec", "web", "-e", "A=b c", "--", "echo", "it's"]).await;
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (3, "out\n", "err\n"));
    let path = &server.paths()[0];
    assert!(path.contains("command=%27echo%27%20%27it%27%5C%27%27s%27"), "{path}");
    assert!(path.contains("env=A%3Db%20c"), "{path}");
}

#[tokio::test]
async fn daemons_get_their_options() {
    let asked = Asked::default();
    let line = [
        "hostler",
        "worker",
        "run",
        "https://c:6120",
        "--join-token-file",
        "t",
        "--name",
        "w1",
        "--data-dir",
        "/d",
        "--label",
        "a=b",
        "--resource",
        "gpu=2",
        "--reserve-cpus",
        "0.5",
        "--reserve-memory",
        "1GiB",
    ];
    let cli = args::parse(line.iter().map(OsString::from)).unwrap();
    let app = App { global: cli.global, printer: Printer::in_memory(Format::Table, false) };
    assert_eq!(dispatch(&app, cli.command, &asked).await.unwrap(), 0);
    let expected = WorkerOptions {
        url: Some("https://c:6120".into()),
        join_token_file: Some("t".into()),
        data_dir: "/d".into(),
        name: Some("w1".into()),
        labels: [("a".to_owned(), "b".to_owned())].into(),
        resources: [("gpu".to_owned(), 2)].into(),
        reserve_cpu_milli: Some(500),
        reserve_memory: Some(base::ByteSize::gib(1)),
        reserve_disk: None,
        synthetic: false,
        failpoint: None,
    };
    assert_eq!(asked.0.lock().unwrap()[0], format!("{expected:?}"));
    let done = run_line(&["hostler", "controller", "backup", "verify", "b.db"]).await;
    assert_eq!(done.out, "revision     1-9\nvms          3\n");
    let done =
        run_line(&["hostler", "controller", "backup", "restore", "b.db", "--data-dir", "/d", "--replace"])
            .await;
    assert_eq!(done.code, 2, "restoring over a store needs a yes: {done:?}");
    assert_eq!(run_line(&["hostler", "shim", "/d"]).await.code, 7);
}
