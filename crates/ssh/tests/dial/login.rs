//! Keys: in files, with passphrases, in an agent.

use crate::{Home, known_server, target};
use base::{Code, Secret};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use ssh::{Answers, Dialer, HostKeyPolicy, Question, Target};
use std::sync::Arc;
use testkit::{
    ssh_agent::SshAgent,
    sshd::{Sshd, make_key_of},
};

/// Gives these answers in turn, then none, and remembers what was asked.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<Vec<&'static str>>,
    pub(crate) asked: Mutex<Vec<Question>>,
}

impl Script {
    pub(crate) fn new(answers: &[&'static str]) -> Arc<Self> {
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        Arc::new(Script { answers, asked: Mutex::default() })
    }

    pub(crate) fn dialer(self: &Arc<Self>, home: &Home, keys: Option<HostKeyPolicy>) -> Dialer {
        let options =
            ssh::DialOptions { answers: Arc::clone(self) as Arc<dyn Answers>, ..home.options(keys) };
        Dialer::new(&home.surroundings(), options).unwrap()
    }
}

impl Answers for Script {
    fn answer(&self, question: Question) -> BoxFuture<'_, Option<Secret>> {
        self.asked.lock().push(question);
        let answer = self.answers.lock().pop().map(Secret::new);
        Box::pin(std::future::ready(answer))
    }
}

/// A server that takes one more key, of this type, and a home that uses that one only.
async fn with_key(kind: &str, passphrase: &str) -> (Sshd, Home) {
    let (server, home) = known_server(&[]).await;
    let line = make_key_of(&home.path("mine"), kind, passphrase).await.unwrap();
    std::fs::write(server.identity().with_file_name("authorized_keys"), line).unwrap();
    let identity = server.identity().display().to_string();
    let config = home.read("config").replace(&identity, &home.path("mine").display().to_string());
    home.write("config", &config);
    (server, home)
}

#[tokio::test]
async fn every_type_of_key_logs_in() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let (_server, home) = with_key(kind, "").await;
        home.strict().connect(&target("web1")).await.unwrap();
    }
}

