//! What sources need of the world around them.

use base::{Error, Name, Result, Secret};
use futures::future::BoxFuture;
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

/// No source is larger, so that a wrong path does no harm.
pub(crate) const LARGEST: u64 = 1 << 20;

/// What sources need of the world around them.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Where relative paths begin, and commands run: the fleet directory.
    pub dir: PathBuf,
    /// The user's home, for paths that begin with `~/`.
    pub home: Option<PathBuf>,
    /// The variables that sources may read.
    pub env: BTreeMap<String, Secret>,
    /// Who keeps credentials, inside an operation of a controller.
    pub credentials: Option<Arc<dyn Credentials>>,
}

/// A controller, as an operation sees it.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// A credential of the operation's project.
    ///
    /// # Errors
    /// [`base::Code::Forbidden`] where the directory was not granted it.
    fn credential<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Secret>>;
}

impl Surroundings {
    /// A path of the configuration as a path of this process.
    pub(crate) fn path(&self, path: &Path) -> Result<PathBuf> {
        let Ok(below_home) = path.strip_prefix("~") else { return Ok(self.dir.join(path)) };
        let home = self.home.as_ref().ok_or_else(|| {
            Error::new(base::Code::Invalid, format!("there is no home for {}", path.display()))
        });
        Ok(home?.join(below_home))
    }

    /// Reads a file of at most 1 MiB.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let path = self.path(path)?;
        let doing = |e| Error::io(format_args!("read {}", path.display()), &e);
        let mut bytes = Vec::new();
        let file = fs::File::open(&path).map_err(doing)?;
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(doing)?;
        if bytes.len() as u64 > LARGEST {
            let message = format!("{} is larger than 1 MiB", path.display());
            return Err(Error::new(base::Code::TooLarge, message));
        }
        Ok(bytes)
    }

    /// A password or token that is in a variable or, but for the line end, in a file; `None` where neither is named.
    pub(crate) fn secret(
        &self,
        what: &str,
        variable: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<Secret>> {
        match (variable, file) {
            (None, None) => Ok(None),
            (Some(name), None) => match self.env.get(name) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(Error::not_found(format!("the variable {name} with the {what} is not set"))),
            },
            (None, Some(file)) => {
                let text = String::from_utf8(self.read(file)?).map_err(|_| {
                    Error::new(base::Code::Invalid, format!("{} is not text", file.display()))
                })?;
                Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
            }
            (Some(_), Some(_)) => Err(Error::new(
                base::Code::Invalid,
                format!("the {what} is given twice, by a variable and by a file"),
            )),
        }
    }
}
