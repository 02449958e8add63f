//! Bad input: each refusal names the field and what would be right, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used)] // what is not as it must be ends the test

use e2e::{Cluster, Http, Layout, Setup};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Stdio, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VMS: &str = "/v1/projects/default/vms";

async fn start() -> (Cluster, Http) {
    let cluster = Cluster::start(Setup::synthetic(Layout::chosen(), 1)).await;
    let admin = Http::admin(&cluster);
    (cluster, admin)
}

/// A VM's spec with this in it.
fn vm(mut spec: Value) -> Value {
    if spec["image"].is_null() {
        spec["image"] = "synthetic".into();
    }
    json!({"name": "web", "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_wrong_fields_are_named() {
    let (_cluster, admin) = start().await;
    let long = "x".repeat(300);
    let many: Vec<String> = (0..65).map(|_| "ssh-ed25519 AAAA".into()).collect();
    let cases = [
        // Unknown fields, at several depths.
        (json!({"name": "web", "spec": {"image": "synthetic"}, "extra": 1}), "/extra"),
        (vm(json!({"cpu": 2})), "/spec/cpu"),
        (vm(json!({"guest": {"usr": "me"}})), "/spec/guest/usr"),
        (vm(json!({"networks": [{"type": "user", "mtu": 1500}]})), "/spec/networks/0/mtu"),
        (vm(json!({"startupScript": {"script": "true", "shell": "sh"}})), "/spec/startupScript/shell"),
        // Wrong types.
        (json!({"name": 5, "spec": {"image": "synthetic"}}), "/name"),
        (vm(json!({"cpus": "two"})), "/spec/cpus"),
        (vm(json!({"cpus": -1})), "/spec/cpus"),
        (vm(json!({"cpus": 1.5})), "/spec/cpus"),
        (vm(json!({"memory": "much"})), "/spec/memory"),
        (vm(json!({"memory": []})), "/spec/memory"),
        (vm(json!({"power": "On"})), "/spec/power"),
        (vm(json!({"networks": [{"type": "mesh"}]})), "/spec/networks/0/type"),
        (vm(json!({"resources": {"gpu": "one"}})), "/spec/resources/gpu"),
        (json!({"name": "web", "labels": {"a": 1}, "spec": {"image": "synthetic"}}), "/labels/a"),
        // Impossible sizes.
        (vm(json!({"cpus": 0})), "/spec/cpus"),
        (vm(json!({"cpus": 1025})), "/spec/cpus"),
        (vm(json!({"memory": "1KiB"})), "/spec/memory"),
        (vm(json!({"memory": "100TiB"})), "/spec/memory"),
        (vm(json!({"memory": "99999999999999999999GiB"})), "/spec/memory"),
        (vm(json!({"disk": 0})), "/spec/disk"),
        (vm(json!({"ttlSeconds": 0})), "/spec/ttlSeconds"),
        (vm(json!({"stopGraceSeconds": 99_999})), "/spec/stopGraceSeconds"),
        (vm(json!({"resources": {"gpu": 0}})), "/spec/resources/gpu"),
        (vm(json!({"networks": []})), "/spec/networks"),
        (vm(json!({"guest": {"authorizedKeys": many}})), "/spec/guest/authorizedKeys"),
        // Bad names and words.
        (json!({"name": "Web", "spec": {"image": "synthetic"}}), "/name"),
        (json!({"name": "", "spec": {"image": "synthetic"}}), "/name"),
        (json!({"name": "-a", "spec": {"image": "synthetic"}}), "/name"),
        (json!({"name": "../etc/passwd", "spec": {"image": "synthetic"}}), "/name"),
        (json!({"name": long.clone(), "spec": {"image": "synthetic"}}), "/name"),
        (vm(json!({"image": "No Such"})), "/spec/image"),
        (vm(json!({"image": "missing"})), "/spec/image"),
        (vm(json!({"arch": "sparc"})), "/spec/arch"),
        (vm(json!({"runtime": "docker"})), "/spec/runtime"),
        (vm(json!({"runtime": "qemu"})), "/spec/runtime"),
        (vm(json!({"guest": {"user": "Root!"}})), "/spec/guest/user"),
        (vm(json!({"guest": {"authorizedKeys": ["not a key"]}})), "/spec/guest/authorizedKeys/0"),
        (vm(json!({"guest": {"authorizedKeys": ["ssh-ed25519 !!!"]}})), "/spec/guest/authorizedKeys/0"),
        (vm(json!({"probe": {"kind": "exec"}})), "/spec/probe/command"),
        (vm(json!({"probe": {"kind": "tcp"}})), "/spec/probe/port"),
        (vm(json!({"probe": {"kind": "tcp", "port": 70_000}})), "/spec/probe/port"),
        (vm(json!({"startupScript": {"script": "true", "env": {"1A": "b"}}})), "/spec/startupScript/env/1A"),
        (json!({"name": "web", "labels": {"a b": "c"}, "spec": {"image": "synthetic"}}), "/labels/a b"),
        (json!({"name": "web", "labels": {"a": long}, "spec": {"image": "synthetic"}}), "/labels/a"),
        // What is missing.
        (json!({"spec": {"image": "synthetic"}}), ""),
        (json!({"name": "web"}), ""),
        (json!({"name": "web", "spec": {}}), "/spec"),
    ];
    let mut without_hint = Vec::new();
    for (body, field) in cases {
        let problem = admin.send("POST", VMS, &body).await.problem(400);
        assert_eq!(problem["code"], "invalid", "{body}: {problem}");
        assert_eq!(problem["field"].as_str().unwrap_or_default(), field, "{body}: {problem}");
        if problem["hint"].as_str().unwrap_or_default().is_empty() {
            without_hint.push(format!("{body}: {}", problem["detail"]));
        }
    }
    assert!(without_hint.is_empty(), "without a hint:\n{}", without_hint.join("\n"));
    let list = admin.get("/v1/vms").await.is(200);
    assert_eq!(list["items"], json!([]), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_wrong_changes_are_named() {
    let (_cluster, admin) = start().await;
    admin.send("POST", VMS, &vm(json!({"power": "Stopped"}))).await.is(201);
    let path = format!("{VMS}/web");
    let before = admin.get(&path).await.is(200);
    for (patch, status, field) in [
        (json!({"spec": {"cpus": 0}}), 400, "/spec/cpus"),
        (json!({"spec": {"cpu": 1}}), 400, "/spec/cpu"),
        (json!({"spec": 5}), 400, "/spec"),
        (json!({"status": {}}), 400, "/status"),
        (json!({"metadata": {}}), 400, "/metadata"),
        (json!({"labels": {"a b": "c"}}), 400, "/labels/a b"),
        (json!({"labels": "a"}), 400, "/labels"),
        (json!({"spec": {"image": "other"}}), 409, "/spec/image"),
        (json!({"spec": {"disk": "9GiB"}}), 409, "/spec/disk"),
        (json!({"spec": {"guest": {"usr": "x"}}}), 400, "/spec/guest/usr"),
    ] {
        let problem = admin.send("PATCH", &path, &patch).await.problem(status);
        assert_eq!(problem["field"], field, "{patch}: {problem}");
    }
    let other = json!({"name": "other", "spec": {"image": "synthetic"}});
    assert_eq!(admin.send("PUT", &path, &other).await.problem(400)["field"], "/name");
    assert_eq!(admin.get(&path).await.is(200), before, "a refused change changes nothing");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for body in
        ["", "null", "[]", "\"x\"", "{\"name\":", "{\"name\": \"a\"} trailing", "\u{0}", deep.as_str()]
    {
        let ask = admin.ask("POST", VMS).header("content-type", "application/json").body(body.to_owned());
        ask.send().await.problem(400);
    }
}

/// Runs qemu-img.
async fn qemu_img(args: &[&str], dir: &Path) {
    let mut command = rt::process::command("qemu-img");
    command.args(args).current_dir(dir).stdout(Stdio::null());
    assert!(command.status().await.expect("qemu-img runs").success(), "{args:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_images_that_are_none_are_refused() {
    let (cluster, admin) = start().await;
    let dir = cluster.dir().to_owned();
    fs::write(dir.join("text.qcow2"), "This is a text, not an image.\n".repeat(100)).unwrap();
    fs::write(dir.join("empty.qcow2"), "").unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "base.qcow2", "8M"], &dir).await;
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "overlay.qcow2"], &dir)
        .await;
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "external.qcow2", "8M"], &dir)
        .await;
    qemu_img(&["create", "-q", "-f", "vmdk", "other.qcow2", "8M"], &dir).await;
    for (file, says) in [
        ("text.qcow2", "qcow2"),
        ("empty.qcow2", "empty"),
        ("overlay.qcow2", "backing file"),
        ("external.qcow2", "external"),
        ("other.qcow2", "vmdk"),
    ] {
        let name = file.split('.').next().unwrap();
        let new = json!({"name": name, "spec": {"format": "qcow2", "arch": "amd64"}});
        admin.send("POST", "/v1/images", &new).await.is(201);
        let bytes = fs::read(dir.join(file)).unwrap();
        let answer = admin.ask("PUT", &format!("/v1/images/{name}/parts/disk")).body(bytes).send().await;
        let problem = answer.problem(400);
        assert!(problem.to_string().to_lowercase().contains(says), "{file}: {problem}");
        let image = admin.get(&format!("/v1/images/{name}")).await.is(200);
        assert_eq!(image["status"]["ready"], false);
        let used = json!({"name": "web", "spec": {"image": name}});
        assert_eq!(admin.send("POST", VMS, &used).await.problem(409)["field"], "/spec/image");
        // The command line says it, too, and leaves no image behind.
        let file = dir.join(file).display().to_string();
        let import = format!("{name}-cli");
        let ran = cluster.cli().run(&["image", "import", &import, &file, "--format", "qcow2"]).await;
        assert_ne!(ran.code, 0, "{file}");
        assert!(ran.stderr.to_lowercase().contains(says), "{file}: {}", ran.stderr);
        admin.get(&format!("/v1/images/{import}")).await.problem(404);
    }
    let good = fs::read(dir.join("base.qcow2")).unwrap();
    let part = "/v1/images/text/parts/disk";
    let wrong = format!("sha256:{}", "0".repeat(64));
    let mismatch = admin.ask("PUT", part).header("x-content-digest", &wrong).body(good.clone()).send().await;
    assert!(mismatch.problem(400).to_string().contains("digest"));
    let nonsense = admin.ask("PUT", part).header("x-content-digest", "md5:1").body(good.clone()).send().await;
    assert_eq!(nonsense.problem(400)["field"], "x-content-digest");
    admin.ask("PUT", "/v1/images/text/parts/kernel").body(good.clone()).send().await.problem(404);
    admin.ask("PUT", "/v1/images/missing/parts/disk").body(good.clone()).send().await.problem(404);
    // An upload that is cut in the middle leaves nothing; the whole one then is taken.
    cut_upload(&cluster, &admin, part, &good).await;
    assert_eq!(admin.get("/v1/images/text").await.is(200)["status"]["ready"], false);
    let done = admin.ask("PUT", part).body(good.clone()).send().await.is(200);
    assert_eq!(done["status"]["ready"], true);
    assert_eq!(done["status"]["virtualSize"], 8 << 20);
    admin.ask("PUT", part).body(good).send().await.problem(409);
    let images = cluster.data_dir().join("images");
    e2e::eventually("only the good file is left", Duration::from_secs(10), || async {
        (names_under(&images).len() == 1).then_some(())
    })
    .await;
}