#[tokio::test]
async fn keys_in_pem_files_log_in() {
    for format in ["PEM", "PKCS8"] {
        for (kind, passphrase) in [("rsa", ""), ("ecdsa", ""), ("rsa", "open sesame")] {
            let (_server, home) = with_key(kind, passphrase).await;
            let mut keygen = rt::process::command("ssh-keygen");
            keygen.args(["-p", "-q", "-m", format, "-P", passphrase, "-N", passphrase, "-f"]);
            keygen.arg(home.path("mine"));
            rt::process::run(keygen, std::time::Duration::from_secs(20)).await.unwrap();
            assert!(!home.read("mine").contains("OPENSSH"), "{format}");
            let script = Script::new(&["open sesame"]);
            let connected = script.dialer(&home, Some(HostKeyPolicy::Strict)).connect(&target("web1")).await;
            assert!(connected.is_ok(), "{format} {kind} {passphrase}: {connected:?}");
        }
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_all_hosts() {
    let (server, home) = with_key("ed25519", "open sesame").await;
    let script = Script::new(&["wrong", "open sesame"]);
    let dialer = script.dialer(&home, Some(HostKeyPolicy::Strict));
    let connecting = (0..8).map(|n| {
        let options = vec![("SetEnv".to_owned(), format!("N={n}"))];
        let (dialer, web1) = (dialer.clone(), Target { options, ..target("web1") });
        async move { dialer.connect(&web1).await.unwrap() }
    });
    futures::future::join_all(connecting).await;
    let file = home.path("mine");
    let asked = [
        Question::Passphrase { file: file.clone(), again: false },
        Question::Passphrase { file, again: true },
    ];
    assert_eq!(*script.asked.lock(), asked);
    assert_eq!(crate::logins(&server), 8);
}

#[tokio::test]
async fn without_its_passphrase_a_key_is_not_used_and_the_error_says_so() {
    let (server, home) = with_key("ed25519", "open sesame").await;
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(e.cause.unwrap().contains("nobody gave its passphrase"));
    // The next key still is.
    home.write("config", &format!("{} IdentityFile {}\n", home.read("config"), server.identity().display()));
    std::fs::write(
        server.identity().with_file_name("authorized_keys"),
        std::fs::read_to_string(server.identity().with_extension("pub")).unwrap(),
    )
    .unwrap();
    home.strict().connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn an_agent_signs() {
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let (_server, home) = with_key(kind, "").await;
        let agent = SshAgent::start().await.unwrap();
        agent.add(&home.path("mine")).await.unwrap();
        // Only the public half is left, which says which of the agent's keys is meant.
        std::fs::remove_file(home.path("mine")).unwrap();
        home.write("config", &format!("{} IdentitiesOnly yes\n", home.read("config")));
        home.with_agent(&agent).connect(&target("web1")).await.unwrap();
        let e = home.strict().connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Unauthenticated, "without the agent: {e}");
    }
}

#[tokio::test]
async fn the_agent_of_the_configuration_counts() {
    let (_server, home) = with_key("ed25519", "").await;
    let (agent, empty) = (SshAgent::start().await.unwrap(), SshAgent::start().await.unwrap());
    agent.add(&home.path("mine")).await.unwrap();
    let config = home.read("config").replace(&home.path("mine").display().to_string(), "none");
    home.write("config", &format!("{config} IdentityAgent {}\n", agent.socket().display()));
    home.with_agent(&empty).connect(&target("web1")).await.unwrap();
    home.write("config", &format!("{config} IdentityAgent none\n"));
    assert!(home.with_agent(&agent).connect(&target("web1")).await.is_err());
}

#[tokio::test]
async fn a_crowd_in_the_agent_does_not_use_up_the_attempts() {
    let (server, home) = with_key("ed25519", "").await;
    let agent = SshAgent::start().await.unwrap();
    for n in 0..20 {
        let path = home.path(&format!("crowd{n}"));
        make_key_of(&path, "ed25519", "").await.unwrap();
        agent.add(&path).await.unwrap();
    }
    // As with ssh: the agent's keys come before those that are in files only, and the server hangs up on the crowd.
    let e = home.with_agent(&agent).connect(&target("web1")).await.unwrap_err();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(e.cause.as_deref().unwrap().contains("Too many authentication failures"), "{e}");
    assert!(e.hint.unwrap().contains("IdentitiesOnly"));
    assert_eq!(crate::logins(&server), 0);
    // One that a file names goes first, wherever the agent has it.
    agent.add(&home.path("mine")).await.unwrap();
    home.with_agent(&agent).connect(&target("web1")).await.unwrap();
    // And only those that files name go at all, where that is said.
    let crowded = SshAgent::start().await.unwrap();
    for n in 0..20 {
        crowded.add(&home.path(&format!("crowd{n}"))).await.unwrap();
    }
    home.write("config", &format!("{} IdentitiesOnly yes\n", home.read("config")));
    home.with_agent(&crowded).connect(&target("web1")).await.unwrap();
}

#[tokio::test]
async fn algorithms_that_are_not_allowed_are_not_offered() {
    let (server, home) = with_key("ed25519", "").await;
    home.write("config", &format!("{} PubkeyAcceptedAlgorithms -ssh-ed25519\n", home.read("config")));
    let e = home.strict().connect(&target("web1")).await.unwrap_err();
    assert!(e.cause.unwrap().contains("there is no key and no password to try"));
    assert_eq!(crate::logins(&server), 0);
}

#[tokio::test]
async fn what_the_configuration_asks_for_is_negotiated() {
    let (_server, home) = with_key("ed25519", "").await;
    let plain = home.read("config");
    let all =
        " KexAlgorithms ecdh-sha2-nistp256\n Ciphers aes256-ctr\n MACs hmac-sha2-512\n Compression yes\n";
    home.write("config", &(plain.clone() + all));
    let connection = home.strict().connect(&target("web1")).await.unwrap();
    assert_eq!(crate::says(&connection, "echo it works").await, "it works\n");
    for (line, words) in [
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "KexAlgorithms leaves nothing"),
        ("Ciphers 3des-cbc", "Ciphers leaves nothing"),
    ] {
        home.write("config", &format!("{plain} {line}\n"));
        let e = home.strict().connect(&target("web1")).await.unwrap_err();
        assert_eq!(e.code, Code::Invalid);
        assert!(e.message.contains(words) && e.hint.unwrap().contains("transport: openssh"));
    }
}
