use super::*;

#[test]
fn a_key_survives_being_written() {
    let key = KeyPair::generate().with_comment("guest of web-1");
    let again = KeyPair::from_openssh(&key.private_openssh().unwrap()).unwrap();
    let line = key.public_openssh().unwrap();
    assert_eq!(again.public_openssh().unwrap(), line);
    assert!(line.starts_with("ssh-ed25519 AAAA") && line.ends_with(" guest of web-1"), "{line}");
    assert_eq!(check_public_key(&line).unwrap(), line);
}

#[test]
fn keys_differ_and_do_not_show_themselves() {
    let (a, b) = (KeyPair::generate(), KeyPair::generate());
    assert_ne!(a.public_openssh().unwrap(), b.public_openssh().unwrap());
    let shown = format!("{a:?}");
    assert!(shown.starts_with("KeyPair(SHA256:") && shown.len() < 70, "{shown}");
}

const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBJ50OPT4jOp6JvApt2FaTotJ6JmY+GHx8Nkc/USZDYdPibNYNVl4CLP0/iEsANZ4brrfRfhpnSLJDD6GcKgRz60= somebody@example";

#[test]
fn lines_are_normalised() {
    let line = KeyPair::generate().public_openssh().unwrap();
    let (kind, blob) = line.trim_end_matches(" hostler").split_once(' ').unwrap();
    assert_eq!(
        check_public_key(&format!("  {kind} \t {blob}   me at home \r\n")).unwrap(),
        format!("{kind} {blob} me at home")
    );
    assert_eq!(check_public_key(&format!("{kind} {blob}")).unwrap(), format!("{kind} {blob}"));
    assert_eq!(check_public_key(ECDSA).unwrap(), ECDSA);
}

#[test]
fn keys_in_hardware_are_known() {
    use russh::keys::ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
    let key = SkEd25519::new(Ed25519PublicKey([7; 32]), "ssh:");
    let line = public_line(&PublicKey::new(KeyData::SkEd25519(key), "token")).unwrap();
    assert_eq!(check_public_key(&line).unwrap(), line);
}

#[test]
fn each_problem_has_its_own_words() {
    let line = KeyPair::generate().public_openssh().unwrap();
    let cases = [
        (String::new(), "empty"),
        (" \n".into(), "empty"),
        (format!("{line}\n{line}"), "several"),
        (format!("command=\"rm -rf /\" {line}"), "options"),
        (format!("restrict {line}"), "options"),
        (format!("{line}\u{7}"), "control"),
        ("ssh-ed25519".into(), "damaged"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454y".into(), "damaged"),
        ("ssh-ed25519 !!!".into(), "damaged"),
        (line.replace("ssh-ed25519", "ssh-rsa"), "damaged"),
        (line.replace("ssh-ed25519", "ssh-dss"), "not a type"),
        (line.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"), "certificate"),
        (KeyPair::generate().private_openssh().unwrap().expose_secret().into(), "private"),
        ("hello".into(), "not a type"),
    ];
    for (text, word) in cases {
        let e = check_public_key(&text).unwrap_err();
        assert_eq!(e.code, Code::Invalid, "{text}");
        assert!(e.message.contains(word), "'{text}' gives '{}', not '{word}'", e.message);
        assert!(e.hint.is_some() || e.cause.is_some(), "{text}");
    }
}

#[test]
fn what_is_no_private_key_is_refused() {
    for text in ["", "hello", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"]
    {
        assert_eq!(KeyPair::from_openssh(&Secret::new(text)).unwrap_err().code, Code::Invalid, "{text}");
    }
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----";
    assert_eq!(KeyPair::from_openssh(&Secret::new(rsa)).unwrap_err().code, Code::Invalid);
}

/// Whether what OpenSSH makes is what we read, and the reverse.
#[tokio::test]
async fn openssh_and_we_read_each_other() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, passphrase) in [("ed25519", ""), ("ecdsa", ""), ("rsa", ""), ("ed25519", "secret")] {
        let path = dir.path().join(format!("{kind}{passphrase}"));
        keygen(&["-q", "-t", kind, "-C", "a b", "-N", passphrase, "-f", path.to_str().unwrap()]).await;
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        assert_eq!(check_public_key(&line).unwrap(), line.trim());
        let read = KeyPair::from_openssh(&Secret::new(std::fs::read_to_string(&path).unwrap()));
        match (kind, passphrase) {
            (_, "") => assert_eq!(read.unwrap().public_openssh().unwrap(), line.trim()),
            _ => assert!(read.unwrap_err().to_string().contains("passphrase")),
        }
    }
    let ours = KeyPair::generate();
    let path = dir.path().join("ours");
    rt::files::write_atomic(&path, ours.private_openssh().unwrap().expose_secret().as_bytes()).unwrap();
    let line = keygen(&["-y", "-f", path.to_str().unwrap()]).await;
    assert_eq!(line.trim(), ours.public_openssh().unwrap());
    let shown = keygen(&["-l", "-f", path.to_str().unwrap()]).await;
    assert!(shown.contains(&ours.fingerprint()), "{shown}");
}

async fn keygen(args: &[&str]) -> String {
    let mut command = rt::process::command("ssh-keygen");
    command.args(args);
    rt::process::run(command, std::time::Duration::from_secs(30)).await.unwrap().stdout
}

#[test]
fn fingerprints_of_lines_are_those_of_keys() {
    let key = KeyPair::generate();
    assert_eq!(public_fingerprint(&key.public_openssh().unwrap()).unwrap(), key.fingerprint());
    assert_eq!(public_fingerprint("ssh-ed25519 x").unwrap_err().code, Code::Invalid);
}
