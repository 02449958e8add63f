//! A file encrypted with age (<https://age-encryption.org/v1>), binary or armored.

use crate::{Secrets, Surroundings, text};
use age::{
    DecryptError, Decryptor, Identity, IdentityFile, armor::ArmoredReader, scrypt, secrecy::SecretString,
};
use base::{Code, Error, Result, Secret};
use serde::Deserialize;
use std::{
    io::{self, Read},
    path::PathBuf,
};

/// An encrypted JSON or YAML file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Age {
    /// Where it is, relative to the fleet directory.
    pub file: PathBuf,
    /// The file with the private keys (`AGE-SECRET-KEY-1...`).
    pub identity: Option<PathBuf>,
    /// The variable with the passphrase, for a file that has one instead of recipients.
    pub passphrase_env: Option<String>,
    /// The file with the passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// The name that its values go below.
    pub at: Option<String>,
}

impl Age {
    pub(super) async fn read(&self, name: &str, surroundings: &Surroundings) -> Result<Secrets> {
        let encrypted = surroundings.read(&self.file)?;
        let (variable, file) = (self.passphrase_env.as_deref(), self.passphrase_file.as_deref());
        let passphrase = surroundings.secret("passphrase", variable, file)?;
        let identities = self.identity.as_ref().map(|file| surroundings.read(file)).transpose()?;
        let file = self.file.display().to_string();
        // A passphrase costs a second of work on purpose.
        let plain = rt::task::blocking(move || decrypt(&file, &encrypted, identities, passphrase)).await??;
        Ok(Secrets::new(name, text::parse(&self.file.display().to_string(), &plain)?))
    }
}

fn decrypt(
    file: &str,
    encrypted: &[u8],
    identities: Option<Vec<u8>>,
    passphrase: Option<Secret>,
) -> Result<Vec<u8>> {
    let mut keys: Vec<Box<dyn Identity>> = Vec::new();
    if let Some(identities) = identities {
        let parsed = IdentityFile::from_buffer(io::Cursor::new(identities));
        let parsed = parsed.and_then(|f| f.into_identities().map_err(io::Error::other));
        let wrong =
            |_| Error::new(Code::Invalid, "the identity file has other lines than AGE-SECRET-KEY-1... in it");
        keys.extend(parsed.map_err(wrong)?.into_iter().map(|key| key as Box<dyn Identity>));
    }
    if let Some(passphrase) = passphrase {
        let passphrase = SecretString::from(passphrase.expose_secret().to_owned());
        keys.push(Box::new(scrypt::Identity::new(passphrase)));
    }
    if keys.is_empty() {
        return Err(Error::new(Code::Invalid, "there is nothing to decrypt it with")
            .hint("give identity: FILE, passphrase_file: FILE or passphrase_env: NAME"));
    }
    let reader = Decryptor::new_buffered(ArmoredReader::new(encrypted));
    let reader = reader.and_then(|d| d.decrypt(keys.iter().map(|key| &**key)));
    let mut plain = Vec::new();
    reader
        .and_then(|mut reader| reader.read_to_end(&mut plain).map_err(DecryptError::from))
        .map_err(|e| explain(file, &e))?;
    Ok(plain)
}

fn explain(file: &str, error: &DecryptError) -> Error {
    let (code, message, hint) = match error {
        DecryptError::NoMatchingKeys => (
            Code::Forbidden,
            "is not encrypted for any of the keys",
            "use another identity, or encrypt it again with your public key as recipient",
        ),
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            (Code::Forbidden, "does not open with this passphrase or key", "check the passphrase")
        }
        DecryptError::ExcessiveWork { .. } => (
            Code::TooLarge,
            "asks for too much work before it opens",
            "encrypt it again on a host like this one",
        ),
        _ => {
            (Code::Invalid, "is damaged, or not a file of age", "make it with: age --encrypt --recipient KEY")
        }
    };
    Error::new(code, format!("{file} {message}")).hint(hint)
}
