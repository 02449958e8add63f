//! Ansible's vault: texts and files that are encrypted with a password. The format is
//! `$ANSIBLE_VAULT;1.1;AES256` (1.2 with an id behind), then hexadecimal lines: salt, HMAC and ciphertext. Keys come from
//! PBKDF2 with SHA-256 and 10,000 rounds; the cipher is AES-256 in counter mode with PKCS#7 padding.

use aes::Aes256;
use base::{Code, Error, Result, Secret};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;

const HEADER: &str = "$ANSIBLE_VAULT";
const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;

/// The passwords that are at hand, and what they opened so far.
#[derive(Debug, Default)]
pub struct Vault {
    passwords: Vec<(String, Secret)>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// What was opened, by its envelope: a value of a group is opened once for all its hosts.
    opened: BTreeMap<String, Secret>,
    /// Texts of encrypted files.
    texts: Vec<Secret>,
}

impl Vault {
    /// With these passwords, each with its vault id (`default` where there are none).
    pub fn new(passwords: impl IntoIterator<Item = (String, Secret)>) -> Self {
        Vault { passwords: passwords.into_iter().collect(), found: Mutex::default() }
    }

    /// The passwords, and all that was opened so far: what an output may not show.
    pub fn secrets(&self) -> Vec<Secret> {
        let found = self.found.lock();
        let passwords = self.passwords.iter().map(|(_, password)| password);
        passwords.chain(found.opened.values()).chain(&found.texts).cloned().collect()
    }

    /// Whether a text is encrypted.
    pub(super) fn is_sealed(text: &str) -> bool {
        text.starts_with(HEADER) && text.is_ascii()
    }

    /// Decrypts a text. All passwords are tried, those with the id of the text first.
    pub(super) fn open(&self, sealed: &str) -> Result<Secret> {
        if let Some(secret) = self.found.lock().opened.get(sealed) {
            return Ok(secret.clone());
        }
        let envelope = Envelope::read(sealed)?;
        if self.passwords.is_empty() {
            return Err(Error::new(Code::Forbidden, "this is encrypted, and no vault password was given")
                .hint("name a file with the password, as ansible's --vault-password-file does"));
        }
        let (same, others): (Vec<_>, Vec<_>) = self.passwords.iter().partition(|(id, _)| *id == envelope.id);
        let opened = same.into_iter().chain(others).find_map(|(_, password)| envelope.open(password));
        let plain = opened.ok_or_else(|| {
            let ids: Vec<&str> = self.passwords.iter().map(|(id, _)| id.as_str()).collect();
            Error::new(Code::Forbidden, "no vault password opens this").because(format!(
                "it asks for '{}', and there are passwords for {}",
                envelope.id,
                ids.join(", ")
            ))
        })?;
        let text = String::from_utf8(plain)
            .map_err(|_| Error::new(Code::Invalid, "what is encrypted here is not a text"))?;
        let secret = Secret::new(text);
        self.found.lock().opened.insert(sealed.to_owned(), secret.clone());
        Ok(secret)
    }

    /// Keeps the texts of a piece of data out of outputs too: it stands in an encrypted file.
    pub(super) fn keep(&self, value: &Value) {
        match value {
            Value::String(text) => self.found.lock().texts.push(Secret::new(text)),
            Value::Number(number) => self.found.lock().texts.push(Secret::new(number.to_string())),
            Value::Array(list) => list.iter().for_each(|v| self.keep(v)),
            Value::Object(map) => map.values().for_each(|v| self.keep(v)),
            Value::Null | Value::Bool(_) => {}
        }
    }
}

/// An encrypted text, taken apart.
struct Envelope {
    id: String,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Envelope {
    fn read(text: &str) -> Result<Self> {
        let broken = |why: &str| Error::new(Code::Invalid, "this is not an Ansible vault").because(why);
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(';').map(str::trim).collect();
        let [HEADER, version, cipher, rest @ ..] = header.as_slice() else {
            return Err(broken("its first line must be like $ANSIBLE_VAULT;1.1;AES256"));
        };
        if *cipher != "AES256" || !matches!(*version, "1.1" | "1.2") {
            let message = format!("vaults of version {version} with {cipher} cannot be opened");
            return Err(Error::new(Code::Invalid, message)
                .hint("encrypt it again with a current ansible-vault: ansible-vault rekey FILE"));
        }
        let hexed = |text: &[u8], what: &str| {
            hex::decode(text).map_err(|_| broken(&format!("its {what} is not hexadecimal")))
        };
        let body: String = lines.map(str::trim).collect();
        let body = hexed(body.as_bytes(), "body")?;
        let mut parts = body.splitn(3, |b| *b == b'\n');
        let mut part = |what: &str| {
            let text = parts.next().ok_or_else(|| broken(&format!("its {what} is missing")))?;
            hexed(text, what)
        };
        let (salt, mac, ciphertext) = (part("salt")?, part("HMAC")?, part("ciphertext")?);
        let id = rest.first().map_or("default", |id| id).to_owned();
        Ok(Envelope { id, salt, mac, ciphertext })
    }

    /// The plain bytes, where this is the password.
    fn open(&self, password: &Secret) -> Option<Vec<u8>> {
        let mut keys = [0; 32 + 32 + BLOCK];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.expose_secret().as_bytes(), &self.salt, ROUNDS, &mut keys);
        let (cipher_key, rest) = keys.split_at(32);
        let (mac_key, counter) = rest.split_at(32);
        let mut mac = Hmac::<Sha256>::new_from_slice(mac_key).ok()?;
        mac.update(&self.ciphertext);
        mac.verify_slice(&self.mac).ok()?;
        let mut plain = self.ciphertext.clone();
        Ctr128BE::<Aes256>::new_from_slices(cipher_key, counter).ok()?.apply_keystream(&mut plain);
        // The HMAC vouches for the padding, so there is nothing to learn from it.
        let padding = usize::from(*plain.last()?);
        plain.truncate(plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding))?);
        Some(plain)
    }
}
