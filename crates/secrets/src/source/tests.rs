//! Every kind of source, on real files, programs and servers.

use super::*;
use ::age::{Encryptor, armor::ArmoredWriter, scrypt, secrecy::SecretString, x25519};
use ::keepass::{Database, DatabaseKey, db::Value as KdbxValue};
use base::{Code, Error, Secret};
use serde_json::{Value, json};
use std::{fs, io::Write, iter, path::Path};
use tempfile::TempDir;

const PLAIN: &str = "db:\n  password: s3cret-of-db\n  port: 5432\n";

/// A fleet directory with these files.
struct Fleet {
    dir: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Fleet {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let fleet = Fleet { dir: tempfile::tempdir().unwrap(), env: Vec::new() };
        for (name, content) in files {
            fs::write(fleet.path(name), content).unwrap();
        }
        fleet
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn surroundings(&self) -> Surroundings {
        let env = self.env.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(value)));
        Surroundings {
            dir: self.dir.path().into(),
            home: Some(self.dir.path().into()),
            env: env.collect(),
            ..Surroundings::default()
        }
    }

    async fn secrets(&self, yaml: &str) -> Result<Secrets> {
        let source: Source = serde_saphyr::from_str(yaml).unwrap();
        source.read(&self.surroundings()).await
    }

    async fn read(&self, yaml: &str) -> Result<Value> {
        Ok(self.secrets(yaml).await?.expose_secrets())
    }

    async fn refused(&self, yaml: &str) -> Error {
        let error = self.secrets(yaml).await.unwrap_err();
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        assert!(error.field.as_deref().is_some_and(|f| f.starts_with("secrets: ")), "{error:?}");
        error
    }
}

/// Encrypts as the tool does.
fn encrypted(encryptor: Encryptor, armor: bool) -> Vec<u8> {
    let format = if armor { ::age::armor::Format::AsciiArmor } else { ::age::armor::Format::Binary };
    let armored = ArmoredWriter::wrap_output(Vec::new(), format).unwrap();
    let mut writer = encryptor.wrap_output(armored).unwrap();
    writer.write_all(PLAIN.as_bytes()).unwrap();
    writer.finish().and_then(ArmoredWriter::finish).unwrap()
}

fn for_key(key: &x25519::Identity, armor: bool) -> Vec<u8> {
    let recipient = key.to_public();
    encrypted(Encryptor::with_recipients(iter::once(&recipient as _)).unwrap(), armor)
}

fn key_file(key: &x25519::Identity) -> String {
    use ::age::secrecy::ExposeSecret;
    format!("# created: today\n# public key: {}\n{}\n", key.to_public(), key.to_string().expose_secret())
}

#[tokio::test]
async fn age_files_open_with_a_key() {
    let (key, other) = (x25519::Identity::generate(), x25519::Identity::generate());
    let (binary, armored) = (for_key(&key, false), for_key(&key, true));
    assert!(armored.starts_with(b"-----BEGIN AGE"));
    let both = key_file(&other) + &key_file(&key);
    let fleet = Fleet::new(&[
        ("s.age", &binary),
        ("s.armored", &armored),
        ("damaged", &binary[..binary.len() - 9]),
        ("key", both.as_bytes()),
        ("other", key_file(&other).as_bytes()),
        ("no-key", b"AGE-SECRET-KEY-s3cret"),
    ]);
    let expected = Ok(json!({"db": {"password": "s3cret-of-db", "port": 5432}}));
    assert_eq!(fleet.read("{type: age, file: s.age, identity: ~/key}").await, expected);
    assert_eq!(fleet.read("{type: age, file: s.armored, identity: key}").await, expected);
    let below = fleet.read("{type: age, file: s.age, identity: key, at: a.b}").await.unwrap();
    assert_eq!(below["a"]["b"]["db"]["port"], 5432);
    let e = fleet.refused("{type: age, file: s.age, identity: other}").await;
    assert_eq!((e.code, e.message.as_str()), (Code::Forbidden, "s.age is not encrypted for any of the keys"));
    assert_eq!(fleet.refused("{type: age, file: damaged, identity: key}").await.code, Code::Invalid);
    assert_eq!(fleet.refused("{type: age, file: s.age, identity: no-key}").await.code, Code::Invalid);
    assert_eq!(fleet.refused("{type: age, file: s.age, identity: absent}").await.code, Code::NotFound);
    assert!(fleet.refused("{type: age, file: s.age}").await.hint.unwrap().contains("identity"));
}

