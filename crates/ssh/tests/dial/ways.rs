//! Ways to hosts: over others, by commands, and none.

use crate::{Home, host_lines, known_line, known_server, logins, says, target};
use base::Code;
use ssh::{DialOptions, Dialer, HostKeyPolicy, Target};
use std::time::Duration;
use testkit::sshd::Sshd;
use tokio::net::TcpListener;

/// Servers by their names, all known to one home.
async fn servers(names: &[&str]) -> (Vec<Sshd>, Home) {
    let starting = names.iter().map(|_| Sshd::start(&[]));
    let servers = futures::future::join_all(starting).await.into_iter().map(Result::unwrap);
    let (servers, home) = (servers.collect::<Vec<_>>(), Home::new());
    let lines = names.iter().zip(&servers).map(|(name, server)| host_lines(name, server));
    home.write("config", &lines.collect::<String>());
    home.write("known_hosts", &servers.iter().map(known_line).collect::<String>());
    (servers, home)
}

#[tokio::test]
async fn hosts_behind_another_share_one_connection_to_it() {
    let names = ["gate", "web1", "web2", "web3"];
    let (servers, home) = servers(&names).await;
    home.write("config", &format!("{}Host web*\n ProxyJump gate\n", home.read("config")));
    let dialer = home.strict();
    let connecting = names[1..].iter().map(|name| {
        let dialer = dialer.clone();
        async move {
            let connection = dialer.connect(&target(name)).await.unwrap();
            says(&connection, "echo $SSH_CONNECTION").await
        }
    });
    for from in futures::future::join_all(connecting).await {
        assert!(from.starts_with("127.0.0.1"), "{from}");
    }
    assert_eq!(servers.iter().map(logins).collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[tokio::test]
async fn several_hosts_may_stand_between() {
    let (servers, home) = servers(&["outer", "inner", "web1"]).await;
    let jump = |list: &str| format!("{}Host web1\n ProxyJump {list}\n", home.read("config"));
    home.write("config", &jump("outer,inner"));
    let connection = home.strict().connect(&target("web1")).await.unwrap();
    assert_eq!(says(&connection, "echo here").await, "here\n");
    assert_eq!(servers.iter().map(logins).collect::<Vec<_>>(), [1, 1, 1]);
    // The same by the configurations of the hosts themselves, and as it is given.
    let (servers, home) = servers_again(&["outer", "inner", "web1"]).await;
    home.write("config", &format!("{}Host inner\n ProxyJump outer\n", home.read("config")));
    let over = Target { options: vec![("ProxyJump".into(), "inner".into())], ..target("web1") };
    home.strict().connect(&over).await.unwrap();
    assert_eq!(servers.iter().map(logins).collect::<Vec<_>>(), [1, 1, 1]);
}

async fn servers_again(names: &[&str]) -> (Vec<Sshd>, Home) {
    servers(names).await
}

#[tokio::test]
async fn a_jump_host_that_fails_is_named() {
    let (_servers, home) = servers(&["web1"]).await;
    let config = home.read("config");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    home.write("config", &format!("{config} ProxyJump gate\nHost gate\n HostName 127.0.0.1\n Port {free}\n"));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.message.contains("cannot go over gate to web1"), "{e}");
}

#[tokio::test]
async fn a_jump_host_that_leads_nowhere_is_an_error() {
    let (_servers, home) = servers(&["gate"]).await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let config = home.read("config");
    home.write("config", &format!("{config}Host web1\n HostName 127.0.0.1\n Port {free}\n ProxyJump gate\n"));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Unavailable, "{e}");
}

#[tokio::test]
async fn circles_are_noticed() {
    let home = Home::new();
    home.write("config", "Host *\n ProxyJump gate\n");
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Invalid);
    assert!(e.message.contains("circle"), "{e}");
    home.write("config", "Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump a\n");
    let e = home.strict().connect(&target("a")).await.unwrap_err();
    assert!(e.message.contains("circle"), "{e}");
}

#[tokio::test]
async fn a_command_may_be_the_way() {
    let (server, home) = known_server(&[]).await;
    let config = home.read("config");
    let through = "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR";
    let line = format!(
        " ProxyCommand {through} -i {} -p {} -W %h:%p {}@{}\n",
        server.identity().display(),
        server.address().port(),
        server.user(),
        server.address().ip(),
    );
    home.write("config", &(config + &line));
    let connection = home.strict().connect(&target("web1")).await.unwrap();
    assert_eq!(says(&connection, "echo through").await, "through\n");
    assert_eq!(logins(&server), 2, "the command's and ours");
}

#[tokio::test]
async fn a_command_that_ends_is_a_host_that_cannot_be_reached() {
    let (_server, home) = known_server(&[]).await;
    home.write("config", &format!("{} ProxyCommand exit 3\n", home.read("config")));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Unavailable, "{e}");
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_not_tried_again() {
    let (_server, home) = known_server(&[]).await;
    let count = home.path("count");
    let line = format!("echo x >>{}; no-such-program %h", count.display());
    home.write("config", &format!("{} ProxyCommand sh -c '{line}'\n", home.read("config")));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert!(e.code == Code::Unavailable && e.to_string().contains("its ProxyCommand cannot be run"), "{e}");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_are_told_apart() {
    let home = Home::new();
    home.write("config", "");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let down = Target { port: Some(free), ..target("127.0.0.1") };
    let e = home.strict().connect(&down).await.unwrap_err();
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.message.contains("cannot reach 127.0.0.1 at 127.0.0.1:"), "{e}");
    assert!(e.cause.unwrap().contains("refused"));

    let e = home.strict().connect(&target("no-such-host.invalid")).await.unwrap_err();
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.message.contains("has no address"), "{e}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = DialOptions {
        connect_timeout: Duration::from_millis(200),
        ..home.options(Some(HostKeyPolicy::Strict))
    };
    let dialer = Dialer::new(&home.surroundings(), options).unwrap();
    let silent = Target { port: Some(silent.local_addr().unwrap().port()), ..target("127.0.0.1") };
    assert_eq!(dialer.connect(&silent).await.unwrap_err().code, Code::Timeout);
}
