//! Platforms besides YAML, and what `hostler.yaml` assigns.

use super::{LAB, directory, loaded, names, refused};
use api::Vm;
use base::{Code, Result, Secret};
use futures::{FutureExt, future::BoxFuture};
use inventory::{Options, Pool, load};
use serde_json::json;
use ssh::config::Surroundings;
use std::sync::Arc;

fn options() -> Options {
    Options { me: Surroundings { user: "me".into(), ..Surroundings::default() }, ..Options::default() }
}

#[tokio::test]
async fn hosts_of_an_ssh_configuration_are_nodes() {
    let dir = directory(&[
        ("hostler.yaml", "platforms:\n- {type: ssh-config, path: ssh/config}\n"),
        (
            "ssh/config",
            "Host web db\n  User root\nHost web\n  HostName 127.0.0.7\n  Port 2222\n  ProxyJump me@gate:22,last\nHost *.lab !x\nHost *\n  User me\n",
        ),
    ]);
    let inventory = load(dir.path(), &options()).await.unwrap();
    assert_eq!(inventory.nodes.keys().collect::<Vec<_>>(), ["db", "web"]);
    let path = dir.path().canonicalize().unwrap().join("ssh/config").display().to_string();
    let web = &inventory.nodes["web"];
    assert_eq!(
        json!(web.metadata),
        json!({"ssh_alias": "web", "ssh_config": path, "hostname": "127.0.0.7", "ssh_port": 2222,
            "ssh_user": "root", "gateway": "me@gate:22,last"})
    );
    assert_eq!((web.platform.as_str(), web.origin.clone()), ("config", format!("{path}:1")));
    let e = refused(&[("hostler.yaml", "platforms:\n- {type: ssh-config, path: none}\n")]).await;
    assert_eq!((e.code, e.field.as_deref()), (Code::NotFound, Some("hostler.yaml:2:28")));
}

#[tokio::test]
async fn the_usual_configuration_is_used_where_none_is_named() {
    let dir =
        directory(&[("hostler.yaml", "platforms: [{type: ssh-config}]\n"), (".ssh/config", "Host a\n")]);
    let me = Surroundings { home: dir.path().to_owned(), ..Surroundings::default() };
    let inventory = load(dir.path(), &Options { me, ..Options::default() }).await.unwrap();
    let node = &inventory.nodes["a"];
    assert_eq!((node.platform.as_str(), node.metadata.contains_key("ssh_config")), ("ssh-config", false));
}

struct Two;

impl Pool for Two {
    fn vms<'a>(&'a self, project: Option<&'a str>) -> BoxFuture<'a, Result<Vec<Vm>>> {
        let vm = |name: &str, tier: &str| {
            let uid = base::Uid::from_parts(1, &[7; 10]);
            let metadata = json!({"uid": uid, "name": name, "project": project.unwrap_or("default"),
                "createdAt": "2026-01-01T00:00:00Z", "generation": 1, "revision": "1-5", "labels": {"tier": tier}});
            let vm = json!({"metadata": metadata, "spec": {"image": "tiny"}, "status": {"phase": "Running"}});
            serde_json::from_value(vm).unwrap()
        };
        let vms = vec![vm("web", "front"), vm("db", "back")];
        async move { Ok(vms) }.boxed()
    }
}

#[tokio::test]
async fn vms_are_nodes_and_get_their_services_by_assignment() {
    let text = "platforms:\n- {type: pool, project: ci}\nassign:\n- nodes: [tier=front, db]\n  services: [base]\n  \
                metadata: {ssh_user: root}\n- nodes: [web]\n  services: [nginx, base]\n  groups: [edge]\n  \
                metadata: {ssh_user: admin}\n";
    let dir = directory(&[("hostler.yaml", text)]);
    let options = Options { pool: Some(Arc::new(Two)), ..options() };
    let mut inventory = load(dir.path(), &options).await.unwrap();
    let web = inventory.nodes["web"].clone();
    assert_eq!((web.text("vm"), web.text("ssh_user")), (Some("web.ci"), Some("admin")));
    assert_eq!((web.text("image"), web.text("phase")), (Some("tiny"), Some("Running")));
    assert_eq!((web.services, web.platform.as_str()), (vec!["base".to_owned(), "nginx".into()], "pool"));
    assert_eq!(inventory.nodes["db"].text("ssh_user"), Some("root"));
    assert_eq!(names(&mut inventory, &["list:edge"]).await.unwrap(), ["web"]);
    assert_eq!(names(&mut inventory, &["labels.tier=back"]).await.unwrap(), ["db"]);

    let e = refused(&[("hostler.yaml", "platforms: [{type: pool}]\n")]).await;
    assert_eq!((e.code, e.field.as_deref()), (Code::Invalid, Some("hostler.yaml:1:20")));
    let e = refused(&[("hostler.yaml", "platforms: [{type: pool, path: x}]\n")]).await;
    assert_eq!(e.message, "a platform of type pool has no path");
}

