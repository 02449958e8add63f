//! Large VMs do not starve.

use super::*;

const MINUTE: u64 = 60_000;

/// Two workers with 4 CPUs, each full of small VMs (numbers 101.. and 201..), and a large VM that waits since time 0.
fn busy() -> Cluster {
    let mut c = cluster([offer(1, 4, 4), offer(2, 4, 4)]);
    for i in 0..4 {
        c.reserve(w(1), v(101 + i), request(0, 1, 1).needs.charge);
        c.reserve(w(2), v(201 + i), request(0, 1, 1).needs.charge);
    }
    c.submit(request(1, 4, 4));
    assert!(place_all(&mut c).is_empty());
    c
}

/// A small VM leaves and another one arrives.
fn overtake(c: &mut Cluster, leaves: u64, arrives: u64, now_ms: u64) -> Vec<(Uid, Uid)> {
    c.release(v(leaves));
    c.submit(request(arrives, 1, 1));
    moves(&c.schedule(now_ms, 100))
}

#[test]
fn a_vm_that_is_overtaken_for_a_minute_gets_a_worker_held() {
    let mut c = busy();
    assert_eq!(overtake(&mut c, 101, 301, 1_000), [(v(301), w(1))]);
    assert_eq!(c.next_wake(1_000), Some(MINUTE));
    assert_eq!(overtake(&mut c, 102, 302, MINUTE - 1), [(v(302), w(1))]);
    assert_eq!(c.held_for(v(1)), None);
    assert!(c.schedule(MINUTE, 100).is_empty());
    assert_eq!(c.held_for(v(1)), Some(w(1)));
    // What leaves there now is kept from later ones; the other worker is open to them.
    assert!(overtake(&mut c, 103, 303, MINUTE + 1).is_empty());
    assert_eq!(overtake(&mut c, 201, 304, MINUTE + 2), [(v(303), w(2))]);
    for vm in [104, 301] {
        c.release(v(vm));
        assert!(c.schedule(MINUTE + 3, 100).is_empty());
    }
    c.release(v(302));
    assert_eq!(moves(&c.schedule(MINUTE + 4, 100)), [(v(1), w(1))]);
}

#[test]
fn nothing_is_held_for_a_vm_that_nobody_overtook() {
    let mut c = busy();
    assert!(c.schedule(10 * MINUTE, 100).is_empty());
    assert_eq!(c.held_for(v(1)), None);
    // Placements where it could never go do not count.
    c.upsert_worker(WorkerOffer { arch: "arm64".into(), ..offer(3, 2, 2) });
    let mut other = request(2, 1, 1);
    other.needs.arch = Some("arm64".into());
    c.withdraw(v(1));
    let mut large = request(1, 4, 4);
    large.needs.arch = Some("amd64".into());
    c.submit(large);
    c.schedule(10 * MINUTE, 100);
    c.submit(other);
    assert_eq!(moves(&c.schedule(20 * MINUTE, 100)), [(v(2), w(3))]);
    assert_eq!(c.held_for(v(1)), None);
}

#[test]
fn a_hold_ends_with_its_vm_and_others_go_on_at_once() {
    let mut c = busy();
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert!(overtake(&mut c, 102, 302, MINUTE + 1).is_empty());
    assert!(c.withdraw(v(1)));
    assert_eq!(c.next_wake(MINUTE + 2), Some(MINUTE + 2));
    assert_eq!(moves(&c.schedule(MINUTE + 2, 100)), [(v(302), w(1))]);
}

#[test]
fn who_comes_before_the_holder_may_use_the_room() {
    let mut c = busy();
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert!(overtake(&mut c, 102, 302, MINUTE + 1).is_empty());
    c.submit(Request { priority: 1, ..request(303, 1, 1) });
    assert_eq!(moves(&c.schedule(MINUTE + 2, 100)), [(v(303), w(1))]);
}

#[test]
fn a_held_worker_that_shrinks_or_is_cordoned_is_given_up() {
    for change in [
        offer(1, 3, 3),
        WorkerOffer { availability: Availability::Cordoned, ..offer(1, 4, 4) },
        WorkerOffer { availability: Availability::Offline, ..offer(1, 4, 4) },
    ] {
        let mut c = busy();
        overtake(&mut c, 101, 301, 1_000);
        c.schedule(MINUTE, 100);
        assert_eq!(c.held_for(v(1)), Some(w(1)));
        c.upsert_worker(change);
        assert_eq!(c.held_for(v(1)), None);
        c.schedule(MINUTE + 1, 100);
        assert_eq!(c.held_for(v(1)), Some(w(2)));
    }
}

#[test]
fn a_worker_that_nothing_leaves_is_given_up_for_another() {
    let mut c = busy();
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert_eq!(c.held_for(v(1)), Some(w(1)));
    // Something leaves: it was worth holding, and is held on.
    c.release(v(102));
    c.schedule(8 * MINUTE, 100);
    c.schedule(17 * MINUTE, 100);
    assert_eq!(c.held_for(v(1)), Some(w(1)));
    assert_eq!(c.next_wake(17 * MINUTE), Some(18 * MINUTE));
    c.schedule(18 * MINUTE, 100);
    assert_eq!(c.held_for(v(1)), None);
    assert_eq!(c.next_wake(18 * MINUTE), Some(19 * MINUTE));
    c.schedule(19 * MINUTE, 100);
    assert_eq!(c.held_for(v(1)), Some(w(2)));
}

#[test]
fn never_more_than_half_of_the_workers_is_held() {
    let mut c = busy();
    c.submit(request(2, 4, 3));
    c.schedule(0, 100);
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert_eq!((c.held_for(v(1)), c.held_for(v(2))), (Some(w(1)), None));
    // The next one gets its turn when the first is placed.
    for vm in [102, 103, 104, 301] {
        c.release(v(vm));
    }
    assert_eq!(moves(&c.schedule(2 * MINUTE, 100)), [(v(1), w(1))]);
    assert_eq!(c.held_for(v(2)), Some(w(1)));
}

#[test]
fn no_worker_is_held_when_settings_say_so() {
    let mut c = busy();
    c.set_settings(Settings { max_held: 0, ..Settings::default() });
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert_eq!(c.held_for(v(1)), None);
}

#[test]
fn a_worker_is_held_for_a_vm_that_has_its_disk_there() {
    let mut c = busy();
    c.withdraw(v(1));
    let mut r = request(1, 4, 4);
    r.needs.pinned = Some(w(2));
    c.submit(r);
    c.schedule(0, 100);
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert_eq!(c.held_for(v(1)), None, "the other worker is no business of it");
    overtake(&mut c, 201, 302, MINUTE + 1);
    assert_eq!(c.held_for(v(1)), Some(w(2)));
}

#[test]
fn no_room_is_held_where_the_vm_could_never_go() {
    let mut c = busy();
    c.withdraw(v(1));
    c.submit(request(1, 64, 64));
    c.schedule(0, 100);
    overtake(&mut c, 101, 301, 1_000);
    c.schedule(MINUTE, 100);
    assert_eq!(c.held_for(v(1)), None);
    c.upsert_worker(offer(3, 64, 64));
    assert_eq!(moves(&c.schedule(MINUTE, 100)), [(v(1), w(3))]);
}
