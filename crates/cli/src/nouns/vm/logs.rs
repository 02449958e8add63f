//! `hostler vm logs`.

use crate::{
    Result,
    app::App,
    complete,
    failure::OK,
    parse::{self, InProject},
};
use api::query::LogQuery;
use base::Code;
use clap::{Args, ValueEnum};
use client::{Client, Key};
use std::time::Duration;

/// Show what a VM wrote to its console, or what its startup script said.
#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// The VM
    #[arg(value_parser = parse::in_project, add = complete::vms())]
    pub name: InProject,
    /// Which log
    #[arg(long, value_name = "console|startup", hide_possible_values = true, default_value = "console")]
    pub log: Which,
    /// Go on with what is written later
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Only the last lines, this many
    #[arg(long, value_name = "LINES", conflicts_with = "offset")]
    pub tail: Option<usize>,
    /// From this byte on
    #[arg(long, value_name = "BYTE")]
    pub offset: Option<u64>,
}

/// Logs of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// The serial console
    Console,
    /// The output of the startup script
    Startup,
}

impl Which {
    fn as_str(self) -> &'static str {
        match self {
            Which::Console => "console",
            Which::Startup => "startup",
        }
    }
}

/// Longer lines than this many bytes each are rare in a log.
const TAIL_BYTES_PER_LINE: u64 = 512;

impl Logs {
    pub async fn run(self, app: &App) -> Result {
        let key = app.key(&self.name)?;
        let client = app.client()?;
        let mut offset = self.offset;
        if let Some(lines) = self.tail {
            offset = Some(self.show_tail(app, &client, &key, lines).await?);
            if !self.follow {
                return Ok(OK);
            }
        }
        loop {
            match self.show(app, &client, &key, &mut offset).await {
                Ok(()) if !self.follow => return Ok(OK),
                // The log goes on in another start of the VM, or the connection was cut: go on where we were.
                Ok(()) => {}
                Err(f) if self.follow && f.code() == Code::Unavailable && offset.is_some() => {
                    app.printer.note(&format!("{}: going on", f.error));
                }
                Err(f) => return Err(f),
            }
            rt::clock::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn show(&self, app: &App, client: &Client, key: &Key, offset: &mut Option<u64>) -> Result<()> {
        let query = LogQuery { offset: *offset, limit: None, follow: self.follow };
        let mut log = client.vm_log(key, self.log.as_str(), &query).await?;
        if let Some(wanted) = offset.filter(|o| *o < log.offset) {
            app.printer.note(&format!("{} bytes are no longer kept", log.offset - wanted));
        }
        loop {
            let next = log.next().await;
            *offset = Some(log.position);
            match next? {
                Some(bytes) => app.printer.data(&bytes),
                None => return Ok(()),
            }
        }
    }

    /// Shows the last lines and returns where they end.
    async fn show_tail(&self, app: &App, client: &Client, key: &Key, lines: usize) -> Result<u64> {
        let log = self.log.as_str();
        let nothing = LogQuery { offset: None, limit: Some(0), follow: false };
        let end = client.vm_log(key, log, &nothing).await?.end;
        let enough = (lines as u64).saturating_mul(TAIL_BYTES_PER_LINE).max(64 * 1024);
        let query = LogQuery { offset: Some(end.saturating_sub(enough)), limit: None, follow: false };
        let mut log = client.vm_log(key, log, &query).await?;
        let mut text = Vec::new();
        while let Some(bytes) = log.next().await? {
            text.extend_from_slice(&bytes);
        }
        app.printer.data(last_lines(&text, lines));
        Ok(log.position)
    }
}

/// The last lines of a text; an unfinished one counts.
fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let starts = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
    &text[starts.take(lines).nth(lines - 1).unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\nb", 9), b"a\nb");
        assert_eq!(last_lines(b"", 1), b"");
        assert_eq!(last_lines(b"a\n", 0), b"");
    }
}
