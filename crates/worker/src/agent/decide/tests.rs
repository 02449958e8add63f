use super::*;
use proptest::prelude::*;

fn record() -> Record {
    Record::unknown(rt::ids::uid()).unwrap()
}

fn wanted(desired: Desired) -> Wanted {
    Wanted { desired, policy: RestartPolicy::Never, restarts: 0, has_script: false, grace_seconds: 30 }
}

fn machine(run: u64, phase: Phase) -> Observed {
    Observed {
        uid: rt::ids::uid(),
        epoch: 1,
        run,
        phase,
        pid: None,
        shim_pid: None,
        started_at: None,
        boot_id: String::new(),
        acceleration: String::new(),
        message: String::new(),
    }
}

fn exited(run: u64, cause: ExitCause) -> Observed {
    machine(run, Phase::Exited(Exit { code: None, signal: None, cause, reason: "why".into() }))
}

fn next(wanted: &Wanted, machine: Option<&Observed>, record: &Record) -> Action {
    decide(&View { wanted: Some(wanted), machine, record, image_here: true, delayed: false })
}

#[test]
fn a_first_start() {
    let (w, r) = (wanted(Desired::Running), record());
    let view =
        |image_here, delayed| View { wanted: Some(&w), machine: None, record: &r, image_here, delayed };
    assert_eq!(decide(&view(false, false)), Action::Fetch);
    assert_eq!(decide(&view(true, true)), Action::Delay);
    assert_eq!(decide(&view(true, false)), Action::Start);
    assert_eq!(next(&w, Some(&machine(1, Phase::Starting)), &r), Action::Idle);
    assert_eq!(next(&w, Some(&machine(1, Phase::Running)), &r), Action::AwaitReady(1));
}

#[test]
fn readiness_then_the_script_then_peace() {
    let mut w = wanted(Desired::Running);
    w.has_script = true;
    let m = machine(3, Phase::Running);
    let ready = Record { ready_run: 3, ..record() };
    assert_eq!(next(&w, Some(&m), &Record { ready_run: 2, ..record() }), Action::AwaitReady(3));
    assert_eq!(next(&w, Some(&m), &ready), Action::RunScript(3));
    assert_eq!(next(&w, Some(&m), &Record { script_run: 3, ..ready.clone() }), Action::Idle);
    let rest = Rest { phase: VmPhase::Failed, reason: String::new(), message: String::new() };
    assert_eq!(next(&w, Some(&m), &Record { rest: Some(rest), ..ready }), Action::Idle);
}

#[test]
fn how_it_ended_and_the_policy_decide() {
    use ExitCause as C;
    use RestartPolicy as P;
    let table = [
        (C::Guest, P::Never, Some(VmPhase::Stopped)),
        (C::Guest, P::OnFailure, Some(VmPhase::Stopped)),
        (C::Guest, P::Always, None),
        (C::Failed, P::Never, Some(VmPhase::Failed)),
        (C::Failed, P::OnFailure, None),
        (C::Failed, P::Always, None),
        (C::Unknown, P::Never, Some(VmPhase::Failed)),
        (C::Unknown, P::OnFailure, None),
        (C::HostRestarted, P::Never, Some(VmPhase::Failed)),
        (C::HostRestarted, P::OnFailure, None),
        (C::Requested, P::Never, None),
        (C::NeverStarted, P::Never, None),
    ];
    for (cause, policy, rests) in table {
        let w = Wanted { policy, ..wanted(Desired::Running) };
        match (next(&w, Some(&exited(2, cause)), &record()), rests) {
            (Action::Settle { run: 2, rest: Some(rest) }, Some(phase)) => assert_eq!(rest.phase, phase),
            (Action::Start, None) => {}
            (action, _) => panic!("{cause:?} {policy:?}: {action:?}"),
        }
    }
}

#[test]
fn what_rests_starts_only_on_request() {
    let rest = Rest { phase: VmPhase::Failed, reason: String::new(), message: String::new() };
    let r = Record { rest: Some(rest), settled_run: 2, ..record() };
    let mut w = wanted(Desired::Running);
    for m in [None, Some(exited(2, ExitCause::Failed))] {
        w.restarts = 0;
        assert_eq!(next(&w, m.as_ref(), &r), Action::Idle);
        w.restarts = 1;
        assert_eq!(next(&w, m.as_ref(), &r), Action::Start);
    }
    // Or by stop and start: stopping settles it without a rest.
    let m = exited(2, ExitCause::Failed);
    assert_eq!(next(&wanted(Desired::Stopped), Some(&m), &r), Action::Settle { run: 2, rest: None });
    let stopped = Record { rest: None, ..r };
    assert_eq!(next(&wanted(Desired::Stopped), Some(&m), &stopped), Action::Idle);
    assert_eq!(next(&wanted(Desired::Running), Some(&m), &stopped), Action::Start);
}

