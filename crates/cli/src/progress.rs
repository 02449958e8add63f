//! What is under way: drawn on a terminal, one line per phase elsewhere, nothing with `--quiet`.

use crate::{app::App, printer::Printer};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Something under way. Dropping it clears what was drawn.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    printer: Printer,
    said: String,
}

impl Progress {
    /// Something of unknown length.
    pub fn spinner(app: &App) -> Self {
        let bar = app.printer.may_draw().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { bar, printer: app.printer.clone(), said: String::new() }
    }

    /// So many bytes.
    pub fn bytes(app: &App, total: u64) -> Self {
        let bar = app.printer.may_draw().then(|| {
            let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let bar = ProgressBar::new(total);
            bar.set_style(
                ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Progress { bar, printer: app.printer.clone(), said: String::new() }
    }

    /// What it is doing now. Said once.
    pub fn say(&mut self, text: &str) {
        if self.said == text {
            return;
        }
        text.clone_into(&mut self.said);
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.printer.note(text),
        }
    }

    /// Who counts the bytes; 0 starts over.
    pub fn counter(&self) -> client::upload::Progress {
        let bar = self.bar.clone();
        std::sync::Arc::new(move |n| match (&bar, n) {
            (Some(bar), 0) => bar.set_position(0),
            (Some(bar), n) => bar.inc(n),
            (None, _) => {}
        })
    }

    /// Who tells how many bytes of how many are done.
    pub fn positions(&self) -> impl FnMut(u64, u64) + Send + use<> {
        let bar = self.bar.clone();
        move |done, total| {
            if let Some(bar) = &bar {
                bar.set_length(total);
                bar.set_position(done);
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
