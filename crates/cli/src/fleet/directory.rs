//! Which fleet directory.

use super::{facts, pool::ControllerPool, ssh::SshArgs};
use crate::{Result, app::App, env};
use base::Error;
use clap::Args;
use fleet::sources::{Facts, KnownHosts};
use inventory::{FleetFile, Inventory, Options};
use sha2::{Digest, Sha256};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Which fleet directory.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Fleet options")]
pub struct FleetDir {
    /// The directory with hostler.yaml, instead of this one or the nearest above it
    #[arg(long = "fleet-dir", value_name = "DIR", env = "HOSTLER_FLEET_DIR", hide_env = true)]
    pub fleet_dir: Option<PathBuf>,
}

impl FleetDir {
    /// Its path, absolute.
    pub fn path(&self) -> Result<PathBuf> {
        let here = std::env::current_dir().map_err(|e| Error::io("find the working directory", &e))?;
        match &self.fleet_dir {
            None => Ok(inventory::find(&here)?),
            Some(dir) if dir.join("hostler.yaml").is_file() => Ok(here.join(dir)),
            Some(dir) => Err(Error::not_found(format!("there is no hostler.yaml in {}", dir.display()))
                .at("--fleet-dir")
                .into()),
        }
    }

    /// Its `hostler.yaml`, for the sections that a verb needs.
    pub fn file(&self) -> Result<FleetFile> {
        Ok(FleetFile::read(&self.path()?)?)
    }

    /// Its inventory. Where the controller's VMs or an SSH configuration are nodes too, they are asked.
    pub async fn inventory(&self, app: &App, ssh: &SshArgs) -> Result<Inventory> {
        let pool = Arc::new(ControllerPool::new(app));
        let options = Options { me: env::surroundings(), ssh_files: ssh.files(), pool: Some(pool) };
        let mut inventory = inventory::load(&self.path()?, &options).await?;
        inventory.add_source(Arc::new(KnownHosts(ssh.way())));
        inventory.add_source(Arc::new(Facts::kept(facts::store(&self.path()?).ok())));
        Ok(inventory)
    }
}

/// Where something is remembered about a fleet directory.
pub fn remembered(dir: &Path, part: &str) -> Result<PathBuf> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    Ok(env::state_dir("fleet")?.join(part).join(hex::encode(&digest[..8])))
}

/// The user's home.
pub fn home() -> Option<PathBuf> {
    env::var("HOME").map(PathBuf::from)
}
