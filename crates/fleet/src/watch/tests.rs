use super::*;
use crate::{
    engine::{Event, Observer, Outcome, Status},
    session::Chunk,
};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

/// Keeps what it is shown; may be slow.
#[derive(Default)]
struct Paper {
    lines: Mutex<Vec<(bool, String)>>,
    delay: Duration,
}

impl Screen for Paper {
    fn show(&self, chunk: Chunk) -> BoxFuture<'_, ()> {
        async move {
            rt::clock::sleep(self.delay).await;
            let text = String::from_utf8_lossy(chunk.bytes()).into_owned();
            self.lines.lock().push((matches!(chunk, Chunk::Stdout(_)), text));
        }
        .boxed()
    }
}

impl Paper {
    fn text(&self) -> String {
        self.lines.lock().iter().map(|(_, text)| text.as_str()).collect()
    }
}

fn nodes(names: &[&str]) -> Vec<Node> {
    names.iter().map(|name| Node { name: (*name).into(), ..Node::default() }).collect()
}

fn outcome(node: &Node, status: Status) -> Outcome {
    Outcome {
        node: node.name.clone(),
        status,
        code: None,
        attempts: 1,
        duration: Duration::ZERO,
        error: None,
    }
}

fn out(text: &str) -> Event<'static> {
    Event::Output(Chunk::Stdout(text.to_owned().into()))
}

fn err(text: &str) -> Event<'static> {
    Event::Output(Chunk::Stderr(text.to_owned().into()))
}

async fn finish(observer: &dyn Observer, index: usize, node: &Node, status: Status) {
    observer.event(index, node, Event::Finished(&outcome(node, status))).await;
}

#[tokio::test]
async fn ordered_output_is_node_after_node() {
    let (nodes, paper) = (nodes(&["a", "b", "c"]), Arc::new(Paper::default()));
    let ordered = Ordered::new(3, paper.clone(), false);
    ordered.event(1, &nodes[1], out("b1\n")).await;
    ordered.event(0, &nodes[0], out("a1\n")).await;
    assert_eq!(paper.text(), "a1\n");
    ordered.event(2, &nodes[2], out("c1\n")).await;
    finish(&ordered, 2, &nodes[2], Status::Ok).await;
    ordered.event(1, &nodes[1], err("b2\n")).await;
    assert_eq!(paper.text(), "a1\n");
    finish(&ordered, 0, &nodes[0], Status::Ok).await;
    assert_eq!(paper.text(), "a1\nb1\nb2\n");
    ordered.event(1, &nodes[1], out("b3\n")).await;
    finish(&ordered, 1, &nodes[1], Status::Ok).await;
    assert_eq!(paper.text(), "a1\nb1\nb2\nb3\nc1\n");
    assert_eq!(paper.lines.lock()[2], (false, "b2\n".into()));
}

#[tokio::test]
async fn headers_say_whose_output_it_is_and_what_failed() {
    let (nodes, paper) = (nodes(&["a", "b"]), Arc::new(Paper::default()));
    let ordered = Ordered::new(2, paper.clone(), true);
    for (i, node) in nodes.iter().enumerate() {
        ordered.event(i, node, Event::Started).await;
        ordered.event(i, node, out("x\n")).await;
    }
    finish(&ordered, 1, &nodes[1], Status::Timeout).await;
    finish(&ordered, 0, &nodes[0], Status::Ok).await;
    assert_eq!(paper.text(), "== a\nx\n== b\nx\n== b: timeout\n");
}

#[tokio::test]
async fn a_header_has_a_line_of_its_own() {
    let (nodes, paper) = (nodes(&["a", "b"]), Arc::new(Paper::default()));
    let ordered = Ordered::new(2, paper.clone(), true);
    for (i, node) in nodes.iter().enumerate() {
        ordered.event(i, node, Event::Started).await;
        ordered.event(i, node, out("no end")).await;
        finish(&ordered, i, node, Status::Ok).await;
    }
    assert_eq!(paper.text(), "== a\nno end\n== b\nno end\n");
}

#[tokio::test(start_paused = true)]
async fn a_node_with_much_to_say_waits_for_its_turn() {
    let (nodes, paper) = (nodes(&["a", "b"]), Arc::new(Paper::default()));
    let ordered = Ordered::new(2, paper.clone(), false);
    let talk = async {
        for _ in 0..10 {
            ordered.event(1, &nodes[1], out(&"x".repeat(16 << 10))).await;
        }
        finish(&ordered, 1, &nodes[1], Status::Ok).await;
    };
    let mut talk = std::pin::pin!(talk);
    let held = rt::clock::timeout(Duration::from_secs(5), "talking", &mut talk).await;
    assert!(held.is_err() && paper.text().is_empty());
    finish(&ordered, 0, &nodes[0], Status::Ok).await;
    talk.await;
    assert_eq!(paper.text().len(), 160 << 10);
}

