//! From state to state.

use super::{
    super::*,
    rig::{Rig, assignment, name, playing, spec, work},
};
use api::{
    assignment::{Desired, Report},
    vm::{Probe, RestartPolicy, StartupScript, SyntheticScript, VmPhase, VmSpec},
};
use base::Revision;

#[tokio::test]
async fn it_starts_restarts_stops_and_starts_again() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    rig.run(uid, spec()).await;
    let vm = rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    assert!(vm.started_at.is_some() && vm.ready_at.is_some());
    assert_eq!((vm.epoch, vm.generation, vm.restart_count, vm.unclaimed), (1, 1, 0, false));

    rig.run(uid, VmSpec { restarts: 1, ..spec() }).await;
    let again = |vm: &api::assignment::VmReport| vm.phase == VmPhase::Running && vm.restart_count == 1;
    assert_eq!(rig.until(uid, "running again", again).await.restarts_done, 1);

    rig.send(vec![assignment(uid, Desired::Stopped, work(spec()))]).await;
    let vm = rig.until(uid, "stopped", |vm| vm.phase == VmPhase::Stopped).await;
    assert!(vm.ready_at.is_none() && vm.pid.is_none());
    rig.run(uid, VmSpec { restarts: 1, ..spec() }).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running && vm.restart_count == 2).await;
}

#[tokio::test]
async fn a_guest_that_powers_off_stays_off_until_it_is_asked() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let script = SyntheticScript { exit_after_ms: Some(50), ..SyntheticScript::default() };
    rig.run(uid, playing(script)).await;
    let vm = rig.until(uid, "off", |vm| vm.reason == "PoweredOff").await;
    assert_eq!((vm.phase, vm.message.as_str()), (VmPhase::Stopped, "the guest powered itself off"));

    rig.run(uid, VmSpec { restarts: 1, ..spec() }).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running && vm.restart_count == 1).await;
}

#[tokio::test]
async fn a_failed_machine_starts_again_by_its_policy() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let script = SyntheticScript { exit_after_ms: Some(20), exit_code: 3, ..SyntheticScript::default() };
    rig.run(uid, playing(script.clone())).await;
    let vm = rig.until(uid, "failed", |vm| vm.phase == VmPhase::Failed).await;
    assert_eq!(vm.reason, "HypervisorFailed");

    let second = rt::ids::uid();
    rig.run(second, VmSpec { restart_policy: RestartPolicy::OnFailure, ..playing(script) }).await;
    let vm = rig.until(second, "waiting", |vm| vm.reason == "Backoff").await;
    assert_eq!(vm.phase, VmPhase::Assigned);
    rig.until(second, "another start", |vm| vm.restart_count >= 1).await;
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let script = SyntheticScript { fail_start: Some("no luck".into()), ..SyntheticScript::default() };
    rig.run(uid, playing(script.clone())).await;
    let vm = rig.until(uid, "failed", |vm| vm.phase == VmPhase::Failed).await;
    assert_eq!((vm.reason.as_str(), vm.message.as_str()), ("StartFailed", "no luck"));
    rig.run(uid, VmSpec { restarts: 1, ..playing(script.clone()) }).await;
    rig.until(uid, "tried again", |vm| vm.restarts_done == 1 && vm.phase == VmPhase::Failed).await;

    let always = rt::ids::uid();
    rig.run(always, VmSpec { restart_policy: RestartPolicy::Always, ..playing(script) }).await;
    let vm = rig.until(always, "waiting", |vm| vm.reason == "Backoff").await;
    assert_eq!(vm.message, "no luck; starts again soon");
    rig.run(always, VmSpec { restarts: 1, ..spec() }).await;
    rig.until(always, "running at once", |vm| vm.phase == VmPhase::Running).await;
}

#[tokio::test]
async fn only_a_tombstone_removes() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    rig.run(uid, spec()).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    rig.send(vec![]).await;
    let vm = rig.until(uid, "unclaimed", |vm| vm.unclaimed).await;
    assert_eq!((vm.phase, vm.name, vm.epoch), (VmPhase::Running, name("vm"), 1));
    rig.run(uid, spec()).await;
    let vm = rig.until(uid, "claimed", |vm| !vm.unclaimed).await;
    assert_eq!((vm.phase, vm.restart_count), (VmPhase::Running, 0));

    let tombstone = vec![assignment(uid, Desired::Removed, work(spec()))];
    rig.send(tombstone.clone()).await;
    assert_eq!(rig.until_gone(uid).await, 1);
    assert!(rig.agent.0.host.runtimes[0].list().is_empty());
    // Told again to whoever asks again, also for a VM that never was here.
    rig.send(tombstone).await;
    rig.until_gone(uid).await;
    let never = rt::ids::uid();
    rig.send(vec![assignment(never, Desired::Removed, work(spec()))]).await;
    rig.until_gone(never).await;
}

#[tokio::test]
async fn what_was_never_started_leaves_nothing_behind() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    rig.send(vec![assignment(uid, Desired::Stopped, work(spec()))]).await;
    rig.until(uid, "stopped", |vm| vm.phase == VmPhase::Stopped).await;
    rig.send(vec![]).await;
    rig.until_gone(uid).await;
}

