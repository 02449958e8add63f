//! The indexes give the answers that looking at everything gives.

use super::*;
use crate::Profile;
use crate::images::Images;
use crate::ranked::{Candidate, Key, Ranked, Wanted};
use proptest::{collection::vec, prelude::*, sample::select};

#[derive(Clone, Debug)]
enum Op {
    Insert(u64, u32, [u64; 4]),
    Remove(usize),
    Search([u64; 4], Option<bool>),
}

fn any_op() -> impl Strategy<Value = Op> {
    let row = || prop::array::uniform4(0..6_u64);
    prop_oneof![
        5 => (0..1_000_u64, 0..400_000_u32, row()).prop_map(|(n, score, free)| Op::Insert(n, score, free)),
        2 => any::<usize>().prop_map(Op::Remove),
        3 => (row(), prop::option::of(any::<bool>())).prop_map(|(need, image)| Op::Search(need, image)),
    ]
}

fn key(n: u64, score: u32) -> Key {
    Key { score, uid: w(n), worker: u32::try_from(n).unwrap() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ranked_list_is_a_sorted_list(ops in vec(any_op(), 1..1_500)) {
        let mut images = Images::default();
        (0..1_000).step_by(7).for_each(|worker| images.add(worker, &[image(1)]));
        let mut list = Ranked::new(4);
        let mut plain: Vec<(Key, [u64; 4])> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(n, score, free) => {
                    if plain.iter().all(|(k, _)| k.uid != w(n)) {
                        list.insert(key(n, score), &free);
                        plain.push((key(n, score), free));
                    }
                }
                Op::Remove(i) if !plain.is_empty() => {
                    let (key, _) = plain.swap_remove(i % plain.len());
                    list.remove(&key);
                }
                Op::Remove(_) => list.remove(&key(7, 7)),
                Op::Search(need, image_needed) => {
                    let images = image_needed.and_then(|_| images.holders(image(1)));
                    let image_needed = image_needed == Some(true);
                    let mut found = None;
                    list.search(&Wanted { need: &need, spared: 0, images, image_needed }, &mut found);
                    let fits = |free: &[u64; 4]| free.iter().zip(need).all(|(have, want)| *have >= want);
                    let best = plain
                        .iter()
                        .filter(|(_, free)| fits(free))
                        .filter(|(key, _)| !image_needed || key.worker % 7 == 0)
                        .map(|(key, _)| Candidate::new(*key, 0, images))
                        .min();
                    prop_assert_eq!(found, best);
                }
            }
            plain.sort();
            prop_assert!(list.keys().eq(plain.iter().map(|(key, _)| key)));
        }
    }

    #[test]
    fn the_best_of_all_workers_is_taken(
        sizes in vec((1..9_u64, 1..9_u64, any::<bool>(), any::<bool>(), any::<bool>(), 0..8_u64), 1..150),
        wanted in vec((1..5_u64, 1..5_u64, any::<bool>(), any::<bool>()), 1..120),
        profile in select(vec![Profile::Pack, Profile::Spread]),
    ) {
        let offers: Vec<WorkerOffer> = (0..).zip(&sizes).map(|(n, (cpus, gib, arm, gpu, with_image, used))| {
            let mut o = offer(n, *cpus, *gib);
            o.arch = if *arm { "arm64" } else { "amd64" }.into();
            o.capacity.named = gpu.then(|| ("gpu".to_string(), 2 + used)).into_iter().collect();
            o.images = with_image.then(|| image(1)).into_iter().collect();
            o
        }).collect();
        let mut cluster = cluster(offers.clone());
        cluster.set_settings(Settings { profile, ..Settings::default() });
        for (n, (offer, (.., used))) in (1_000..).zip(offers.iter().zip(&sizes)) {
            let vm = v(n);
            let charge = Charge::new(amounts((*used).min(4), *used / 2), None);
            cluster.reserve(offer.uid, vm, charge);
        }
        for (n, (cpus, gib, amd, gpu)) in (1..).zip(wanted) {
            let mut r = request(n, cpus, gib);
            r.needs.arch = amd.then(|| "amd64".to_string());
            r.needs.charge.amounts.named = gpu.then(|| ("gpu".to_string(), 1)).into_iter().collect();
            r.needs.image = Some(image(1));
            let expected = offers.iter().filter_map(|o| judge(&cluster, o, &r.needs, profile)).min();
            cluster.submit(r);
            let made = moves(&cluster.schedule(0, usize::MAX));
            prop_assert_eq!(made.first().map(|(_, worker)| *worker), expected.map(|(.., uid)| uid));
            cluster.withdraw(v(n));
        }
    }
}

/// A worker's merit by the rules as written, lower is better; none when it does not fit.
fn judge(
    cluster: &Cluster,
    offer: &WorkerOffer,
    needs: &Needs,
    profile: Profile,
) -> Option<(usize, u64, bool, u64, Uid)> {
    let usage = cluster.usage(offer.uid)?;
    let (used, all, want) = (&usage.reserved.amounts, &usage.allocatable.amounts, &needs.charge.amounts);
    let of = |a: &Amounts| a.named.get("gpu").copied().unwrap_or(0);
    let fits = used.cpu_milli + want.cpu_milli <= all.cpu_milli
        && used.memory + want.memory <= all.memory
        && of(used) + of(want) <= of(all)
        && needs.arch.as_ref().is_none_or(|arch| *arch == offer.arch);
    let share = |used: u64, all: u64| if used >= all { 1_000_000 } else { used * 1_000_000 / all };
    let load =
        u64::midpoint(share(used.cpu_milli, all.cpu_milli), share(used.memory >> 20, all.memory >> 20));
    let (spared, score) = match profile {
        Profile::Pack => (all.named.len() - want.named.len().min(all.named.len()), 1_000_000 - load),
        Profile::Spread => (0, load),
    };
    let lacks_image = !offer.images.contains(&image(1));
    fits.then_some((spared, score / 50_000, lacks_image, score, offer.uid))
}

#[test]
fn classes_come_and_go_by_the_thousands() {
    let mut c = cluster([offer(1, 8, 8)]);
    for round in 0..3 {
        for n in 0..3_000 {
            let mut r = request(n, 1, 1);
            r.needs.charge.amounts.memory = 9 * GIB + n;
            assert!(c.submit(r));
        }
        assert!(c.schedule(round, usize::MAX).is_empty());
        c.submit(request(4_000, 1, 1));
        assert_eq!(moves(&c.schedule(round, usize::MAX)), [(v(4_000), w(1))]);
        c.release(v(4_000));
        (0..3_000).for_each(|n| assert!(c.withdraw(v(n))));
        assert_eq!(c.waiting(), 0);
    }
}