#[tokio::test]
async fn prefixed_lines_are_whole() {
    let (nodes, paper) = (nodes(&["web1", "web10"]), Arc::new(Paper::default()));
    let prefixed = Prefixed::new(&nodes, paper.clone());
    prefixed.event(0, &nodes[0], out("one\ntw")).await;
    prefixed.event(1, &nodes[1], out("other\n")).await;
    prefixed.event(0, &nodes[0], err("oops")).await;
    prefixed.event(0, &nodes[0], out("o\n\nend")).await;
    finish(&prefixed, 0, &nodes[0], Status::Ok).await;
    let expected = "web1  | one\nweb10 | other\nweb1  | two\nweb1  | \nweb1  | end\nweb1  | oops\n";
    assert_eq!(paper.text(), expected);
    prefixed.event(1, &nodes[1], out(&"y".repeat(20_000))).await;
    assert_eq!(paper.text().lines().last().unwrap().len(), "web10 | ".len() + 20_000);
}

#[tokio::test]
async fn logs_have_both_outputs_and_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = nodes(&["web1", "../up/..", "idle"]);
    for name in ["web1.stdout", "idle.stdout", "other.stdout"] {
        std::fs::write(dir.path().join(name), "old and long").unwrap();
    }
    let logs = Logs::new(dir.path(), 3).unwrap();
    for (i, node) in nodes.iter().enumerate() {
        logs.event(i, node, Event::Queued).await;
    }
    for (i, node) in nodes[..2].iter().enumerate() {
        logs.event(i, node, Event::Started).await;
        logs.event(i, node, out("out\n")).await;
        logs.event(i, node, err("err\n")).await;
        finish(&logs, i, node, Status::Ok).await;
    }
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).ok();
    assert_eq!(read("web1.stdout").unwrap(), "out\nerr\n");
    assert_eq!(read("%2E.%2Fup%2F...stdout").unwrap(), "out\nerr\n");
    assert_eq!((read("idle.stdout"), read("other.stdout").as_deref()), (None, Some("old and long")));
    assert_eq!(logs.broken(), []);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = nodes(&["full", "fine"]);
    let logs = Logs::new(dir.path(), 2).unwrap();
    for (i, node) in nodes.iter().enumerate() {
        logs.event(i, node, Event::Started).await;
    }
    *logs.files[0].lock() = logs::Log::Open(std::fs::File::create("/dev/full").unwrap());
    for (i, node) in nodes.iter().enumerate() {
        logs.event(i, node, out("text")).await;
        finish(&logs, i, node, Status::Ok).await;
    }
    assert_eq!(std::fs::read_to_string(logs.path("fine")).unwrap(), "text");
    let broken = logs.broken();
    assert_eq!(broken.len(), 1);
    assert_eq!(broken[0].code, base::Code::Exhausted);
    assert!(broken[0].message.contains("full.stdout"), "{}", broken[0]);
}

#[tokio::test]
async fn the_keeper_keeps_beginnings_and_the_tally_counts() {
    let nodes = nodes(&["a", "b", "c"]);
    let keeper = Keeper::new(3, 5);
    let seen = Mutex::new(Vec::new());
    let tally = Tally::new(3, |counts| seen.lock().push(counts));
    tally.event(0, &nodes[0], Event::Started).await;
    keeper.event(0, &nodes[0], out("123")).await;
    keeper.event(0, &nodes[0], out("4567")).await;
    keeper.event(0, &nodes[0], err("e\u{e9}")).await;
    finish(&tally, 0, &nodes[0], Status::Ok).await;
    let skipped = Outcome { attempts: 0, ..outcome(&nodes[1], Status::Skipped) };
    tally.event(1, &nodes[1], Event::Finished(&skipped)).await;
    let numbers: Vec<_> = seen.lock().iter().map(|c| (c.queue, c.processing, c.done)).collect();
    assert_eq!(numbers, [(2, 1, 0), (2, 0, 1), (1, 0, 2)]);
    let kept = keeper.into_kept();
    assert_eq!(kept[0], Kept { stdout: "12345".into(), stderr: "e\u{e9}".into(), truncated: true });
    assert_eq!(kept[2], Kept::default());
}

proptest! {
    #[test]
    fn ordered_output_loses_and_mixes_nothing(
        sizes in prop::collection::vec(prop::collection::vec(1..40_000usize, 0..6), 1..8),
        delays in prop::collection::vec(0..20u64, 8), slow in 0..5u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let names: Vec<String> = (0..sizes.len()).map(|i| format!("n{i}")).collect();
            let nodes = nodes(&names.iter().map(String::as_str).collect::<Vec<_>>());
            let paper = Arc::new(Paper { delay: Duration::from_millis(slow), ..Paper::default() });
            let ordered = Ordered::new(nodes.len(), paper.clone(), false);
            let speak = |i: usize| {
                let (ordered, nodes, sizes, delay) = (&ordered, &nodes, &sizes, delays[i]);
                async move {
                    for size in &sizes[i] {
                        rt::clock::sleep(Duration::from_millis(delay)).await;
                        ordered.event(i, &nodes[i], out(&i.to_string().repeat(*size))).await;
                    }
                    finish(ordered, i, &nodes[i], Status::Ok).await;
                }
            };
            futures::future::join_all((0..nodes.len()).map(speak)).await;
            let expected: String =
                sizes.iter().enumerate().map(|(i, s)| i.to_string().repeat(s.iter().sum())).collect();
            assert!(paper.text() == expected);
        });
    }
}
