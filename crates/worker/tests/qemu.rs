//! The QEMU runtime and its shim, with real QEMU processes (translated, so that they run everywhere) and a guest of one
//! disk sector: see guest/boot.s.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use base::Code;
use common::{Bench, exited, heard, json, logged, until};
use rt::process::{Signal, running, signal, start_ticks};
use std::{process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use worker::runtimes::{ExitCause, Machine, Phase, Runtime, Target};

const NOW: Duration = Duration::ZERO;
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_guest_boots_is_adopted_and_powers_off() {
    let bench = Bench::new();
    let machine = bench.machine();
    let qemu = bench.qemu();
    let started = bench.start(&qemu, &machine).await;
    assert_eq!((started.phase, started.run, started.epoch), (Phase::Running, 1, 1));
    logged(&qemu, machine.uid, "guest boot 0").await;
    qemu.start(machine.clone()).await.unwrap();
    assert_eq!(
        qemu.observe(machine.uid).unwrap().pid,
        started.pid,
        "a second start of the same does nothing"
    );

    drop(qemu); // the agent is gone
    let qemu = bench.qemu();
    let found = qemu.adopt().await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0].phase, found[0].pid, found[0].shim_pid),
        (&Phase::Running, started.pid, started.shim_pid)
    );
    assert_eq!(qemu.remove(machine.uid).await.unwrap_err().code, Code::Conflict);

    qemu.stop(machine.uid, GRACE).await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!((exit.code, exit.cause), (Some(0), ExitCause::Requested), "{exit:?}");
    qemu.remove(machine.uid).await.unwrap();
    qemu.remove(machine.uid).await.unwrap();
    assert!(!bench.vm_dir(machine.uid).exists());
    assert_eq!(qemu.list(), vec![]);
}

