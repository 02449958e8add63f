//! Contexts: the clusters that this user knows, in `$XDG_CONFIG_HOME/hostler/config.toml`, mode 0600.

use base::{Code, Error, Name, Result, Secret};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt, path::Path};

/// One cluster, and who we are there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// `https://host:6120`, or `http://` for this host alone.
    pub url: String,
    /// The bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The pin of the controller's CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_pin: Option<String>,
    /// The certificate of the controller's CA, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The project, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// A public key that new VMs get, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_public_key: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contexts {
    /// The one that is used where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    pub contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Reads the file; none at all is no contexts.
    ///
    /// # Errors
    /// A file that others can read is refused: it holds tokens.
    pub fn load(path: &Path) -> Result<Self> {
        let doing = |e: &io::Error| Error::io(format_args!("read {}", path.display()), e);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(e) => return Err(doing(&e)),
        };
        let mode = fs::metadata(path).map_err(|e| doing(&e))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::new(
                Code::Invalid,
                format!("others can read {}, which holds tokens", path.display()),
            )
            .hint(format!("chmod 600 {}", path.display())));
        }
        toml::from_str(&text).map_err(|e| {
            Error::new(Code::Invalid, format!("{} cannot be read", path.display()))
                .because(e.to_string().trim_end())
                .hint("repair that file, or move it away and add the contexts again")
        })
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).map_err(|e| Error::internal("cannot write contexts").because(e))?;
        if let Some(dir) = path.parent() {
            rt::files::private_dir(dir)?;
        }
        rt::files::write_atomic(path, text.as_bytes())
    }

    /// Adds or replaces a context and makes it the current one where there is none, or where `select` says so.
    pub fn put(&mut self, name: &str, context: Context, select: bool) {
        self.contexts.insert(name.to_owned(), context);
        if select || self.current.is_none() {
            self.current = Some(name.to_owned());
        }
    }

    /// One by name.
    pub fn get(&self, name: &str) -> Result<&Context> {
        self.contexts.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
            let error = Error::not_found(format!("there is no context '{name}'"));
            if known.is_empty() {
                error.hint("start a cluster here with `hostler dev`, or add one with `hostler context add`")
            } else {
                error.hint(format!("known are: {}", known.join(", ")))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dev() -> Context {
        Context {
            url: "http://127.0.0.1:6120".into(),
            token: Some(Secret::new("hst_x")),
            ..Context::default()
        }
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("a/config.toml");
        assert_eq!(Contexts::load(&path).unwrap(), Contexts::default());
        let mut contexts = Contexts::default();
        contexts.put("dev", dev(), false);
        contexts.put("lab", Context { ca: Some("-----BEGIN\nx\n".into()), ..dev() }, false);
        assert_eq!(contexts.current.as_deref(), Some("dev"));
        contexts.save(&path).unwrap();
        assert_eq!(Contexts::load(&path).unwrap(), contexts);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_for_all_eyes_is_refused() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Contexts::load(&path).unwrap_err().hint.unwrap().starts_with("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "current = [").unwrap();
        assert_eq!(Contexts::load(&path).unwrap_err().code, Code::Invalid);
    }

    #[test]
    fn an_unknown_context_names_the_known_ones() {
        let mut contexts = Contexts::default();
        assert!(contexts.get("x").unwrap_err().hint.unwrap().contains("hostler dev"));
        contexts.put("dev", dev(), false);
        assert_eq!(contexts.get("x").unwrap_err().hint.unwrap(), "known are: dev");
    }
}
