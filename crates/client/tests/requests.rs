//! Requests against a server that answers what the test says: problems, retries, lists, uploads.
#![allow(clippy::unwrap_used)] // a test fails by it

use api::{Image, NewObject, Patch, Project, ProjectSpec, Vm, query::ListQuery, routes::RouteId};
use base::{Code, Error, Secret};
use client::{Client, Key, Options, Retry, upload::Upload};
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use testkit::fake_http::{End, FakeServer, Reply, Seen};

async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> (FakeServer, Client) {
    let server = FakeServer::start(answer).await.unwrap();
    let mut options = Options::new(server.url());
    options.token = Some(Secret::new("hst_test"));
    let client = Client::new(options).unwrap();
    (server, client)
}

/// Answers by the number of the request, from 0.
async fn in_turn(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (FakeServer, Client) {
    let count = AtomicUsize::new(0);
    start(move |seen| answer(count.fetch_add(1, Ordering::SeqCst), seen)).await
}

fn project(name: &str) -> Value {
    let uid = base::Uid::from_parts(1, &[7; 10]);
    json!({"metadata": {"uid": uid, "name": name, "createdAt": "2026-01-01T00:00:00Z", "generation": 1,
        "revision": "1-5"}, "spec": {"description": ""}, "status": {}})
}

fn new_project() -> NewObject<ProjectSpec> {
    NewObject { name: "ci".parse().unwrap(), labels: [].into(), spec: ProjectSpec::default() }
}

#[tokio::test]
async fn a_problem_keeps_its_words_and_its_request() {
    let (server, client) =
        start(|_| Reply::problem(Error::not_found("there is no VM 'web'").hint("hostler vm list"), "req-7"))
            .await;
    let error = client.get::<Vm>(&Key::in_project("ci", "web")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert_eq!(error.error.hint.as_deref(), Some("hostler vm list"));
    assert_eq!(&*error.request_id, "req-7");
    assert!(error.to_string().contains("req-7"));
    let seen = &server.seen()[0];
    assert_eq!(seen.path, "/v1/projects/ci/vms/web");
    assert_eq!(seen.header("authorization"), "Bearer hst_test");
}

#[tokio::test]
async fn an_answer_of_something_else_is_explained() {
    let (_server, client) = start(|_| Reply::Plain(502, vec![], "<html>".into())).await;
    let error = client.get::<Project>(&Key::cluster("ci")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.error.message.contains("502"));
    let (_server, client) = start(|_| Reply::Plain(200, vec![], "hello".into())).await;
    assert_eq!(client.get::<Project>(&Key::cluster("ci")).await.unwrap_err().code(), Code::Internal);
}

#[tokio::test]
async fn a_post_is_repeated_under_one_key_until_it_is_answered() {
    let (server, client) = in_turn(|n, _| match n {
        0 => Reply::Cut,
        1 => Reply::problem(Error::unavailable("starting"), "r"),
        _ => Reply::Json(201, project("ci")),
    })
    .await;
    let made: Project = client.create(None, &new_project()).await.unwrap();
    assert_eq!(made.metadata.name.as_str(), "ci");
    let keys: Vec<String> = server.seen().iter().map(|s| s.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|k| k == &keys[0] && !k.is_empty()));
    client.create::<Project, _>(None, &new_project()).await.unwrap();
    assert_ne!(server.seen()[3].header("idempotency-key"), keys[0], "another creation is another one");
}

#[tokio::test]
async fn what_is_not_safe_to_repeat_is_sent_once() {
    let (server, client) = start(|_| Reply::Cut).await;
    let patch = Patch { labels: None, spec: Some(json!({"cpus": 2})) };
    let key = Key::in_project("default", "web");
    let error = client.patch_if::<Vm>(&key, &patch, base::Revision::new(1, 4)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.error.hint.unwrap().contains("may have been carried out"));
    assert_eq!(server.seen().len(), 1);
    assert_eq!(server.seen()[0].header("if-match"), "\"1-4\"");
}

#[tokio::test]
async fn repeating_ends() {
    let server = FakeServer::start(|_| Reply::Cut).await.unwrap();
    let mut options = Options::new(server.url());
    options.retry = Retry { attempts: 3, within: Duration::from_secs(10) };
    let client = Client::new(options).unwrap();
    assert_eq!(client.get::<Project>(&Key::cluster("ci")).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn errors_of_ours_are_not_repeated() {
    let (server, client) = start(|_| Reply::problem(Error::invalid("/name", "no"), "r")).await;
    assert_eq!(client.create::<Project, _>(None, &new_project()).await.unwrap_err().code(), Code::Invalid);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_unavailable_with_a_hint() {
    let gone = FakeServer::start(|_| Reply::Cut).await.unwrap().url().to_owned();
    let mut options = Options::new(&gone);
    options.retry = Retry::NEVER;
    let error = Client::new(options).unwrap().get::<Project>(&Key::cluster("ci")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.error.message.contains(&gone) && error.error.hint.is_some(), "{error:?}");
}

#[tokio::test]
async fn a_repeated_delete_that_finds_nothing_is_done() {
    let (server, client) = in_turn(|n, _| match n {
        0 => Reply::Cut,
        _ => Reply::problem(Error::not_found("gone"), "r"),
    })
    .await;
    assert_eq!(client.delete::<Project>(&Key::cluster("ci")).await.unwrap(), None);
    assert_eq!(server.seen().len(), 2);
    assert!(client.delete::<Project>(&Key::cluster("ci")).await.is_err(), "the first answer is the answer");
}

#[tokio::test]
async fn lists_follow_cursors_and_start_over_when_they_are_too_old() {
    let (server, client) = in_turn(|n, seen| {
        let page = |names: &[&str], next: Option<&str>, revision: &str| {
            let items: Vec<Value> = names.iter().map(|n| project(n)).collect();
            Reply::Json(200, json!({"items": items, "revision": revision, "next": next}))
        };
        match (n, seen.path.contains("cursor=")) {
            (0, false) => page(&["a"], Some("x y"), "1-3"),
            (1, true) => Reply::problem(Error::new(Code::Gone, "too old"), "r"),
            (2, false) => page(&["a", "b"], Some("z"), "1-9"),
            _ => page(&["c"], None, "1-10"),
        }
    })
    .await;
    let (items, revision) = client.list_all::<Project>(None, &ListQuery::default()).await.unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(revision, base::Revision::new(1, 9), "a watch from the first page misses nothing");
    assert_eq!(server.seen()[1].path, "/v1/projects?cursor=x%20y");
}

#[tokio::test]
async fn uploads_are_streamed_counted_and_started_over() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("disk");
    let content = vec![7_u8; 3 << 20];
    std::fs::write(&path, &content).unwrap();
    let image = json!({"metadata": project("tiny")["metadata"], "spec": {"format": "raw", "arch": "amd64"},
        "status": {"ready": true}});
    let (server, client) = in_turn(move |n, _| {
        if n == 0 {
            Reply::problem(Error::unavailable("restarting"), "r")
        } else {
            Reply::Json(200, image.clone())
        }
    })
    .await;
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let progress: client::upload::Progress = std::sync::Arc::new(move |n| {
        if n == 0 {
            counter.store(0, Ordering::SeqCst);
        }
        counter.fetch_add(usize::try_from(n).unwrap(), Ordering::SeqCst);
    });
    let upload = Upload { digest: Some("sha256:00".into()), progress: Some(progress), ..Upload::new(&path) };
    let image: Image = client.put_image_part("tiny", "disk", upload).await.unwrap();
    assert!(image.status.ready);
    let seen = server.seen();
    assert_eq!((seen.len(), seen[1].body.len()), (2, content.len()));
    assert_eq!(seen[1].path, "/v1/images/tiny/parts/disk");
    assert_eq!(seen[1].header("content-length"), content.len().to_string());
    assert_eq!(seen[1].header("x-content-digest"), "sha256:00");
    assert_eq!(sent.load(Ordering::SeqCst), content.len());
}

#[tokio::test]
async fn logs_know_their_offsets() {
    let (server, client) = start(|_| {
        Reply::Plain(200, vec![("x-log-offset", "100".into()), ("x-log-end", "105".into())], "hello".into())
    })
    .await;
    let query = api::query::LogQuery { offset: Some(40), ..Default::default() };
    let mut log = client.vm_log(&Key::in_project("ci", "web"), "console", &query).await.unwrap();
    assert_eq!((log.offset, log.end), (100, 105));
    assert_eq!(log.next().await.unwrap().unwrap(), "hello");
    assert!(log.next().await.unwrap().is_none());
    assert_eq!(log.position, 105);
    assert_eq!(server.seen()[0].path, "/v1/projects/ci/vms/web/logs/console?offset=40");
}

#[tokio::test]
async fn every_route_can_be_called() {
    let (server, client) = start(|_| Reply::Json(200, json!({}))).await;
    for route in api::routes::ROUTES {
        let parameters = vec!["a"; route.path.matches('{').count()];
        client.call(route.id, &parameters).raw().await.unwrap();
    }
    assert_eq!(server.paths().len(), api::routes::ROUTES.len());
    assert_eq!(RouteId::Livez.route().path, "/livez");
}

#[tokio::test]
async fn an_answer_that_breaks_is_asked_for_again() {
    let (server, client) = in_turn(|n, _| match n {
        0 => Reply::Stream(vec!["{".into()], End::Broken),
        _ => Reply::Json(201, project("ci")),
    })
    .await;
    client.create::<Project, _>(None, &new_project()).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("idempotency-key"), seen[1].header("idempotency-key"));
    let (server, client) = start(|_| Reply::Stream(vec!["{".into()], End::Broken)).await;
    let error = client.get::<Project>(&Key::cluster("ci")).await.unwrap_err();
    assert_eq!((error.code(), server.seen().len()), (Code::Unavailable, 3));
}