#[test]
fn a_restart_on_request_stops_first_and_does_not_wait() {
    let w = Wanted { restarts: 1, ..wanted(Desired::Running) };
    let r = record();
    assert_eq!(next(&w, Some(&machine(1, Phase::Running)), &r), Action::Stop(30));
    assert_eq!(next(&w, Some(&machine(1, Phase::Stopping)), &r), Action::Stop(30));
    let m = exited(1, ExitCause::Requested);
    let view = View { wanted: Some(&w), machine: Some(&m), record: &r, image_here: true, delayed: true };
    assert_eq!(decide(&view), Action::Start);
    let done = Record { restarts_done: 1, ready_run: 2, ..record() };
    assert_eq!(next(&w, Some(&machine(2, Phase::Running)), &done), Action::Idle);
}

#[test]
fn removal_ends_the_machine_at_once() {
    let (w, r) = (wanted(Desired::Removed), record());
    assert_eq!(next(&w, Some(&machine(1, Phase::Running)), &r), Action::Stop(0));
    assert_eq!(next(&w, Some(&exited(1, ExitCause::Requested)), &r), Action::Remove);
    assert_eq!(next(&w, None, &r), Action::Finish);
}

fn phases() -> impl Strategy<Value = Phase> {
    let causes = prop_oneof![
        Just(ExitCause::Guest),
        Just(ExitCause::Requested),
        Just(ExitCause::Failed),
        Just(ExitCause::HostRestarted),
        Just(ExitCause::NeverStarted),
        Just(ExitCause::Unknown)
    ];
    let exit = |cause| Exit { code: None, signal: None, cause, reason: "why".into() };
    prop_oneof![
        Just(Phase::Starting),
        Just(Phase::Running),
        Just(Phase::Stopping),
        causes.prop_map(move |cause| Phase::Exited(exit(cause))),
    ]
}

fn machines() -> impl Strategy<Value = Option<Observed>> {
    prop::option::of((1_u64..4, phases()).prop_map(|(run, phase)| machine(run, phase)))
}

fn records() -> impl Strategy<Value = Record> {
    let rest = Rest { phase: VmPhase::Failed, reason: "R".into(), message: String::new() };
    (any::<bool>(), 0_u64..4, 0_u64..4, 0_u64..4, 0_u64..3, prop::option::of(Just(rest))).prop_map(
        |(started, ready_run, script_run, settled_run, restarts_done, rest)| Record {
            restarts_done,
            started,
            ready_run,
            script_run,
            settled_run,
            rest,
            ..record()
        },
    )
}

fn wants() -> impl Strategy<Value = Wanted> {
    let desired = prop_oneof![Just(Desired::Running), Just(Desired::Stopped), Just(Desired::Removed)];
    let policy =
        prop_oneof![Just(RestartPolicy::Never), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Always)];
    (desired, policy, 0_u64..3, any::<bool>()).prop_map(|(desired, policy, restarts, has_script)| Wanted {
        desired,
        policy,
        restarts,
        has_script,
        grace_seconds: 30,
    })
}

/// What an action does when all goes well.
fn act(action: &Action, machine: &mut Option<Observed>, record: &mut Record, w: &Wanted) {
    let down = |m: &Observed| exited(m.run, ExitCause::Requested);
    match action {
        Action::Start => {
            let run = machine.as_ref().map_or(0, |m| m.run) + 1;
            *machine = Some(self::machine(run, Phase::Running));
            (record.restarts_done, record.rest, record.started) = (w.restarts, None, true);
        }
        Action::Stop(_) => *machine = machine.as_ref().map(down),
        Action::Remove => *machine = None,
        Action::AwaitReady(run) => record.ready_run = *run,
        Action::RunScript(run) => record.script_run = *run,
        Action::Settle { run, rest } => {
            (record.settled_run, record.rest) = (*run.max(&record.settled_run), rest.clone());
        }
        Action::Idle | Action::Fetch | Action::Delay | Action::Finish => {}
    }
}

