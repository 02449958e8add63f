//! Secrets at rest: XChaCha20-Poly1305 under one key of this cluster. The key lies beside the store, never in it, so
//! that a copy of the store (a backup) gives nothing away.

use base::{Error, Result, Secret};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use std::path::Path;

/// Name of the key file in the data directory.
pub const KEY_FILE: &str = "secrets.key";

/// Seals and opens.
pub struct Seal(XChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// Reads the key of a data directory, or makes one where there is none.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(KEY_FILE);
        if let Some(key) = rt::files::read_optional(&path)? {
            return Self::new(&key).map_err(|e| e.because(format!("{} is damaged", path.display())));
        }
        let key = rt::ids::random_bytes::<32>();
        rt::files::write_atomic(&path, &key)?;
        Self::new(&key)
    }

    fn new(key: &[u8]) -> Result<Self> {
        XChaCha20Poly1305::new_from_slice(key)
            .map(Seal)
            .map_err(|_| Error::internal("the key of the secrets must have 32 bytes"))
    }

    /// Seals a text. `place` (an object's uid and the field) is bound to it, so that a sealed value moved elsewhere
    /// does not open.
    pub fn seal(&self, place: &str, text: &Secret) -> Result<String> {
        let nonce = rt::ids::random_bytes::<24>();
        let payload = Payload { msg: text.expose_secret().as_bytes(), aad: place.as_bytes() };
        let sealed = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::internal("a secret could not be sealed"))?;
        Ok(BASE64.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what [`Seal::seal`] made for the same place.
    pub fn open_text(&self, place: &str, sealed: &str) -> Result<Secret> {
        let wrong = || {
            Error::internal(format!("the secret at {place} cannot be opened"))
                .because(format!("it was sealed with another key than the one in {KEY_FILE}"))
                .hint(format!("restore {KEY_FILE} together with the store it belongs to"))
        };
        let bytes = BASE64.decode(sealed).map_err(|_| wrong())?;
        let (nonce, cipher) = bytes.split_first_chunk::<24>().ok_or_else(wrong)?;
        let payload = Payload { msg: cipher, aad: place.as_bytes() };
        let text = self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| wrong())?;
        String::from_utf8(text).map(Secret::new).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_in_its_place_and_with_its_key() {
        let dir = tempfile::TempDir::new().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let sealed = seal.seal("vm/1/password", &Secret::new("hunter2")).unwrap();
        assert!(!sealed.contains("hunter2"));
        let again = Seal::open(dir.path()).unwrap();
        assert_eq!(again.open_text("vm/1/password", &sealed).unwrap().expose_secret(), "hunter2");
        assert!(again.open_text("vm/2/password", &sealed).is_err());
        let other = tempfile::TempDir::new().unwrap();
        assert!(Seal::open(other.path()).unwrap().open_text("vm/1/password", &sealed).is_err());
    }
}