#[tokio::test]
async fn age_files_open_with_a_passphrase() {
    let mut recipient = scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
    recipient.set_work_factor(4);
    let file = encrypted(Encryptor::with_recipients(iter::once(&recipient as _)).unwrap(), true);
    let fleet = Fleet::new(&[("s.age", &file), ("pass", b"correct horse\n"), ("wrong", b"wrong horse")])
        .env("PASS", "correct horse");
    for given in ["passphrase_file: pass", "passphrase_env: PASS"] {
        let read = fleet.read(&format!("{{type: age, file: s.age, {given}}}")).await.unwrap();
        assert_eq!(read["db"]["password"], "s3cret-of-db");
    }
    let e = fleet.refused("{type: age, file: s.age, passphrase_file: wrong}").await;
    assert_eq!(e.message, "s.age does not open with this passphrase or key");
    let e = fleet.refused("{type: age, file: s.age, passphrase_env: OTHER}").await;
    assert_eq!(e.message, "the variable OTHER with the passphrase is not set");
    fleet.refused("{type: age, file: s.age, passphrase_env: PASS, passphrase_file: pass}").await;
}

/// What the tool `age` of Debian writes is read.
#[tokio::test]
async fn age_files_of_the_real_tool() {
    let fleet = Fleet::new(&[("plain", PLAIN.as_bytes())]);
    let limit = std::time::Duration::from_secs(20);
    let age = |program: &str, args: &[&str]| {
        let mut command = rt::process::command(program);
        command.args(args).current_dir(fleet.dir.path());
        rt::process::run(command, limit)
    };
    age("age-keygen", &["-o", "key"]).await.unwrap();
    let key = age("age-keygen", &["-y", "key"]).await.unwrap().stdout;
    age("age", &["-r", key.trim(), "-o", "s.age", "plain"]).await.unwrap();
    age("age", &["-a", "-r", key.trim(), "-o", "s.armored", "plain"]).await.unwrap();
    for file in ["s.age", "s.armored"] {
        let read = fleet.read(&format!("{{type: age, file: {file}, identity: key}}")).await.unwrap();
        assert_eq!(read["db"]["password"], "s3cret-of-db");
    }
}

#[tokio::test]
async fn variables_become_names() {
    let fleet =
        Fleet::new(&[]).env("APP_DB__PASSWORD", "s3cret").env("APP_TOKEN", "s3cret2").env("HOME", "x");
    let read = fleet.read("{type: env, prefix: APP_}").await;
    assert_eq!(read, Ok(json!({"db": {"password": "s3cret"}, "token": "s3cret2"})));
    let clash = Fleet::new(&[]).env("APP_DB", "s3cret").env("APP_DB__PASSWORD", "s3cret2");
    assert_eq!(clash.refused("{type: env, prefix: APP_}").await.code, Code::Conflict);
    fleet.refused("{type: env, prefix: ''}").await;
}

