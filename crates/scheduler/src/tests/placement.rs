//! Which worker is chosen, what is charged, and defects that others have and we must not.

use super::*;
use crate::Profile;

#[test]
fn pack_fills_the_most_used_worker_that_fits() {
    let mut c = cluster([offer(1, 8, 8), offer(2, 8, 8), offer(3, 8, 8)]);
    c.reserve(w(2), v(90), Charge::new(amounts(4, 4), None));
    c.reserve(w(3), v(91), Charge::new(amounts(7, 7), None));
    c.submit(request(1, 2, 2));
    assert_eq!(place_all(&mut c), [(v(1), w(2))]);
}

#[test]
fn pack_keeps_workers_with_named_resources_for_those_who_ask() {
    let mut gpus = offer(1, 8, 8);
    gpus.capacity.named = [("gpu".to_string(), 1)].into();
    let mut c = cluster([gpus, offer(2, 2, 2)]);
    c.reserve(w(1), v(90), Charge::new(amounts(4, 4), None));
    (1..=3).for_each(|n| assert!(c.submit(request(n, 1, 1))));
    assert_eq!(place_all(&mut c), [(v(1), w(2)), (v(2), w(2)), (v(3), w(1))]);
}

#[test]
fn spread_takes_the_least_used_worker() {
    let mut c = cluster([offer(1, 8, 8), offer(2, 8, 8)]);
    c.set_settings(Settings { profile: Profile::Spread, ..Settings::default() });
    (1..=4).for_each(|n| assert!(c.submit(request(n, 1, 1))));
    assert_eq!(place_all(&mut c), [(v(1), w(1)), (v(2), w(2)), (v(3), w(1)), (v(4), w(2))]);
}

#[test]
fn a_change_of_the_profile_counts_from_the_next_placement() {
    let mut c = cluster([offer(1, 8, 8), offer(2, 8, 8)]);
    c.submit(request(1, 1, 1));
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
    c.set_settings(Settings { profile: Profile::Spread, ..Settings::default() });
    c.submit(request(2, 1, 1));
    assert_eq!(place_all(&mut c), [(v(2), w(2))]);
}

#[test]
fn among_equals_a_worker_that_holds_the_image_wins() {
    let mut c = cluster([offer(1, 8, 8), WorkerOffer { images: [image(1)].into(), ..offer(2, 8, 8) }]);
    let with_image = |n| {
        let mut r = request(n, 1, 1);
        r.needs.image = Some(image(1));
        r
    };
    c.submit(with_image(1));
    assert_eq!(place_all(&mut c), [(v(1), w(2))]);
    // A fuller worker comes first all the same.
    c.reserve(w(1), v(90), Charge::new(amounts(6, 6), None));
    c.submit(with_image(2));
    assert_eq!(place_all(&mut c), [(v(2), w(1))]);
}

