//! Which addresses a registry or its token service may be at. No I/O.
//!
//! A name comes out of a list that the platform team wrote, but a token service is named by an answer from outside, and
//! names may lead anywhere: the machine, its link (where clouds serve credentials) and private networks are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `address` may be connected to. `private`: the platform team allows addresses of private networks.
pub(super) fn is_allowed(address: IpAddr, private: bool) -> bool {
    match address {
        IpAddr::V4(address) => is_allowed_v4(address, private),
        IpAddr::V6(address) => is_allowed_v6(address, private),
    }
}

fn is_allowed_v4(address: Ipv4Addr, private: bool) -> bool {
    let [a, b, c, _] = address.octets();
    // Metadata of Alibaba Cloud and of Oracle's first generation.
    let metadata = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    let never = address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || a == 0
        || a >= 240
        || metadata.contains(&address);
    let inner = address.is_private()
        // Shared by a provider's customers, of protocols, of measurements, of examples.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (18..20).contains(&b))
        || address.is_documentation();
    !never && (private || !inner)
}

fn is_allowed_v6(address: Ipv6Addr, private: bool) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_allowed_v4(inner, private);
    }
    // Metadata of AWS over IPv6.
    let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let never = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address == metadata;
    let [first, second, ..] = address.segments();
    let inner = address.is_unique_local()
        || (first & 0xffc0) == 0xfec0
        || (first, second) == (0x2001, 0xdb8);
    !never && (private || !inner)
}

/// The IPv4 address that a translator or the kernel would reach: mapped, NAT64, 6to4, or the old compatible form.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
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
    fn private_addresses_need_leave_and_some_are_never_asked() {
        let allowed = |text: &str, private| is_allowed(text.parse().expect(text), private);
        for never in [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2002:a9fe:a9fe::1",
            "::127.0.0.1",
        ] {
            assert!(!allowed(never, false) && !allowed(never, true), "{never}");
        }
        for inner in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "fd12::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert!(!allowed(inner, false) && allowed(inner, true), "{inner}");
        }
        for fine in ["8.8.8.8", "140.82.112.33", "2606:50c0:8000::153", "::ffff:8.8.8.8"] {
            assert!(allowed(fine, false), "{fine}");
        }
    }
}
