//! `hostler dev`.

use crate::{Daemons, DevOptions, Result, env, failure::OK};
use clap::Args;
use std::{net::SocketAddr, path::PathBuf};

/// A cluster on this host: controller and workers in one process.
#[derive(Args, Clone, Debug)]
pub struct Dev {
    /// Where everything is kept [default: $XDG_STATE_HOME/hostler/dev]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API listens: this host alone
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6120")]
    pub listen: SocketAddr,
    /// Workers that share this host's capacity out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub workers: u32,
    /// Play VMs instead of running them: each worker offers 16 CPUs and 64 GiB
    #[arg(long)]
    pub synthetic: bool,
    /// Make a VM `demo`, run something in it, and say what to try next
    #[arg(long)]
    pub demo: bool,
    /// Where the guest image's files are (vmlinuz, initrd)
    #[arg(long, value_name = "DIR")]
    pub guest_image_dir: Option<PathBuf>,
    /// The name of the context that is written and selected
    #[arg(long = "context-name", value_name = "NAME", default_value = "dev")]
    pub context_name: String,
    /// Write no context
    #[arg(long)]
    pub no_context: bool,
    /// End the process at a point that a test chose
    #[arg(long, hide = true)]
    pub failpoint: Option<String>,
}

impl Dev {
    pub async fn run(self, daemons: &dyn Daemons) -> Result {
        let options = DevOptions {
            data_dir: env::data_dir(self.data_dir, "dev")?,
            listen: self.listen,
            workers: self.workers,
            synthetic: self.synthetic,
            demo: self.demo,
            guest_image_dir: self.guest_image_dir,
            config_file: env::config_file()?,
            context: self.context_name,
            no_context: self.no_context,
            failpoint: self.failpoint,
        };
        daemons.dev(options).await?;
        Ok(OK)
    }
}
