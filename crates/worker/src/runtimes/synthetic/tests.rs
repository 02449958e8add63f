use super::*;
use crate::runtimes::{ImageFiles, Seed};
use base::{Name, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GRACE: Duration = Duration::from_secs(30);

fn machine(script: SyntheticScript) -> Machine {
    Machine {
        uid: rt::ids::uid(),
        epoch: 1,
        name: Name::new("pretended").unwrap(),
        arch: "amd64".into(),
        cpus: 1,
        memory: ByteSize::mib(64),
        disk: ByteSize(0),
        ephemeral: false,
        image: ImageFiles::Synthetic,
        seed: Seed {
            hostname: "pretended".into(),
            user: "dev".into(),
            authorized_keys: vec![],
            host_key_private: Secret::new(""),
            host_key_public: String::new(),
        },
        synthetic: Some(script),
    }
}

fn cause(runtime: &Synthetic, uid: Uid) -> Option<ExitCause> {
    match runtime.observe(uid)?.phase {
        Phase::Exited(exit) => Some(exit.cause),
        _ => None,
    }
}

#[tokio::test]
async fn a_script_is_followed() {
    let runtime = Synthetic::new();
    let mut events = runtime.events();
    let script =
        SyntheticScript { boot_ms: 20, exit_after_ms: Some(100), exit_code: 3, ..Default::default() };
    let machine = machine(script);
    runtime.start(machine.clone()).await.unwrap();
    runtime.start(machine.clone()).await.unwrap();
    let mut phases = Vec::new();
    while phases.len() < 3 {
        phases.push(events.recv().await.unwrap().phase);
    }
    assert_eq!(phases[..2], [Phase::Starting, Phase::Running]);
    assert_eq!(phases[2], Phase::Exited(scripted(3)));
    assert_eq!(cause(&runtime, machine.uid), Some(ExitCause::Failed));
    assert!(runtime.connect(machine.uid, Target::Port(80)).await.is_err());

    let again = Machine { synthetic: None, ..machine.clone() };
    runtime.start(again).await.unwrap();
    assert_eq!(runtime.observe(machine.uid).unwrap().run, 2);
    let log = runtime.console_log(machine.uid, 10, 1 << 10).await.unwrap();
    assert_eq!(String::from_utf8(log.bytes).unwrap().matches("booted").count(), 2);
    assert_eq!(runtime.remove(machine.uid).await.unwrap_err().code, Code::Conflict);
    runtime.stop(machine.uid, GRACE).await.unwrap();
    assert_eq!(cause(&runtime, machine.uid), Some(ExitCause::Requested));
    runtime.remove(machine.uid).await.unwrap();
    assert_eq!(runtime.list(), vec![]);
}

#[tokio::test]
async fn a_start_can_fail_and_old_epochs_are_refused() {
    let runtime = Synthetic::new();
    let failing = machine(SyntheticScript { fail_start: Some("no such luck".into()), ..Default::default() });
    assert_eq!(runtime.start(failing.clone()).await.unwrap_err().message, "no such luck");
    assert_eq!(cause(&runtime, failing.uid), Some(ExitCause::Failed));

    let second = Machine { epoch: 2, ..machine(SyntheticScript::default()) };
    runtime.start(second.clone()).await.unwrap();
    let first = Machine { epoch: 1, ..second.clone() };
    assert_eq!(runtime.start(first.clone()).await.unwrap_err().code, Code::Conflict);
    runtime.stop(second.uid, GRACE).await.unwrap();
    assert_eq!(runtime.start(first).await.unwrap_err().code, Code::Conflict);
}

#[tokio::test]
async fn port_22_answers_like_ssh_once_ready_and_all_ports_echo() {
    let runtime = Synthetic::new();
    let machine = machine(SyntheticScript { ready_ms: 50, ..Default::default() });
    runtime.start(machine.clone()).await.unwrap();
    let mut ssh = runtime.connect(machine.uid, Target::Port(22)).await.unwrap();
    let mut banner = [0; 19];
    ssh.read_exact(&mut banner).await.unwrap();
    assert_eq!(&banner, b"SSH-2.0-synthetic\r\n");
    ssh.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    ssh.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    runtime.stop(machine.uid, GRACE).await.unwrap();
    assert_eq!(ssh.read(&mut back).await.unwrap(), 0, "connections end with the machine");
}

#[tokio::test]
async fn stopping_ends_a_start() {
    let runtime = Synthetic::new();
    let machine = machine(SyntheticScript { boot_ms: 3_600_000, ..Default::default() });
    let stop = async {
        while runtime.observe(machine.uid).is_none() {
            tokio::task::yield_now().await;
        }
        runtime.stop(machine.uid, GRACE).await
    };
    let (started, stopped) = tokio::join!(runtime.start(machine.clone()), stop);
    stopped.unwrap();
    assert_eq!(started.unwrap_err().code, Code::Conflict);
    assert_eq!(cause(&runtime, machine.uid), Some(ExitCause::Requested));
}

#[tokio::test]
async fn a_journal_makes_them_outlive_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = Synthetic::with_state(dir.path()).unwrap();
    assert_eq!(runtime.adopt().await.unwrap(), vec![]);
    let (kept, ended, removed) = (
        machine(SyntheticScript::default()),
        machine(SyntheticScript::default()),
        machine(SyntheticScript::default()),
    );
    for machine in [&kept, &ended, &removed] {
        runtime.start(machine.clone()).await.unwrap();
    }
    for uid in [ended.uid, removed.uid] {
        runtime.stop(uid, GRACE).await.unwrap();
    }
    runtime.remove(removed.uid).await.unwrap();
    let mut before = runtime.list();
    drop(runtime);

    let runtime = Synthetic::with_state(dir.path()).unwrap();
    let mut after = runtime.adopt().await.unwrap();
    before.sort_by_key(|o| o.uid);
    after.sort_by_key(|o| o.uid);
    assert_eq!(after, before);
    assert_eq!(runtime.observe(kept.uid).unwrap().phase, Phase::Running);
    runtime.start(ended.clone()).await.unwrap();
    assert_eq!(runtime.observe(ended.uid).unwrap().run, 2);
}

#[tokio::test]
async fn thousands_fit() {
    let runtime = Synthetic::new();
    let machines: Vec<_> = (0..5_000).map(|_| machine(SyntheticScript::default())).collect();
    let starts = machines.iter().map(|m| runtime.start(m.clone()));
    assert!(futures::future::join_all(starts).await.into_iter().all(|r| r.is_ok()));
    assert!(runtime.list().iter().all(|o| o.phase == Phase::Running));
}
