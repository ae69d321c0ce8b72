//! The address that the probe asks in place of all others when it is told so. No I/O.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// Where the ingress controller is reached, whatever a preview's name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// It is no `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write HOST:PORT: a name or an address of the ingress controller, and its port")]
pub struct InvalidProbeAddress;

impl FromStr for ProbeAddress {
    type Err = InvalidProbeAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidProbeAddress)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(InvalidProbeAddress)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let fine = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 253
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            }
        };
        if !fine {
            return Err(InvalidProbeAddress);
        }
        Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_ask_in_place_of_all_is_a_host_and_a_port() {
        let parse = |text: &str| text.parse::<ProbeAddress>();
        let of = |host: &str, port| Ok(ProbeAddress { host: host.into(), port });
        assert_eq!(parse("ingress.infra.svc:443"), of("ingress.infra.svc", 443));
        assert_eq!(parse("10.1.2.3:8443"), of("10.1.2.3", 8443));
        assert_eq!(parse("[fd12::1]:443"), of("fd12::1", 443));
        for bad in
            ["", "x", ":443", "x:0", "x:99999", "x:", "fd12::1:443", "[x]:1", "http://x:1", "a b:1"]
        {
            assert_eq!(parse(bad), Err(InvalidProbeAddress), "{bad}");
        }
    }
}
