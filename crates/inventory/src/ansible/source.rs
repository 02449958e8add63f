//! Sources of an inventory: which files they are, in which form each is, and reading them into the builder.

use super::{
    Options, address,
    builder::{Builder, Source, UNGROUPED},
    data::Data,
    ini, script, tree,
    vault::Vault,
    yaml,
};
use base::{Error, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What Ansible passes over in a directory of inventories, by the end of the name.
const IGNORED_ENDS: [&str; 13] =
    [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".ini", ".cfg", ".retry"];
/// And by the whole name.
const IGNORED_NAMES: [&str; 3] = ["host_vars", "group_vars", "vars_plugins"];

/// Adds a source: a file, a directory of inventories or a list of hosts with a comma. Gives the directory that may have
/// `group_vars` and `host_vars`, for what has one.
pub(super) async fn read(source: &str, options: &Options, builder: &mut Builder) -> Result<Option<PathBuf>> {
    let path = options.directory.join(source);
    if source.contains(',') && !path.exists() {
        list(source, builder)?;
        return Ok(None);
    }
    let metadata = fs::metadata(&path)
        .map_err(|e| Error::io(format_args!("read the inventory {}", path.display()), &e))?;
    let mut files = Vec::new();
    if metadata.is_dir() {
        files_below(&path, &mut files)?;
        if files.is_empty() {
            builder.warnings.push(format!("{}: there is no inventory in this directory", path.display()));
        }
    } else {
        files.push(path.clone());
    }
    for file in files {
        let dir = file.parent().map(Path::to_owned);
        builder.source = Arc::new(Source { name: file.display().to_string(), dir });
        read_file(&file, options, builder).await?;
        builder.sealed_by = None;
    }
    Ok(Some(if metadata.is_dir() { path } else { path.parent().unwrap_or(Path::new("/")).to_owned() }))
}

/// Hosts with commas between them.
fn list(source: &str, builder: &mut Builder) -> Result<()> {
    builder.source = Arc::new(Source { name: source.to_owned(), dir: None });
    for host in source.split(',').map(str::trim).filter(|h| !h.is_empty()) {
        let (name, port) = address::parse(host).filter(|(h, _)| !h.contains('[')).unwrap_or((host, None));
        if !builder.hosts.contains_key(name) {
            builder.add_host(name, UNGROUPED, port)?;
        }
    }
    Ok(())
}

/// The inventories of a directory and those below it, by name.
fn files_below(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for (name, path) in entries(dir)? {
        let ignored = name.starts_with('.')
            || IGNORED_NAMES.contains(&name.as_str())
            || IGNORED_ENDS.iter().any(|end| name.ends_with(end));
        if ignored {
            continue;
        }
        if path.is_dir() {
            files_below(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The entries of a directory in the order of their names.
pub(super) fn entries(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e: std::io::Error| Error::io(format_args!("list {}", dir.display()), &e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

async fn read_file(path: &Path, options: &Options, builder: &mut Builder) -> Result<()> {
    let name = path.display().to_string();
    if is_program(path)? {
        let said = script::run(path, &options.directory, options.script_limit).await?;
        return script::read(&name, said, builder);
    }
    let (text, sealed) = text(path, &options.vault)?;
    builder.sealed_by = sealed.then(|| options.vault.clone());
    let extension = path.extension().and_then(|e| e.to_str());
    if !matches!(extension, None | Some("yml" | "yaml" | "json")) {
        return ini::read(&name, &text, builder);
    }
    let data = match yaml::read(&name, &text) {
        Ok(data @ Data::Map(_)) => return tree::read(&name, &data, builder),
        Ok(data) => tree::read(&name, &data, &mut Builder::new()),
        Err(error) => Err(error),
    };
    // An INI file may have any name. Where it is no INI file either, the name says what it was meant to be.
    let Err(not_yaml) = data else { return Ok(()) };
    let mut probe = Builder::new();
    let as_ini = ini::read(&name, &text, &mut probe);
    match as_ini {
        Ok(()) => ini::read(&name, &text, builder),
        Err(_) if extension.is_some() || text.starts_with("---") => Err(not_yaml),
        Err(not_ini) => Err(not_ini),
    }
}

/// Whether a file is run: it is executable and begins as a script or a program does. Text that merely has the mode of a
/// program is read.
fn is_program(path: &Path) -> Result<bool> {
    use std::io::Read;
    let failed = |e: std::io::Error| Error::io(format_args!("read the inventory {}", path.display()), &e);
    let mut file = fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o111 == 0 {
        return Ok(false);
    }
    let mut begin = Vec::new();
    file.by_ref().take(4).read_to_end(&mut begin).map_err(failed)?;
    Ok(begin.starts_with(b"#!") || begin == b"\x7fELF" || begin == [0xcf, 0xfa, 0xed, 0xfe])
}

/// The text of a file, and whether it was encrypted.
pub(super) fn text(path: &Path, vault: &Vault) -> Result<(String, bool)> {
    let bytes = fs::read(path).map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::invalid(path.display().to_string(), "this file is not in UTF-8").because(e))?;
    if !Vault::is_sealed(&text) {
        return Ok((text, false));
    }
    let opened = vault.open(&text).map_err(|e| e.at(path.display().to_string()))?;
    Ok((opened.expose_secret().to_owned(), true))
}
