//! The progress bar of Hybrid Platforms Conductor: how many nodes wait, run and are done.

use crate::{app::App, printer::Printer, terminal};
use fleet::watch::{Counts, Tally};
use indicatif::{ProgressBar, ProgressStyle};

/// The width where there is no terminal.
const USUAL_WIDTH: usize = 80;

/// Draws on a terminal; elsewhere it says one line at the end. Nothing with `--quiet`.
pub struct Bar {
    /// Counts what happens.
    pub tally: Tally<Box<dyn Fn(Counts) + Send + Sync>>,
    title: &'static str,
    drawn: Option<ProgressBar>,
    printer: Printer,
}

impl Bar {
    /// For so many nodes.
    pub fn new(app: &App, title: &'static str, total: usize) -> Self {
        let drawn = app.printer.may_draw().then(|| {
            let style =
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.set_message(line(title, Counts { queue: total, processing: 0, done: 0, total }, width()));
            bar
        });
        let bar = drawn.clone();
        let draw = move |counts| {
            if let Some(bar) = &bar {
                bar.set_message(line(title, counts, width()));
                bar.tick();
            }
        };
        Bar { tally: Tally::new(total, Box::new(draw)), title, drawn, printer: app.printer.clone() }
    }

    /// Leaves the last state on the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
        self.printer.note(&line(self.title, self.tally.counts(), width()));
    }
}

fn width() -> usize {
    terminal::columns().unwrap_or(USUAL_WIDTH)
}

/// One line of this width, or as short as it can be.
fn line(title: &str, counts: Counts, width: usize) -> String {
    let Counts { queue, processing, done, total } = counts;
    let percent = (done * 100).checked_div(total).unwrap_or(100);
    let begin = format!("{title} [{percent:>3}%] - |");
    let end = format!("| - [ Queue: {queue} - Processing: {processing} - Done: {done} - Total: {total} ]");
    let room = width.saturating_sub(begin.len() + end.len() + 1).max(4);
    let eaten = (room - 1) * percent / 100;
    format!("{begin}{:eaten$}C{}{end}", "", ".".repeat(room - 1 - eaten))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_eaten_from_the_left() {
        let counts = |done| Counts { queue: 10 - done, processing: 0, done, total: 10 };
        assert_eq!(
            line("Executing actions", counts(5), 0),
            "Executing actions [ 50%] - | C..| - [ Queue: 5 - Processing: 0 - Done: 5 - Total: 10 ]"
        );
        let full = line("Executing actions", counts(10), 120);
        assert!(
            full.starts_with("Executing actions [100%] - |  ") && full.contains(" C| - [ Queue: 0 -"),
            "{full}"
        );
        assert_eq!(full.len(), 119);
        assert!(line("X", Counts { queue: 0, processing: 0, done: 0, total: 0 }, 0).contains("[100%]"));
    }
}
