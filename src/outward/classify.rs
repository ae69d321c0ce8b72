//! What is behind an error of the HTTP client, in words that hold no address, no name and no time. No I/O.

use std::error::Error;
use std::io;

use crate::seams::Unreached;

/// What is behind an error of the client, in words that are the same for the same cause.
pub(super) fn classify(error: &reqwest::Error) -> Unreached {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut refused = None;
    while let Some(this) = cause {
        if let Some(known) = known(this) {
            return known;
        }
        if let Some(io) = this.downcast_ref::<io::Error>() {
            refused = refused.or_else(|| connection(io.kind()));
        }
        cause = this.source();
    }
    if error.is_timeout() {
        return Unreached::TimedOut;
    }
    match refused {
        Some(why) => Unreached::NotConnected(why.into()),
        None if error.is_connect() => {
            Unreached::NotConnected("the network does not lead there".into())
        }
        None => Unreached::Broken("it is not HTTP, or it was cut off".into()),
    }
}

/// An error of ours or of TLS, also inside of an `io::Error`, whose `source` skips what it holds.
fn known(error: &(dyn Error + 'static)) -> Option<Unreached> {
    if let Some(known) = error.downcast_ref::<Unreached>() {
        return Some(known.clone());
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(Unreached::Tls(tls_words(tls).into()));
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    known(inner)
}

fn connection(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Some("connection reset")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("the network does not lead there")
        }
        _ => None,
    }
}

/// rustls' own words hold times and names; these don't.
fn tls_words(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the certificate is expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            Bad::UnknownIssuer => "the certificate is from an issuer that is not trusted here",
            Bad::Revoked => "the certificate is revoked",
            _ => "the certificate is not valid",
        },
        rustls::Error::NoCertificatesPresented => "the server shows no certificate",
        rustls::Error::AlertReceived(_) => "the server refuses the handshake",
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS",
        _ => "the handshake fails",
    }
}
