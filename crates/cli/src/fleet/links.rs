//! `hostler fleet links`: this program under the names of Hybrid Platforms Conductor's.
//!
//! The names are links to this program, which knows from the name it is called by that the options are to be read as that
//! system reads them: abbreviated, with underscores, with its short letters. They become a command line of ours.

mod options;
mod tools;

use crate::{Result, app::App, env, failure::OK};
use base::Error;
use clap::Args;
use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Make run, deploy, check-node, report, test and the others of Hybrid Platforms Conductor, as links to this program.
#[derive(Args, Debug)]
pub struct Links {
    /// Where to make them, e.g. bin
    dir: PathBuf,
}

impl Links {
    pub fn run(self, app: &App) -> Result {
        let program = std::env::current_exe().map_err(|e| Error::io("find this program", &e))?;
        fs::create_dir_all(&self.dir)
            .map_err(|e| Error::io(format_args!("make {}", self.dir.display()), &e))?;
        for tool in tools::TOOLS {
            link(&program, &self.dir.join(tool.name))?;
        }
        let names: Vec<&str> = tools::TOOLS.iter().map(|t| t.name).collect();
        app.printer.note(&format!("{}: {}", self.dir.display(), names.join(", ")));
        Ok(OK)
    }
}

/// Makes or renews one. What is there and is no link stays.
fn link(program: &Path, at: &Path) -> Result<()> {
    match fs::read_link(at) {
        Ok(there) if there == program => return Ok(()),
        Ok(_) => fs::remove_file(at).map_err(|e| Error::io(format_args!("replace {}", at.display()), &e))?,
        Err(_) if at.exists() => {
            let error = Error::conflict(format!("{} is there already, and is no link", at.display()));
            return Err(error.hint("remove it, or make the links in another directory").into());
        }
        Err(_) => {}
    }
    Ok(symlink(program, at).map_err(|e| Error::io(format_args!("link {}", at.display()), &e))?)
}

/// The command line that is meant, where this program was called by one of those names.
pub fn meant(args: &[OsString]) -> Option<Result<Vec<OsString>>> {
    let name = Path::new(args.first()?).file_name().and_then(OsStr::to_str)?;
    let tool = tools::TOOLS.iter().find(|t| t.name == name)?;
    Some(translate(tool, &args[1..]))
}

fn translate(tool: &'static tools::Tool, args: &[OsString]) -> Result<Vec<OsString>> {
    let given = options::read(tool, args)?;
    let instead = given.iter().find_map(options::Given::instead);
    let mut ours: Vec<OsString> = vec!["hostler".into()];
    ours.extend(instead.unwrap_or(tool.words).iter().map(Into::into));
    for option in &given {
        ours.extend(option.ours(tool)?);
    }
    if !ours.iter().any(|a| a == "--help") {
        ours.extend(fleet_dir()?);
    }
    Ok(ours)
}

/// Where that system would look for its configuration.
fn fleet_dir() -> Result<Vec<OsString>> {
    let named = env::var("hpc_platforms").map(PathBuf::from);
    let dir = named.clone().unwrap_or_else(|| ".".into());
    let there = dir.canonicalize().unwrap_or(dir);
    if there.join("hpc_config.rb").is_file() && inventory::find(&there).is_err() {
        let error = Error::not_found("there is no hostler.yaml here yet, only hpc_config.rb");
        return Err(error.hint("run: hostler fleet import").into());
    }
    Ok(named.map(|dir| vec!["--fleet-dir".into(), dir.into()]).unwrap_or_default())
}

#[cfg(test)]
mod tests;
