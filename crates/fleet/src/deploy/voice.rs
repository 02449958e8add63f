//! What a check or a deployment of one node says, for people, in the sections of Hybrid Platforms Conductor.

use crate::{
    engine::{Out, Progress},
    plan::{Planned, shown},
    session::{Chunk, Sink},
    shell::Stream,
};
use futures::future::{BoxFuture, FutureExt, ready};
use secrets::{Redacted, Redactor};

/// As much of each output is kept for the log.
const MOST: usize = 1 << 20;

/// Who hears a [`Voice`]. A closure that takes chunks is one that does not care for steps.
pub trait Audience: Sink {
    /// A step has begun or ended.
    fn step<'a>(&'a mut self, progress: Progress<'a>) -> BoxFuture<'a, ()>;
}

impl Audience for Out<'_> {
    fn step<'a>(&'a mut self, progress: Progress<'a>) -> BoxFuture<'a, ()> {
        Out::step(self, progress).boxed()
    }
}

impl<F: FnMut(Chunk) + Send> Audience for F {
    fn step<'a>(&'a mut self, _: Progress<'a>) -> BoxFuture<'a, ()> {
        ready(()).boxed()
    }
}

/// Says what happens on one node, without secrets, and keeps it for the log.
pub struct Voice<'a> {
    audience: &'a mut dyn Audience,
    redactor: Redactor,
    /// What may be the beginning of a secret, by stream.
    held: [Redacted; 2],
    kept: [Vec<u8>; 2],
    /// Whether output ended in the middle of a line, by stream.
    open: [bool; 2],
    node: String,
    verb: &'static str,
    services: Vec<String>,
    /// How many services were begun.
    begun: usize,
    /// Whether the section of the last one is still open.
    inside: bool,
}

impl std::fmt::Debug for Voice<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<'a> Voice<'a> {
    /// For a node and its services; `verb` is `Check` or `Deploy`.
    pub fn new(
        audience: &'a mut dyn Audience,
        redactor: &Redactor,
        node: &str,
        verb: &'static str,
        services: Vec<String>,
    ) -> Self {
        Voice {
            audience,
            redactor: redactor.clone(),
            held: [redactor.stream(), redactor.stream()],
            kept: [Vec::new(), Vec::new()],
            open: [false; 2],
            node: node.to_owned(),
            verb,
            services,
            begun: 0,
            inside: false,
        }
    }

    /// Begins the section of a service, after those of all before it.
    pub async fn enter(&mut self, service: &str) {
        if self.inside && self.services.get(self.begun - 1).is_some_and(|s| s == service) {
            return;
        }
        while let Some(next) = self.services.get(self.begun).cloned() {
            self.leave().await;
            self.begun += 1;
            self.inside = true;
            let line = self.marker(&next, "Begin");
            self.line(&line).await;
            if next == service {
                return;
            }
        }
    }

    /// Ends the section of the current service.
    pub async fn leave(&mut self) {
        if std::mem::replace(&mut self.inside, false) {
            let line = self.marker(&self.services[self.begun - 1], "End");
            self.line(&line).await;
        }
    }

    /// Ends all sections. Services that had nothing to say are there too.
    pub async fn finish(&mut self) {
        while self.begun < self.services.len() {
            let next = self.services[self.begun].clone();
            self.enter(&next).await;
        }
        self.leave().await;
    }

    fn marker(&self, service: &str, end: &str) -> String {
        format!("===== [ {} / {service} ] - HPC Service {} ===== {end}", self.node, self.verb)
    }

    /// What a step changes.
    pub async fn change(&mut self, planned: &Planned<'_>) {
        for part in shown(planned, &self.redactor) {
            self.line(&part.title).await;
            for line in &part.diff {
                self.line(line).await;
            }
        }
    }

    /// How far a step is.
    pub async fn step(&mut self, progress: Progress<'_>) {
        self.audience.step(progress).await;
    }

    /// A line of ours.
    pub async fn line(&mut self, text: &str) {
        self.close(Stream::Stdout).await;
        let line = format!("{}\n", self.redactor.text(text));
        self.give(Stream::Stdout, line.into_bytes()).await;
    }

    /// Output of a step.
    pub async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let shown = self.held[index(stream)].push(bytes).into_owned();
        self.give(stream, shown).await;
    }

    /// Nothing more comes from a step: what was held back is shown, and its last line ends.
    pub async fn close(&mut self, stream: Stream) {
        let rest = self.held[index(stream)].finish();
        self.give(stream, rest).await;
        if self.open[index(stream)] {
            self.give(stream, b"\n".to_vec()).await;
        }
    }

    async fn give(&mut self, stream: Stream, bytes: Vec<u8>) {
        let Some(last) = bytes.last() else { return };
        self.open[index(stream)] = *last != b'\n';
        let kept = &mut self.kept[index(stream)];
        let room = MOST.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
        self.audience
            .take(match stream {
                Stream::Stdout => Chunk::Stdout(bytes.into()),
                Stream::Stderr => Chunk::Stderr(bytes.into()),
            })
            .await;
    }

    /// What was said on a stream, as far as it is kept.
    pub fn kept(&self, stream: Stream) -> String {
        let kept = &self.kept[index(stream)];
        let mut text = String::from_utf8_lossy(kept).into_owned();
        if kept.len() == MOST {
            text.push_str("\n(the rest was not kept)\n");
        }
        text
    }

    /// The secrets that it hides.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}
