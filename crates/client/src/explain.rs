//! Failures below HTTP in words that say what to do.

use base::{Code, Error};
use std::error::Error as StdError;

/// The failure of an attempt to send a request to `url`.
pub(crate) fn transport(url: &str, error: &reqwest::Error) -> Error {
    if let Some(tls) = find::<rustls::Error>(error) {
        return self::tls(url, tls);
    }
    let cause = deepest(error);
    if error.is_timeout() {
        return Error::new(Code::Timeout, format!("{url} did not answer in time")).because(cause);
    }
    if error.is_connect() {
        return Error::unavailable(format!("cannot reach {url}"))
            .because(cause)
            .hint("is the controller running there? `hostler context list` shows the addresses we know");
    }
    Error::unavailable(format!("the connection to {url} broke")).because(cause).hint("try again")
}

fn tls(url: &str, error: &rustls::Error) -> Error {
    use rustls::{CertificateError as C, Error as E};
    let refused = |what: &str| Error::new(Code::Unauthenticated, format!("{url} {what}")).because(error);
    match error {
        E::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            refused("has a certificate of another CA")
                .hint("check the address; a controller that was set up anew needs a new context")
        }
        E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            refused("has a certificate for other names")
                .hint("use a name of the certificate, or start the controller with --tls-name for this one")
        }
        E::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => refused("has a certificate that is not valid now").hint("check the clocks of both machines"),
        E::InvalidCertificate(_) => refused("has a certificate that is not valid for this"),
        E::InvalidMessage(_) => Error::unavailable(format!("{url} does not speak TLS"))
            .because(error)
            .hint("check the port; a `hostler dev` cluster is at http://, not https://"),
        _ => Error::unavailable(format!("no TLS connection to {url}")).because(error),
    }
}

/// The first error of a type in a chain of causes. I/O errors hide theirs from `source`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(inner) = inner {
            let inner: &(dyn StdError + 'static) = inner;
            next = Some(inner);
        } else {
            next = e.source();
        }
    }
    None
}

fn deepest(error: &(dyn StdError + 'static)) -> String {
    let mut e = error;
    while let Some(source) = e.source() {
        e = source;
    }
    e.to_string()
}
