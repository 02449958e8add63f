//! The conventions of the API, as any HTTP client meets them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

mod schema;

use api::stream::{EXEC_PROTOCOL, TCP_PROTOCOL};
use e2e::{Answer, Cluster, Http, Layout, Setup, eventually};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, time::Duration};

const READY: Duration = Duration::from_secs(30);
const VMS: &str = "/v1/projects/default/vms";

async fn start(workers: u32) -> (Cluster, Http) {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), workers)).await;
    let admin = Http::admin(&cluster);
    (cluster, admin)
}

fn vm(name: &str, mut spec: Value) -> Value {
    spec["image"] = "synthetic".into();
    json!({"name": name, "spec": spec})
}

async fn create(http: &Http, name: &str, more: Value) -> Value {
    http.send("POST", VMS, &vm(name, more)).await.is(201)
}

async fn phase(http: &Http, name: &str, phase: &str) -> Value {
    let path = format!("{VMS}/{name}");
    eventually(&format!("{name} {phase}"), READY, || async {
        Some(http.get(&path).await.is(200)).filter(|vm| vm["status"]["phase"] == phase)
    })
    .await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|o| text(&o["metadata"]["name"]).to_owned()).collect()
}

fn etag_of(object: &Value) -> String {
    format!("\"{}\"", text(&object["metadata"]["revision"]))
}

