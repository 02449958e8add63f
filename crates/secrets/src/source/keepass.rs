//! A KeePass database (KDBX 3 or 4, KDB).

use crate::{Secrets, Surroundings};
use base::{Code, Error, Result, Secret};
use keepass::{
    Database, DatabaseKey,
    db::{EntryRef, fields},
    error::{DatabaseKeyError, DatabaseOpenError},
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};

/// A database. Groups and titles become names: the entry `web` in the group `db` gives `db.web.password`,
/// `db.web.username`, `db.web.url`, `db.web.notes`, its further fields by their own names, and `db.web.files.NAME`. What
/// KeePass itself does not protect (user names, URLs) is not hidden in outputs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keepass {
    /// Where it is, relative to the fleet directory.
    pub database: PathBuf,
    /// The variable with its password.
    pub password_env: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// Its key file.
    pub key_file: Option<PathBuf>,
    /// The group to read, without the rest: `internet/servers`.
    pub group: Option<String>,
    /// The name that its values go below.
    pub at: Option<String>,
}

impl Keepass {
    pub(super) async fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let database = surroundings.read(&self.database)?;
        let key = self.key(surroundings)?;
        let (source, group) = (name.into(), self.group.clone());
        // The key costs a second of work on purpose.
        rt::task::blocking(move || {
            let database = Database::parse(&database, key).map_err(|e| explain(&e))?;
            read(&database, group.as_deref(), &source)
        })
        .await?
    }

    fn key(&self, surroundings: &Surroundings) -> Result<DatabaseKey> {
        let (variable, file) = (self.password_env.as_deref(), self.password_file.as_deref());
        let mut key = DatabaseKey::new();
        if let Some(password) = surroundings.secret("password", variable, file)? {
            key = key.with_password(password.expose_secret());
        }
        if let Some(file) = &self.key_file {
            let bytes = surroundings.read(file)?;
            let wrong = |e| Error::io(format_args!("use the key file {}", file.display()), &e);
            key = key.with_keyfile(&mut bytes.as_slice()).map_err(wrong)?;
        }
        if key.is_empty() {
            return Err(Error::new(Code::Invalid, "there is nothing to open it with")
                .hint("give password_file: FILE, password_env: NAME or key_file: FILE"));
        }
        Ok(key)
    }
}

fn explain(error: &DatabaseOpenError) -> Error {
    match error {
        DatabaseOpenError::Key(DatabaseKeyError::IncorrectKey) => {
            Error::new(Code::Forbidden, "the database does not open with this password or key file")
        }
        other => Error::new(Code::Invalid, "the database cannot be read").because(kind(other)),
    }
}

/// The crate's words for what is inside are left out: they may quote it.
fn kind(error: &DatabaseOpenError) -> String {
    let debug = format!("{error:?}");
    debug.split(['(', '{', ' ']).next().unwrap_or_default().to_owned()
}

fn read(database: &Database, group: Option<&str>, source: &Arc<str>) -> Result<Secrets> {
    let path: Vec<&str> = group.iter().flat_map(|g| g.split('/')).filter(|p| !p.is_empty()).collect();
    let root = database.root();
    let Some(start) = (if path.is_empty() { Some(root) } else { root.group_by_path(&path) }) else {
        return Err(Error::not_found(format!("the database has no group {}", path.join("/"))));
    };
    let mut secrets = Secrets::default();
    let bin = database.recycle_bin().map(|bin| bin.id());
    let mut open = vec![(Vec::new(), start.id())];
    while let Some((path, id)) = open.pop() {
        let Some(group) = database.group(id).filter(|_| Some(id) != bin) else { continue };
        for entry in group.entries() {
            add(&mut secrets, &path, &entry, source)?;
        }
        open.extend(
            group.groups().map(|g| ([path.as_slice(), std::slice::from_ref(&g.name)].concat(), g.id())),
        );
    }
    Ok(secrets)
}

fn add(secrets: &mut Secrets, group: &[String], entry: &EntryRef<'_>, source: &Arc<str>) -> Result<()> {
    let Some(title) = entry.get_title().filter(|t| !t.is_empty()) else { return Ok(()) };
    let path = [group, &[title.to_owned()]].concat();
    if secrets.has(&path) {
        return Err(Error::conflict(format!("two entries or groups are called '{}'", path.join("/")))
            .hint("give one of them another title"));
    }
    let below = |names: &[&str]| -> Vec<String> {
        path.iter().cloned().chain(names.iter().map(|n| (*n).to_owned())).collect()
    };
    for (field, value) in &entry.fields {
        let name = match field.as_str() {
            fields::TITLE => continue,
            fields::USERNAME => "username",
            fields::PASSWORD => "password",
            fields::URL => "url",
            fields::NOTES => "notes",
            other => other,
        };
        if !value.get().is_empty() {
            // Not every program marks the password as protected, so the name counts too.
            let hidden = value.is_protected() || name == "password";
            secrets.insert(below(&[name]), Secret::new(value.get()), hidden, source);
        }
    }
    for (name, attachment) in entry.attachments_named() {
        if let Ok(text) = std::str::from_utf8(attachment.data.get()) {
            secrets.insert(below(&["files", name]), Secret::new(text), true, source);
        }
    }
    Ok(())
}
