//! What holds after any sequence of changes, checked against plain books kept beside the cluster.

use super::*;
use crate::{Profile, Reason, Usage};
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

const WORKERS: u64 = 5;
const VMS: u64 = 16;

#[derive(Clone, Debug)]
enum Op {
    Upsert(WorkerOffer),
    Remove(Uid),
    Submit(Request),
    Withdraw(Uid),
    Release(Uid),
    Reserve(Uid, Uid, Charge),
    Settings(Settings),
    Schedule { after_ms: u64, max: usize },
}

prop_compose! {
    fn any_amounts()(cpus in 0..6_u64, gib in 0..6_u64, gpus in select(vec![0, 0, 0, 1, 2])) -> Amounts {
        Amounts { named: [("gpu".to_string(), gpus)].into(), ..amounts(cpus, gib) }
    }
}

fn any_arch() -> impl Strategy<Value = String> {
    select(vec!["amd64".to_string(), "arm64".to_string()])
}

fn any_labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    select(vec![None, Some(""), Some("a"), Some("b")])
        .prop_map(|zone| zone.map(|z| ("zone".to_string(), z.to_string())).into_iter().collect())
}

prop_compose! {
    fn any_offer()(
        n in 0..WORKERS,
        (capacity, cpu_ratio_permille) in (any_amounts(), select(vec![1000, 1000, 2500])),
        (arch, labels) in (any_arch(), any_labels()),
        availability in select(vec![Availability::Ready, Availability::Ready, Availability::Ready,
                                    Availability::Cordoned, Availability::Offline]),
        (mac, images) in (any::<bool>(), vec((0..2_u64).prop_map(image), 0..2)),
    ) -> WorkerOffer {
        WorkerOffer {
            capacity: Amounts { disk: 100, ..capacity }, cpu_ratio_permille, arch, labels, availability,
            os: if mac { "macos" } else { "linux" }.into(),
            macos_slots: if mac { 2 } else { 0 },
            images: images.into_iter().collect(),
            ..offer(n, 1, 1)
        }
    }
}

prop_compose! {
    fn any_needs()(
        amounts in any_amounts(),
        arch in prop::option::weighted(0.3, any_arch()),
        os in prop::option::weighted(0.2, select(vec!["macos".to_string(), "linux".to_string()])),
        labels in prop_oneof![3 => Just(BTreeMap::new()), 1 => any_labels()],
        pinned in prop::option::weighted(0.1, (0..WORKERS).prop_map(w)),
        (image, present) in (prop::option::weighted(0.5, (0..2_u64).prop_map(image)), prop::bool::weighted(0.2)),
    ) -> Needs {
        Needs {
            charge: Charge::new(amounts, os.as_deref()),
            arch, os, labels, pinned, image, image_must_be_present: present && image.is_some(),
            ..Needs::default()
        }
    }
}