#[tokio::test]
async fn a_command_gives_what_it_prints() {
    let fleet = Fleet::new(&[("s.json", br#"{"token": "s3cret $HOME"}"#)]);
    let read = fleet.read("{type: command, argv: [cat, s.json]}").await;
    assert_eq!(read, Ok(json!({"token": "s3cret $HOME"})));
    let e = fleet.refused("{type: command, argv: [sh, -c, 'echo s3cret; echo s3cret >&2; exit 3']}").await;
    assert_eq!(e.message, "sh failed (exit status: 3)");
    assert_eq!(fleet.refused("{type: command, argv: [sleep, '30'], timeout: 0}").await.code, Code::Timeout);
    assert_eq!(fleet.refused("{type: command, argv: [no-such-program]}").await.code, Code::NotFound);
    assert_eq!(fleet.refused("{type: command, argv: [echo, s3cret]}").await.code, Code::Invalid);
    assert_eq!(fleet.refused("{type: command, argv: ['yes', s3cret]}").await.code, Code::TooLarge);
    assert_eq!(fleet.refused("{type: command, argv: []}").await.code, Code::Invalid);
}

/// A database with a password and a key file.
fn database(path: &Path) {
    let mut database = Database::new();
    let set = |entry: &mut ::keepass::db::EntryMut<'_>, title: &str, password: &str| {
        entry.set_unprotected("Title", title);
        entry.set_unprotected("UserName", "administrator");
        entry.set_protected("Password", password);
        entry.set_unprotected("Notes", "");
    };
    let mut root = database.root_mut();
    set(&mut root.add_entry(), "top", "s3cret-of-top");
    let mut group = root.add_group();
    group.name = "servers".into();
    let mut entry = group.add_entry();
    set(&mut entry, "web", "s3cret-of-web");
    entry.set_protected("api key", "s3cret-of-api");
    entry.add_attachment("id_ed25519", KdbxValue::protected(b"s3cret-key\n".to_vec()));
    let mut root = database.root_mut();
    let mut bin = root.add_group();
    bin.name = "Recycle Bin".into();
    let bin_id = bin.id();
    set(&mut bin.add_entry(), "old", "s3cret-of-old");
    database.meta.recyclebin_uuid = Some(bin_id.uuid());
    let key = DatabaseKey::new().with_password("s3cret-pass").with_keyfile(&mut &b"key file"[..]).unwrap();
    database.save(&mut fs::File::create(path).unwrap(), key).unwrap();
}

#[tokio::test]
async fn a_keepass_database_gives_its_groups_and_entries() {
    let fleet = Fleet::new(&[("key", b"key file")]).env("PASS", "s3cret-pass").env("WRONG", "s3cret-wrong");
    database(&fleet.path("s.kdbx"));
    let common = "type: keepass, database: s.kdbx, key_file: key";
    let all = fleet.secrets(&format!("{{{common}, password_env: PASS}}")).await.unwrap();
    let expected = json!({
        "top": {"username": "administrator", "password": "s3cret-of-top"},
        "servers": {"web": {
            "username": "administrator", "password": "s3cret-of-web", "api key": "s3cret-of-api",
            "files": {"id_ed25519": "s3cret-key\n"},
        }},
    });
    assert_eq!(all.expose_secrets(), expected);
    let redactor = all.redactor([]).unwrap();
    assert_eq!(redactor.text("administrator s3cret-of-web s3cret-key"), "administrator ******** ********");
    let one = fleet.read(&format!("{{{common}, password_env: PASS, group: servers, at: x}}")).await.unwrap();
    assert_eq!(one["x"]["web"]["password"], "s3cret-of-web");
    let e = fleet.refused(&format!("{{{common}, password_env: WRONG}}")).await;
    assert_eq!(e.message, "the database does not open with this password or key file");
    let e = fleet.refused(&format!("{{{common}, password_env: PASS, group: a/b}}")).await;
    assert_eq!(e.message, "the database has no group a/b");
    fleet.refused("{type: keepass, database: s.kdbx}").await;
    fleet.refused("{type: keepass, database: key, password_env: PASS}").await;
}

#[tokio::test]
async fn sources_are_read_when_needed_and_merged() {
    let fleet = Fleet::new(&[("a.json", br#"{"db": {"user": "u"}}"#), ("b.yaml", b"db: {password: s3cret}")]);
    let file = |name: &str| Source::File(file::File { file: name.into(), at: None });
    let both = crate::Lazy::new(vec![file("a.json"), file("b.yaml")], fleet.surroundings());
    assert!(both.if_read().is_none());
    let expected = json!({"db": {"user": "u", "password": "s3cret"}});
    assert_eq!(both.get().await.unwrap().expose_secrets(), expected);
    fs::remove_file(fleet.path("a.json")).unwrap();
    assert_eq!(both.get().await.unwrap().expose_secrets(), expected, "read once");
    fs::write(fleet.path("a.json"), r#"{"db": {"password": "s3cret-other"}}"#).unwrap();
    let differing = crate::Lazy::new(vec![file("a.json"), file("b.yaml")], fleet.surroundings());
    let e = differing.get().await.unwrap_err();
    assert_eq!(e.message, "the secret 'db.password' has different values");
    assert_eq!(e.cause.as_deref(), Some("it is in file a.json and in file b.yaml"));
    let long = vec![b'x'; (1 << 20) + 1];
    let large = Fleet::new(&[("large", &long)]);
    assert_eq!(large.refused("{type: file, file: large}").await.code, Code::TooLarge);
}

/// A controller that keeps one word.
#[derive(Debug)]
struct Keeper;

impl crate::Credentials for Keeper {
    fn credential<'a>(&'a self, name: &'a base::Name) -> futures::future::BoxFuture<'a, Result<Secret>> {
        let kept = match name.as_str() {
            "word" => Ok(Secret::new("s3cret-word\n")),
            other => Err(Error::new(Code::Forbidden, format!("{other} is not granted"))),
        };
        Box::pin(std::future::ready(kept))
    }
}

#[tokio::test]
async fn credentials_are_those_of_the_controller_that_runs_us() {
    let fleet = Fleet::new(&[]);
    let e = fleet.refused("{type: credential, name: word}").await;
    assert_eq!(e.code, Code::Unavailable);
    assert!(e.hint.unwrap().contains("hostler fleet run"));
    let inside = Surroundings { credentials: Some(std::sync::Arc::new(Keeper)), ..fleet.surroundings() };
    for (yaml, expected) in [
        ("{type: credential, name: word}", json!({"word": "s3cret-word"})),
        ("{type: credential, name: word, at: db.password}", json!({"db": {"password": "s3cret-word"}})),
    ] {
        let source: Source = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(source.read(&inside).await.unwrap().expose_secrets(), expected);
    }
    let other: Source = serde_saphyr::from_str("{type: credential, name: other}").unwrap();
    let e = other.read(&inside).await.unwrap_err();
    assert_eq!((e.code, e.field.as_deref()), (Code::Forbidden, Some("secrets: credential other")));
    assert!(serde_saphyr::from_str::<Source>("{type: credential, name: ../x}").is_err());
}

mod vault;
