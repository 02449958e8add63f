//! Every form of the sentence, written out.

use super::*;
use crate::{Count, Reason, Resource};

fn explain(c: &mut Cluster, request: Request) -> (String, String) {
    let vm = request.vm;
    assert!(c.submit(request));
    c.schedule(0, 100);
    let e = c.explain(vm, None).unwrap();
    (e.sentence, e.fix)
}

#[track_caller]
fn says(workers: impl IntoIterator<Item = WorkerOffer>, request: Request, sentence: &str, fix: &str) {
    let (s, f) = explain(&mut cluster(workers), request);
    assert_eq!((s.as_str(), f.as_str()), (sentence, fix));
}

fn arm(n: u64) -> WorkerOffer {
    WorkerOffer { arch: "arm64".into(), ..offer(n, 8, 8) }
}

#[test]
fn the_sentence_of_the_readme() {
    let mut c = cluster((1..=3).map(|n| offer(n, 8, 8)).chain([arm(4), arm(5)]));
    (1..=3).for_each(|n| c.reserve(w(n), v(90 + n), Charge::new(amounts(1, 6), None)));
    let mut r = request(1, 1, 4);
    r.needs.arch = Some("amd64".into());
    let (sentence, fix) = explain(&mut c, r);
    assert_eq!(sentence, "3 of 5 workers lack 4 GiB of memory, 2 are arm64; first in the queue");
    assert_eq!(fix, "stop or delete a VM, ask for less memory, or add a worker with 4 GiB of memory free");
    let counts = c.explain(v(1), None).unwrap().counts;
    assert_eq!(
        counts,
        [
            Count { reason: Reason::Lacks(Resource::Memory), workers: 3 },
            Count { reason: Reason::Arch("arm64".into()), workers: 2 }
        ]
    );
}

#[test]
fn no_workers() {
    says(
        [],
        request(1, 1, 1),
        "there are no workers; first in the queue",
        "add a worker with 'hostler worker run'",
    );
}

#[test]
fn too_small_even_when_empty() {
    says(
        [offer(1, 8, 8), offer(2, 4, 16)],
        request(1, 1, 64),
        "both workers have less than 64 GiB of memory in all; first in the queue",
        "ask for at most 16 GiB of memory, or add a worker with 64 GiB of memory",
    );
    says(
        [offer(1, 8, 8)],
        request(1, 12, 1),
        "the only worker has less than 12 CPUs in all; first in the queue",
        "ask for at most 8 CPUs, or add a worker with 12 CPUs",
    );
    let mut disk = request(1, 1, 1);
    disk.needs.charge.amounts.disk = 200 * GIB;
    says(
        [offer(1, 8, 8), offer(2, 8, 8), offer(3, 8, 8)],
        disk,
        "all 3 workers have less than 200 GiB of disk in all; first in the queue",
        "ask for at most 100 GiB of disk, or add a worker with 200 GiB of disk",
    );
}

#[test]
fn full() {
    let full = |charge: Amounts| {
        let mut c = cluster([offer(1, 2, 2)]);
        c.reserve(w(1), v(90), Charge::new(charge, None));
        c
    };
    let mut r = request(1, 1, 1);
    r.needs.charge.amounts.cpu_milli = 500;
    assert_eq!(
        explain(&mut full(amounts(2, 0)), r),
        (
            "the only worker lacks 0.5 CPUs; first in the queue".into(),
            "stop or delete a VM, ask for less CPU, or add a worker with 0.5 CPUs free".into()
        )
    );
    assert_eq!(
        explain(&mut full(amounts(2, 0)), request(1, 1, 1)).0,
        "the only worker lacks 1 CPU; first in the queue"
    );
    let mut r = request(1, 1, 1);
    r.needs.charge.amounts.disk = 50 * GIB;
    let most = Amounts { disk: 60 * GIB, ..Amounts::default() };
    assert_eq!(explain(&mut full(most), r).0, "the only worker lacks 50 GiB of disk; first in the queue");
}

#[test]
fn offline_and_cordoned() {
    let offline = WorkerOffer { availability: Availability::Offline, ..offer(1, 8, 8) };
    let cordoned = WorkerOffer { availability: Availability::Cordoned, ..offer(2, 8, 8) };
    says(
        [offline.clone(), cordoned],
        request(1, 1, 1),
        "1 of 2 workers is offline, 1 is cordoned; first in the queue",
        "uncordon a worker with 'hostler worker uncordon NAME'",
    );
    says(
        [offline],
        request(1, 1, 1),
        "the only worker is offline; first in the queue",
        "bring an offline worker back",
    );
}

