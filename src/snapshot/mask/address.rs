//! Addresses of machines, and UUIDs: permuted as the numbers they are, and written as they were.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cycle::Keyed;
use super::format::Scratch;
use super::letters::Slot;

/// Bits of the widest part that is permuted as one.
const BITS_MAX: u32 = 126;

/// Another address of the same family and sort. False, with nothing written, if it is none as servers write it.
pub fn ip(keyed: &Keyed, text: &str, most: Option<usize>, scratch: &mut Scratch) -> bool {
    if !is_ip(text, most) {
        return false;
    }
    let Some((address, mask)) = parsed(text) else { return false };
    let masked = match (address, mask) {
        (IpAddr::V4(address), None) => Ipv4Addr::from_bits(among_like(keyed, address.to_bits())).into(),
        (IpAddr::V6(address), None) => Ipv6Addr::from_bits(among_like_v6(keyed, address.to_bits())).into(),
        (IpAddr::V4(address), Some(mask)) => {
            let bits = network(keyed, address.to_bits().into(), mask, 32, 3);
            IpAddr::from(Ipv4Addr::from_bits(u32::try_from(bits).expect("32 bits")))
        }
        (IpAddr::V6(address), Some(mask)) => {
            Ipv6Addr::from_bits(network(keyed, address.to_bits(), mask, 128, 4)).into()
        }
    };
    scratch.out.push_str(&masked.to_string());
    if let Some(mask) = mask {
        scratch.out.push('/');
        scratch.out.push_str(&mask.to_string());
    }
    true
}

/// Whether the text is an address in the one form that servers write, and any other one with its mask is within `most` characters.
pub fn is_ip(text: &str, most: Option<usize>) -> bool {
    let longest = if text.contains(':') { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" } else { "255.255.255.255" };
    let mask = text.find('/').map_or(0, |at| text.len() - at);
    parsed(text).is_some() && most.is_none_or(|most| longest.len() + mask <= most)
}

fn parsed(text: &str) -> Option<(IpAddr, Option<u32>)> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let parsed: IpAddr = address.parse().ok()?;
    let bits = if parsed.is_ipv4() { 32 } else { 128 };
    let mask_bits = match mask {
        None => None,
        Some(mask) => Some(mask.parse::<u32>().ok().filter(|bits_of| *bits_of <= bits && bits_of.to_string() == mask)?),
    };
    // Other spellings of the same address are other texts, and have to stay so.
    (parsed.to_string() == address).then_some((parsed, mask_bits))
}

/// Networks that are kept apart: base, and bits of the mask.
const SORTS: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 32),
    (Ipv4Addr::LOCALHOST, 32),
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

fn among_like(keyed: &Keyed, address: u32) -> u32 {
    let sort = |address: u32| {
        SORTS.iter().position(|(base, bits)| address.checked_shr(32 - bits) == base.to_bits().checked_shr(32 - bits))
    };
    let own = sort(address);
    let (base, bits) = own.map_or((0, 0), |own| (SORTS[own].0.to_bits(), SORTS[own].1));
    let size = 1_u128 << (32 - bits);
    let tweak = own.map_or(0, |own| own as u64 + 1);
    let masked = keyed.next_where(u128::from(address - base), size, tweak, |masked| {
        sort(base + u32::try_from(masked).expect("below 2^32")) == own
    });
    base + u32::try_from(masked).expect("below 2^32")
}

/// The same of the newer family: `::`, `::1`, the older family in it, unique local, link local, multicast; all else by its first bits.
const SORTS_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::UNSPECIFIED, 96),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

fn among_like_v6(keyed: &Keyed, address: u128) -> u128 {
    let sort = |address: u128| {
        SORTS_V6.iter().position(|(base, bits)| address >> (128 - bits) == base.to_bits() >> (128 - bits))
    };
    let own = sort(address);
    let (base, bits) = match own {
        Some(own) => (SORTS_V6[own].0.to_bits(), SORTS_V6[own].1),
        None => (address >> 125 << 125, 3),
    };
    let size = 1_u128 << (128 - bits);
    let tweak = own.map_or(32 + (base >> 125) as u64, |own| own as u64 + 16);
    base + keyed.next_where(address - base, size, tweak, |masked| sort(base + masked) == own)
}

/// The network's bits permuted, and those of the host in it, of which none set stays none.
fn network(keyed: &Keyed, address: u128, mask: u32, width: u32, tweak: u64) -> u128 {
    let host_bits = width - mask;
    let host_part = if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 };
    let tweak = 64 + tweak + (u64::from(mask) << 8);
    let network = if mask == 0 { 0 } else { few_bits(keyed, address >> host_bits.min(127), mask, 0, tweak) };
    let host = address & host_part;
    let host = if host == 0 { 0 } else { few_bits(keyed, host, host_bits, 1, tweak | 1 << 16) };
    if mask == 0 { host } else { (network << host_bits) | host }
}