#[tokio::test]
async fn kill_9_of_the_agent_does_not_reach_the_guest() {
    let bench = Bench::new();
    let uid = rt::ids::uid();
    let mut agent = rt::process::command(common::parts());
    agent.arg("start").args([bench.state(), bench.image.clone()]).arg(uid.to_string());
    // A group of its own, to be killed as a whole: the guest must not be in it.
    let mut agent = agent.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    bench.owns(pid);
    let ticks = start_ticks(pid);
    let group = rustix::process::Pid::from_raw(i32::try_from(agent.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process_group(group, Signal::KILL).unwrap();
    agent.wait().await.unwrap();

    let qemu = bench.qemu();
    let found = qemu.adopt().await.unwrap();
    assert_eq!((found[0].pid, &found[0].phase), (Some(pid), &Phase::Running));
    assert!(running(pid, ticks));
    logged(&qemu, uid, "guest boot 0").await;
    qemu.stop(uid, GRACE).await.unwrap();
    assert!(!running(pid, ticks));
}

/// How many hypervisors of a machine there are. Processes are counted, not records.
fn hypervisors(uid: base::Uid) -> usize {
    let uid = uid.to_string();
    let entries = std::fs::read_dir("/proc").unwrap();
    let commands = entries.filter_map(|e| std::fs::read_to_string(e.ok()?.path().join("cmdline")).ok());
    commands.filter(|c| c.contains("qemu-system") && c.contains(&uid)).count()
}

#[tokio::test]
async fn kill_9_of_the_agent_in_the_middle_of_a_start() {
    let bench = Bench::new();
    for milliseconds in [0, 10, 20, 40, 60, 80, 120, 200, 300] {
        let uid = rt::ids::uid();
        let mut agent = rt::process::command(common::parts());
        agent.arg("start").args([bench.state(), bench.image.clone()]).arg(uid.to_string());
        let mut agent = agent.spawn().unwrap();
        rt::clock::sleep(Duration::from_millis(milliseconds)).await;
        agent.kill().await.unwrap();

        let qemu = bench.qemu();
        qemu.adopt().await.unwrap();
        let live = qemu.observe(uid).is_some_and(|o| o.phase.is_live());
        assert_eq!(hypervisors(uid), usize::from(live), "after {milliseconds} ms");
        bench.start(&qemu, &Machine { uid, ..bench.machine() }).await;
        assert_eq!(hypervisors(uid), 1, "after {milliseconds} ms");
        qemu.stop(uid, NOW).await.unwrap();
        assert_eq!(hypervisors(uid), 0);
        qemu.remove(uid).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_dies_before_the_boot_leaves_a_machine_that_never_started() {
    let bench = Bench::new();
    let uid = rt::ids::uid();
    let mut agent = rt::process::command(common::parts());
    agent
        .arg("start")
        .args([bench.state(), bench.image.clone()])
        .arg(uid.to_string())
        .arg("worker.vm.recorded");
    let ended = agent.status().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
    let qemu = bench.qemu();
    qemu.adopt().await.unwrap();
    assert_eq!(exited(&qemu, uid).await.cause, ExitCause::NeverStarted);
    let started = bench.start(&qemu, &Machine { uid, ..bench.machine() }).await;
    assert_eq!(started.run, 2);
    qemu.stop(uid, NOW).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_ignores_the_power_button_is_ended() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 0").await;
    let mut console = qemu.connect(machine.uid, Target::Console).await.unwrap();
    console.write_all(b"i").await.unwrap();
    heard(&mut console, "i").await;
    qemu.stop(machine.uid, Duration::from_secs(1)).await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!((exit.signal, exit.cause), (Some(9), ExitCause::Requested));
    assert_eq!(exit.reason, "the guest did not power off within 1 s, so it was ended");
}

#[tokio::test]
async fn a_disk_is_kept_over_starts_unless_it_is_ephemeral() {
    let bench = Bench::new();
    let qemu = bench.qemu();
    let kept = Machine { disk: base::ByteSize::mib(2), ..bench.machine() };
    for boot in ["guest boot 0", "guest boot 1"] {
        bench.start(&qemu, &kept).await;
        logged(&qemu, kept.uid, boot).await;
        qemu.stop(kept.uid, GRACE).await.unwrap();
    }
    let grown = Machine { disk: base::ByteSize::mib(3), ..kept.clone() };
    bench.start(&qemu, &grown).await;
    logged(&qemu, kept.uid, "guest boot 2").await;
    qemu.stop(kept.uid, NOW).await.unwrap();
    let shrunk = qemu.start(kept.clone()).await.unwrap_err();
    assert_eq!((shrunk.code, shrunk.field.as_deref()), (Code::Invalid, Some("/spec/disk")));
    let record = json(&bench.vm_dir(kept.uid).join("record.json"));
    assert_eq!((&record["run"], &record["disk"]), (&3.into(), &(3 << 20).into()));

    let fresh = Machine { ephemeral: true, ..bench.machine() };
    for end in [1, 2] {
        bench.start(&qemu, &fresh).await;
        rt::clock::timeout(common::LONG, "boots", async {
            while logged(&qemu, fresh.uid, "guest boot 0").await.matches("guest boot 0").count() < end {
                rt::clock::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        qemu.stop(fresh.uid, NOW).await.unwrap();
    }
}

#[tokio::test]
async fn every_end_has_its_reason() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 0").await;
    let mut console = qemu.connect(machine.uid, Target::Console).await.unwrap();
    console.write_all(b"x").await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!((exit.code, exit.cause), (Some(0), ExitCause::Guest), "{exit:?}");

    for (kill, cause, words) in [
        (Signal::TERM, ExitCause::Failed, "terminating on signal 15"),
        (Signal::KILL, ExitCause::Failed, "signal 9"),
    ] {
        let started = bench.start(&qemu, &machine).await;
        // It answers, so it has set up what it does on signals.
        qemu.connect(machine.uid, Target::Vnc).await.unwrap();
        signal(started.pid.unwrap(), kill).unwrap();
        let exit = exited(&qemu, machine.uid).await;
        assert_eq!(exit.cause, cause);
        assert!(exit.reason.contains(words), "{exit:?}");
    }
    // What was not seen is read from the disk by the next agent.
    let last = qemu.observe(machine.uid).unwrap();
    let qemu = bench.qemu();
    assert_eq!(qemu.adopt().await.unwrap(), vec![last]);
}

#[tokio::test]
async fn without_its_shim_a_guest_is_still_watched() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    let started = bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 0").await;
    signal(started.shim_pid.unwrap(), Signal::KILL).unwrap();
    let lost = until(&qemu, machine.uid, "the loss of the shim", |o| o.shim_pid.is_none()).await;
    assert_eq!((&lost.phase, lost.pid), (&Phase::Running, started.pid));
    assert!(lost.message.contains("its shim has died"));

    drop(qemu);
    let qemu = bench.qemu();
    let found = qemu.adopt().await.unwrap();
    assert_eq!((&found[0].phase, found[0].pid), (&Phase::Running, started.pid));
    let again = Machine { epoch: 2, ..machine.clone() };
    assert_eq!(qemu.start(again).await.unwrap_err().code, Code::Conflict);
    let mut console = qemu.connect(machine.uid, Target::Console).await.unwrap();
    console.write_all(b"a").await.unwrap();
    heard(&mut console, "a").await;
    qemu.stop(machine.uid, GRACE).await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!(exit.cause, ExitCause::Requested);
    let ticks = start_ticks(started.pid.unwrap());
    assert!(!running(started.pid.unwrap(), ticks));
}

#[tokio::test]
async fn a_shim_killed_before_it_wrote_the_process_ids_leaves_nothing_hidden() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    let started = bench.start(&qemu, &machine).await;
    drop(qemu);
    signal(started.shim_pid.unwrap(), Signal::KILL).unwrap();
    std::fs::remove_file(bench.vm_dir(machine.uid).join("pids.json")).unwrap();
    let qemu = bench.qemu();
    let found = qemu.adopt().await.unwrap();
    assert_eq!((&found[0].phase, found[0].pid), (&Phase::Running, started.pid));
    qemu.stop(machine.uid, NOW).await.unwrap();
    exited(&qemu, machine.uid).await;
}

#[tokio::test]
async fn a_restart_of_the_host_is_said() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    let started = bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 0").await;
    drop(qemu);
    for pid in [started.shim_pid.unwrap(), started.pid.unwrap()] {
        let ticks = start_ticks(pid);
        signal(pid, Signal::KILL).unwrap();
        rt::clock::timeout(common::LONG, "a death", rt::process::gone(pid, ticks)).await.unwrap();
    }
    let qemu = bench.qemu();
    qemu.adopt().await.unwrap();
    assert_eq!(exited(&qemu, machine.uid).await.cause, ExitCause::Unknown);

    let path = bench.vm_dir(machine.uid).join("record.json");
    let mut record = json(&path);
    record["boot_id"] = "another boot".into();
    std::fs::write(&path, record.to_string()).unwrap();
    let qemu = bench.qemu();
    qemu.adopt().await.unwrap();
    let exit = exited(&qemu, machine.uid).await;
    assert_eq!((exit.cause, exit.reason.as_str()), (ExitCause::HostRestarted, "the host restarted"));
    bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 1").await;
    qemu.stop(machine.uid, NOW).await.unwrap();
}

#[tokio::test]
async fn several_people_share_a_console_and_the_screen_speaks_rfb() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    bench.start(&qemu, &machine).await;
    logged(&qemu, machine.uid, "guest boot 0").await;
    let mut one = qemu.connect(machine.uid, Target::Console).await.unwrap();
    let mut two = qemu.connect(machine.uid, Target::Console).await.unwrap();
    one.write_all(b"hello").await.unwrap();
    heard(&mut one, "hello").await;
    heard(&mut two, "hello").await;
    let mut screen = qemu.connect(machine.uid, Target::Vnc).await.unwrap();
    heard(&mut screen, "RFB 003.008\n").await;
    qemu.stop(machine.uid, NOW).await.unwrap();
    let stopped = qemu.connect(machine.uid, Target::Vnc).await.err().unwrap();
    assert_eq!(stopped.code, Code::Conflict);
}

#[tokio::test]
async fn forwards_are_shared_and_survive_the_agent() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    bench.start(&qemu, &machine).await;
    let (one, two) = tokio::join!(
        qemu.connect(machine.uid, Target::Port(22)),
        qemu.connect(machine.uid, Target::Port(22)),
    );
    one.unwrap();
    two.unwrap();
    let listening = forwards(&bench, machine.uid);
    assert_eq!(listening.len(), 1, "{listening:?}");
    assert!(!listening[0].starts_with("127.0."), "{listening:?}");
    drop(qemu);
    let qemu = bench.qemu();
    qemu.adopt().await.unwrap();
    qemu.connect(machine.uid, Target::Port(22)).await.unwrap();
    qemu.connect(machine.uid, Target::Port(80)).await.unwrap();
    assert_eq!(forwards(&bench, machine.uid).len(), 2);
    qemu.stop(machine.uid, NOW).await.unwrap();
}

/// The addresses on which a hypervisor listens, from /proc.
fn forwards(bench: &Bench, uid: base::Uid) -> Vec<String> {
    let pids = json(&bench.vm_dir(uid).join("pids.json"));
    let mut sockets = Vec::new();
    for fd in std::fs::read_dir(format!("/proc/{}/fd", pids["pid"])).unwrap() {
        let link = std::fs::read_link(fd.unwrap().path()).unwrap_or_default();
        sockets.extend(
            link.to_str().and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')).map(str::to_owned),
        );
    }
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listens = |line: &&str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        fields[3] == "0A" && sockets.iter().any(|s| s == fields[9])
    };
    let address = |line: &str| {
        let hex = line.split_ascii_whitespace().nth(1).unwrap();
        let [a, b, c, d] = u32::from_str_radix(&hex[..8], 16).unwrap().to_le_bytes();
        format!("{a}.{b}.{c}.{d}")
    };
    table.lines().skip(1).filter(listens).map(address).collect()
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let bench = Bench::new();
    let (machine, qemu) = (bench.machine(), bench.qemu());
    let huge = Machine { cpus: 1_000_000, ..machine.clone() };
    let e = qemu.start(huge).await.unwrap_err();
    assert!(e.cause.as_ref().unwrap().contains("CPU"), "{e}");
    let Phase::Exited(exit) = qemu.observe(machine.uid).unwrap().phase else { panic!("it runs") };
    assert_eq!(exit.cause, ExitCause::Failed);

    let foreign = Machine { arch: "riscv".into(), ..bench.machine() };
    assert_eq!(qemu.start(foreign).await.unwrap_err().field.as_deref(), Some("/spec/arch"));

    let mut settings = bench.settings();
    settings.shim = vec!["/nonexistent/hostler".into()];
    let broken = worker::runtimes::qemu::Qemu::new(settings).unwrap();
    assert_eq!(broken.start(bench.machine()).await.unwrap_err().code, Code::NotFound);

    bench.start(&qemu, &machine).await;
    qemu.stop(machine.uid, NOW).await.unwrap();
    qemu.start(Machine { epoch: 2, ..machine.clone() }).await.unwrap();
    bench.owns(qemu.observe(machine.uid).unwrap().pid.unwrap());
    qemu.stop(machine.uid, NOW).await.unwrap();
    assert_eq!(qemu.start(machine).await.unwrap_err().code, Code::Conflict, "an older epoch is refused");
}