#[test]
fn what_the_worker_is() {
    let needs = |f: fn(&mut Needs)| {
        let mut r = request(1, 1, 1);
        f(&mut r.needs);
        r
    };
    says(
        [arm(1)],
        needs(|n| n.arch = Some("amd64".into())),
        "the only worker is arm64; first in the queue",
        "add a worker with the architecture amd64, or use an image for arm64",
    );
    says(
        [offer(1, 8, 8)],
        needs(|n| n.os = Some("macos".into())),
        "the only worker runs linux; first in the queue",
        "add a worker that runs macos",
    );
    says(
        [offer(1, 8, 8), offer(2, 8, 8)],
        needs(|n| n.runtime = Some("tart".into())),
        "both workers have no runtime tart; first in the queue",
        "add a worker with the runtime tart, or choose another runtime",
    );
    says(
        [offer(1, 8, 8)],
        needs(|n| n.capabilities = ["vsock".to_string()].into()),
        "the only worker lacks the capability vsock; first in the queue",
        "upgrade a worker to a version with the capability vsock",
    );
    says(
        [offer(1, 8, 8)],
        needs(|n| n.labels = [("zone".to_string(), "a".to_string())].into()),
        "the only worker lacks the label zone=a; first in the queue",
        "give a worker the label zone=a, or drop it from the VM",
    );
    says(
        [offer(1, 8, 8)],
        needs(|n| n.charge.amounts.named = [("gpu".to_string(), 1)].into()),
        "the only worker has no gpu; first in the queue",
        "add a worker that offers gpu, or drop it from the VM",
    );
    says(
        [offer(1, 8, 8)],
        needs(|n| {
            n.image = Some(image(1));
            n.image_must_be_present = true;
        }),
        "the only worker lacks the image; first in the queue",
        "let workers fetch the image, or wait until one holds it",
    );
}

#[test]
fn named_resources_and_slots() {
    let mut gpus = offer(1, 8, 8);
    gpus.capacity.named = [("gpu".to_string(), 2)].into();
    let want = |n, count| {
        let mut r = request(n, 1, 1);
        r.needs.charge.amounts.named = [("gpu".to_string(), count)].into();
        r
    };
    says(
        [gpus.clone()],
        want(1, 4),
        "the only worker has less than 4 gpu in all; first in the queue",
        "ask for at most 2 gpu, or add a worker with 4 gpu",
    );
    let mut c = cluster([gpus]);
    c.submit(want(1, 2));
    c.schedule(0, 100);
    assert_eq!(explain(&mut c, want(2, 1)).0, "the only worker lacks 1 gpu; first in the queue");

    let mac = WorkerOffer { os: "macos".into(), macos_slots: 2, ..offer(1, 8, 8) };
    let guest = |n| {
        let mut r = request(n, 1, 1);
        r.needs.os = Some("macos".into());
        r
    };
    let mut c = cluster([mac.clone()]);
    c.submit(guest(1));
    c.submit(guest(2));
    c.schedule(0, 100);
    assert_eq!(
        explain(&mut c, guest(3)),
        (
            "the only worker has no free slot for a macOS guest; first in the queue".into(),
            "stop or delete a macOS VM, or add a worker that runs macOS".into()
        )
    );
    says(
        [WorkerOffer { macos_slots: 0, ..mac }],
        guest(1),
        "the only worker cannot run macOS guests; first in the queue",
        "add a worker that runs macOS",
    );
}

