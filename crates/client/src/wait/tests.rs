use super::*;
use serde_json::json;

fn vm_with(phase: VmPhase, message: &str) -> Vm {
    let uid = base::Uid::from_parts(1, &[0; 10]);
    let metadata = json!({"uid": uid, "name": "web", "project": "default", "createdAt": "2026-01-01T00:00:00Z",
        "generation": 1, "revision": "1-1"});
    let status = json!({"phase": phase, "message": message, "observedGeneration": 0});
    serde_json::from_value(json!({"metadata": metadata, "spec": {"image": "tiny"}, "status": status}))
        .unwrap()
}

fn key() -> Key {
    Key::in_project("default", "web")
}

#[test]
fn success_and_failure_both_end_the_wait() {
    let first = vm_with(VmPhase::Pending, "").status;
    let go = |goal, vm: Vm| reached(goal, &key(), Some(vm), Some(&first));
    assert!(go(Goal::Ready, vm_with(VmPhase::Running, "")).unwrap().is_some());
    assert!(go(Goal::Ready, vm_with(VmPhase::Starting, "")).unwrap().is_none());
    let error = go(Goal::Ready, vm_with(VmPhase::Failed, "no KVM")).unwrap_err();
    assert_eq!(error.error.cause.as_deref(), Some("no KVM"));
    assert!(go(Goal::Ready, vm_with(VmPhase::Stopped, "powered off")).is_err(), "ended before it answered");
    assert!(go(Goal::Stopped, vm_with(VmPhase::Stopped, "")).unwrap().is_some());
    assert_eq!(go(Goal::Ready, vm_with(VmPhase::Deleting, "")).unwrap_err().code(), Code::Conflict);
}

#[test]
fn a_failure_from_before_does_not_count() {
    let vm = vm_with(VmPhase::Failed, "crashed yesterday");
    let first = vm.status.clone();
    assert!(reached(Goal::Ready, &key(), Some(vm), Some(&first)).unwrap().is_none());
}

#[test]
fn gone_is_the_goal_or_an_error() {
    assert!(reached(Goal::Deleted, &key(), None, None).unwrap().is_some());
    assert_eq!(reached(Goal::Ready, &key(), None, None).unwrap_err().code(), Code::NotFound);
    assert!(reached(Goal::Deleted, &key(), Some(vm_with(VmPhase::Deleting, "")), None).unwrap().is_none());
}

#[test]
fn a_restart_is_over_when_it_was_carried_out() {
    let mut vm = vm_with(VmPhase::Running, "");
    vm.spec.restarts = 2;
    vm.status.restarts_done = 1;
    assert!(reached(Goal::Ready, &key(), Some(vm.clone()), None).unwrap().is_none());
    vm.status.restarts_done = 2;
    assert!(reached(Goal::Ready, &key(), Some(vm), None).unwrap().is_some());
}
