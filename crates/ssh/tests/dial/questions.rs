//! Passwords, codes and other questions, at a server that asks them.

use crate::{Home, login::Script};
use base::{Code, Secret};
use russh::{
    MethodKind, MethodSet,
    keys::PrivateKey,
    server::{self, Auth, Response},
};
use ssh::{HostKeyPolicy, KeyPair, Question, Target};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Takes these methods, each once and in this order: `publickey`, `password` (right is "right"),
/// `keyboard-interactive` (the password, then the code "123").
struct Strict {
    wanted: Vec<MethodKind>,
}

impl Strict {
    fn verdict(&mut self, method: MethodKind, right: bool) -> Auth {
        let taken = right && self.wanted.first() == Some(&method);
        if taken {
            self.wanted.remove(0);
        }
        let left: Vec<MethodKind> = self.wanted.first().copied().into_iter().collect();
        match left.as_slice() {
            [] => Auth::Accept,
            left => {
                Auth::Reject { proceed_with_methods: Some(MethodSet::from(left)), partial_success: taken }
            }
        }
    }
}

impl server::Handler for Strict {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(self.verdict(MethodKind::None, false))
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(self.verdict(MethodKind::Password, password == "right"))
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        _: server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(self.verdict(MethodKind::PublicKey, true))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(words) = response else {
            let prompts = vec![(Cow::Borrowed("Password: "), false), (Cow::Borrowed("Code: "), true)];
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() });
        };
        let right = words.map(|w| w.to_vec()).eq([b"right".to_vec(), b"123".to_vec()]);
        Ok(self.verdict(MethodKind::KeyboardInteractive, right))
    }
}

