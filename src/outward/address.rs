//! Which addresses the service may connect to when the name came from outside. No I/O.
//!
//! Names are written by platform teams, by answers of others and by people who may write a Repository, and they may lead
//! anywhere. What nothing of ours is ever at: the machine itself, addresses of one link (where clouds serve credentials),
//! groups, and what is reserved. Private networks are fine where the policy says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Reach;

/// Whether `host` is this machine by its name (RFC 6761): no server of names is asked for it.
pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether `address` may be connected to, by `reach`.
#[must_use]
pub fn is_allowed(address: IpAddr, reach: Reach) -> bool {
    let address = match address {
        IpAddr::V6(address) => embedded_v4(address).map_or(IpAddr::V6(address), IpAddr::V4),
        address @ IpAddr::V4(_) => address,
    };
    match address {
        IpAddr::V4(address) => {
            is_sound_v4(address)
                && match reach {
                    Reach::Public => is_public_v4(address) && !is_reserved_v4(address),
                    Reach::Private => !is_reserved_v4(address),
                    Reach::Services => true,
                }
        }
        IpAddr::V6(address) => {
            is_sound_v6(address) && (reach != Reach::Public || is_public_v6(address))
        }
    }
}

/// Neither the machine, nor its link, nor metadata, nor a group, nor reserved.
fn is_sound_v4(address: Ipv4Addr) -> bool {
    // Metadata of Alibaba Cloud and of Oracle's first generation: not link-local, and nothing of ours.
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

/// Reserved for a later use.
fn is_reserved_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 240
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // Shared by a provider's customers, of measurements, of protocols.
    let special = (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a, b, c) == (192, 0, 0);
    !(address.is_private() || address.is_documentation() || special)
}

fn is_sound_v6(address: Ipv6Addr) -> bool {
    // Metadata of AWS over IPv6.
    let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address == metadata)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Of all the space only this is the public internet; documentation is a corner of it.
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0xdb8)
}

/// The IPv4 address that a translator or the kernel would reach: mapped, translated, NAT64 (also a network's own), 6to4, or
/// the old compatible form.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str, reach: Reach) -> bool {
        is_allowed(text.parse().expect(text), reach)
    }

    #[test]
    fn machine_link_groups_and_metadata_are_never_asked() {
        for never in [
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
            "::ffff:0:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::169.254.169.254",
            "::127.0.0.1",
        ] {
            for reach in [Reach::Public, Reach::Private, Reach::Services] {
                assert!(!allowed(never, reach), "{never} {reach:?}");
            }
        }
    }

    #[test]
    fn private_networks_are_asked_only_where_the_policy_says_so() {
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "192.168.1.10",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.2.1",
            "fd12::1",
            "fec0::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert!(!allowed(private, Reach::Public), "{private}");
            assert!(allowed(private, Reach::Private), "{private}");
        }
        for public in [
            "8.8.8.8",
            "140.82.112.3",
            "140.82.112.33",
            "2606:50c0::1",
            "2606:50c0:8000::153",
            "::ffff:8.8.8.8",
        ] {
            for reach in [Reach::Public, Reach::Private] {
                assert!(allowed(public, reach), "{public} {reach:?}");
            }
        }
    }

    #[test]
    fn what_is_reserved_is_asked_only_where_a_cluster_may_number_its_services_with_it() {
        assert!(!allowed("240.0.0.1", Reach::Public) && !allowed("240.0.0.1", Reach::Private));
        for service in ["240.0.0.1", "10.96.0.10", "fd00::7", "34.118.224.1"] {
            assert!(allowed(service, Reach::Services), "{service}");
        }
    }

    #[test]
    fn localhost_is_this_machine() {
        for here in ["localhost", "a.preview.localhost", "LocalHost", "localhost.", "a.LOCALHOST."]
        {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in ["localhost.evil.org", "xlocalhost", "", "local"] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