#[test]
fn an_image_that_must_be_present_is_waited_for() {
    let mut c = cluster([offer(1, 8, 8)]);
    let mut r = request(1, 1, 1);
    r.needs.image = Some(image(1));
    r.needs.image_must_be_present = true;
    c.submit(r);
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(WorkerOffer { images: [image(1)].into(), ..offer(1, 8, 8) });
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn priority_goes_before_age_and_age_before_the_rest() {
    let mut c = cluster([offer(1, 8, 8)]);
    c.submit(request(3, 1, 1));
    c.submit(request(1, 1, 1));
    c.submit(Request { priority: 5, ..request(4, 1, 1) });
    c.submit(request(2, 2, 2));
    let order: Vec<Uid> = place_all(&mut c).into_iter().map(|(vm, _)| vm).collect();
    assert_eq!(order, [v(4), v(1), v(2), v(3)]);
}

#[test]
fn at_most_so_many_are_placed_and_the_rest_comes_next() {
    let mut c = cluster([offer(1, 8, 8)]);
    (1..=3).for_each(|n| assert!(c.submit(request(n, 1, 1))));
    assert_eq!(c.schedule(0, 2).len(), 2);
    assert_eq!(c.next_wake(7), Some(7));
    assert_eq!(c.schedule(0, 2).len(), 1);
    assert_eq!(c.next_wake(7), None);
}

#[test]
fn a_vm_with_a_disk_goes_to_its_worker_or_nowhere() {
    let mut c = cluster([offer(1, 2, 2), offer(2, 8, 8)]);
    let mut r = request(1, 4, 4);
    r.needs.pinned = Some(w(1));
    c.submit(r.clone());
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(offer(1, 4, 4));
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn a_pinned_vm_waits_for_a_worker_that_is_not_there_yet() {
    let mut c = cluster([]);
    let mut r = request(1, 1, 1);
    r.needs.pinned = Some(w(1));
    c.submit(r);
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(offer(2, 8, 8));
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(offer(1, 8, 8));
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn a_macos_host_runs_two_macos_guests() {
    let mac = WorkerOffer { os: "macos".into(), macos_slots: 2, ..offer(1, 64, 64) };
    let mut c = cluster([mac]);
    for n in 1..=3 {
        let mut r = request(n, 1, 1);
        r.needs.os = Some("macos".into());
        c.submit(r);
    }
    assert_eq!(place_all(&mut c).len(), 2);
    c.release(v(1));
    assert_eq!(place_all(&mut c), [(v(3), w(1))]);
}

#[test]
fn cpu_is_sold_by_the_ratio_and_memory_is_not() {
    let mut c = cluster([WorkerOffer { cpu_ratio_permille: 1500, ..offer(1, 2, 4) }]);
    (1..=4).for_each(|n| assert!(c.submit(request(n, 1, 1))));
    assert_eq!(place_all(&mut c).len(), 3);
    assert_eq!(c.usage(w(1)).unwrap().allocatable.amounts.cpu_milli, 3000);
}

#[test]
fn named_resources_are_counted_and_zero_of_one_is_none() {
    let mut gpus = offer(1, 8, 8);
    gpus.capacity.named = [("gpu".to_string(), 2), ("fpga".to_string(), 0)].into();
    let mut c = cluster([offer(2, 8, 8), gpus]);
    for (n, name, count) in [(1, "gpu", 1), (2, "gpu", 1), (3, "gpu", 1), (4, "fpga", 1), (5, "gpu", 0)] {
        let mut r = request(n, 1, 1);
        r.needs.charge.amounts.named = [(name.to_string(), count)].into();
        c.submit(r);
    }
    assert_eq!(place_all(&mut c), [(v(1), w(1)), (v(2), w(1)), (v(5), w(2))]);
    c.release(v(2));
    assert_eq!(place_all(&mut c), [(v(3), w(1))]);
}

#[test]
fn cordoned_and_offline_workers_get_nothing_and_keep_what_they_have() {
    let mut c = cluster([offer(1, 8, 8)]);
    c.submit(request(1, 1, 1));
    assert_eq!(place_all(&mut c).len(), 1);
    for availability in [Availability::Cordoned, Availability::Offline] {
        c.upsert_worker(WorkerOffer { availability, ..offer(1, 8, 8) });
        c.submit(request(2, 1, 1));
        assert!(place_all(&mut c).is_empty());
        assert_eq!(c.assigned(v(1)), Some(w(1)));
    }
    c.upsert_worker(offer(1, 8, 8));
    assert_eq!(place_all(&mut c), [(v(2), w(1))]);
}

#[test]
fn a_worker_that_goes_and_comes_back_still_has_its_vms() {
    let mut c = cluster([offer(1, 4, 4)]);
    c.submit(request(1, 3, 3));
    place_all(&mut c);
    c.remove_worker(w(1));
    assert_eq!(c.usage(w(1)).unwrap().reserved.amounts.cpu_milli, 3000);
    c.upsert_worker(offer(1, 4, 4));
    c.submit(request(2, 2, 2));
    assert!(place_all(&mut c).is_empty());
    c.remove_worker(w(1));
    c.release(v(1));
    assert_eq!(c.usage(w(1)), None);
}

#[test]
fn what_is_assigned_may_be_told_before_its_worker_is_known() {
    let mut c = cluster([]);
    c.reserve(w(1), v(1), Charge::new(amounts(3, 3), None));
    c.upsert_worker(offer(1, 4, 4));
    c.submit(request(2, 2, 2));
    assert!(place_all(&mut c).is_empty());
    assert_eq!(c.release(v(1)), Some(w(1)));
    assert_eq!(place_all(&mut c), [(v(2), w(1))]);
}

#[test]
fn one_vm_is_never_placed_twice() {
    let mut c = cluster([offer(1, 8, 8)]);
    assert!(c.submit(request(1, 1, 1)));
    assert!(c.submit(request(1, 1, 1)));
    assert_eq!(place_all(&mut c).len(), 1);
    assert!(!c.submit(request(1, 1, 1)));
    assert!(place_all(&mut c).is_empty());
    // Told to be assigned while it waits: it waits no longer.
    c.submit(request(2, 1, 1));
    c.reserve(w(1), v(2), request(2, 1, 1).needs.charge);
    assert_eq!(c.waiting(), 0);
    // Told twice: charged once.
    c.reserve(w(1), v(2), request(2, 1, 1).needs.charge);
    assert_eq!(c.usage(w(1)).unwrap().reserved.amounts.cpu_milli, 2000);
}

#[test]
fn the_last_request_of_a_vm_counts() {
    let mut c = cluster([offer(1, 2, 2)]);
    c.submit(request(1, 4, 4));
    assert!(place_all(&mut c).is_empty());
    c.submit(request(1, 2, 2));
    assert_eq!(c.waiting(), 1);
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn a_preview_says_where_and_changes_nothing() {
    let mut c = cluster([offer(1, 2, 2)]);
    assert_eq!(c.preview(&request(1, 2, 2)), Ok(w(1)));
    assert_eq!(c.preview(&request(1, 2, 2)), Ok(w(1)));
    c.submit(request(2, 2, 2));
    place_all(&mut c);
    assert_eq!(c.preview(&request(1, 2, 2)).unwrap_err().sentence, "the only worker lacks 2 CPUs");
    assert_eq!(c.waiting(), 0);
}

// Defects found by reading an older scheduler. Each test would fail there.

#[test]
fn a_worker_that_shrinks_below_its_use_has_nothing_free_not_a_lot() {
    let mut c = cluster([offer(1, 8, 8)]);
    c.submit(request(1, 6, 6));
    place_all(&mut c);
    c.upsert_worker(offer(1, 4, 4));
    c.submit(request(2, 1, 1));
    assert!(place_all(&mut c).is_empty());
    let usage = c.usage(w(1)).unwrap();
    assert_eq!((usage.reserved.amounts.cpu_milli, usage.allocatable.amounts.cpu_milli), (6000, 4000));
    c.release(v(1));
    assert_eq!(place_all(&mut c), [(v(2), w(1))]);
}

#[test]
fn a_placement_follows_the_newest_request_not_a_stale_copy() {
    let mut c = cluster([offer(1, 8, 8)]);
    c.submit(request(1, 1, 1));
    c.submit(request(1, 3, 3));
    let made = c.schedule(0, 10);
    assert_eq!(made[0].charge.amounts, amounts(3, 3));
    assert_eq!(c.usage(w(1)).unwrap().reserved.amounts, amounts(3, 3));
}

#[test]
fn labels_that_change_count_at_once() {
    let zone = |value: &str| WorkerOffer { labels: [("zone".into(), value.into())].into(), ..offer(1, 8, 8) };
    let mut c = cluster([zone("a")]);
    let mut r = request(1, 1, 1);
    r.needs.labels = [("zone".to_string(), "a".to_string())].into();
    assert_eq!(c.preview(&r), Ok(w(1)));
    c.upsert_worker(zone("b"));
    c.submit(r);
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(zone("a"));
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn an_empty_label_value_does_not_match_absence() {
    let mut c = cluster([offer(1, 8, 8)]);
    let mut r = request(1, 1, 1);
    r.needs.labels = [("fast".to_string(), String::new())].into();
    c.submit(r);
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(WorkerOffer { labels: [("fast".into(), String::new())].into(), ..offer(1, 8, 8) });
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
}

#[test]
fn freed_room_and_new_workers_are_seen_at_the_next_call_without_any_time_passing() {
    let mut c = cluster([offer(1, 2, 2)]);
    c.submit(request(1, 2, 2));
    c.submit(request(2, 2, 2));
    assert_eq!(place_all(&mut c), [(v(1), w(1))]);
    c.release(v(1));
    assert_eq!(c.next_wake(0), Some(0));
    assert_eq!(place_all(&mut c), [(v(2), w(1))]);
    c.submit(request(3, 2, 2));
    assert!(place_all(&mut c).is_empty());
    c.upsert_worker(offer(2, 2, 2));
    assert_eq!(c.next_wake(0), Some(0));
    assert_eq!(place_all(&mut c), [(v(3), w(2))]);
}

#[test]
fn a_withdrawn_vm_costs_nothing_ever_after() {
    let mut c = cluster([offer(1, 2, 2)]);
    c.submit(request(1, 4, 4));
    place_all(&mut c);
    assert!(c.withdraw(v(1)));
    assert!(!c.withdraw(v(1)));
    assert_eq!((c.waiting(), c.next_wake(0)), (0, None));
}

#[test]
fn ties_do_not_depend_on_the_order_in_which_workers_came() {
    let place = |order: [u64; 3]| {
        let mut c = cluster(order.map(|n| offer(n, 4, 4)));
        c.submit(request(1, 1, 1));
        place_all(&mut c)
    };
    assert_eq!(place([1, 2, 3]), place([3, 1, 2]));
}

#[test]
fn absurd_amounts_overflow_nothing() {
    let huge = Amounts { cpu_milli: u64::MAX, memory: u64::MAX, disk: u64::MAX, named: [].into() };
    let whole = WorkerOffer { capacity: huge.clone(), cpu_ratio_permille: u32::MAX, ..offer(1, 1, 1) };
    let mut c = cluster([whole]);
    c.reserve(w(1), v(1), Charge::new(huge.clone(), None));
    c.reserve(w(1), v(2), Charge::new(huge.clone(), None));
    c.submit(request(3, 1, 1));
    assert!(place_all(&mut c).is_empty());
    c.release(v(1));
    c.release(v(2));
    assert_eq!(place_all(&mut c), [(v(3), w(1))]);
    assert_eq!(c.usage(w(1)).unwrap().reserved.amounts, amounts(1, 1));
}
