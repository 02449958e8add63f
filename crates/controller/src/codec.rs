//! How objects lie in the store: JSON with a version, secrets sealed, without what is filled in on reading.

use crate::{kind::Kind, seal::Seal};
use api::assignment::GuestKeys;
use base::{Error, Result, Revision, Secret};
use serde::{Deserialize, Serialize};

/// The version of stored values. A value of a later version is refused, not guessed at.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct StoredRef<'a, K> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'a str>,
    object: &'a K,
}

#[derive(Deserialize)]
struct StoredVersion {
    v: u32,
}

#[derive(Deserialize)]
struct Stored<K> {
    #[serde(default)]
    keys: Option<String>,
    object: K,
}

/// What a stored value holds.
pub struct Decoded<K> {
    /// The object, with its secrets opened.
    pub object: K,
    /// The sealed keys of a VM.
    pub keys: Option<String>,
}

/// The value to store. `keys` are a VM's, sealed by [`seal_keys`].
pub fn encode<K: Kind>(seal: &Seal, object: &K, keys: Option<&str>) -> Result<Vec<u8>> {
    let mut object = object.clone();
    object.metadata_mut().revision = Revision::default();
    let uid = object.metadata().uid;
    for (field, value) in object.secrets() {
        if let Some(secret) = value {
            *value = Some(Secret::new(seal.seal(&format!("{uid}/{field}"), secret)?));
        }
    }
    serde_json::to_vec(&StoredRef { v: VERSION, keys, object: &object })
        .map_err(|e| Error::internal(format!("a {} cannot be written", K::KIND)).because(e))
}

/// The object of a stored value, last written at `revision`.
pub fn decode<K: Kind>(seal: &Seal, value: &[u8], revision: Revision) -> Result<Decoded<K>> {
    let unreadable = |e| Error::internal(format!("a stored {} cannot be read", K::KIND)).because(e);
    let stored: Stored<K> =
        serde_json::from_slice(value).map_err(|e| newer(value).unwrap_or(unreadable(e)))?;
    let mut object = stored.object;
    object.metadata_mut().revision = revision;
    let uid = object.metadata().uid;
    for (field, value) in object.secrets() {
        if let Some(sealed) = value {
            *value = Some(seal.open_text(&format!("{uid}/{field}"), sealed.expose_secret())?);
        }
    }
    Ok(Decoded { object, keys: stored.keys })
}

/// The error for a value that a later program wrote.
fn newer(value: &[u8]) -> Option<Error> {
    let v = serde_json::from_slice::<StoredVersion>(value).ok()?.v;
    (v > VERSION).then(|| {
        Error::internal(format!("the store holds a value of version {v}; this program reads up to {VERSION}"))
            .hint("start the newer program again, or restore the backup made before it")
    })
}

/// Makes the keys of a new VM, sealed for the store.
pub fn seal_keys(seal: &Seal, uid: base::Uid, keys: &GuestKeys) -> Result<String> {
    let text =
        serde_json::to_string(keys).map_err(|e| Error::internal("keys cannot be written").because(e))?;
    seal.seal(&format!("{uid}/keys"), &Secret::new(text))
}

/// Opens the keys of a VM.
pub fn open_keys(seal: &Seal, uid: base::Uid, sealed: &str) -> Result<GuestKeys> {
    let text = seal.open_text(&format!("{uid}/keys"), sealed)?;
    serde_json::from_str(text.expose_secret())
        .map_err(|e| Error::internal(format!("the keys of VM {uid} cannot be read")).because(e))
}

/// The object as a client sees it: no secrets.
#[must_use]
pub fn redacted<K: Kind>(mut object: K) -> K {
    for (_, value) in object.secrets() {
        *value = None;
    }
    object
}
