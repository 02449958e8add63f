use super::*;
use crate::session::Chunk;
use futures::future::{BoxFuture, FutureExt};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

fn nodes(n: usize) -> Vec<Node> {
    (0..n).map(|i| Node { name: name(i), ..Node::default() }).collect()
}

fn name(i: usize) -> String {
    format!("n{i:04}")
}

/// Plays nodes: those named fail as told, so many times.
#[derive(Default)]
struct Play {
    failing: BTreeMap<String, (Failure, u32)>,
    asked: Mutex<Vec<String>>,
    now: AtomicUsize,
    most: AtomicUsize,
    takes: Duration,
}

impl Play {
    fn failing(mut self, i: usize, failure: Failure, times: u32) -> Self {
        self.failing.insert(name(i), (failure, times));
        self
    }
}

impl Job for Play {
    type Value = String;

    async fn run<'a>(&'a self, node: &'a Node, out: Out<'a>) -> Result<String, Failure> {
        let before = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(node.name.clone());
            asked.iter().filter(|n| **n == node.name).count()
        };
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        out.output(Chunk::Stdout(node.name.clone().into())).await;
        clock::sleep(self.takes).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        match self.failing.get(&node.name) {
            Some((failure, times)) if before <= *times as usize => Err(failure.clone()),
            _ => Ok(format!("did {}", node.name)),
        }
    }
}

fn failed() -> Failure {
    Failure::midway(Error::internal("no"))
}

fn unreachable() -> Failure {
    Failure::unreachable(Error::unavailable("gone"))
}

async fn run(
    nodes: &[Node],
    limits: &Limits,
    interrupt: &Interrupt,
    observer: &dyn Observer,
    job: &Play,
) -> Vec<Done<String>> {
    Engine { limits, interrupt, observer, redactor: &Redactor::default() }.run(nodes, job).await
}

fn counts<T>(done: &[Done<T>]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for d in done {
        *counts.entry(d.outcome.status.as_str()).or_default() += 1;
    }
    counts
}