proptest! {
    /// Absence never destroys, nothing live is started or removed, only a tombstone removes.
    #[test]
    fn what_is_never_done(m in machines(), r in records(), w in prop::option::of(wants()),
                          image_here: bool, delayed: bool) {
        let live = m.as_ref().is_some_and(|m| m.phase.is_live());
        let action =
            decide(&View { wanted: w.as_ref(), machine: m.as_ref(), record: &r, image_here, delayed });
        let removed = w.as_ref().is_some_and(|w| w.desired == Desired::Removed);
        match action {
            Action::Start => prop_assert!(!live && image_here && w.unwrap().desired == Desired::Running),
            Action::Remove => prop_assert!(!live && removed),
            Action::Finish => prop_assert!(m.is_none() && (removed || (w.is_none() && !r.started))),
            Action::Stop(_) => prop_assert!(live && w.is_some()),
            Action::AwaitReady(_) | Action::RunScript(_) => prop_assert!(live),
            _ => {}
        }
    }

    /// Wherever it begins, when all goes well it comes to rest within a few steps, as it is wanted.
    #[test]
    fn it_converges(mut m in machines(), mut r in records(), w in wants()) {
        for _ in 0..12 {
            // What is on its way arrives.
            if let Some(m) = m.as_mut().filter(|m| m.phase == Phase::Starting) {
                m.phase = Phase::Running;
            }
            let action = next(&w, m.as_ref(), &r);
            act(&action, &mut m, &mut r, &w);
            if matches!(action, Action::Idle | Action::Finish) {
                break;
            }
        }
        let action = next(&w, m.as_ref(), &r);
        let live = m.as_ref().is_some_and(|m| m.phase.is_live());
        match w.desired {
            Desired::Removed => prop_assert!(action == Action::Finish && m.is_none()),
            Desired::Stopped => prop_assert!(action == Action::Idle && !live && r.rest.is_none()),
            Desired::Running => {
                prop_assert_eq!(action, Action::Idle);
                prop_assert!(live || r.rest.is_some());
            }
        }
    }
}

/// Something that happens to a VM.
#[derive(Clone, Debug)]
enum Happening {
    Wanted(Wanted),
    Ends(ExitCause),
    StartFails,
    Step,
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => wants().prop_map(Happening::Wanted),
        1 => prop_oneof![Just(ExitCause::Guest), Just(ExitCause::Failed), Just(ExitCause::Unknown)]
            .prop_map(Happening::Ends),
        1 => Just(Happening::StartFails),
        6 => Just(Happening::Step),
    ]
}

proptest! {
    /// A whole life: whatever happens in whatever order, a VM that nobody removed keeps its disk, one that rests stays
    /// at rest until it is asked, and in the end all is as it was wanted last.
    #[test]
    fn a_life(events in prop::collection::vec(happenings(), 1..60)) {
        let (mut m, mut r) = (None::<Observed>, record());
        let mut w = wanted(Desired::Running);
        let mut fails = false;
        for event in events {
            match event {
                // A restart is asked for by a higher number, never by a lower one.
                Happening::Wanted(next) => w = Wanted { restarts: w.restarts + next.restarts, ..next },
                Happening::StartFails => fails = true,
                Happening::Ends(cause) => {
                    if let Some(m) = m.as_mut().filter(|m| m.phase.is_live()) {
                        *m = exited(m.run, cause);
                    }
                }
                Happening::Step => {
                    let action = next(&w, m.as_ref(), &r);
                    let rested = r.rest.is_some() && !m.as_ref().is_some_and(|m| m.phase.is_live());
                    let asked = w.restarts > r.restarts_done || w.policy != RestartPolicy::Never;
                    if rested && action == Action::Start {
                        prop_assert!(asked);
                    }
                    if action == Action::Start && std::mem::take(&mut fails) {
                        r.restarts_done = w.restarts;
                        r.settled_run = m.as_ref().map_or(0, |m| m.run).max(r.settled_run);
                        let rest = Rest { phase: VmPhase::Failed, reason: "R".into(), message: String::new() };
                        r.rest = (w.policy == RestartPolicy::Never).then_some(rest);
                    } else {
                        act(&action, &mut m, &mut r, &w);
                    }
                    if w.desired != Desired::Removed {
                        prop_assert!(action != Action::Remove && action != Action::Finish);
                    }
                }
            }
        }
        for _ in 0..12 {
            let action = next(&w, m.as_ref(), &r);
            act(&action, &mut m, &mut r, &w);
        }
        let settled = next(&w, m.as_ref(), &r);
        prop_assert!(matches!(settled, Action::Idle | Action::Finish), "{settled:?}");
        prop_assert_eq!(m.is_some_and(|m| m.phase.is_live()), w.desired == Desired::Running && r.rest.is_none());
    }
}
