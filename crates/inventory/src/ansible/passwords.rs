//! Where vault passwords come from: a file that holds one, or a program that prints one. A program is the user's code.

use base::{Code, Error, Result, Secret};
use rt::process;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A vault password as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultId {
    /// The id that vaults ask for.
    pub id: String,
    /// The file or the program.
    pub path: PathBuf,
}

impl VaultId {
    /// Reads `ID@PATH`, or a path alone for the id `default`, as `ansible --vault-id` takes them.
    pub fn parse(text: &str) -> Self {
        let (id, path) = text.split_once('@').filter(|(id, _)| !id.is_empty()).unwrap_or(("default", text));
        VaultId { id: id.to_owned(), path: PathBuf::from(path) }
    }

    /// Reads the password. An executable file is run in `directory`, for at most `limit`; one whose name ends with
    /// `-client` is told the id by `--vault-id ID`.
    pub async fn password(&self, directory: &Path, limit: Duration) -> Result<Secret> {
        let path = directory.join(&self.path);
        let name = path.display().to_string();
        let metadata = fs::metadata(&path)
            .map_err(|e| Error::io(format_args!("read the vault password file {name}"), &e))?;
        let text = if metadata.permissions().mode() & 0o111 == 0 {
            let text = fs::read_to_string(&path)
                .map_err(|e| Error::io(format_args!("read the vault password file {name}"), &e))?;
            text.trim().to_owned()
        } else {
            let mut command = process::command(&path);
            command.current_dir(directory);
            if path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-client")) {
                command.args(["--vault-id", &self.id]);
            }
            let output = process::run(command, limit).await.map_err(|e| {
                e.at(name.as_str()).hint("if the file holds the password itself, make it not executable")
            })?;
            output.stdout.trim_matches(['\r', '\n']).to_owned()
        };
        if text.is_empty() {
            return Err(Error::new(Code::Invalid, "the vault password is empty").at(name));
        }
        Ok(Secret::new(text))
    }
}
