//! Ctrl-C during a run: the first lets what runs end, the second cuts it off, the third leaves at once.

use crate::{Result, failure::INTERRUPTED, printer::Printer};
use base::Error;
use fleet::engine::Interrupt;
use rt::task::Task;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Passes signals on for as long as the handle lives.
pub fn listen(printer: &Printer, interrupt: &Interrupt) -> Result<Task<()>> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals = Vec::with_capacity(kinds.len());
    for kind in kinds {
        signals.push(signal(kind).map_err(|e| Error::io("listen for signals", &e))?);
    }
    let (printer, interrupt) = (printer.clone(), interrupt.clone());
    Ok(rt::task::spawn("signals", async move {
        for word in [
            "interrupted: no new node starts, what runs goes on to its end; once more cuts it off",
            "interrupted again: what ran is cut off",
        ] {
            next(&mut signals).await;
            printer.note(word);
            interrupt.press();
        }
        next(&mut signals).await;
        std::process::exit(INTERRUPTED.into());
    }))
}

async fn next(signals: &mut [Signal]) {
    let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures::future::select_all(any).await;
}