/// A number of so many bits from `least` on; above [`BITS_MAX`], the first ones stay.
fn few_bits(keyed: &Keyed, value: u128, bits: u32, least: u128, tweak: u64) -> u128 {
    if bits > BITS_MAX {
        let low = (1 << BITS_MAX) - 1;
        let masked = keyed.next_where(value & low, 1 << BITS_MAX, tweak, |masked| {
            let whole = (value & !low) | masked;
            whole >= least
        });
        return (value & !low) | masked;
    }
    least + keyed.next(value - least, (1 << bits) - least, tweak)
}

/// Another UUID of the same version and variant, with hyphens and braces where they were. False, with nothing written, if it is none.
pub fn uuid(keyed: &Keyed, text: &str, scratch: &mut Scratch) -> bool {
    if !is_uuid(text) {
        return false;
    }
    let value = hex(text);
    // Version and variant, four bits and two.
    let (version, variant) = (value & (0xf << 76), value & (0b11 << 62));
    let free = squeezed(value);
    let spread = |free: u128| {
        let (low, middle, high) = (free & ((1 << 62) - 1), (free >> 62) & 0xfff, free >> 74);
        low | (middle << 64) | (high << 80) | version | variant
    };
    if !has_letters(value) {
        // Version and variant are digits of their own.
        decimal(keyed, text, &[12, 16], scratch);
        return true;
    }
    let masked = keyed
        .next_where(free, 1 << 122, (version >> 70) as u64 | (variant >> 62) as u64, |free| has_letters(spread(free)));
    write_hex(text, spread(masked), 32, scratch);
    true
}

/// Whether the text is a UUID, with its hyphens or without any.
pub fn is_uuid(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match inner.len() {
        32 => hex(inner),
        36 => inner.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && inner.split('-').all(hex),
        _ => false,
    }
}

/// The 122 bits that are neither version nor variant.
fn squeezed(value: u128) -> u128 {
    let low = value & ((1 << 62) - 1);
    let middle = (value >> 64) & 0xfff;
    low | (middle << 62) | ((value >> 80) << 74)
}

/// Another hardware address, written in the same way. False, with nothing written, if it is none.
pub fn mac(keyed: &Keyed, text: &str, scratch: &mut Scratch) -> bool {
    let Some(digits) = mac_digits(text) else { return false };
    let value = hex(text);
    if !has_letters(value) {
        decimal(keyed, text, &[], scratch);
        return true;
    }
    let masked = keyed.next_where(value, 1 << (4 * digits), digits.into(), has_letters);
    write_hex(text, masked, digits, scratch);
    true
}

pub fn is_mac(text: &str) -> bool {
    mac_digits(text).is_some()
}

/// 12 digits or 16, in pairs, fours or halves with `:`, `-` or `.` between them.
fn mac_digits(text: &str) -> Option<u32> {
    let between = text.chars().find(|c| matches!(c, ':' | '-' | '.'))?;
    let mut digits = 0;
    let mut length = None;
    for part in text.split(between) {
        let fits = matches!(part.len(), 2 | 4 | 6 | 8) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !fits || *length.get_or_insert(part.len()) != part.len() {
            return None;
        }
        digits += part.len();
    }
    u32::try_from(digits).ok().filter(|digits| matches!(digits, 12 | 16))
}

/// Masks hexadecimal digits of which none is a letter, among their like: without one, the case of letters would be lost. Nothing but
/// zeros stays, and so do the digits at these places.
fn decimal(keyed: &Keyed, text: &str, stay: &[usize], scratch: &mut Scratch) {
    let is_nil = |text: &str| !text.contains(|c: char| matches!(c, '1'..='9'));
    if is_nil(text) {
        scratch.out.push_str(text);
        return;
    }
    scratch.read(text, false);
    let digits = scratch.slots.iter_mut().zip(text.chars()).filter(|(_, c)| c.is_ascii_digit());
    for (at, (slot, c)) in digits.enumerate() {
        if stay.contains(&at) {
            *slot = Slot::Fixed(c);
        }
    }
    scratch.write_masked(keyed, Some(&|masked| !is_nil(masked)));
}

fn hex(text: &str) -> u128 {
    text.chars().filter_map(|c| c.to_digit(16)).fold(0, |value, digit| value << 4 | u128::from(digit))
}

/// Whether a letter stands among the hexadecimal digits.
fn has_letters(mut value: u128) -> bool {
    while value > 0 {
        if value & 0xf > 9 {
            return true;
        }
        value >>= 4;
    }
    false
}

/// Puts the digits where digits stand in `like`, in its case.
fn write_hex(like: &str, value: u128, digits: u32, scratch: &mut Scratch) {
    let upper = like.bytes().any(|byte| byte.is_ascii_uppercase());
    let mut left = digits;
    for c in like.chars() {
        if !c.is_ascii_hexdigit() {
            scratch.out.push(c);
            continue;
        }
        left -= 1;
        let digit = char::from_digit((value >> (4 * left) & 0xf) as u32, 16).expect("four bits");
        scratch.out.push(if upper { digit.to_ascii_uppercase() } else { digit });
    }
}
