//! Fleet directories on the disk, read and chosen from.

#![allow(clippy::unwrap_used)] // what is not as it must be ends the test

mod directories;
mod expressions;
mod git;
mod metadata;
mod platforms;
mod selections;

use inventory::{Inventory, Options, Selection};
use std::{fs, path::Path};

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    write(dir.path(), files);
    dir
}

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A fleet with one YAML platform `lab` in the same directory.
const LAB: (&str, &str) = ("hostler.yaml", "platforms:\n  - {name: lab, type: yaml, path: .}\n");

async fn load(dir: &Path) -> base::Result<Inventory> {
    inventory::load(dir, &Options::default()).await
}

async fn loaded(files: &[(&str, &str)]) -> Inventory {
    load(directory(files).path()).await.unwrap()
}

/// Why a fleet with these files is refused, without the directory in its texts.
async fn refused(files: &[(&str, &str)]) -> base::Error {
    let dir = directory(files);
    let mut error = load(dir.path()).await.unwrap_err();
    let real = dir.path().canonicalize().unwrap();
    let dirs = [real.as_path(), dir.path()].map(|dir| format!("{}/", dir.display()));
    let short = |text: &mut String| *text = dirs.iter().fold(text.clone(), |t, dir| t.replace(dir, ""));
    short(&mut error.message);
    [&mut error.field, &mut error.cause].into_iter().flatten().for_each(short);
    error
}

/// The names that these selectors mean.
async fn names(inventory: &mut Inventory, selectors: &[&str]) -> base::Result<Vec<String>> {
    let include = selectors.iter().map(|s| s.parse()).collect::<base::Result<_>>()?;
    let nodes = inventory.choose(&Selection { include, ..Selection::default() }).await?;
    Ok(nodes.into_iter().map(|n| n.name).collect())
}
