//! Containers as resources of a node, on a real Docker engine.

#![allow(clippy::unwrap_used)] // part of a test

use e2e::Machines;
use testkit::{
    docker::{BUSYBOX, Engine},
    hosts,
};

const SERVICE: &str = r#"
steps:
  - directory: {path: SHARED/volume}
  - container:
      name: app
      image: app:1
      network: none
      restart: unless-stopped
      volumes: SHARED/volume:/data:ro
      env:
        GREETING: "it's {{ word }} \"$HOME\" # no comment"
        DOCKER_HOST: tcp://192.0.2.1:1
        LINES: |
          one
          two
  - container: {name: idle, image: app:1, state: stopped, network: none, command: [sleep, "1000"]}
defaults: {word: here}
"#;

/// An image that sleeps; a later one of the same name is another one.
async fn image(engine: &Engine, number: u32) {
    engine.run(&["create", "--name", "made", "--network", "none", BUSYBOX, "true"]).await.unwrap();
    let (sleep, label) = ("CMD [\"sleep\", \"1000\"]", format!("LABEL number={number}"));
    engine.run(&["commit", "-c", sleep, "-c", &label, "made", "app:1"]).await.unwrap();
    engine.run(&["rm", "made"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e2e_containers_are_made_as_they_should_be_and_made_anew_where_they_are_not() {
    let name = "e2e_containers_are_made_as_they_should_be_and_made_anew_where_they_are_not";
    let missing = [hosts::missing().await, Engine::missing().await];
    if let Some(reason) = missing.into_iter().flatten().next() {
        return e2e::skip(name, &reason);
    }
    let engine = Engine::start().await.unwrap();
    image(&engine, 1).await;
    let machines = Machines::start(&["web1"], &[engine.dir()]).await;
    let socket = engine.dir().join("docker.sock");
    machines.host("web1").run(&format!("ln -s {} /run/docker.sock", socket.display())).await.unwrap();
    machines.inventory(&[("web1", &["app"])]).await;
    // The engine is beside the machine, so that the two share this directory alone.
    let shared = engine.dir().display().to_string();
    let service = SERVICE.replace("SHARED", &shared);
    machines.write("services/app/service.yaml", &service);
    let inside = async |command: &str| engine.run(&["exec", "app", "sh", "-c", command]).await.unwrap();

    let told = machines.settle("web1", 3).await;
    assert!(told.contains(&format!("> volume {shared}/volume:/data:ro")), "{told:?}");
    assert_eq!(
        inside("echo \"$GREETING $DOCKER_HOST\"; echo \"$LINES\"; ls -d /data").await,
        "it's here \"$HOME\" # no comment tcp://192.0.2.1:1\none\ntwo\n\n/data\n"
    );
    let states =
        ["inspect", "-f", "{{.Name}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}}", "app", "idle"];
    assert_eq!(engine.run(&states).await.unwrap(), "/app true unless-stopped\n/idle false no\n");

    engine.run(&["stop", "-t", "0", "app"]).await.unwrap();
    engine.run(&["start", "idle"]).await.unwrap();
    let told = machines.settle("web1", 2).await;
    assert_eq!((told[0].as_str(), told[3].as_str()), ("Start container app", "Stop container idle"));

    // Another value, another image of the same name, and one that somebody else made under this name.
    machines.write("services/app/service.yaml", &service.replace("word: here", "word: there"));
    let told = machines.settle("web1", 1).await;
    assert_eq!(told[0], "Replace container app");
    assert!(told[1].starts_with("< variable GREETING it's here") && told.len() == 3, "{told:?}");
    image(&engine, 2).await;
    let told = machines.settle("web1", 2).await;
    assert!(told[0] == "Replace container app" && told[1].starts_with("< image id sha256:"), "{told:?}");
    engine.run(&["rm", "-f", "app"]).await.unwrap();
    engine.container("app").await.unwrap();
    machines.settle("web1", 1).await;
    assert!(inside("echo $GREETING").await.starts_with("it's there"));

    let gone = "steps: [{container: {name: app, state: absent}}, {container: {name: idle, state: absent}}]\n";
    machines.write("services/app/service.yaml", gone);
    machines.settle("web1", 2).await;
    assert_eq!(engine.run(&["ps", "-aq"]).await.unwrap(), "");
}