#[tokio::test]
async fn outdated_controllers_change_nothing() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let mut newer = assignment(uid, Desired::Running, work(spec()));
    newer.epoch = 5;
    rig.send(vec![newer]).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;

    let old = Assignments { revision: Revision::new(0, 99), ..Assignments::default() };
    assert_eq!(rig.agent.assign(old).await.unwrap().revision, Revision::new(1, 1));
    // A newer set that names an older placement: to stop it would be to believe the wrong one.
    rig.send(vec![assignment(uid, Desired::Removed, work(spec()))]).await;
    let vm = rig.until(uid, "unclaimed", |vm| vm.unclaimed).await;
    assert_eq!((vm.phase, vm.epoch), (VmPhase::Running, 5));
}

#[tokio::test]
async fn a_new_agent_adopts_what_runs_and_knows_what_was_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let options = || AgentOptions {
        state_dir: Some(dir.path().to_owned()),
        ..AgentOptions::synthetic(Amounts::default())
    };
    let (mut rig, runs) = (Rig::with(options()).await, rt::ids::uid());
    let ends = SyntheticScript { exit_after_ms: Some(1), exit_code: 1, ..SyntheticScript::default() };
    let fails = SyntheticScript { fail_start: Some("no luck".into()), ..SyntheticScript::default() };
    let rest = [(rt::ids::uid(), ends), (rt::ids::uid(), fails)];
    let rests = rest.clone().map(|(uid, script)| assignment(uid, Desired::Running, work(playing(script))));
    let mut all = vec![assignment(runs, Desired::Running, work(spec()))];
    all.extend(rests);
    rig.send(all).await;
    let before = rig.until(runs, "running", |vm| vm.phase == VmPhase::Running).await;
    for (uid, _) in &rest {
        rig.until(*uid, "failed", |vm| vm.phase == VmPhase::Failed).await;
    }
    let runs_of = |rig: &Rig| rig.agent.0.host.runtimes[0].list().iter().map(|m| m.run).collect::<Vec<_>>();
    assert_eq!(runs_of(&rig), [1, 1, 1]);
    rig.agent.stop().await;
    drop(rig);

    let rig = Rig::with(options()).await;
    let after = rig.until(runs, "running", |vm| vm.phase == VmPhase::Running).await;
    assert_eq!((after.started_at, after.restart_count), (before.started_at, 0));
    for (uid, _) in &rest {
        rig.until(*uid, "failed", |vm| vm.phase == VmPhase::Failed && !vm.unclaimed).await;
    }
    assert_eq!(runs_of(&rig), [1, 1, 1], "nothing was started again");
}

#[tokio::test]
async fn a_lost_memory_harms_no_machine() {
    let dir = tempfile::tempdir().unwrap();
    let options = || AgentOptions {
        state_dir: Some(dir.path().to_owned()),
        ..AgentOptions::synthetic(Amounts::default())
    };
    let (mut rig, uid) = (Rig::with(options()).await, rt::ids::uid());
    rig.run(uid, spec()).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
    rig.agent.stop().await;
    drop(rig);
    std::fs::remove_file(dir.path().join("assignments.json")).unwrap();
    std::fs::remove_dir_all(dir.path().join("records")).unwrap();

    let rig = Rig::with(options()).await;
    let vm = rig.until(uid, "unclaimed", |vm| vm.unclaimed).await;
    assert_eq!((vm.phase, vm.name), (VmPhase::Starting, name(&uid.to_string())));
}

#[tokio::test]
async fn a_silent_guest_is_reported_and_still_awaited() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let script = SyntheticScript { boot_ms: 2500, ..SyntheticScript::default() };
    let probe = Probe { timeout_seconds: 1, ..Probe::default() };
    rig.run(uid, VmSpec { probe, ..playing(script) }).await;
    let vm = rig.until(uid, "silent", |vm| vm.phase == VmPhase::Failed).await;
    assert_eq!(vm.reason, "ProbeTimeout");
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
}

#[tokio::test]
async fn a_synthetic_script_ends_well() {
    let (mut rig, uid) = (Rig::new().await, rt::ids::uid());
    let script = StartupScript { script: "exit 1".into(), env: BTreeMap::default(), timeout_seconds: 5 };
    rig.run(uid, VmSpec { startup_script: Some(script), ..spec() }).await;
    rig.until(uid, "running", |vm| vm.phase == VmPhase::Running).await;
}

#[tokio::test]
async fn the_host_is_described() {
    let mut options = AgentOptions::synthetic(Amounts { cpu_milli: 16_000, ..Amounts::default() });
    options.arch = Some("arm64".into());
    options.resources.insert("gpu".into(), 2);
    let Report::Snapshot { host, conditions, .. } = Rig::with(options).await.snapshot().await else {
        panic!("a snapshot comes first")
    };
    assert_eq!((host.arch.as_str(), host.capacity.cpu_milli), ("arm64", 16_000));
    assert_eq!(host.capacity.named.get("gpu"), Some(&2));
    assert_eq!(host.runtimes[0].arches, ["arm64"]);
    assert!(conditions.iter().any(|c| c.kind == "Healthy" && c.status));
}