#[tokio::test]
async fn an_assignment_that_disagrees_with_the_platform_needs_a_master() {
    let nodes = ("inventory.yaml", "a: {metadata: {x: 1, y: 2}}\n");
    let assign = "assign:\n- nodes: [a]\n  metadata: {x: 5, y: 2, z: 3}\n";
    let text = format!("{}{assign}", LAB.1);
    let e = refused(&[("hostler.yaml", &text), nodes]).await;
    assert_eq!((e.code, e.message.as_str()), (Code::Conflict, "two sources disagree about x of a"));
    assert_eq!(e.cause.as_deref(), Some("inventory: 1, assign: 5"));
    for (master, x) in [("assign", 5), ("inventory", 1)] {
        let text = format!("{text}metadata_masters: {{x: {master}}}\n");
        let inventory = loaded(&[("hostler.yaml", &text), nodes]).await;
        assert_eq!(json!(inventory.nodes["a"].metadata), json!({"x": x, "y": 2, "z": 3}), "{master}");
    }
}

#[tokio::test]
async fn an_assignment_to_nobody_known_is_refused_at_its_place() {
    let text = format!("{}assign:\n- nodes: [b]\n", LAB.1);
    let e = refused(&[("hostler.yaml", &text), ("inventory.yaml", "a:\n")]).await;
    assert_eq!((e.field.as_deref(), e.message.as_str()), (Some("hostler.yaml:4:11"), "there is no node 'b'"));
    let text = format!("{}assign:\n- nodes: ['/(?=x)/']\n", LAB.1);
    let e = refused(&[("hostler.yaml", &text)]).await;
    assert!(
        e.field.unwrap().starts_with("hostler.yaml:4:") && e.message.contains("not a regular expression")
    );
}

#[tokio::test]
async fn an_inventory_of_ansible_is_a_platform() {
    let dir = directory(&[
        (
            "hostler.yaml",
            "platforms:\n- {type: ansible, path: lab/hosts.ini}\nassign:\n- {nodes: ['list:web'], services: [nginx]}\n",
        ),
        (
            "lab/hosts.ini",
            "[web]\nweb[1:3] ansible_user=deploy\n[prod]\nweb1 ansible_host=127.0.0.1 ansible_port=2222 gateway=10.0.0.1 ansible_become=true\nweb3\nwin ansible_connection=winrm\n\
             [prod:vars]\nansible_password=hidden\n",
        ),
        ("lab/group_vars/web.yml", "http_port: 80\n"),
        ("lab/host_vars/web1.yml", "rack: a\n"),
    ]);
    let mut inventory = load(dir.path(), &options()).await.unwrap();
    let web1 = inventory.nodes["web1"].clone();
    assert_eq!(
        json!(web1.metadata),
        json!({"hostname": "127.0.0.1", "ssh_port": "2222", "ssh_user": "deploy", "http_port": 80, "rack": "a",
            "become": true, "become_user": "root", "become_method": "sudo"})
    );
    assert_eq!(web1.passwords.login, Some(Secret::new("hidden")));
    assert!(!serde_json::to_string(&web1).unwrap().contains("hidden"));
    assert!(inventory.secrets().contains(&Secret::new("hidden")));
    assert_eq!((web1.services, web1.platform.as_str()), (vec!["nginx".to_owned()], "hosts.ini"));
    assert!(inventory.nodes["win"].text("connection_error").unwrap().contains("winrm"));
    for (selector, wanted) in [
        ("pattern:web:&prod:!web3", "web1"),
        ("pattern:web[1:2]", "web2 web3"),
        ("list:prod", "web1 web3 win"),
        ("http_port=80,rack", "web1"),
    ] {
        assert_eq!(names(&mut inventory, &[selector]).await.unwrap().join(" "), wanted, "{selector}");
    }
    let e = names(&mut loaded(&[LAB]).await, &["pattern:web"]).await.unwrap_err();
    assert_eq!(e.code, Code::NotFound);
}
