//! A real sandbox, and hostile code in it. Needs root and bubblewrap, as the controller does for this.
#![allow(clippy::unwrap_used, clippy::disallowed_macros)] // helpers of tests

use base::{Error, Result, Secret};
use parking_lot::Mutex;
use runner::{Broker, Limits, Overseer, Policy, Reach, Sandbox, decoy};
use std::{future::Future, path::PathBuf, pin::Pin, process::Stdio, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// Knows one credential, and remembers what was reached for.
#[derive(Default)]
struct Watchful(Mutex<Vec<(Reach, bool)>>);

impl Overseer for Watchful {
    fn credential<'a>(
        &'a self,
        project: Option<&'a str>,
        name: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Secret>> + Send + 'a>> {
        Box::pin(async move {
            match (project, name) {
                (None | Some("ours"), "key") => Ok(Secret::new("the value")),
                _ => Err(Error::new(base::Code::Forbidden, "another project's")),
            }
        })
    }

    fn reached<'a>(
        &'a self,
        what: Reach,
        outcome: &'a Result<()>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.lock().push((what, outcome.is_ok()));
        Box::pin(async {})
    }
}

struct Place {
    _dir: tempfile::TempDir,
    state: PathBuf,
    sandbox: Sandbox,
    overseer: Arc<Watchful>,
    _broker: Broker,
    _decoy: decoy::Watched,
}

impl Place {
    fn new(policy: Policy) -> Self {
        Self::limited(policy, Limits::default())
    }

    fn limited(policy: Policy, limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The user of the sandbox goes through it.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        for file in ["store.db", "ca.key"] {
            std::fs::write(state.join(file), "the crown jewels").unwrap();
        }
        let number = u32::from_le_bytes(rt::ids::random_bytes());
        let name = format!("test-{number:08x}");
        let program = PathBuf::from("/bin/true");
        let sandbox =
            Sandbox::create(&dir.path().join("runs"), &name, number, &program, &state, limits).unwrap();
        let overseer = Arc::new(Watchful::default());
        let broker = Broker::start(&sandbox.socket("broker.sock"), policy, overseer.clone()).unwrap();
        sandbox.open_socket("broker.sock").unwrap();
        let told = overseer.clone();
        let watching = decoy::watch(&sandbox.decoy(), move |path| {
            told.0.lock().push((Reach::File(path), false));
        });
        Place { state, sandbox, overseer, _broker: broker, _decoy: watching.unwrap(), _dir: dir }
    }

    async fn run(&self, script: &str) -> (Option<i32>, String) {
        let mut command = self.sandbox.command(&["/bin/sh", "-c", script], &[]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = rt::clock::timeout(Duration::from_secs(30), "the sandbox", command.output());
        let output = output.await.unwrap().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    fn reached(&self) -> Vec<(Reach, bool)> {
        self.overseer.0.lock().clone()
    }
}

/// Whether this machine can do it; says so where it cannot.
async fn possible(test: &str) -> bool {
    match Sandbox::available().await {
        Ok(()) => true,
        Err(e) => {
            println!("SKIPPED {test}: {e}");
            false
        }
    }
}

/// Asks the broker with the one program that a plain Debian has for it.
fn ask(line: &str) -> String {
    let python = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("/run/hostler/broker.sock")
s.sendall(sys.argv[1].encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n")
print(s.recv(4096).decode())
"#;
    format!("python3 -c '{python}' '{line}'")
}

#[tokio::test]
async fn code_of_others_is_somebody_else_and_sees_nothing_of_ours() {
    if !possible("code_of_others_is_somebody_else_and_sees_nothing_of_ours").await {
        return;
    }
    let place = Place::new(Policy::default());
    let (code, text) =
        place.run("id -u; ls /root /home 2>&1; touch /sandbox/mine && echo wrote; ps ax | wc -l").await;
    assert_eq!(code, Some(0), "{text}");
    let user: u32 = text.lines().next().unwrap().parse().unwrap();
    assert!(user >= 400_000_000, "{text}");
    assert!(text.contains("wrote") && text.contains("cannot access '/root'"), "{text}");
    assert!(place.sandbox.work("mine").exists());
    let (code, text) =
        place.run("python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 2)'").await;
    assert_ne!(code, Some(0));
    assert!(text.contains("unreachable"), "{text}");
    assert!(place.reached().is_empty());
}

#[tokio::test]
async fn four_attempts_are_four_refusals_that_the_overseer_hears_of() {
    if !possible("four_attempts_are_four_refusals_that_the_overseer_hears_of").await {
        return;
    }
    let place = Place::new(Policy::default());
    let state = place.state.display();
    let (_, text) = place.run(&format!("cat {state}/store.db {state}/ca.key; echo; ls {state}")).await;
    assert!(!text.contains("jewels"), "{text}");
    let (_, text) = place.run(&ask("GET /credentials/theirs/key")).await;
    assert!(text.contains("403"), "{text}");
    let (_, text) = place.run(&ask("CONNECT 169.254.169.254:80")).await;
    assert!(text.contains("403") && text.contains("link-local"), "{text}");

    let mut reached = place.reached();
    reached.sort_by_key(|r| format!("{r:?}"));
    let decoy = place.sandbox.decoy();
    let expected = [
        (Reach::Address("169.254.169.254:80".into()), false),
        (Reach::Credential(Some("theirs".into()), "key".into()), false),
        (Reach::File(decoy.join("ca.key")), false),
        (Reach::File(decoy.join("store.db")), false),
    ];
    assert_eq!(reached, expected);
}

#[tokio::test]
async fn what_is_allowed_goes_through_the_broker() {
    if !possible("what_is_allowed_goes_through_the_broker").await {
        return;
    }
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let serving = rt::task::spawn("server", async move {
        let (mut stream, _) = server.accept().await.unwrap();
        stream.write_all(b"hello from outside").await.unwrap();
    });
    let allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let place = Place::new(Policy { allowed, own: Vec::new() });
    let (code, text) = place.run(&ask(&format!("CONNECT 127.0.0.1:{port}"))).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let (_, text) = place.run(&ask("GET /credentials/key")).await;
    assert!(text.contains("the value"), "{text}");
    let reached = place.reached();
    assert!(reached.iter().all(|(_, allowed)| *allowed), "{reached:?}");
    drop(serving);
}

#[tokio::test]
async fn a_sandbox_ends_with_its_handle() {
    if !possible("a_sandbox_ends_with_its_handle").await {
        return;
    }
    let place = Place::new(Policy::default());
    let mut command = place.sandbox.command(&["/bin/sh", "-c", "echo up; sleep 600"], &[]);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 3];
    tokio::io::AsyncReadExt::read_exact(child.stdout.as_mut().unwrap(), &mut first).await.unwrap();
    let pid = child.id().unwrap();
    drop(child);
    rt::clock::timeout(Duration::from_secs(10), "its end", rt::process::gone(pid, None)).await.unwrap();
    let dir = place.sandbox.decoy().parent().unwrap().to_owned();
    drop(place);
    assert!(!dir.exists());
}
