//! The agent that only signs, used by OpenSSH's own programs.

use base::Result;
use ssh::{KeyPair, key_agent};
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);

async fn with_agent(socket: &Path, program: &str, args: &[&str]) -> Result<rt::process::Output> {
    let mut command = rt::process::command(program);
    command.args(args).env("SSH_AUTH_SOCK", socket);
    rt::process::run(command, PATIENCE).await
}

#[tokio::test]
async fn an_agent_signs_tells_of_it_and_takes_no_orders() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, key) = (dir.path().join("agent.sock"), KeyPair::generate());
    let (uses, mut used) = mpsc::channel(8);
    let _agent = key_agent::serve(&socket, vec![key.clone()], uses).unwrap();

    let listed = with_agent(&socket, "ssh-add", &["-L"]).await.unwrap().stdout;
    assert!(listed.contains(key.public_openssh().unwrap().split(' ').nth(1).unwrap()), "{listed}");
    let public = dir.path().join("key.pub");
    let text = dir.path().join("text");
    std::fs::write(&public, key.public_openssh().unwrap()).unwrap();
    std::fs::write(&text, "signed by somebody who has no key").unwrap();
    let sign = ["-Y", "sign", "-n", "test", "-f", public.to_str().unwrap(), text.to_str().unwrap()];
    with_agent(&socket, "ssh-keygen", &sign).await.unwrap();
    assert!(dir.path().join("text.sig").exists());
    assert_eq!(used.recv().await.unwrap(), key.fingerprint());

    let mine = dir.path().join("mine");
    std::fs::write(&mine, KeyPair::generate().private_openssh().unwrap().expose_secret()).unwrap();
    std::fs::set_permissions(&mine, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for order in [vec![mine.to_str().unwrap()], vec!["-D"], vec!["-d", public.to_str().unwrap()]] {
        with_agent(&socket, "ssh-add", &order).await.unwrap_err();
    }
    let after = with_agent(&socket, "ssh-add", &["-L"]).await.unwrap().stdout;
    assert_eq!(after, listed);
}
