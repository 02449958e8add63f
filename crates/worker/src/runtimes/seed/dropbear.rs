//! The host key in the format of dropbear's server, so that a small guest need not convert it at boot.

use base64::{Engine, prelude::BASE64_STANDARD};

const TYPE: &[u8] = b"ssh-ed25519";

/// Converts an Ed25519 key from OpenSSH's private key format (PROTOCOL.key in OpenSSH's sources): the type and the 64
/// bytes of seed and public key, each after its length. `None` for any other key, and for one with a passphrase.
pub(super) fn host_key(openssh: &str) -> Option<Vec<u8>> {
    let body: String = openssh.lines().map(str::trim).filter(|l| !l.starts_with("-----")).collect();
    let decoded = BASE64_STANDARD.decode(body).ok()?;
    let mut key = Fields(decoded.strip_prefix(b"openssh-key-v1\0")?);
    if key.string()? != b"none" {
        return None; // it is encrypted
    }
    let (_kdf, _options, count) = (key.string()?, key.string()?, key.number()?);
    let (_public, mut private) = (key.string()?, Fields(key.string()?));
    let (check, again) = (private.number()?, private.number()?);
    if count != 1 || check != again || private.string()? != TYPE {
        return None;
    }
    let _public = private.string()?;
    let secret = private.string().filter(|s| s.len() == 64)?;
    let mut out = Vec::new();
    for string in [TYPE, secret] {
        out.extend_from_slice(&u32::try_from(string.len()).ok()?.to_be_bytes());
        out.extend_from_slice(string);
    }
    Some(out)
}

/// Fields of the SSH wire format (RFC 4251, 5), taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ssh-keygen, and converted by dropbearconvert.
    const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACCXGLF5b69O/taSi5B4jtqV7hnCDmiPd+W39MjQ4kiizgAAAIjo5EfA6ORH
wAAAAAtzc2gtZWQyNTUxOQAAACCXGLF5b69O/taSi5B4jtqV7hnCDmiPd+W39MjQ4kiizg
AAAEABiNxaInRQh+IlShBlwIH13Z4A52JYdUEh657kp0zGHpcYsXlvr07+1pKLkHiO2pXu
GcIOaI935bf0yNDiSKLOAAAAAAECAwQF
-----END OPENSSH PRIVATE KEY-----
";
    const SECRET: &str =
        "AYjcWiJ0UIfiJUoQZcCB9d2eAOdiWHVBIeue5KdMxh6XGLF5b69O/taSi5B4jtqV7hnCDmiPd+W39MjQ4kiizg==";

    #[test]
    fn it_is_what_dropbearconvert_makes() {
        let mut expected = b"\0\0\0\x0bssh-ed25519\0\0\0\x40".to_vec();
        expected.extend(BASE64_STANDARD.decode(SECRET).unwrap());
        assert_eq!(host_key(OPENSSH).unwrap(), expected);
    }

    #[test]
    fn anything_else_is_left_to_the_guest() {
        let cut = &OPENSSH[..200];
        let encrypted = OPENSSH.replacen("AAAABG5vbmU", "AAAABG5vbmY", 1);
        for text in ["", "not a key", cut, &encrypted] {
            assert_eq!(host_key(text), None);
        }
    }
}
