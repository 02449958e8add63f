//! The environment and the places that it names (XDG Base Directory Specification, on Linux and macOS alike).

use base::{Error, Result};
use std::path::PathBuf;

/// A variable, unless it is empty.
#[allow(clippy::disallowed_methods)] // the home of the environment
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// All variables that are text, for sources of secrets.
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

/// The command line, for completion, which has a way of its own with it.
#[allow(clippy::disallowed_methods)] // the home of the environment
pub fn args() -> std::env::ArgsOs {
    std::env::args_os()
}
