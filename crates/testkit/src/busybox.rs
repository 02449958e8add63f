//! Root directories with BusyBox, and what it needs to run.

use base::{Error, Result};
use std::{collections::BTreeSet, path::Path, time::Duration};

/// What the package `busybox` installs.
pub const PROGRAM: &str = "/bin/busybox";

/// Installs BusyBox with all its commands, and these programs of this machine.
///
/// # Errors
/// Where one is missing, or cannot be copied.
pub async fn install(root: &Path, programs: &[&str]) -> Result<()> {
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin).map_err(|e| Error::io("make a directory", &e))?;
    let mut files = BTreeSet::new();
    for program in programs.iter().chain(&[PROGRAM]) {
        files.insert((*program).to_owned());
        files.extend(libraries(program).await?);
    }
    for file in files {
        copy(Path::new(&file), root)?;
    }
    for applet in run(PROGRAM, "--list").await?.split_whitespace().filter(|a| *a != "busybox") {
        let link = std::os::unix::fs::symlink("busybox", bin.join(applet));
        link.map_err(|e| Error::io("make a link", &e))?;
    }
    Ok(())
}

/// The shared libraries of a program, the loader among them; none where it is linked statically.
async fn libraries(program: &str) -> Result<Vec<String>> {
    let said = match run("ldd", program).await {
        Err(e) if e.cause.as_deref().is_some_and(|why| why.contains("not a dynamic executable")) => {
            return Ok(Vec::new());
        }
        said => said?,
    };
    Ok(said.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// Copies a file to the same place below `root`.
fn copy(file: &Path, root: &Path) -> Result<()> {
    let to = root.join(file.strip_prefix("/").unwrap_or(file));
    let doing = |e: std::io::Error| Error::io(format_args!("copy {}", file.display()), &e);
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir).map_err(doing)?;
    }
    std::fs::copy(file, to).map(drop).map_err(doing)
}

async fn run(program: &str, argument: &str) -> Result<String> {
    let mut command = rt::process::command(program);
    command.arg(argument);
    Ok(rt::process::run(command, Duration::from_secs(20)).await?.stdout)
}
