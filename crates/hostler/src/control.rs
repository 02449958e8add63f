//! `hostler controller run`, and restoring its store.

use base::{Error, Name, Result, Secret};
use cli::{
    ControllerOptions, RestoreOptions,
    contexts::{Context, Contexts},
};
use controller::{Controller, Options};
use server::{Limits, Server};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use store::sqlite::{self, SqliteStore};

/// Name of the store in the data directory.
const STORE: &str = "store.db";
/// Where the address is written that the controller listens on: with port 0 nobody else knows.
const ADDRESS: &str = "address";

/// A controller with its port.
pub struct Running {
    /// The control plane.
    pub controller: Controller,
    /// Its port.
    pub server: Server,
    _lock: rt::files::DirLock,
}

/// Opens the state directory and listens.
pub async fn start(data_dir: &Path, listen: SocketAddr, names: Vec<String>, plain: bool) -> Result<Running> {
    let lock = rt::files::DirLock::take(data_dir)?;
    let store = SqliteStore::open(data_dir.join(STORE), sqlite::Options::default()).await?;
    let program = std::env::current_exe().map_err(|e| Error::io("find this program", &e))?;
    let options = Options { data_dir: data_dir.to_owned(), program };
    let controller = Controller::start(Arc::new(store), options).await?;
    let options = server::Options { listen, names, plain_from_loopback: plain, limits: Limits::default() };
    let server = Server::start(&controller, options).await?;
    controller.listens_at(server.address());
    rt::files::write_atomic(&data_dir.join(ADDRESS), server.address().to_string().as_bytes())?;
    Ok(Running { controller, server, _lock: lock })
}

/// Runs until asked to end.
pub async fn run(options: ControllerOptions) -> Result<()> {
    if let Some(point) = &options.failpoint {
        rt::failpoint::arm(point);
    }
    let running = start(&options.data_dir, options.listen, options.tls_names.clone(), false).await?;
    first_admin(&running, &options).await?;
    tracing::info!(address = %running.server.address(), "the controller serves");
    let signal = rt::task::shutdown_signal().await?;
    tracing::info!(signal, "the controller ends; the VMs go on");
    Ok(())
}

/// A new cluster gets an admin, whose token is written where only this user can read it.
async fn first_admin(running: &Running, options: &ControllerOptions) -> Result<()> {
    if running.controller.has_admin() {
        return Ok(());
    }
    let token = bootstrap(running, &options.data_dir).await?;
    if let Some(config) = &options.config_file {
        let url = format!("https://{}", reachable(running.server.address()));
        write_context(config, "local", &running.controller, url, &token, false)?;
    }
    Ok(())
}

/// Gives the account `admin` a new token and every right. The token lies in the state directory, for this user alone.
pub async fn bootstrap(running: &Running, data_dir: &Path) -> Result<Secret> {
    let name = Name::new("admin").map_err(|e| Error::internal(e.to_string()))?;
    let token = controller::new_token();
    let path = data_dir.join("admin.token");
    rt::files::write_atomic(&path, format!("{}\n", token.expose_secret()).as_bytes())?;
    running.controller.bootstrap_admin(name, &token).await?;
    tracing::info!(path = %path.display(), "the first admin's token is here; keep it, or rotate it");
    Ok(token)
}

/// An address that can be dialled from this host.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Writes a context for a token.
pub fn write_context(
    config: &Path,
    name: &str,
    controller: &Controller,
    url: String,
    token: &Secret,
    select: bool,
) -> Result<()> {
    let mut contexts = Contexts::load(config)?;
    let known = contexts.contexts.get(name).cloned().unwrap_or_default();
    let context = Context {
        url,
        token: Some(token.clone()),
        ca_pin: Some(controller.ca().pin().to_string()),
        ca: Some(controller.ca().certificate_pem().to_owned()),
        ..known
    };
    contexts.put(name, context, select);
    contexts.save(config)
}

/// Makes a backup the store of a controller that does not run.
pub async fn restore(options: RestoreOptions) -> Result<serde_json::Value> {
    let lock = rt::files::DirLock::take(&options.data_dir)?;
    let target = options.data_dir.join(STORE);
    let done = rt::task::blocking(move || {
        let set_aside = if options.replace { set_aside(&target)? } else { None };
        let revision = sqlite::restore(&options.file, &target)?;
        Ok::<_, Error>((revision, set_aside))
    })
    .await?;
    drop(lock);
    let (revision, set_aside) = done?;
    Ok(serde_json::json!({ "revision": revision, "setAside": set_aside }))
}

/// Moves a store out of the way instead of deleting it.
fn set_aside(store: &Path) -> Result<Option<PathBuf>> {
    if !store.exists() {
        return Ok(None);
    }
    let aside = store.with_extension(format!("before-restore-{}.db", rt::ids::uid()));
    for suffix in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::rename(with(store), with(&aside)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format_args!("move {} out of the way", store.display()), &e));
            }
            _ => {}
        }
    }
    Ok(Some(aside))
}
