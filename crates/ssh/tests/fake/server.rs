//! SSH servers that ask for passwords, pass signals on, or misbehave.

use base::{Code, Error, Secret};
use futures::FutureExt;
use parking_lot::Mutex;
use russh::{
    Channel, ChannelId, MethodKind, MethodSet, Sig,
    keys::PrivateKey,
    server::{self, Auth as Answer, ChannelOpenHandle, Msg, Response, Session},
};
use ssh::{Auth, Connection, ExecEvent, ExecRequest, HostKeyCheck, KeyPair, Options};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(30);

/// A server that takes the password "right", and answers commands by their name.
struct Fake {
    /// Whether it asks for the password in a dialogue only.
    interactive: bool,
    /// What happened to channels that it tried to open.
    opened: mpsc::UnboundedSender<bool>,
    intruder: Option<rt::task::Task<()>>,
}

fn verdict(right: bool) -> Answer {
    if right { Answer::Accept } else { Answer::reject() }
}

impl server::Handler for Fake {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Answer, russh::Error> {
        Ok(verdict(user == "anybody"))
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Answer, russh::Error> {
        let left = [MethodKind::KeyboardInteractive];
        Ok(if self.interactive {
            Answer::Reject { proceed_with_methods: Some(MethodSet::from(&left[..])), partial_success: false }
        } else {
            verdict(password == "right")
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Answer, russh::Error> {
        let Some(mut words) = response else {
            let prompts = vec![(Cow::Borrowed("Password: "), false)];
            return Ok(Answer::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() });
        };
        Ok(verdict(words.next().is_some_and(|w| w.as_ref() == b"right")))
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, russh::Error> {
        Ok(Some("no trespassing".into()))
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        match line {
            b"silent" => return Ok(()),
            b"early" => {
                session.data(id, "too soon")?;
                session.channel_success(id)?;
                session.exit_status_request(id, 0)?;
                session.data(id, ", too late")?;
                session.close(id)?;
            }
            b"no status" => {
                session.channel_success(id)?;
                session.close(id)?;
            }
            b"intrude" => {
                session.channel_success(id)?;
                let (handle, opened) = (session.handle(), self.opened.clone());
                self.intruder = Some(rt::task::spawn("intruder", async move {
                    let _ = opened.send(handle.channel_open_agent().await.is_ok());
                    let _ = opened.send(handle.channel_open_session().await.is_ok());
                    let _ =
                        opened.send(handle.channel_open_direct_tcpip("127.0.0.1", 22, "x", 1).await.is_ok());
                    let _ = opened
                        .send(handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "x", 1).await.is_ok());
                    let _ = opened.send(handle.channel_open_direct_streamlocal("/x").await.is_ok());
                    let _ = opened.send(handle.channel_open_forwarded_streamlocal("/x").await.is_ok());
                    let _ = opened.send(handle.channel_open_x11("x", 1).await.is_ok());
                }));
            }
            _ => session.channel_success(id)?,
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.exit_signal_request(id, signal, false, "", "")?;
        session.close(id)
    }
}

struct Fakes {
    options: Options,
    stream: tokio::io::DuplexStream,
    opened: mpsc::UnboundedReceiver<bool>,
    _serving: rt::task::Task<()>,
}

fn start(interactive: bool, user: &str, password: Option<&str>) -> Fakes {
    let key = KeyPair::generate();
    let private = PrivateKey::from_openssh(key.private_openssh().unwrap().expose_secret()).unwrap();
    let config = server::Config {
        keys: vec![private],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    };
    let (tell, opened) = mpsc::unbounded_channel();
    let (stream, theirs) = tokio::io::duplex(1 << 16);
    let fake = Fake { interactive, opened: tell, intruder: None };
    let serving = rt::task::spawn("fake server", async move {
        if let Ok(session) = server::run_stream(Arc::new(config), theirs, fake).await {
            let _ = session.await;
        }
    });
    let auth = password.map(|p| Auth::Password(Secret::new(p))).into_iter().collect();
    let known = HostKeyCheck::Pinned(vec![key.public_openssh().unwrap()]);
    Fakes { options: Options::new(user, auth, known), stream, opened, _serving: serving }
}

#[tokio::test]
async fn passwords_are_given_in_both_ways() {
    for interactive in [false, true] {
        let fake = start(interactive, "somebody", Some("right"));
        Connection::connect(fake.stream, fake.options).await.unwrap();
        let fake = start(interactive, "somebody", Some("wrong-secret"));
        let e = Connection::connect(fake.stream, fake.options).await.err().unwrap();
        assert_eq!(e.code, Code::Unauthenticated);
        assert!(e.message.contains("'somebody'"), "{e}");
        let cause = e.cause.unwrap();
        assert!(cause.contains("password") && cause.contains("no trespassing"), "{cause}");
        assert!(!cause.contains("wrong-secret"));
    }
}

#[tokio::test]
async fn no_proof_at_all_may_be_enough() {
    let fake = start(false, "anybody", None);
    Connection::connect(fake.stream, fake.options).await.unwrap();
    let fake = start(false, "nobody", None);
    assert_eq!(
        Connection::connect(fake.stream, fake.options).await.err().unwrap().code,
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_is_asked_again_and_one_that_refuses_is_not() {
    for (password, streams) in [("right", 3), ("wrong", 3)] {
        let fake = start(false, "somebody", Some(password));
        let busy = || tokio::io::duplex(64).0; // its other end is gone
        let streams = Mutex::new((streams, vec![fake.stream, busy(), busy()]));
        let open = || {
            let (asked, left) = &mut *streams.lock();
            *asked -= 1;
            futures::future::ready(left.pop().ok_or_else(|| Error::internal("too often"))).boxed()
        };
        let connected = Connection::connect_over(open, fake.options).await;
        assert_eq!(connected.err().map(|e| e.code), (password == "wrong").then_some(Code::Unauthenticated));
        assert_eq!(streams.lock().0, 0);
    }
}

#[tokio::test]
async fn signals_are_carried_by_name() {
    let fake = start(false, "x", Some("right"));
    let connection = Connection::connect(fake.stream, fake.options).await.unwrap();
    for name in ["TERM", "SIGINT", "KILL", "USR2", "HUP"] {
        let (sender, mut receiver) = connection.exec(ExecRequest::command("wait")).await.unwrap().split();
        sender.signal(name).await.unwrap();
        let bare = name.strip_prefix("SIG").unwrap_or(name).to_owned();
        let exit = ExecEvent::Exit { code: None, signal: Some(bare) };
        assert_eq!((receiver.next().await, receiver.next().await), (Some(exit), None));
    }
    let (sender, _receiver) = connection.exec(ExecRequest::command("wait")).await.unwrap().split();
    let e = sender.signal("WINCH").await.unwrap_err();
    assert_eq!((e.code, e.field.as_deref()), (Code::Invalid, Some("signal")));
}

#[tokio::test]
async fn the_order_of_a_server_loses_nothing() {
    let fake = start(false, "x", Some("right"));
    let connection = Connection::connect(fake.stream, fake.options).await.unwrap();
    let output = connection.output(ExecRequest::command("early"), "".into(), 100).await.unwrap();
    assert_eq!((output.stdout.as_slice(), output.code), (&b"too soon, too late"[..], Some(0)));
    let output = connection.output(ExecRequest::command("no status"), "".into(), 100).await.unwrap();
    assert_eq!((output.code, output.signal), (None, None));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let fake = start(false, "x", Some("right"));
    let options = Options { connect_timeout: Duration::from_secs(1), ..fake.options };
    let connection = Connection::connect(fake.stream, options).await.unwrap();
    let e = connection.exec(ExecRequest::command("silent")).await.err().unwrap();
    assert_eq!(e.code, Code::Timeout);
    assert!(connection.output(ExecRequest::command("early"), "".into(), 100).await.unwrap().success());
}

#[tokio::test]
async fn a_server_opens_nothing_here() {
    let mut fake = start(false, "x", Some("right"));
    let connection = Connection::connect(fake.stream, fake.options).await.unwrap();
    let _exec = connection.exec(ExecRequest::command("intrude")).await.unwrap();
    for _ in 0..7 {
        let opened = rt::clock::timeout(SOON, "the refusal", fake.opened.recv()).await.unwrap();
        assert_eq!(opened, Some(false));
    }
    assert!(connection.output(ExecRequest::command("early"), "".into(), 100).await.unwrap().success());
}