/// Checks a problem that a person can act on.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    let problem = answer.problem(status);
    assert_eq!(problem["code"], code, "{problem}");
    assert!(!text(&problem["hint"]).is_empty(), "no hint: {problem}");
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_refusals_are_problems() {
    let (_cluster, admin) = start(1).await;
    refused(&admin.get("/v1/nothing").await, 404, "not_found");
    refused(&admin.get("/v1/projects/default/vms/").await, 404, "not_found");
    refused(&admin.get(&format!("{VMS}/nothing")).await, 404, "not_found");
    let wrong = admin.ask("DELETE", "/v1/vms").send().await;
    refused(&wrong, 405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET");
    let wrong = admin.ask("POST", "/v1/projects/default").send().await;
    assert_eq!(wrong.header("allow").split(", ").collect::<BTreeSet<_>>(), ["DELETE", "GET"].into());
    let large =
        admin.ask("POST", VMS).header("content-type", "application/json").body(vec![b' '; (1 << 20) + 1]);
    refused(&large.send().await, 413, "too_large");
    let form = admin.ask("POST", VMS).header("content-type", "text/yaml").body("a: b").send().await;
    assert_eq!(refused(&form, 415, "unsupported_media")["field"], "content-type");
    admin.ask("POST", VMS).header("content-type", "application/json").body("{").send().await.problem(400);
    let unknown = admin.as_token(Some("hst_nonsense")).get("/v1/vms").await;
    refused(&unknown, 401, "unauthenticated");
    assert_eq!(unknown.header("www-authenticate"), "Bearer");
    let basic = admin.as_token(None).ask("GET", "/v1/vms").header("authorization", "Basic eDp5").send().await;
    refused(&basic, 401, "unauthenticated");
    let named = admin.ask("GET", "/v1/nothing").header("x-request-id", "my-own-1").send().await;
    assert_eq!(named.problem(404)["requestId"], "my-own-1");
    let strange = admin.ask("GET", "/v1/nothing").header("x-request-id", "a b/c").send().await;
    assert_ne!(strange.problem(404)["requestId"], "a b/c");
    for query in ["limt=5", "limit=0", "limit=1001", "limit=many", "cursor=x", "labels=x"] {
        let problem = refused(&admin.get(&format!("/v1/vms?{query}")).await, 400, "invalid");
        assert_eq!(problem["field"], query.split('=').next().unwrap(), "{query}");
    }
    let far = admin.ask("GET", "/v1/blobs/sha256:00").send().await;
    far.problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_refused_websockets_are_problems() {
    let (_cluster, admin) = start(1).await;
    create(&admin, "web", json!({})).await;
    phase(&admin, "web", "Running").await;
    create(&admin, "idle", json!({"power": "Stopped"})).await;
    for (stream, protocol) in [
        ("exec", EXEC_PROTOCOL),
        ("console", TCP_PROTOCOL),
        ("vnc", TCP_PROTOCOL),
        ("ports/22", TCP_PROTOCOL),
    ] {
        let path = format!("{VMS}/web/{stream}");
        let plain = refused(&admin.get(&path).await, 400, "invalid");
        assert!(text(&plain["hint"]).contains(protocol), "{plain}");
        let wrong = admin.ask("GET", &path).websocket("chat").send().await;
        assert_eq!(refused(&wrong, 400, "invalid")["field"], "Sec-WebSocket-Protocol");
        let foreign = admin.ask("GET", &path).websocket(protocol).header("origin", "https://evil.example");
        assert_eq!(refused(&foreign.send().await, 403, "forbidden")["field"], "Origin");
        let unknown = admin.as_token(None).ask("GET", &path).websocket(protocol).send().await;
        refused(&unknown, 401, "unauthenticated");
        let unplaced = admin.ask("GET", &format!("{VMS}/idle/{stream}")).websocket(protocol).send().await;
        refused(&unplaced, 503, "unavailable");
        assert_eq!(unplaced.header("retry-after"), "1");
        let missing = admin.ask("GET", &format!("{VMS}/nothing/{stream}")).websocket(protocol).send().await;
        refused(&missing, 404, "not_found");
    }
    for port in ["0", "65536", "ssh"] {
        let wrong = admin.ask("GET", &format!("{VMS}/web/ports/{port}")).websocket(TCP_PROTOCOL).send().await;
        assert_eq!(refused(&wrong, 400, "invalid")["field"], "port");
    }
    let host = admin.get("/livez").await;
    assert_eq!(host.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_edits_are_never_lost() {
    let (_cluster, admin) = start(1).await;
    let made = create(&admin, "web", json!({"power": "Stopped"})).await;
    let path = format!("{VMS}/web");
    let got = admin.get(&path).await;
    assert_eq!(got.header("etag"), etag_of(&made));
    let edits = (0..50).map(|n| {
        let (admin, path) = (admin.clone(), path.clone());
        async move {
            admin.send("PATCH", &path, &json!({"labels": {format!("l{n}"): n.to_string()}})).await.is(200)
        }
    });
    let revisions: BTreeSet<String> = join_all(edits).await.iter().map(etag_of).collect();
    assert_eq!(revisions.len(), 50, "each edit is a change of its own");
    let now = admin.get(&path).await.is(200);
    assert_eq!(now["metadata"]["labels"].as_object().unwrap().len(), 50);
    let stale = |method: &str| admin.ask(method, &path).header("if-match", got.header("etag"));
    let patch = stale("PATCH").json(&json!({"labels": {"x": "y"}})).send().await;
    assert_eq!(refused(&patch, 412, "precondition_failed")["field"], "If-Match");
    refused(&stale("PUT").json(&vm("web", json!({}))).send().await, 412, "precondition_failed");
    refused(&stale("DELETE").send().await, 412, "precondition_failed");
    let gone = admin.ask("PUT", &format!("{VMS}/gone")).header("if-match", got.header("etag"));
    refused(&gone.json(&vm("gone", json!({}))).send().await, 412, "precondition_failed");
    let tag = etag_of(&now);
    let racing = (0..10).map(|n| {
        let ask = admin.ask("PATCH", &path).header("if-match", &tag);
        async move { ask.json(&json!({"labels": {"winner": n.to_string()}})).send().await.status }
    });
    let mut statuses = join_all(racing).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|s| *s == 412), "{statuses:?}");
    let nonsense = admin.ask("PATCH", &path).header("if-match", "nonsense").json(&json!({})).send().await;
    refused(&nonsense, 400, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_repeated_request_happens_once() {
    let (_cluster, admin) = start(1).await;
    let keyed = |path: &str, key: &str, body: &Value| {
        let ask = admin.ask("POST", path).header("idempotency-key", key).json(body);
        async move { ask.send().await }
    };
    let body = vm("once", json!({"power": "Stopped"}));
    let all = join_all((0..8).map(|_| keyed(VMS, "k1", &body))).await;
    let first = all[0].is(201);
    for answer in &all {
        assert_eq!(answer.is(201), first);
        assert_eq!(answer.header("etag"), etag_of(&first));
    }
    assert_eq!(names(&admin.get(VMS).await.is(200)), ["once"]);
    // Also of one that is placed while it is asked for again.
    let runs = vm("runs", json!({}));
    let all = join_all((0..8).map(|_| keyed(VMS, "k0", &runs))).await;
    assert!(all.iter().all(|answer| answer.is(201) == all[0].is(201)), "{all:?}");
    admin.delete(&format!("{VMS}/runs")).await;
    eventually("it is gone", READY, || async {
        (admin.get(&format!("{VMS}/runs")).await.status == 404).then_some(())
    })
    .await;
    let other = refused(&keyed(VMS, "k1", &vm("twice", json!({}))).await, 409, "conflict");
    assert_eq!(other["field"], "Idempotency-Key");
    refused(&keyed("/v1/projects", "k1", &json!({"name": "p", "spec": {}})).await, 409, "conflict");
    refused(&keyed(VMS, "k2", &body).await, 409, "conflict");
    refused(&keyed(VMS, &"k".repeat(256), &body).await, 400, "invalid");
    // The answer stays the same when the object has moved on, and when it is gone.
    admin.send("PATCH", &format!("{VMS}/once"), &json!({"labels": {"a": "b"}})).await.is(200);
    assert_eq!(keyed(VMS, "k1", &body).await.is(201), first);
    admin.delete(&format!("{VMS}/once")).await;
    assert_eq!(keyed(VMS, "k1", &body).await.is(201), first);
    assert!(names(&admin.get(VMS).await.is(200)).is_empty());
    // Tokens, too, are shown again to whoever repeats the request.
    let account = json!({"name": "ci", "spec": {}});
    let token = keyed("/v1/service-accounts", "k3", &account).await.is(201);
    assert_eq!(keyed("/v1/service-accounts", "k3", &account).await.is(201), token);
    let rotate = "/v1/service-accounts/ci/token";
    let rotated = admin.ask("POST", rotate).header("idempotency-key", "k4").send().await.is(200);
    assert_ne!(rotated, token);
    assert_eq!(admin.ask("POST", rotate).header("idempotency-key", "k4").send().await.is(200), rotated);
    admin.as_token(rotated["token"].as_str()).get("/v1/whoami").await.is(200);
    let join = json!({"name": "j", "spec": {}});
    let token = keyed("/v1/join-tokens", "k5", &join).await.is(201);
    assert!(text(&token["status"]["token"]).starts_with("hst_join_"));
    assert_eq!(keyed("/v1/join-tokens", "k5", &join).await.is(201), token);
    // Another account's key is another key.
    let ci = admin.as_token(rotated["token"].as_str());
    let binding = json!({"name": "ci", "spec": {"account": "ci", "role": "operator"}});
    keyed("/v1/role-bindings", "k6", &binding).await.is(201);
    let ask =
        ci.ask("POST", VMS).header("idempotency-key", "k1").json(&vm("mine", json!({"power": "Stopped"})));
    ask.send().await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_pages_hold_while_objects_change() {
    let (_cluster, admin) = start(1).await;
    let stay: Vec<String> = (0..20).map(|n| format!("stay-{n:02}")).collect();
    join_all(stay.iter().map(|n| create(&admin, n, json!({"power": "Stopped"})))).await;
    admin.send("PATCH", &format!("{VMS}/stay-07"), &json!({"labels": {"tier": "front"}})).await.is(200);
    let mut seen = Vec::new();
    let mut path = format!("{VMS}?limit=3");
    for n in 0.. {
        let page = admin.get(&path).await.is(200);
        assert!(names(&page).len() <= 3);
        seen.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{VMS}?limit=3&cursor={next}");
        // What comes and goes meanwhile, before the cursor and after it, and the one that the cursor stands on.
        create(&admin, &format!("aa-{n}"), json!({"power": "Stopped"})).await;
        create(&admin, &format!("zz-{n}"), json!({"power": "Stopped"})).await;
        let last = seen.last().unwrap();
        if last.starts_with("zz") {
            admin.delete(&format!("{VMS}/{last}")).await;
        }
        assert!(n < 50, "it does not end");
    }
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "something came twice: {seen:?}");
    assert!(stay.iter().all(|n| unique.contains(n)), "something was left out: {seen:?}");
    assert_eq!(names(&admin.get(&format!("{VMS}?labels=tier=front")).await.is(200)), ["stay-07"]);
    assert!(names(&admin.get("/v1/vms?labels=tier=back").await.is(200)).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_watch_misses_nothing_and_resumes() {
    let (mut cluster, admin) = start(1).await;
    let list = admin.get(VMS).await.is(200);
    let since = text(&list["revision"]).to_owned();
    create(&admin, "a", json!({"power": "Stopped"})).await;
    admin.send("PATCH", &format!("{VMS}/a"), &json!({"labels": {"n": "1"}})).await.is(200);
    let mut watch = admin.events(&format!("/v1/watch?kinds=vm,image&since={since}")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().event, "bookmark", "a watch says at once from where it is");
    let first = watch.change().await.unwrap();
    assert_eq!((text(&first.data["change"]), first.event.as_str()), ("put", "vm"));
    assert_eq!(first.data["object"]["metadata"]["name"], "a");
    let second = watch.change().await.unwrap();
    assert_eq!(second.data["object"]["metadata"]["labels"]["n"], "1");
    admin.delete(&format!("{VMS}/a")).await;
    let third = watch.change().await.unwrap();
    assert_eq!(text(&third.data["change"]), "deleted");
    // Resumed from the first event's id, it tells the second one again, and only what follows.
    let resumed = admin.ask("GET", "/v1/vms?watch=true").header("last-event-id", first.id.as_ref().unwrap());
    let mut resumed = resumed.events().await.unwrap();
    assert_eq!(resumed.change().await.unwrap().data, second.data);
    assert_eq!(resumed.change().await.unwrap().data, third.data);
    // A watch that sees none of what happens still hears how far it is.
    let mut quiet = admin.events("/v1/watch?kinds=join-token").await.unwrap();
    let begin = quiet.next().await.unwrap();
    let worker = format!("/v1/workers/{}", cluster.worker_name(1));
    let noise = async {
        for n in 0.. {
            admin.send("PATCH", &worker, &json!({"spec": {"labels": {"n": format!("{n}")}}})).await.is(200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let heard = tokio::select! {
        event = tokio::time::timeout(Duration::from_secs(9), quiet.next()) => event.unwrap().unwrap(),
        () = noise => unreachable!(),
    };
    assert_eq!(heard.event, "bookmark");
    assert_ne!(heard.id, begin.id);
    assert_eq!(heard.data["revision"].as_str(), heard.id.as_deref());
    for (path, status) in [
        ("/v1/watch?kinds=vms", 400),
        ("/v1/watch?kind=vm", 400),
        ("/v1/watch?since=nonsense", 400),
        ("/v1/watch?project=nowhere", 404),
        ("/v1/projects/nowhere/vms?watch", 404),
        ("/v1/watch?since=99-1", 410),
        ("/v1/watch?since=1-99999999", 410),
    ] {
        let answer = admin.events(path).await.expect_err(path);
        assert!(!text(&answer.problem(status)["hint"]).is_empty() || status == 400, "{path}");
    }
    // What was before a restart is no longer in memory: list again.
    cluster.controller.kill().await;
    cluster.restart_controller(&[]);
    cluster.wait_until_serving().await;
    let admin = Http::admin(&cluster); // `dev` makes its admin a new token at each start
    let old = admin.events(&format!("/v1/watch?since={since}")).await.expect_err("too old");
    refused(&old, 410, "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_records_are_paged_and_say_who_did_what() {
    let (_cluster, admin) = start(1).await;
    for n in 0..6 {
        create(&admin, &format!("vm-{n}"), json!({"power": "Stopped"})).await;
    }
    let ids = |page: &Value| -> Vec<u64> {
        page["items"].as_array().unwrap().iter().map(|e| e["id"].as_u64().unwrap()).collect()
    };
    for path in ["/v1/events?limit=4", "/v1/audit?limit=4"] {
        let (mut all, mut next) = (Vec::new(), path.to_owned());
        loop {
            let page = admin.get(&next).await.is(200);
            assert!(ids(&page).len() <= 4);
            all.extend(ids(&page));
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("{path}&cursor={cursor}");
        }
        assert!(all.is_sorted() && all.windows(2).all(|w| w[0] != w[1]), "{path}: {all:?}");
        assert!(all.len() >= 6, "{path}: {all:?}");
        let base = path.split('?').next().unwrap();
        let after = admin.get(&format!("{base}?after={}", all[all.len() - 3])).await.is(200);
        assert_eq!(ids(&after), all[all.len() - 2..], "{path}");
        assert_eq!(ids(&admin.get(&format!("{base}?last=2")).await.is(200)), all[all.len() - 2..], "{path}");
        for wrong in ["limit=0", "limit=1001", "last=0", "cursor=x", "nonsense=1"] {
            admin.get(&format!("{base}?{wrong}")).await.problem(400);
        }
    }
    let of_one = admin.get("/v1/events?kind=vm&name=vm-3&project=default").await.is(200);
    assert_eq!(of_one["items"].as_array().unwrap().len(), 1);
    assert_eq!(of_one["items"][0]["reason"], "Created");
    let made = admin
        .ask("POST", "/v1/projects")
        .header("x-request-id", "find-me")
        .json(&json!({"name": "p", "spec": {}}));
    made.send().await.is(201);
    let nobody =
        admin.send("POST", "/v1/service-accounts", &json!({"name": "nobody", "spec": {}})).await.is(201);
    let nobody = admin.as_token(nobody["token"].as_str());
    nobody.ask("GET", "/v1/workers").header("x-request-id", "refuse-me").send().await.problem(403);
    let audit = admin.get("/v1/audit?last=100").await.is(200);
    let record =
        |id: &str| audit["items"].as_array().unwrap().iter().find(|r| r["requestId"] == id).unwrap().clone();
    assert_eq!(record("find-me")["result"], "ok");
    assert_eq!(record("find-me")["verb"], "create");
    assert_eq!(record("refuse-me")["result"], "forbidden");
    assert_eq!(record("refuse-me")["principal"], "nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_dry_run_says_where_and_waiting_says_why() {
    let (cluster, admin) = start(2).await;
    let second = cluster.worker_name(2);
    let ask = |body: Value| admin.ask("POST", &format!("{VMS}?dryRun=true")).json(&body).send();
    let fits = ask(vm("a", json!({}))).await.is(200);
    assert!([cluster.worker_name(1), second.clone()].iter().any(|w| fits["worker"] == **w), "{fits}");
    let large = ask(vm("a", json!({"memory": "100GiB"}))).await.is(200);
    assert!(large["worker"].is_null() && !text(&large["fix"]).is_empty(), "{large}");
    assert!(text(&large["pending"]).contains("both workers"), "{large}");
    refused(&ask(json!({"name": "a", "spec": {"image": "nothing"}})).await, 400, "invalid");
    assert!(names(&admin.get(VMS).await.is(200)).is_empty(), "a dry run makes nothing");

    create(&admin, "large", json!({"memory": "100GiB"})).await;
    let waits = phase(&admin, "large", "Pending").await;
    assert!(text(&waits["status"]["message"]).contains("both workers"), "{waits}");
    assert!(!text(&waits["status"]["fix"]).is_empty(), "{waits}");
    create(&admin, "labelled", json!({"workerLabels": {"disk": "fast"}})).await;
    let waits = phase(&admin, "labelled", "Pending").await;
    assert!(text(&waits["status"]["message"]).contains("label"), "{waits}");
    let labels = json!({"spec": {"labels": {"disk": "fast"}}});
    admin.send("PATCH", &format!("/v1/workers/{second}"), &labels).await.is(200);
    let placed = phase(&admin, "labelled", "Running").await;
    assert_eq!(placed["status"]["worker"]["name"], *second);

    create(&admin, "impatient", json!({"memory": "100GiB", "pendingTimeoutSeconds": 1})).await;
    let failed = phase(&admin, "impatient", "Failed").await;
    assert!(text(&failed["status"]["message"]).contains("1 s"), "{failed}");
    assert!(!text(&failed["status"]["fix"]).is_empty());
    let again = admin.ask("POST", &format!("{VMS}/impatient/restart")).send().await.is(200);
    assert_eq!(again["status"]["phase"], "Pending");
    phase(&admin, "impatient", "Failed").await;
    create(&admin, "mayfly", json!({"ttlSeconds": 1})).await;
    eventually("the mayfly is gone", READY, || async {
        (admin.get(&format!("{VMS}/mayfly")).await.status == 404).then_some(())
    })
    .await;
    let events = admin.get("/v1/events?kind=vm&name=mayfly").await.is(200).to_string();
    assert!(events.contains("Expired"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_secrets_go_in_and_never_out() {
    let (cluster, admin) = start(1).await;
    let mut watch = admin.events("/v1/watch").await.unwrap();
    let spec = json!({
        "power": "Stopped",
        "guest": {"password": "hunter2-password"},
        "startupScript": {"script": "true", "env": {"TOKEN": "hunter2-env", "EMPTY": ""}},
    });
    let made =
        admin.ask("POST", VMS).header("idempotency-key", "k").json(&vm("web", spec)).send().await.is(201);
    let path = format!("{VMS}/web");
    assert_eq!(made["spec"]["startupScript"]["env"]["TOKEN"], Value::Null);
    assert!(made["spec"]["guest"]["password"].is_null());
    let mut body = json!({"name": "web", "labels": made["metadata"]["labels"], "spec": made["spec"]});
    if body["labels"].is_null() {
        body["labels"] = json!({});
    }
    // What was read, written back: nothing changes, so the secrets are kept.
    let put = admin.send("PUT", &path, &body).await.is(200);
    assert_eq!(put["metadata"]["revision"], made["metadata"]["revision"]);
    let patched = admin.send("PATCH", &path, &json!({"spec": {"cpus": 1}})).await.is(200);
    assert_eq!(patched["metadata"]["revision"], made["metadata"]["revision"]);
    body["spec"]["cpus"] = json!(2);
    admin.send("PUT", &path, &body).await.is(200);
    // The same secret once more is no change: it was kept by the PUT before.
    let before = admin.get(&path).await.is(200);
    let same = json!({"spec": {"guest": {"password": "hunter2-password"}, "startupScript": {"env": {"TOKEN": "hunter2-env"}}}});
    let after = admin.send("PATCH", &path, &same).await.is(200);
    assert_eq!(after["metadata"]["revision"], before["metadata"]["revision"]);
    let other = json!({"spec": {"guest": {"password": "hunter2-other"}}});
    let changed = admin.send("PATCH", &path, &other).await.is(200);
    assert_ne!(changed["metadata"]["revision"], before["metadata"]["revision"]);
    admin.send("PATCH", &path, &json!({"spec": {"guest": {"password": ""}}})).await.is(200);
    let image = json!({"name": "plain", "spec": {"format": "raw", "arch": "amd64", "seed": false, "password": "hunter2-image"}});
    let image = admin.send("POST", "/v1/images", &image).await.is(201);
    admin.delete(&path).await;
    let mut seen = vec![made, put, after, changed, image];
    for path in [
        "/v1/vms",
        "/v1/images",
        "/v1/images/plain",
        "/v1/events",
        "/v1/audit",
        "/v1/service-accounts",
        "/v1/workers",
    ] {
        seen.push(admin.get(path).await.is(200));
    }
    loop {
        let event = watch.next().await.unwrap();
        let done = event.data["change"] == "deleted";
        seen.push(event.data);
        if done {
            break;
        }
    }
    for value in seen {
        let text = value.to_string();
        assert!(!text.contains("hunter2") && !text.contains("tokenHash"), "{text}");
    }
    let sealed = files_under(&cluster.data_dir());
    assert!(!sealed.is_empty());
    for file in sealed {
        let bytes = fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(8).any(|w| w == b"hunter2-"), "{} holds it in the clear", file.display());
    }
}

fn files_under(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { files_under(&e.path()) } else { vec![e.path()] }).collect()
}

const DOCUMENTS: &str = "\
kind: Project
name: shop
spec: {description: for sale}
---
kind: Vm
name: web
project: shop
labels: {tier: front}
spec:
  image: synthetic
  memory: 1GiB
  guest: {password: s3cret}
  startupScript: {script: 'true', env: {A: b}}
---
kind: ServiceAccount
name: ci
---
kind: RoleBinding
name: ci-shop
spec: {account: ci, role: operator, project: shop}
---
kind: Settings
name: cluster
spec: {workerOfflineSeconds: 45}
";

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_same_file_applied_twice_changes_nothing() {
    let (cluster, admin) = start(1).await;
    let file = cluster.dir().join("shop.yaml");
    fs::write(&file, DOCUMENTS).unwrap();
    let file = file.to_str().unwrap();
    let results = |report: &Value| -> Vec<String> {
        report["items"].as_array().unwrap().iter().map(|r| text(&r["result"]).to_owned()).collect()
    };
    let first = cluster.cli().run(&["apply", "-f", file, "-o", "json"]).await.json();
    assert_eq!(results(&first), ["created", "created", "created", "created", "changed"]);
    let revisions = async || {
        let mut all = Vec::new();
        for path in [
            "projects/shop",
            "projects/shop/vms/web",
            "service-accounts/ci",
            "role-bindings/ci-shop",
            "settings",
        ] {
            let object = admin.get(&format!("/v1/{path}")).await.is(200);
            all.push((object["metadata"]["generation"].clone(), object["spec"].clone()));
        }
        all
    };
    let before = revisions().await;
    let second = cluster.cli().run(&["apply", "-f", file, "-o", "json"]).await.json();
    assert!(results(&second).iter().all(|r| r == "unchanged"), "{second}");
    assert_eq!(revisions().await, before);
    cluster.cli().run(&["apply", "-f", file, "--dry-run", "--exit-code"]).await.ok();
    fs::write(file, DOCUMENTS.replace("1GiB", "2GiB")).unwrap();
    let changed = cluster.cli().run(&["apply", "-f", file, "--dry-run", "--exit-code"]).await;
    assert_eq!(changed.code, 3, "{}", changed.stderr);
    assert_eq!(revisions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_what_is_in_use_stays() {
    let (cluster, admin) = start(1).await;
    let worker = format!("/v1/workers/{}", cluster.worker_name(1));
    admin.send("POST", "/v1/projects", &json!({"name": "shop", "spec": {}})).await.is(201);
    admin.send("POST", "/v1/projects/shop/vms", &vm("web", json!({}))).await.is(201);
    eventually("it runs", READY, || async {
        let vm = admin.get("/v1/projects/shop/vms/web").await.is(200);
        (vm["status"]["phase"] == "Running").then_some(())
    })
    .await;
    for path in ["/v1/projects/shop", "/v1/images/synthetic", &worker] {
        let problem = refused(&admin.delete(path).await, 409, "conflict");
        assert!(text(&problem["detail"]).contains("1 VM"), "{problem}");
    }
    admin.delete("/v1/projects/default").await.problem(409);
    let alive = refused(&admin.delete(&format!("{worker}?confirmDead=true")).await, 409, "conflict");
    assert!(text(&alive["detail"]).contains("connected"), "{alive}");
    admin.delete("/v1/projects/shop/vms/web").await.is(202);
    eventually("the project can go", READY, || async {
        (admin.delete("/v1/projects/shop").await.status == 204).then_some(())
    })
    .await;
    admin.delete("/v1/images/synthetic").await.is(204);
    admin.get("/v1/images/synthetic").await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_settings_are_changed_within_bounds() {
    let (_cluster, admin) = start(1).await;
    let patch = |spec: Value| {
        let ask = admin.ask("PATCH", "/v1/settings").json(&json!({"spec": spec}));
        async move { ask.send().await }
    };
    let changed = patch(json!({"placementProfile": "spread", "retention": {"eventDays": 3}})).await.is(200);
    assert_eq!(changed["spec"]["placementProfile"], "spread");
    assert_eq!(changed["spec"]["retention"]["eventDays"], 3);
    assert_eq!(changed["spec"]["retention"]["auditDays"], 90, "what is not named stays");
    assert_eq!(admin.get("/v1/settings").await.is(200), changed);
    let back = patch(json!({"placementProfile": null})).await.is(200);
    assert_eq!(back["spec"]["placementProfile"], "pack", "null takes a field back to its default");
    for (spec, field) in [
        (json!({"workerOfflineSeconds": 0}), "/spec/workerOfflineSeconds"),
        (json!({"retention": {"eventDays": -1}}), "/spec/retention/eventDays"),
        (json!({"retention": {"eventDays": 99_999}}), "/spec/retention/eventDays"),
        (json!({"placementProfile": "random"}), "/spec/placementProfile"),
        (json!({"retention": {"evntDays": 1}}), "/spec/retention/evntDays"),
    ] {
        assert_eq!(patch(spec).await.problem(400)["field"], field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_the_server_tells_of_itself() {
    let (_cluster, admin) = start(1).await;
    let nobody = admin.as_token(None);
    for path in ["/livez", "/readyz"] {
        let answer = nobody.get(path).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ok\n"[..]));
    }
    let metrics = String::from_utf8(admin.get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.lines().any(|l| l.starts_with("hostler_") && l.contains(' ')), "{metrics}");
    let version = nobody.get("/v1/version").await.is(200);
    assert!(version["version"].is_string() && version["caPin"].is_string());
    let served = nobody.get("/openapi.json").await.is(200);
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let committed: Value = serde_json::from_slice(&fs::read(committed).unwrap()).unwrap();
    assert_eq!(served, committed);
    assert!(text(&served["openapi"]).starts_with("3.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_answers_are_what_the_description_says() {
    let (cluster, admin) = start(1).await;
    create(&admin, "web", json!({"startupScript": {"script": "true", "env": {"A": "b"}}, "resources": {}}))
        .await;
    phase(&admin, "web", "Running").await;
    create(&admin, "large", json!({"memory": "100GiB"})).await;
    admin.ask("POST", "/v1/backups").send().await.is(202);
    let word = json!({"name": "admin", "spec": {"kind": "text", "value": "hush"}});
    admin.send("POST", "/v1/projects/default/credentials", &word).await.is(201);
    let source = json!({"git": {"url": "https://fleet.invalid/estate"}});
    let fleet = json!({"name": "admin", "spec": {"source": source}});
    admin.send("POST", "/v1/projects/default/fleets", &fleet).await.is(201);
    let check = json!({"verb": "check"});
    admin.send("POST", "/v1/projects/default/fleets/admin/operations", &check).await.is(202);
    let join = admin.send("POST", "/v1/join-tokens", &json!({"name": "j", "spec": {}})).await;
    let account = admin.send("POST", "/v1/service-accounts", &json!({"name": "a", "spec": {}})).await;
    let preview = admin.ask("POST", &format!("{VMS}?dryRun=true")).json(&vm("x", json!({}))).send().await;
    let openapi = admin.get("/openapi.json").await.is(200);
    let described = schema::Described::new(&openapi);
    described.check("JoinToken", &join.is(201));
    described.check("NewToken", &account.is(201));
    described.check("PlacementPreview", &preview.is(200));
    described.check("Problem", &admin.get("/v1/nothing").await.problem(404));
    let mut checked = 0;
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        let Some(schema) = schema::answer(&methods["get"]) else { continue };
        let path = path.replace("{project}", "default");
        let path = match path.as_str() {
            "/v1/watch" => continue,
            p if p.starts_with("/v1/projects/default/vms/") => path.replace("{name}", "web"),
            p if p.starts_with("/v1/projects/default/operations/") => {
                let name = names(&admin.get("/v1/projects/default/operations").await.is(200)).remove(0);
                path.replace("{name}", &name)
            }
            "/v1/workers/{name}" => path.replace("{name}", &cluster.worker_name(1)),
            "/v1/images/{name}" => "/v1/images/synthetic".into(),
            "/v1/projects/{name}" => "/v1/projects/default".into(),
            "/v1/operations/{name}" => {
                let name = names(&admin.get("/v1/operations").await.is(200)).remove(0);
                path.replace("{name}", &name)
            }
            _ => path.replace("{name}", "admin"),
        };
        described.check(&schema, &admin.get(&path).await.is(200));
        checked += 1;
    }
    assert!(checked >= 18, "only {checked} answers were checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_workers_are_cordoned_and_forgotten() {
    let mut cluster = Cluster::start(Setup::synthetic(Layout::Apart, 1)).await;
    let cli = cluster.cli().clone();
    cli.run(&["worker", "cordon", "w1"]).await.ok();
    cli.run(&["vm", "create", "web", "--image", "synthetic"]).await.ok();
    let get = async |cli: &e2e::Cli| cli.run(&["vm", "get", "web", "-o", "json"]).await.json();
    let waits = get(&cli).await;
    assert_eq!(waits["status"]["phase"], "Pending");
    assert!(text(&waits["status"]["message"]).contains("cordoned"), "{waits}");
    cli.run(&["worker", "uncordon", "w1"]).await.ok();
    cli.run(&["vm", "wait", "web", "--for", "ready"]).await.ok();
    cli.run(&["worker", "label", "w1", "disk=fast"]).await.ok();
    let worker = cli.run(&["worker", "get", "w1", "-o", "json"]).await.json();
    assert_eq!(worker["spec"]["labels"]["disk"], "fast");
    let held = cli.run(&["worker", "delete", "w1", "--yes"]).await.fails(6);
    assert!(held.contains("--confirm-dead"), "{held}");
    cli.run(&["worker", "delete", "w1", "--confirm-dead", "--yes"]).await.fails(6);
    cluster.workers[0].kill().await;
    eventually("it is gone", READY, || async {
        let ran = cli.run(&["worker", "delete", "w1", "--confirm-dead", "--yes"]).await;
        (ran.code == 0).then_some(())
    })
    .await;
    let waits = get(&cli).await;
    assert_eq!(waits["status"]["phase"], "Pending", "{waits}");
    assert!(waits["status"]["worker"].is_null());
    cli.run(&["worker", "get", "w1"]).await.fails(5);
}