/// Such a server, the home that knows it, and how to reach it.
async fn strict(wanted: &[MethodKind]) -> (rt::task::Task<()>, Home, Target) {
    let key = KeyPair::generate();
    let config = Arc::new(server::Config {
        keys: vec![PrivateKey::from_openssh(key.private_openssh().unwrap().expose_secret()).unwrap()],
        auth_rejection_time: Duration::ZERO,
        methods: MethodSet::from(
            &[MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive][..],
        ),
        ..server::Config::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let wanted = wanted.to_vec();
    let serving = rt::task::spawn("strict server", async move {
        let sessions = rt::task::Group::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (config, wanted) = (Arc::clone(&config), wanted.clone());
            sessions.spawn("session", async move {
                if let Ok(session) = server::run_stream(config, stream, Strict { wanted }).await {
                    let _ = session.await;
                }
            });
        }
    });
    let home = Home::new();
    home.write("config", "");
    home.write("known_hosts", &format!("[127.0.0.1]:{port} {}\n", key.public_openssh().unwrap()));
    let mine = KeyPair::generate();
    home.write("id_ed25519", mine.private_openssh().unwrap().expose_secret());
    (serving, home, Target { port: Some(port), ..Target::new("127.0.0.1") })
}

const STRICT: Option<HostKeyPolicy> = Some(HostKeyPolicy::Strict);

#[tokio::test]
async fn a_password_that_is_given_is_used_and_nobody_is_asked() {
    let (_serving, home, target) = strict(&[MethodKind::Password]).await;
    let target = Target { password: Some(Secret::new("right")), ..target };
    let script = Script::new(&[]);
    script.dialer(&home, STRICT).connect(&target).await.unwrap();
    assert!(script.asked.lock().is_empty());
    let wrong = Target { password: Some(Secret::new("left")), ..target };
    let e = home.strict().connect(&wrong).await.unwrap_err();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(!format!("{e:?}").contains("left"), "{e:?}");
}

#[tokio::test]
async fn a_password_is_asked_for_until_it_is_right() {
    let (_serving, home, target) = strict(&[MethodKind::Password]).await;
    let script = Script::new(&["wrong", "right"]);
    script.dialer(&home, STRICT).connect(&target).await.unwrap();
    let again: Vec<bool> = script
        .asked
        .lock()
        .iter()
        .map(|q| match q {
            Question::Password { user, host, again } => {
                assert_eq!((user.as_str(), host.as_str()), ("somebody", "127.0.0.1"));
                *again
            }
            other => panic!("asked {other:?}"),
        })
        .collect();
    assert_eq!(again, [false, true]);
    let script = Script::new(&["no", "no", "no", "right"]);
    let e = script.dialer(&home, STRICT).connect(&target).await.unwrap_err();
    assert_eq!((e.code, script.asked.lock().len()), (Code::Unauthenticated, 3));
}

#[tokio::test]
async fn in_batch_mode_nobody_is_asked() {
    let (_serving, home, target) = strict(&[MethodKind::Password]).await;
    home.write("config", "BatchMode yes\n");
    let script = Script::new(&["right"]);
    let e = script.dialer(&home, STRICT).connect(&target).await.unwrap_err();
    assert_eq!(e.code, Code::Unauthenticated);
    assert!(script.asked.lock().is_empty());
}

#[tokio::test]
async fn each_question_of_the_server_is_passed_on() {
    let (_serving, home, target) = strict(&[MethodKind::KeyboardInteractive]).await;
    let script = Script::new(&["right", "123"]);
    script.dialer(&home, STRICT).connect(&target).await.unwrap();
    let texts: Vec<String> = script
        .asked
        .lock()
        .iter()
        .map(|q| match q {
            Question::Prompt { text, echo, .. } => format!("{text}{echo}"),
            other => panic!("asked {other:?}"),
        })
        .collect();
    assert_eq!(texts, ["Password: false", "Code: true"]);
}

#[tokio::test]
async fn a_server_may_want_several_proofs() {
    let all = [MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive];
    let (_serving, home, target) = strict(&all).await;
    let script = Script::new(&["right", "right", "123"]);
    script.dialer(&home, STRICT).connect(&target).await.unwrap();
    // Not even the order of the configuration matters, since the server says what is next.
    home.write("config", "PreferredAuthentications keyboard-interactive,password,publickey\n");
    let script = Script::new(&["right", "right", "123"]);
    script.dialer(&home, STRICT).connect(&target).await.unwrap();
    home.write("config", "PasswordAuthentication no\n");
    let script = Script::new(&["right", "right", "123"]);
    let e = script.dialer(&home, STRICT).connect(&target).await.unwrap_err();
    assert_eq!(e.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_new_host_key_is_asked_about() {
    let (_serving, home, target) = strict(&[MethodKind::PublicKey]).await;
    let known = home.read("known_hosts");
    home.write("known_hosts", "");
    let refused = Script::new(&["no"]);
    let e = refused.dialer(&home, None).connect(&target).await.unwrap_err();
    assert_eq!(e.code, Code::Forbidden);
    assert_eq!(home.read("known_hosts"), "");
    let Question::NewHostKey { host, key } = refused.asked.lock()[0].clone() else {
        panic!("another question")
    };
    assert_eq!((host.as_str(), key.starts_with("ssh-ed25519 SHA256:")), ("127.0.0.1", true));

    Script::new(&["yes"]).dialer(&home, None).connect(&target).await.unwrap();
    assert_eq!(home.read("known_hosts").split(' ').take(3).collect::<Vec<_>>().join(" ").trim(), {
        let parts: Vec<&str> = known.split_ascii_whitespace().take(3).collect();
        parts.join(" ")
    });
    // Where nobody is there to ask, it is refused.
    home.write("known_hosts", "");
    assert_eq!(home.dialer(None).connect(&target).await.unwrap_err().code, Code::Forbidden);
}

/// Takes its time.
struct Slow(Arc<Script>);

impl ssh::Answers for Slow {
    fn answer(&self, question: Question) -> futures::future::BoxFuture<'_, Option<Secret>> {
        Box::pin(async {
            rt::clock::sleep(Duration::from_millis(1500)).await;
            self.0.answer(question).await
        })
    }
}

#[tokio::test]
async fn people_may_take_longer_to_answer_than_servers() {
    let (_serving, home, target) = strict(&[MethodKind::Password]).await;
    let options = ssh::DialOptions {
        answers: Arc::new(Slow(Script::new(&["right"]))),
        connect_timeout: Duration::from_millis(600),
        ..home.options(STRICT)
    };
    let dialer = ssh::Dialer::new(&home.surroundings(), options).unwrap();
    dialer.connect(&target).await.unwrap();
}