prop_compose! {
    fn any_request()(n in 0..VMS, needs in any_needs(), priority in 0..3, created_ms in 0..4_u64) -> Request {
        Request { vm: v(n), project: format!("p{}", n % 2), needs, priority, created_ms }
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let profile = select(vec![Profile::Pack, Profile::Spread]);
    let times = (select(vec![0, 0, 20_000, 60_000]), select(vec![30_000, 300_000]));
    (profile, 0..4_usize, times).prop_map(|(profile, max_held, (reserve_after_ms, patience_ms))| Settings {
        profile,
        reserve_after_ms,
        patience_ms,
        max_held,
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let vm = || (0..VMS).prop_map(v);
    let worker = || (0..WORKERS).prop_map(w);
    prop_oneof![
        4 => any_offer().prop_map(Op::Upsert),
        1 => worker().prop_map(Op::Remove),
        8 => any_request().prop_map(Op::Submit),
        1 => vm().prop_map(Op::Withdraw),
        4 => vm().prop_map(Op::Release),
        1 => (worker(), vm(), any_amounts()).prop_map(|(w, v, a)| Op::Reserve(w, v, Charge::new(a, None))),
        1 => any_settings().prop_map(Op::Settings),
        6 => (0..50_000_u64, select(vec![1, 2, usize::MAX, usize::MAX]))
            .prop_map(|(after_ms, max)| Op::Schedule { after_ms, max }),
    ]
}

/// The same books, kept in the plainest way.
#[derive(Default)]
struct Books {
    now_ms: u64,
    offers: BTreeMap<Uid, WorkerOffer>,
    waiting: BTreeMap<Uid, Request>,
    assigned: BTreeMap<Uid, (Uid, Charge)>,
}

fn no_zeros(mut charge: Charge) -> Charge {
    charge.amounts.named.retain(|_, n| *n > 0);
    charge
}

fn sum<'a>(charges: impl Iterator<Item = &'a Charge>) -> Charge {
    charges.fold(Charge::default(), |mut total, charge| {
        total.amounts.cpu_milli += charge.amounts.cpu_milli;
        total.amounts.memory += charge.amounts.memory;
        total.amounts.disk += charge.amounts.disk;
        total.macos_slots += charge.macos_slots;
        for (name, n) in &charge.amounts.named {
            *total.amounts.named.entry(name.clone()).or_default() += n;
        }
        no_zeros(total)
    })
}

/// Of everything that a placement takes, no more is reserved than there is. (What it does not take may be overdrawn,
/// since a worker may have shrunk.)
fn within(taken: &Charge, reserved: &Charge, whole: &Charge) -> bool {
    let (t, r, w) = (&taken.amounts, &reserved.amounts, &whole.amounts);
    let ok = |taken: u64, reserved: u64, whole: u64| taken == 0 || reserved <= whole;
    let of = |a: &Amounts, name: &str| a.named.get(name).copied().unwrap_or(0);
    ok(t.cpu_milli, r.cpu_milli, w.cpu_milli)
        && ok(t.memory, r.memory, w.memory)
        && ok(t.disk, r.disk, w.disk)
        && t.named.iter().all(|(name, n)| ok(*n, of(r, name), of(w, name)))
        && ok(taken.macos_slots.into(), reserved.macos_slots.into(), whole.macos_slots.into())
}

impl Books {
    fn reserved(&self, worker: Uid) -> Charge {
        sum(self.assigned.values().filter(|(on, _)| *on == worker).map(|(_, charge)| charge))
    }

    fn apply(&mut self, cluster: &mut Cluster, op: Op) -> Vec<Decision> {
        match op {
            Op::Upsert(offer) => {
                self.offers.insert(offer.uid, offer.clone());
                cluster.upsert_worker(offer);
            }
            Op::Remove(worker) => {
                self.offers.remove(&worker);
                cluster.remove_worker(worker);
            }
            Op::Submit(request) => {
                let free = !self.assigned.contains_key(&request.vm);
                assert_eq!(cluster.submit(request.clone()), free);
                if free {
                    self.waiting.insert(request.vm, request);
                }
            }
            Op::Withdraw(vm) => assert_eq!(cluster.withdraw(vm), self.waiting.remove(&vm).is_some()),
            Op::Release(vm) => {
                assert_eq!(cluster.release(vm), self.assigned.remove(&vm).map(|(worker, _)| worker));
            }
            Op::Reserve(worker, vm, charge) => {
                cluster.reserve(worker, vm, charge.clone());
                self.waiting.remove(&vm);
                self.assigned.insert(vm, (worker, no_zeros(charge)));
            }
            Op::Settings(settings) => cluster.set_settings(settings),
            Op::Schedule { after_ms, max } => {
                self.now_ms += after_ms;
                let decisions = cluster.schedule(self.now_ms, max);
                assert!(decisions.len() <= max);
                for decision in &decisions {
                    self.check(decision);
                }
                if max == usize::MAX {
                    self.nothing_fits(cluster);
                }
                return decisions;
            }
        }
        vec![]
    }

    /// A decision is what was asked for, keeps within what there is, and comes in order.
    fn check(&mut self, decision: &Decision) {
        let request = self.waiting.remove(&decision.vm).expect("only a waiting VM is placed");
        let (needs, offer) = (&request.needs, &self.offers[&decision.worker]);
        assert_eq!(decision.charge, no_zeros(needs.charge.clone()));
        assert_eq!(offer.availability, Availability::Ready);
        assert!(needs.arch.as_ref().is_none_or(|arch| *arch == offer.arch));
        assert!(needs.os.as_ref().is_none_or(|os| *os == offer.os));
        assert!(needs.pinned.is_none_or(|pinned| pinned == decision.worker));
        assert!(needs.labels.iter().all(|(key, value)| offer.labels.get(key) == Some(value)));
        assert!(!needs.image_must_be_present || offer.images.contains(&needs.image.unwrap()));
        let earlier = |r: &Request| (-r.priority, r.created_ms, r.vm);
        let overtaken = self.waiting.values().find(|r| r.needs == *needs && earlier(r) < earlier(&request));
        assert_eq!(overtaken, None, "equal needs go by priority and age");
        self.assigned.insert(decision.vm, (decision.worker, decision.charge.clone()));
        assert!(within(&decision.charge, &self.reserved(decision.worker), &allocatable(offer)));
    }

    /// After all was tried, no VM waits for a worker that would do.
    fn nothing_fits(&self, cluster: &Cluster) {
        for vm in self.waiting.keys() {
            let counts = cluster.explain(*vm, None).unwrap().counts;
            assert!(counts.iter().all(|count| count.reason != Reason::Fits), "{vm}: {counts:?}");
        }
    }

    /// The cluster's books are these books.
    fn compare(&self, cluster: &Cluster) {
        for n in 0..WORKERS {
            let (reserved, offer) = (self.reserved(w(n)), self.offers.get(&w(n)));
            let vms = self.assigned.values().filter(|(on, _)| *on == w(n)).count();
            let usage = (offer.is_some() || vms > 0).then(|| Usage {
                reserved,
                allocatable: offer.map(allocatable).unwrap_or_default(),
                vms,
            });
            assert_eq!(cluster.usage(w(n)), usage);
        }
        assert_eq!(cluster.waiting(), self.waiting.len());
        // One for all of them, whoever asks: what they share must not show.
        let mut explainer = cluster.explainer();
        for (vm, request) in &self.waiting {
            for viewer in [None, Some(request.project.as_str())] {
                let explanation = explainer.explain(*vm, viewer).unwrap();
                assert_eq!(Some(&explanation), cluster.explain_alone(*vm, viewer).as_ref());
                let counted: usize = explanation.counts.iter().map(|count| count.workers).sum();
                assert_eq!(counted, self.offers.len(), "{}", explanation.sentence);
            }
            assert_eq!(explainer.explain(*vm, Some("another")), None);
        }
    }
}

fn allocatable(offer: &WorkerOffer) -> Charge {
    let cpu_milli = offer.capacity.cpu_milli * u64::from(offer.cpu_ratio_permille) / 1000;
    let amounts = Amounts { cpu_milli, ..offer.capacity.clone() };
    no_zeros(Charge { amounts, macos_slots: offer.macos_slots })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_agree_limits_hold_and_nothing_that_fits_waits(
        settings in any_settings(), ops in vec(any_op(), 1..80),
    ) {
        let mut cluster = Cluster::new(settings);
        let mut books = Books::default();
        for op in ops {
            books.apply(&mut cluster, op);
            books.compare(&cluster);
        }
        // Releasing everything restores exactly.
        for vm in books.assigned.keys() {
            cluster.release(*vm);
        }
        books.assigned.clear();
        books.compare(&cluster);
    }

    #[test]
    fn the_same_input_gives_the_same_decisions(settings in any_settings(), ops in vec(any_op(), 1..80)) {
        let run = |ops: Vec<Op>| {
            let mut cluster = Cluster::new(settings);
            let mut books = Books::default();
            let steps = ops.into_iter().map(|op| {
                let decisions = books.apply(&mut cluster, op);
                (decisions, cluster.next_wake(books.now_ms))
            });
            steps.collect::<Vec<_>>()
        };
        prop_assert_eq!(run(ops.clone()), run(ops));
    }

    #[test]
    fn a_preview_is_what_then_happens(offers in vec(any_offer(), 0..5), others in vec(any_request(), 0..8),
                                      request in any_request()) {
        let mut cluster = Cluster::new(Settings::default());
        for offer in offers {
            cluster.upsert_worker(offer);
        }
        for other in others.into_iter().filter(|other| other.vm != request.vm) {
            cluster.submit(other);
        }
        cluster.schedule(0, usize::MAX);
        let promised = cluster.preview(&request).ok();
        let vm = request.vm;
        cluster.submit(request);
        let made = cluster.schedule(0, usize::MAX).into_iter().find(|d| d.vm == vm).map(|d| d.worker);
        prop_assert_eq!(promised, made);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Small VMs arrive all the time and each leaves after a while; a VM that needs a whole worker still gets one.
    #[test]
    fn nobody_starves(lives_s in vec(5..120_u64, 400), sizes in vec(1..3_u64, 400), workers in 1..5_u64,
                      priority in 0..2) {
        let mut cluster = cluster((0..workers).map(|n| offer(n, 4, 4)));
        let mut leaving: Vec<(u64, Uid)> = Vec::new();
        let mut second = 0;
        for (n, (life, size)) in (100..).zip(lives_s.into_iter().zip(sizes)) {
            second += 1;
            // More work than there is room for: without holds the large VM would never go.
            for k in 0..2 {
                let small = Request { created_ms: second * 1000, ..request(n * 10 + k, size, size) };
                cluster.submit(Request { priority, ..small });
            }
            if second == 3 {
                let large = Request { created_ms: second * 1000, ..request(1, 4, 4) };
                cluster.submit(Request { priority, ..large });
            }
            leaving.retain(|(at, vm)| *at > second || cluster.release(*vm).is_none());
            for decision in cluster.schedule(second * 1000, usize::MAX) {
                leaving.push((second + life, decision.vm));
            }
        }
        prop_assert!(!cluster.withdraw(v(1)), "it waits still: {:?}", cluster.explain(v(1), None));
    }
}