fn names_under(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|e| {
            if e.path().is_dir() { names_under(&e.path()) } else { vec![e.path().display().to_string()] }
        })
        .collect()
}

/// Sends half of what was announced, then hangs up.
async fn cut_upload(cluster: &Cluster, admin: &Http, path: &str, bytes: &[u8]) {
    let mut io = admin.connect().await;
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
        cluster.address(),
        cluster.token().expose_secret(),
        bytes.len()
    );
    io.write_all(head.as_bytes()).await.unwrap();
    io.write_all(&bytes[..bytes.len() / 2]).await.unwrap();
    io.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), io.read_to_end(&mut answer)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_wrong_files_are_named_by_line_and_column() {
    let (cluster, admin) = start().await;
    let cases = [
        ("kind: Vm\nname: web\nspec:\n  image: synthetic\n  cpu: 2\n", ":5:", "cpu"),
        ("kind: Vm\nname: web\nspec:\n  image: synthetic\n  cpus: two\n", ":5:", "cpus"),
        ("kind: Vm\nname: web\nspec: {image: synthetic, guest: {usr: me}}\n", ":3:", "usr"),
        ("kind: Vm\nname: Web\nspec: {image: synthetic}\n", ":2:", "name"),
        ("kind: Vn\nname: web\nspec: {image: synthetic}\n", ":1:", "kind"),
        (
            "kind: Project\nname: p\n---\nkind: Vm\nname: web\nspec: {image: synthetic, memory: 1KiB}\n",
            ":6:",
            "memory",
        ),
        ("kind: Vm\nname: web\n  spec: [\n", ":3:", ""),
        ("kind: Vm\nnaem: web\nspec: {image: synthetic}\n", ":2:", "naem"),
    ];
    for (n, (text, place, word)) in cases.iter().enumerate() {
        let file = cluster.dir().join(format!("bad-{n}.yaml"));
        fs::write(&file, text).unwrap();
        let ran = cluster.cli().run(&["apply", "-f", file.to_str().unwrap()]).await;
        assert_eq!(ran.code, 2, "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("bad-{n}.yaml{place}")), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{text}: {}", ran.stderr);
    }
    assert_eq!(admin.get("/v1/vms").await.is(200)["items"], json!([]));
    admin.get("/v1/projects/p").await.problem(404);
    let missing = cluster.cli().run(&["apply", "-f", "nowhere.yaml"]).await;
    assert_ne!(missing.code, 0);
    assert!(missing.stderr.contains("nowhere.yaml"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_a_port_in_use_is_named() {
    let (cluster, _admin) = start().await;
    let dir = cluster.dir().join("second").display().to_string();
    let ran =
        cluster.cli().run(&["dev", "--synthetic", "--data-dir", &dir, "--listen", &cluster.address()]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains(&cluster.address()), "{}", ran.stderr);
    let same = cluster.data_dir().display().to_string();
    let ran =
        cluster.cli().run(&["dev", "--synthetic", "--data-dir", &same, "--listen", "127.0.0.1:0"]).await;
    assert_ne!(ran.code, 0, "two must not share a state directory");
    cluster.cli().run(&["vm", "list"]).await.ok();
}
