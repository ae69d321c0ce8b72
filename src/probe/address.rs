//! Which addresses the probe may ask, and the one that it asks in place of all others when it is told so. No I/O.
//!
//! The wildcard name is the platform team's and may be private, so private addresses are fine. What no preview ever is: the
//! machine itself, addresses of one link (where clouds serve credentials), groups, and nothing at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

/// Whether `host` is this machine by its name (RFC 6761): no server of names is asked for it.
pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether a preview may be at `address`.
pub(super) fn is_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_allowed_v4(address),
        IpAddr::V6(address) => is_allowed_v6(address),
    }
}

fn is_allowed_v4(address: Ipv4Addr) -> bool {
    // Metadata of Alibaba Cloud and of Oracle's first generation: not link-local, and no preview's.
    let metadata = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    let [first, ..] = address.octets();
    !(address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || metadata.contains(&address))
}

fn is_allowed_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_allowed_v4(inner);
    }
    // Metadata of AWS over IPv6.
    let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address == metadata)
}

/// The IPv4 address that a translator or the kernel would reach: mapped, NAT64, 6to4, or the old compatible form.
pub(super) fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match words {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(of(high, low))
        }
        [0x2002, high, low, ..] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_link_and_metadata_are_refused_and_private_networks_are_not() {
        for refused in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
        ] {
            assert!(!is_allowed(refused.parse().unwrap()), "{refused}");
        }
        for fine in [
            "10.0.0.1",
            "192.168.1.10",
            "172.16.0.1",
            "100.64.0.1",
            "8.8.8.8",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_allowed(fine.parse().unwrap()), "{fine}");
        }
    }

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

    #[test]
    fn localhost_is_this_machine() {
        assert!(is_this_machine("a.preview.localhost") && is_this_machine("localhost"));
        assert!(!is_this_machine("localhost.evil.org") && !is_this_machine("xlocalhost"));
    }
}