/// Writes down the events of each node.
#[derive(Default)]
struct Diary(Mutex<BTreeMap<usize, Vec<&'static str>>>);

impl Observer for Diary {
    fn event<'a>(&'a self, index: usize, _: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        let word = match event {
            Event::Queued => "queued",
            Event::Started => "started",
            Event::Again(..) => "again",
            Event::Output(_) => "output",
            Event::Step(_) => "step",
            Event::Finished(outcome) => outcome.status.as_str(),
        };
        self.0.lock().unwrap().entry(index).or_default().push(word);
        std::future::ready(()).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn answers_are_in_the_order_of_the_nodes_and_forks_are_kept() {
    let play = Play { takes: Duration::from_secs(1), ..Play::default() };
    let limits = Limits { forks: 7, ..Limits::default() };
    let begin = clock::now();
    let done = run(&nodes(50), &limits, &Interrupt::new(), &Blind, &play).await;
    let names: Vec<_> = done.iter().map(|d| d.outcome.node.clone()).collect();
    assert_eq!(names, (0..50).map(name).collect::<Vec<_>>());
    assert_eq!(done[3].value.as_deref(), Some("did n0003"));
    assert_eq!(play.most.load(Ordering::SeqCst), 7);
    assert_eq!(begin.elapsed(), Duration::from_secs(8)); // 50 nodes, 7 at a time
    assert_eq!(Verdict::of(done.iter().map(|d| &d.outcome)), Verdict::AllOk);
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_before_the_next_begins() {
    let play = Play { takes: Duration::from_secs(1), ..Play::default() };
    let limits = Limits { serial: Some("30%".parse().unwrap()), ..Limits::default() };
    let begin = clock::now();
    run(&nodes(10), &limits, &Interrupt::new(), &Blind, &play).await;
    assert_eq!((begin.elapsed(), play.most.load(Ordering::SeqCst)), (Duration::from_secs(4), 3));
}

#[tokio::test(start_paused = true)]
async fn too_many_failures_skip_the_rest_of_the_whole_run() {
    let play = Play::default().failing(0, failed(), 9).failing(2, failed(), 9);
    let limits = Limits {
        forks: 1,
        serial: Some(Share::Nodes(2)),
        max_fail: Some(Share::Nodes(1)),
        ..Limits::default()
    };
    let diary = Diary::default();
    let done = run(&nodes(6), &limits, &Interrupt::new(), &diary, &play).await;
    assert_eq!(counts(&done), BTreeMap::from([("failed", 2), ("ok", 1), ("skipped", 3)]));
    let diary = diary.0.into_inner().unwrap();
    assert_eq!(diary[&2], ["queued", "started", "output", "failed"]);
    assert_eq!(diary[&5], ["queued", "skipped"]);
    assert_eq!(Verdict::of(done.iter().map(|d| &d.outcome)), Verdict::SomeFailed);
}

#[tokio::test(start_paused = true)]
async fn only_nodes_that_were_never_reached_are_tried_again() {
    let lost = Failure::midway(Error::unavailable("cut"));
    let play = Play::default()
        .failing(0, unreachable(), 2)
        .failing(1, unreachable(), 9)
        .failing(2, failed(), 1)
        .failing(3, lost, 1)
        .failing(4, Failure::unreachable(Error::new(Code::Unauthenticated, "refused")), 1);
    let limits = Limits { retry: 2, ..Limits::default() };
    let diary = Diary::default();
    let done = run(&nodes(5), &limits, &Interrupt::new(), &diary, &play).await;
    let told: Vec<_> = done.iter().map(|d| (d.outcome.status, d.outcome.attempts)).collect();
    assert_eq!(
        told,
        [
            (Status::Ok, 3),
            (Status::Unreachable, 3),
            (Status::Failed, 1),
            (Status::Unreachable, 1),
            (Status::Unreachable, 1)
        ]
    );
    let words = &diary.0.into_inner().unwrap()[&0];
    assert_eq!(words, &["queued", "started", "output", "again", "output", "again", "output", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_interrupt_lets_running_nodes_finish_the_second_cuts() {
    for presses in [1, 2] {
        let play = Play { takes: Duration::from_secs(10), ..Play::default() };
        let limits = Limits { forks: 2, ..Limits::default() };
        let (interrupt, nodes) = (Interrupt::new(), nodes(5));
        let running = run(&nodes, &limits, &interrupt, &Blind, &play);
        let pressing = async {
            for _ in 0..presses {
                clock::sleep(Duration::from_secs(1)).await;
                interrupt.press();
            }
        };
        let begin = clock::now();
        let (done, ()) = tokio::join!(running, pressing);
        let (expected, seconds) = match presses {
            1 => (BTreeMap::from([("ok", 2), ("cancelled", 3)]), 10),
            _ => (BTreeMap::from([("cancelled", 5)]), 2),
        };
        assert_eq!((counts(&done), begin.elapsed().as_secs()), (expected, seconds));
        let words = |i: usize| done[i].outcome.error.as_ref().map_or("", |e| e.message.as_str());
        assert_eq!(words(4), "not begun because of the interrupt");
        assert_eq!(words(0), if presses == 2 { "cut off by the interrupt" } else { "" });
    }
}

/// Takes events of the first node for ever.
struct Stuck;

impl Observer for Stuck {
    fn event<'a>(&'a self, index: usize, _: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            if index == 0 && matches!(event, Event::Output(_)) {
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_waits_holds_back_its_node_only() {
    let interrupt = Interrupt::new();
    let play = Play::default();
    let (nodes, limits) = (nodes(9), Limits { forks: 2, ..Limits::default() });
    let running = run(&nodes, &limits, &interrupt, &Stuck, &play);
    let pressing = async {
        clock::sleep(Duration::from_secs(1)).await;
        interrupt.press();
        interrupt.press();
    };
    let (done, ()) = tokio::join!(running, pressing);
    assert_eq!(counts(&done), BTreeMap::from([("ok", 8), ("cancelled", 1)]));
}

/// Keeps all output.
#[derive(Default)]
struct Ear(Mutex<Vec<u8>>);

impl Observer for Ear {
    fn event<'a>(&'a self, _: usize, _: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        if let Event::Output(chunk) = event {
            self.0.lock().unwrap().extend_from_slice(chunk.bytes());
        }
        std::future::ready(()).boxed()
    }
}

/// Says a secret in two pieces, and complains about it.
struct Traitor;

impl Job for Traitor {
    type Value = ();

    async fn run<'a>(&'a self, _: &'a Node, out: Out<'a>) -> Result<(), Failure> {
        for piece in ["<hunt", "er2> hunt"] {
            out.output(Chunk::Stdout(piece.into())).await;
        }
        Err(Failure::midway(Error::internal("the password hunter2 is wrong")))
    }
}

#[tokio::test]
async fn secrets_reach_neither_the_observer_nor_the_outcome() {
    let redactor = Redactor::new([&base::Secret::new("hunter2")]).unwrap();
    let ear = Ear::default();
    let (limits, interrupt) = (Limits::default(), Interrupt::new());
    let engine = Engine { limits: &limits, interrupt: &interrupt, observer: &ear, redactor: &redactor };
    let done = engine.run(&nodes(1), &Traitor).await;
    assert_eq!(String::from_utf8(ear.0.into_inner().unwrap()).unwrap(), "<********> hunt");
    assert_eq!(done[0].outcome.error.as_ref().unwrap().message, "the password ******** is wrong");
}

#[test]
fn a_run_can_move_between_threads() {
    fn movable(_: &(impl Send + ?Sized)) {}
    let (nodes, limits, interrupt, play) = (nodes(1), Limits::default(), Interrupt::new(), Play::default());
    movable(&run(&nodes, &limits, &interrupt, &Blind, &play));
}

#[test]
fn shares_are_numbers_or_parts() {
    let of = |text: &str, total| text.parse::<Share>().map(|s| s.of(total)).map_err(|e| e.code);
    assert_eq!((of("3", 10), of("25%", 10), of("100%", 7)), (Ok(3), Ok(2), Ok(7)));
    for wrong in ["", "%", "101%", "-1", "1.5", "x"] {
        assert_eq!(of(wrong, 10), Err(Code::Invalid), "{wrong}");
    }
}

proptest! {
    #[test]
    fn every_node_has_one_answer_and_its_events_in_order(
        total in 0..40usize, forks in 1..9usize, serial in prop::option::of(1..9usize),
        max_fail in prop::option::of(0..5usize), bad in prop::collection::btree_map(0..40usize, 0..3u32, 0..10),
        retry in 0..3u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let play = bad.iter().fold(Play::default(), |play, (i, times)| {
                play.failing(*i, if i % 2 == 0 { unreachable() } else { failed() }, *times)
            });
            let limits = Limits {
                forks,
                serial: serial.map(Share::Nodes),
                max_fail: max_fail.map(Share::Nodes),
                retry,
                ..Limits::default()
            };
            let diary = Diary::default();
            let done = run(&nodes(total), &limits, &Interrupt::new(), &diary, &play).await;
            assert_eq!(done.len(), total);
            let failures = done.iter().filter(|d| d.outcome.status.is_failure()).count();
            let skipped = done.iter().filter(|d| d.outcome.status == Status::Skipped).count();
            // Those that were running when the limit broke may fail as well.
            assert!(max_fail.is_none_or(|most| failures <= most + forks));
            assert!(skipped == 0 || max_fail.is_some_and(|most| failures > most));
            for (i, words) in diary.0.into_inner().unwrap() {
                let answer = done[i].outcome.status;
                assert_eq!((words[0], words[words.len() - 1]), ("queued", answer.as_str()));
                assert_eq!(words.contains(&"started"), answer != Status::Skipped);
                assert_eq!(done[i].value.is_some(), answer == Status::Ok);
            }
        });
    }
}
