//! Which algorithms a connection uses, and in which order it offers them.

use crate::{
    config::{AlgorithmList, HostConfig},
    host_key::Checker,
};
use base::{Code, Error, Result};
use russh::{
    Preferred, cipher, compression,
    kex::{self, Name as Kex},
    keys::Algorithm,
    mac,
};
use std::borrow::Cow;

/// Key exchanges in the order in which OpenSSH 10 offers them, as far as we have them: post-quantum first.
/// `sntrup761x25519-sha512`, which older versions prefer, is not among them.
const KEX: [&str; 10] = [
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
];
/// Those that a configuration may ask for besides.
const MORE_KEX: [&str; 5] = [
    "diffie-hellman-group15-sha512",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group1-sha1",
];
/// AES-GCM first: processors do it.
const CIPHERS: [&str; 6] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
const MORE_CIPHERS: [&str; 3] = ["aes128-cbc", "aes192-cbc", "aes256-cbc"];
const MACS: [&str; 4] =
    ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"];
const MORE_MACS: [&str; 2] = ["hmac-sha1-etm@openssh.com", "hmac-sha1"];
const HOST_KEYS: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
const MORE_HOST_KEYS: [&str; 1] = ["ssh-rsa"];

/// What is offered, in order.
#[derive(Clone, Debug)]
pub(crate) struct Algorithms {
    kex: Vec<Kex>,
    ciphers: Vec<cipher::Name>,
    macs: Vec<mac::Name>,
    host_keys: Vec<Algorithm>,
    compression: bool,
}

impl Algorithms {
    /// What a configuration asks for.
    ///
    /// # Errors
    /// [`Code::Invalid`] where it leaves nothing that we have.
    pub(crate) fn of(host: &HostConfig) -> Result<Self> {
        let kex = chosen("KexAlgorithms", host.kex_algorithms.as_ref(), &KEX, &MORE_KEX)?;
        let ciphers = chosen("Ciphers", host.ciphers.as_ref(), &CIPHERS, &MORE_CIPHERS)?;
        let macs = chosen("MACs", host.macs.as_ref(), &MACS, &MORE_MACS)?;
        let host_keys =
            chosen("HostKeyAlgorithms", host.host_key_algorithms.as_ref(), &HOST_KEYS, &MORE_HOST_KEYS)?;
        Ok(Algorithms {
            kex: names(&kex),
            ciphers: names(&ciphers),
            macs: names(&macs),
            host_keys: host_keys.iter().filter_map(|name| name.parse().ok()).collect(),
            compression: host.compression,
        })
    }

    /// In the form that the protocol library takes, with the keys first that `checker` knows.
    pub(crate) fn preferred(self, checker: &Checker) -> Preferred {
        let (key, host_key_certificates) = checker.algorithms(&self.host_keys);
        let mut kex = self.kex;
        kex.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
        let compression: &[compression::Name] = if self.compression {
            &[compression::ZLIB_LEGACY, compression::ZLIB, compression::NONE]
        } else {
            &[compression::NONE]
        };
        Preferred {
            kex: Cow::Owned(kex),
            key: Cow::Owned(key),
            host_key_certificates: Cow::Owned(host_key_certificates),
            cipher: Cow::Owned(self.ciphers),
            mac: Cow::Owned(self.macs),
            compression: Cow::Borrowed(compression),
        }
    }
}

impl Default for Algorithms {
    fn default() -> Self {
        Algorithms {
            kex: names(&KEX),
            ciphers: names(&CIPHERS),
            macs: names(&MACS),
            host_keys: HOST_KEYS.iter().filter_map(|name| name.parse().ok()).collect(),
            compression: false,
        }
    }
}

fn names<'a, N: TryFrom<&'a str>>(names: &[&'a str]) -> Vec<N> {
    names.iter().filter_map(|name| N::try_from(name).ok()).collect()
}

fn chosen<'a>(
    keyword: &str,
    list: Option<&AlgorithmList>,
    usual: &[&'a str],
    more: &[&'a str],
) -> Result<Vec<&'a str>> {
    let Some(list) = list else { return Ok(usual.to_vec()) };
    let known: Vec<&str> = usual.iter().chain(more).copied().collect();
    let chosen = list.apply(usual, &known);
    if chosen.is_empty() {
        return Err(Error::new(Code::Invalid, format!("{keyword} leaves nothing that we could use"))
            .because(format!("we have {}", known.join(", ")))
            .hint("name one of these too, or reach this node with transport: openssh"));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_library_has_every_algorithm_that_we_name() {
        let kex = KEX.iter().chain(&MORE_KEX).filter(|n| Kex::try_from(**n).is_err()).count();
        let ciphers =
            CIPHERS.iter().chain(&MORE_CIPHERS).filter(|n| cipher::Name::try_from(**n).is_err()).count();
        let macs = MACS.iter().chain(&MORE_MACS).filter(|n| mac::Name::try_from(**n).is_err()).count();
        let keys =
            HOST_KEYS.iter().chain(&MORE_HOST_KEYS).filter(|n| n.parse::<Algorithm>().is_err()).count();
        assert_eq!((kex, ciphers, macs, keys), (0, 0, 0, 0));
    }
}
