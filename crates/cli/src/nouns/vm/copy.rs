//! `hostler vm cp`.

use crate::{
    Failure, Result,
    app::App,
    failure::OK,
    parse::{self, Place},
    progress::Progress,
};
use api::stream::ExecRequest;
use base::{ByteSize, Error};
use clap::Args;
use client::exec::ExecStream;
use ssh::sftp::{Copied, SftpClient};
use std::path::Path;

/// Copy files to or from a VM.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  hostler vm cp app.tar.gz web:/srv/\n  hostler vm cp -r web:/var/log ./logs"
)]
pub struct Copy {
    /// From where: PATH, or NAME:PATH in a VM
    #[arg(value_parser = parse::place)]
    pub source: Place,
    /// To where: PATH, or NAME:PATH in a VM
    #[arg(value_parser = parse::place)]
    pub target: Place,
    /// Directories with all that is in them
    #[arg(short = 'r', long)]
    pub recursive: bool,
    /// How long to wait for a guest that does not answer yet
    #[arg(long, value_name = "TIME", value_parser = parse::seconds, default_value = "30s")]
    pub timeout: u64,
}

impl Copy {
    pub async fn run(self, app: &App) -> Result {
        let (vm, from_guest) = match (&self.source, &self.target) {
            (Place::Guest(vm, _), Place::Local(_)) => (vm, true),
            (Place::Local(_), Place::Guest(vm, _)) => (vm, false),
            (Place::Local(_), Place::Local(_)) => {
                return Err(Failure::from(
                    Error::invalid("TARGET", "neither side is in a VM").hint("write NAME:PATH on one side"),
                ));
            }
            (Place::Guest(..), Place::Guest(..)) => {
                return Err(Failure::from(
                    Error::invalid("TARGET", "both sides are in VMs").hint("copy to this host first"),
                ));
            }
        };
        let request = ExecRequest {
            subsystem: Some("sftp".into()),
            wait: Some(self.timeout),
            ..ExecRequest::default()
        };
        let key = app.key(vm)?;
        let stream: ExecStream = app.client()?.vm_exec_stream(&key, &request).await?;
        let sftp = SftpClient::new(stream).await?;
        let (source, target) = (path(&self.source), path(&self.target));
        let progress = Progress::bytes(app, 0);
        let tell = progress.positions();
        let copied = if from_guest {
            sftp.download(source, Path::new(target), self.recursive, tell).await?
        } else {
            sftp.upload(Path::new(source), target, self.recursive, tell).await?
        };
        drop(progress);
        report(app, &copied);
        Ok(OK)
    }
}

fn path(place: &Place) -> &str {
    match place {
        Place::Local(path) | Place::Guest(_, path) => path,
    }
}

fn report(app: &App, copied: &Copied) {
    for skipped in &copied.skipped {
        app.printer.warn(&format!("left out: {skipped}"));
    }
    app.printer.note(&format!("{} files, {}", copied.files, ByteSize(copied.bytes)));
}
