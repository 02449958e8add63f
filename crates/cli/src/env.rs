//! The environment and the places that it names (XDG Base Directory Specification, on Linux and macOS alike).

use base::{Error, Result};
use ssh::config::Surroundings;
use std::path::PathBuf;

/// A variable, unless it is empty.
#[allow(clippy::disallowed_methods)] // the home of the environment
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// All variables that are text.
pub fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn base_dir(variable: &str, below_home: &str) -> Result<PathBuf> {
    // The specification says that relative paths are to be ignored.
    if let Some(dir) = var(variable).map(PathBuf::from).filter(|p| p.is_absolute()) {
        return Ok(dir.join("hostler"));
    }
    let home = var("HOME").ok_or_else(|| {
        Error::new(base::Code::Invalid, format!("neither {variable} nor HOME is set"))
            .hint(format!("set {variable}, or give the path by a flag"))
    })?;
    Ok(PathBuf::from(home).join(below_home).join("hostler"))
}

/// `$XDG_CONFIG_HOME/hostler/config.toml`: the contexts.
pub fn config_file() -> Result<PathBuf> {
    Ok(base_dir("XDG_CONFIG_HOME", ".config")?.join("config.toml"))
}

/// `$XDG_STATE_HOME/hostler/{part}`: the state of a `dev` cluster, a controller, a worker.
pub fn state_dir(part: &str) -> Result<PathBuf> {
    Ok(base_dir("XDG_STATE_HOME", ".local/state")?.join(part))
}

/// Where a daemon keeps its state: the directory that was given, else [`state_dir`]. Absolute, since hypervisors work in
/// directories of their own and messages are read elsewhere.
pub fn data_dir(given: Option<PathBuf>, part: &str) -> Result<PathBuf> {
    let dir = given.map_or_else(|| state_dir(part), Ok)?;
    std::path::absolute(&dir).map_err(|e| Error::io("find the working directory", &e))
}

/// `$XDG_RUNTIME_DIR/hostler`: sockets. Where the system has no such place, one beside the state.
pub fn runtime_dir() -> Result<PathBuf> {
    if var("XDG_RUNTIME_DIR").is_some() { base_dir("XDG_RUNTIME_DIR", "") } else { state_dir("run") }
}

/// Who and where we are, as SSH wants to know it.
pub fn surroundings() -> Surroundings {
    let uid = rustix::process::getuid().as_raw();
    let (user, home) = account(uid).unwrap_or_default();
    let name = Some(user).filter(|u| !u.is_empty()).or_else(|| var("LOGNAME")).or_else(|| var("USER"));
    Surroundings {
        home: PathBuf::from(var("HOME").unwrap_or(home)),
        user: name.unwrap_or_default(),
        uid,
        host: rt::host::hostname(),
        agent: var("SSH_AUTH_SOCK").map(PathBuf::from),
        environment: all().collect(),
    }
}

/// The name and the home of a user, where a file of passwd(5) knows it.
fn account(uid: u32) -> Option<(String, String)> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let ours = fields.get(2)?.parse() == Ok(uid);
        ours.then(|| Some((fields.first()?.to_string(), fields.get(5)?.to_string())))?
    })
}

/// The command line, for completion, which has a way of its own with it.
#[allow(clippy::disallowed_methods)] // the home of the environment
pub fn args() -> std::env::ArgsOs {
    std::env::args_os()
}
