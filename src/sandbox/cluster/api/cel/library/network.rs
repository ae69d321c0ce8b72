//! Addresses: `ip('10.0.0.1')`, `cidr('10.0.0.0/8')` and what is done with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cel::objects::Opaque;
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::{downcast, failed, functions, methods, no_overload, opaque, string};

#[derive(Debug, PartialEq, Eq)]
struct Ip(IpAddr);

impl Opaque for Ip {
    fn runtime_type_name(&self) -> &'static str {
        "net.IP"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Opaque for Cidr {
    fn runtime_type_name(&self) -> &'static str {
        "net.CIDR"
    }
}

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    functions!(env,
        "ip" / 1 => ip,
        "isIP" / 1 => is_ip,
        "ip.isCanonical" / 1 => is_canonical,
        "cidr" / 1 => cidr,
        "isCIDR" / 1 => is_cidr,
        "string" / 1 => print,
    );
    methods!(env,
        "family" / 0 => family,
        "isUnspecified" / 0 => is_unspecified,
        "isLoopback" / 0 => is_loopback,
        "isLinkLocalMulticast" / 0 => is_link_local_multicast,
        "isLinkLocalUnicast" / 0 => is_link_local_unicast,
        "isGlobalUnicast" / 0 => is_global_unicast,
        "containsIP" / 1 => contains_ip,
        "containsCIDR" / 1 => contains_cidr,
        "prefixLength" / 0 => prefix_length,
        "masked" / 0 => masked,
        "ip" / 0 => address_of,
    );
    Ok(())
}

fn parse_ip(text: &str) -> Result<IpAddr, ExecutionError> {
    let address: IpAddr = text.parse().map_err(|_| {
        failed(format!("IP Address {text:?} parse error during conversion from string"))
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(failed(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        address => Ok(address),
    }
}

fn parse_cidr(text: &str) -> Result<Cidr, ExecutionError> {
    let wrong =
        || failed(format!("network address parse error during conversion from string: {text:?}"));
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address = parse_ip(address)?;
    let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let bits: u8 = bits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if bits > most { Err(wrong()) } else { Ok(Cidr { address, bits }) }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl Cidr {
    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && mask(self.address, self.bits) == mask(address, self.bits)
    }
}

fn text(arguments: &[Cel]) -> Result<&str, ExecutionError> {
    match arguments {
        [Cel::String(text)] => Ok(text),
        _ => Err(no_overload(arguments)),
    }
}

fn ip(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(opaque(Ip(parse_ip(text(arguments)?)?)))
}

fn is_ip(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(parse_ip(text(arguments)?).is_ok()))
}

fn is_canonical(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let text = text(arguments)?;
    Ok(Cel::Bool(parse_ip(text)?.to_string() == text))
}

fn cidr(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(opaque(parse_cidr(text(arguments)?)?))
}

fn is_cidr(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(parse_cidr(text(arguments)?).is_ok()))
}

fn this_ip(arguments: &[Cel]) -> Result<IpAddr, ExecutionError> {
    let found = arguments.first().and_then(downcast::<Ip>);
    found.map(|ip| ip.0).ok_or_else(|| no_overload(arguments))
}

fn this_cidr(arguments: &[Cel]) -> Result<Cidr, ExecutionError> {
    let found = arguments.first().and_then(downcast::<Cidr>);
    found.copied().ok_or_else(|| no_overload(arguments))
}

fn family(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Int(if this_ip(arguments)?.is_ipv4() { 4 } else { 6 }))
}

fn is_unspecified(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(this_ip(arguments)?.is_unspecified()))
}

fn is_loopback(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(this_ip(arguments)?.is_loopback()))
}

fn local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
}

fn local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(local_multicast(this_ip(arguments)?)))
}

fn is_link_local_unicast(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(local_unicast(this_ip(arguments)?)))
}

fn is_global_unicast(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let address = this_ip(arguments)?;
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let special = broadcast
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || local_unicast(address);
    Ok(Cel::Bool(!special))
}

fn contains_ip(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let this = this_cidr(arguments)?;
    let address = match arguments.get(1) {
        Some(Cel::String(text)) => parse_ip(text)?,
        Some(value) => downcast::<Ip>(value).ok_or_else(|| no_overload(arguments))?.0,
        None => return Err(no_overload(arguments)),
    };
    Ok(Cel::Bool(this.contains(address)))
}

fn contains_cidr(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let this = this_cidr(arguments)?;
    let other = match arguments.get(1) {
        Some(Cel::String(text)) => parse_cidr(text)?,
        Some(value) => *downcast::<Cidr>(value).ok_or_else(|| no_overload(arguments))?,
        None => return Err(no_overload(arguments)),
    };
    Ok(Cel::Bool(this.bits <= other.bits && this.contains(other.address)))
}

fn prefix_length(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Int(i64::from(this_cidr(arguments)?.bits)))
}

fn masked(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let this = this_cidr(arguments)?;
    Ok(opaque(Cidr { address: mask(this.address, this.bits), bits: this.bits }))
}

fn address_of(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(opaque(Ip(this_cidr(arguments)?.address)))
}

/// `string(ip)` and `string(cidr)`.
fn print(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    if let Ok(address) = this_ip(arguments) {
        return Ok(string(address.to_string()));
    }
    this_cidr(arguments).map(|cidr| string(format!("{}/{}", cidr.address, cidr.bits)))
}
