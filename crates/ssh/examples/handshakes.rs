//! What a key exchange costs: handshakes between this client and a server of the same library, in one process, so each
//! figure is both ends together.
//!
//! `cargo run --release -p ssh --example handshakes [COUNT]` (Linux: it reads /proc)
#![allow(clippy::unwrap_used, clippy::disallowed_macros, clippy::disallowed_methods)] // a measurement, not the product

use russh::{
    Preferred, client,
    kex::{self, Name},
    keys::{PrivateKey, PublicKeyOrCertificate},
    server,
};
use ssh::KeyPair;
use std::{borrow::Cow, sync::Arc};

struct Any;

impl client::Handler for Any {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl server::Handler for Any {
    type Error = russh::Error;
}

fn processor() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let count: u32 = std::env::args().nth(1).map_or(500, |text| text.parse().unwrap());
    let key = KeyPair::generate().private_openssh().unwrap();
    let key = PrivateKey::from_openssh(key.expose_secret()).unwrap();
    for name in [kex::CURVE25519, kex::MLKEM768X25519_SHA256, kex::ECDH_SHA2_NISTP256, kex::DH_G14_SHA256] {
        let preferred = Preferred { kex: Cow::Owned(vec![name]), ..Preferred::DEFAULT };
        let server = Arc::new(server::Config {
            keys: vec![key.clone()],
            preferred: preferred.clone(),
            ..server::Config::default()
        });
        let client = Arc::new(client::Config { preferred, ..client::Config::default() });
        let used = processor();
        for _ in 0..count {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let (client, server) = (Arc::clone(&client), Arc::clone(&server));
            let (handle, session) = tokio::join!(
                client::connect_stream(client, ours, Any),
                server::run_stream(server, theirs, Any)
            );
            drop((handle.unwrap(), session.unwrap()));
        }
        let each = f64::from(u32::try_from(processor() - used).unwrap()) / f64::from(count);
        println!("{:<24} {each:.2} ms for both ends", <Name as AsRef<str>>::as_ref(&name));
    }
}
