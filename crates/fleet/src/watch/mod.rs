//! Ways to watch a run: what people see of it, what is kept of it.

mod keeper;
mod logs;
mod ordered;
mod prefixed;
mod screen;
mod tally;
#[cfg(test)]
mod tests;

pub use keeper::{Keeper, Kept};
pub use logs::Logs;
pub use ordered::Ordered;
pub use prefixed::Prefixed;
pub use screen::Screen;
pub use tally::{Counts, Tally};

use crate::engine::{Event, Observer};
use futures::future::{BoxFuture, FutureExt};
use inventory::Node;

/// Several who watch the same run. Each takes an event before the next does.
#[derive(Default)]
pub struct All<'a>(Vec<&'a dyn Observer>);

impl<'a> All<'a> {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn add(&mut self, observer: &'a dyn Observer) {
        self.0.push(observer);
    }
}

impl Observer for All<'_> {
    fn event<'a>(&'a self, index: usize, node: &'a Node, event: Event<'a>) -> BoxFuture<'a, ()> {
        async move {
            for observer in &self.0 {
                observer.event(index, node, event.clone()).await;
            }
        }
        .boxed()
    }
}