#[test]
fn the_worker_with_the_disk() {
    let pinned = |n, to, cpus| {
        let mut r = request(n, cpus, 1);
        r.needs.pinned = Some(w(to));
        r
    };
    let mut c = cluster([offer(1, 4, 4), offer(2, 4, 4)]);
    c.reserve(w(1), v(90), Charge::new(amounts(2, 1), None));
    assert_eq!(
        explain(&mut c, pinned(1, 1, 4)),
        (
            "its disk is on worker w1, which lacks 4 CPUs; first in the queue".into(),
            "stop or delete a VM on worker w1, or ask for less CPU".into()
        )
    );
    let counts = c.explain(v(1), None).unwrap().counts;
    assert_eq!(counts.iter().map(|count| count.workers).sum::<usize>(), 2);
    assert!(counts.contains(&Count { reason: Reason::DiskElsewhere, workers: 1 }));

    says(
        [offer(1, 4, 4)],
        pinned(1, 1, 8),
        "its disk is on worker w1, which has less than 8 CPUs in all; first in the queue",
        "ask for at most 4 CPUs",
    );
    says(
        [WorkerOffer { availability: Availability::Offline, ..offer(1, 4, 4) }, offer(2, 4, 4)],
        pinned(1, 1, 1),
        "its disk is on worker w1, which is offline; first in the queue",
        "bring an offline worker back",
    );
    says(
        [offer(1, 4, 4)],
        pinned(1, 7, 1),
        "its disk is on a worker that is not part of the cluster; first in the queue",
        "bring that worker back, or create the VM anew from its image",
    );
}

#[test]
fn many_reasons_are_cut_short() {
    let arch = |n: u64, arch: &str| WorkerOffer { arch: arch.into(), ..offer(n, 8, 8) };
    let workers = ["arm64", "arm64", "ppc64", "riscv64", "s390x", "sparc", "vax"];
    let mut r = request(1, 1, 1);
    r.needs.arch = Some("amd64".into());
    says(
        (1..).zip(workers).map(|(n, name)| arch(n, name)),
        r,
        "2 of 7 workers are arm64, 1 is ppc64, 1 is riscv64, 1 is s390x, 2 do not fit for other reasons; \
         first in the queue",
        "add a worker with the architecture amd64, or use an image for vax",
    );
}

#[test]
fn the_place_in_the_queue_counts_own_vms_only() {
    let mut c = cluster([]);
    for n in 1..=30 {
        c.submit(Request { project: if n % 2 == 0 { "even" } else { "odd" }.into(), ..request(n, 1, 1) });
    }
    let place =
        |n, viewer| c.explain(v(n), viewer).map(|e| e.sentence.split("; ").nth(1).unwrap().to_string());
    assert_eq!(place(4, Some("even")).unwrap(), "second in the queue");
    assert_eq!(place(4, None).unwrap(), "4th in the queue");
    assert_eq!(place(3, None).unwrap(), "third in the queue");
    assert_eq!(place(11, None).unwrap(), "11th in the queue");
    assert_eq!(place(21, None).unwrap(), "21st in the queue");
    assert_eq!(place(22, None).unwrap(), "22nd in the queue");
    assert_eq!(place(23, None).unwrap(), "23rd in the queue");
    // A VM of another project is not there.
    assert_eq!(place(4, Some("odd")), None);
    assert_eq!(place(99, None), None);
}

#[test]
fn room_that_is_held_is_named_to_its_own_project_only() {
    let mut c = cluster([offer(1, 2, 2), offer(2, 2, 2)]);
    (1..=2).for_each(|n| c.reserve(w(n), v(90 + n), Charge::new(amounts(1, 1), None)));
    c.reserve(w(2), v(93), Charge::new(amounts(1, 1), None));
    c.submit(Request { project: "ours".into(), ..request(1, 2, 2) });
    c.schedule(0, 100);
    c.submit(Request { project: "ours".into(), ..request(2, 1, 1) });
    c.schedule(1, 100);
    c.schedule(60_000, 100);
    assert_eq!(c.held_for(v(1)), Some(w(1)));
    c.release(v(91));
    c.submit(Request { project: "ours".into(), ..request(3, 1, 1) });
    c.submit(Request { project: "theirs".into(), ..request(4, 1, 1) });
    c.schedule(60_001, 100);
    let sentence = |n, viewer| c.explain(v(n), viewer).unwrap().sentence;
    assert_eq!(
        sentence(3, Some("ours")),
        "1 of 2 workers lacks 1 CPU, 1 is held for a VM ahead in the queue; second in the queue"
    );
    assert_eq!(sentence(4, Some("theirs")), "both workers lack 1 CPU; first in the queue");
}

#[test]
fn a_vm_that_was_not_tried_yet_is_placed_next() {
    let mut c = cluster([offer(1, 8, 8), arm(2)]);
    let mut r = request(1, 1, 1);
    r.needs.arch = Some("amd64".into());
    c.submit(r);
    let e = c.explain(v(1), None).unwrap();
    assert_eq!(e.sentence, "1 of 2 workers is arm64, 1 has room; first in the queue");
    assert_eq!(e.fix, "nothing to do: it is placed next");
}
