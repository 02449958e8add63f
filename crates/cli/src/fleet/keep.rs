//! Connections that outlive a run.

use crate::{Failure, Result, env};
use base::Error;
use clap::Args;
use fleet::connector::{
    Login,
    persist::{How, Persisted},
};
use ssh::{DialOptions, config::Files};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// The process that keeps connections, started by whoever wants them.
#[derive(Args, Debug)]
pub struct KeepConnections {
    /// The directory of its socket
    dir: PathBuf,
    /// After so many seconds without use it ends
    idle: u64,
}

impl KeepConnections {
    /// Runs until nobody needs it any more. The terminal of whoever started it is not its own.
    pub async fn run(self) -> Result {
        rt::process::new_session().map_err(|e| Error::io("leave the terminal", &e))?;
        rt::process::raise_file_limit();
        fleet::connector::persist::keep(&self.dir, Duration::from_secs(self.idle)).await?;
        Ok(crate::failure::OK)
    }
}

/// The way to nodes over connections that are kept for so many seconds.
pub fn persisted(mut options: DialOptions, login: &Login, idle: u64) -> Result<Arc<Persisted>, Failure> {
    let dir = env::runtime_dir()?;
    if let Files::Only(path) = &mut options.files {
        *path = std::path::absolute(&*path).map_err(|e| Error::io("find the working directory", &e))?;
    }
    let how = How::new(env::surroundings(), &options, login);
    let words = [dir.clone().into_os_string(), idle.to_string().into()];
    Ok(Arc::new(Persisted::new(dir, how, move || {
        let own = std::env::current_exe().map_err(|e| Error::io("find this program", &e))?;
        let mut program = rt::process::detached(own);
        program.arg("keep-connections").args(&words).current_dir("/");
        Ok(program)
    })))
}
