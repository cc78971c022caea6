//! Values with a shape of their own: addresses of mail and of the web, phone numbers, cards, accounts. What only looks like one is
//! masked as text, and never becomes one, so that nothing meets.

use super::cycle::Keyed;
use super::format::Scratch;
use super::letters::{Slot, non_zero};

/// Below it no name resolves (RFC 6761).
pub const RESERVED: &str = ".test";

/// How a text is masked.
#[derive(Clone, Copy)]
pub struct Texts<'k> {
    pub keyed: &'k Keyed,
    /// Characters that the column takes.
    pub most: Option<usize>,
    pub fold_accents: bool,
    /// What hosts' names are put below: [`RESERVED`].
    pub reserved: &'k str,
}

impl Texts<'_> {
    /// As text of the same shape.
    pub fn format(self, text: &str, scratch: &mut Scratch) {
        scratch.read(text, self.fold_accents);
        scratch.write_masked(self.keyed, None);
    }

    /// As text of the same shape, without the characters at either end that stay: at most half of its letters and digits, those at the
    /// beginning first.
    pub fn format_within(self, text: &str, keep_first: usize, keep_last: usize, scratch: &mut Scratch) {
        scratch.read(text, self.fold_accents);
        let count = scratch.slots.len();
        let mut left = scratch.slots.iter().filter(|slot| matches!(slot, Slot::Symbol { .. })).count() / 2;
        let chars: Vec<char> = text.chars().collect();
        let first = keep_first.min(count);
        for at in (0..first).chain((first.max(count.saturating_sub(keep_last))..count).rev()) {
            if left > 0 && matches!(scratch.slots[at], Slot::Symbol { .. }) {
                scratch.slots[at] = Slot::Fixed(chars[at]);
                left -= 1;
            }
        }
        scratch.write_masked(self.keyed, None);
    }

    pub fn email(self, text: &str, scratch: &mut Scratch) {
        if !is_email(text) {
            return self.format(text, scratch);
        }
        self.below_reserved(text, text.len(), scratch, |_, _| {});
    }

    pub fn url(self, text: &str, scratch: &mut Scratch) {
        let Some(host) = host(text) else { return self.format(text, scratch) };
        self.below_reserved(text, host.end, scratch, fix_of_url);
    }

    /// Masks a text in which a host's name ends at `end`, and puts the name below the reserved one.
    ///
    /// Where that would be too long for the column, it stays without; a name that was below it as often as fits gets rid of all of them.
    /// So a text has one successor and one predecessor, and no two become the same.
    fn below_reserved(self, text: &str, end: usize, scratch: &mut Scratch, fix: impl Fn(&str, &mut [Slot])) {
        let (before, after) = text.split_at(end);
        let fits = self.most.is_none_or(|most| text.chars().count() + self.reserved.len() <= most);
        if fits {
            scratch.read(text, self.fold_accents);
            fix(text, &mut scratch.slots);
            let start = scratch.out.len();
            scratch.write_masked(self.keyed, None);
            let at = scratch.out[start..].char_indices().nth(before.chars().count());
            let at = at.map_or(scratch.out.len(), |(at, _)| start + at);
            scratch.out.insert_str(at, self.reserved);
            return;
        }
        let mut bare = before;
        while let Some(shorter) = self.without_reserved(bare) {
            bare = shorter;
        }
        let whole = [bare, after].concat();
        scratch.read(&whole, self.fold_accents);
        fix(&whole, &mut scratch.slots);
        let tail = after.chars().count();
        let outside = |masked: &str| {
            let end = masked.char_indices().rev().take(tail).last().map_or(masked.len(), |(at, _)| at);
            self.without_reserved(&masked[..end]).is_none()
        };
        scratch.write_masked(self.keyed, Some(&outside));
    }

    fn without_reserved<'t>(&self, text: &'t str) -> Option<&'t str> {
        let at = text.len().checked_sub(self.reserved.len())?;
        (text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case(self.reserved)).then(|| &text[..at])
    }

    /// Digits; the country code and the zeros after it stay.
    pub fn phone(self, text: &str, scratch: &mut Scratch) {
        if !is_phone(text) {
            scratch.read(text, self.fold_accents);
            // Nothing but zeros: of its shape, all else is a number, and it would be looked for in vain.
            if !text.contains(char::is_alphabetic) && is_phone(&text.replace('0', "1")) {
                scratch.slots.iter_mut().zip(text.chars()).filter(|(_, c)| *c == '0').for_each(|(slot, c)| {
                    *slot = Slot::Fixed(c);
                });
                return scratch.write_masked(self.keyed, None);
            }
            return scratch.write_masked(self.keyed, Some(&|masked| !is_phone(masked)));
        }
        scratch.read(text, self.fold_accents);
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let code = country_code(text.trim_start().starts_with('+'), &digits);
        let zeros = digits[code..].bytes().take_while(|digit| *digit == b'0').count();
        let mut seen = 0;
        for (slot, c) in scratch.slots.iter_mut().zip(text.chars()) {
            if !c.is_ascii_digit() {
                *slot = Slot::Fixed(c);
                continue;
            }
            if seen < code + zeros {
                *slot = Slot::Fixed(c);
            } else if seen == code + zeros {
                *slot = non_zero(c);
            }
            seen += 1;
        }
        scratch.write_masked(self.keyed, None);
    }

    /// The first digit stays; the check digit is as right or wrong as it was.
    pub fn card(self, text: &str, scratch: &mut Scratch) {
        if !is_card(text) {
            return self.format(text, scratch);
        }
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        let (check, body) = digits.split_last().expect("a card has digits");
        let off = (check + 10 - luhn(body)) % 10;
        scratch.read(text, self.fold_accents);
        let last = text.chars().rev().position(|c| c.is_ascii_digit()).map_or(0, |from_end| text.len() - 1 - from_end);
        let first = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
        for (at, c) in [(first, text.as_bytes()[first]), (last, text.as_bytes()[last])] {
            scratch.slots[at] = Slot::Fixed(char::from(c));
        }
        let start = scratch.out.len();
        scratch.write_masked(self.keyed, None);
        let masked: Vec<u8> =
            scratch.out[start..].bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        let check = (luhn(&masked[..masked.len() - 1]) + off) % 10;
        let at = start + last;
        scratch.out.replace_range(at..=at, &char::from(b'0' + check).to_string());
    }

    /// The country stays, the check digits are right.
    pub fn iban(self, text: &str, scratch: &mut Scratch) {
        scratch.read(text, self.fold_accents);
        if !is_iban(text) {
            return scratch.write_masked(self.keyed, Some(&|masked| !is_iban(masked)));
        }
        for (slot, c) in scratch.slots.iter_mut().zip(text.chars()).take(4) {
            *slot = Slot::Fixed(c);
        }
        let start = scratch.out.len();
        scratch.write_masked(self.keyed, None);
        let check = iban_check(&scratch.out[start..]).expect("the same letters and digits as in an account");
        scratch.out.replace_range(start + 2..start + 4, &format!("{check:02}"));
    }
}

/// Something, one `@` at least, and a name after the last.
pub fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let spaced = text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'));
    !local.is_empty() && host.starts_with(|c: char| c.is_alphanumeric()) && !spaced
}

/// Where a URL's host stands. None where there is none, or an address in brackets.
pub fn host(text: &str) -> Option<std::ops::Range<usize>> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'));
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let start = scheme.len() + 3 + authority.rfind('@').map_or(0, |at| at + 1);
    let name = &text[start..scheme.len() + 3 + authority.len()];
    let name = &name[..name.find(':').unwrap_or(name.len())];
    let is_name = name.starts_with(|c: char| c.is_alphanumeric()) && !name.contains(|c: char| c.is_whitespace());
    (is_scheme && is_name).then_some(start..start + name.len())
}

/// Keeps the scheme, the port, and escapes as `%C3`.
fn fix_of_url(text: &str, slots: &mut [Slot]) {
    let Some(host) = host(text) else { return };
    let scheme = text.find("://").unwrap_or(0);
    let port = host.end..text[host.end..].find(['/', '?', '#']).map_or(text.len(), |at| host.end + at);
    let mut escaped = 0;
    for (slot, (at, c)) in slots.iter_mut().zip(text.char_indices()) {
        if c == '%' {
            escaped = 3;
        }
        if at < scheme || port.contains(&at) || escaped > 0 {
            *slot = Slot::Fixed(c);
        }
        escaped -= i32::from(escaped > 0);
    }
}

/// Four digits and more with what is written between them, and perhaps an extension.
pub fn is_phone(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let mut words = text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    digits >= 4
        && words.all(|word| ["x", "ext"].iter().any(|known| word.eq_ignore_ascii_case(known)))
        && !text.contains(['@', '_', '=', '{', '"'])
        && text.trim_start_matches(['+', '(', ' ', '0']).contains(|c: char| c.is_ascii_digit())
}

const LONG_ZONES: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49", "51",
    "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84", "86", "90",
    "91", "92", "93", "94", "95", "98",
];

/// How many of the digits are the country's (ITU-T E.164), with the two zeros that may stand for `+`.
fn country_code(plus: bool, digits: &str) -> usize {
    let prefix = if plus {
        0
    } else if digits.starts_with("00") {
        2
    } else {
        return 0;
    };
    let rest = &digits[prefix..];
    let code = match rest.get(..2) {
        _ if rest.starts_with(['1', '7']) => 1,
        Some(zone) if LONG_ZONES.contains(&zone) => 2,
        _ => 3,
    };
    // Of something short, digits are left to change.
    (prefix + code).min(digits.len().saturating_sub(4))
}

/// 12 to 19 digits, with spaces or hyphens between them.
pub fn is_card(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    (12..=19).contains(&digits) && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'))
}

/// The check digit that belongs to these digits (ISO/IEC 7812-1).
pub fn luhn(body: &[u8]) -> u8 {
    let sum: u32 = body
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit) * if at % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).expect("below 10")
}

/// An account with right check digits, as one word or in groups.
pub fn is_iban(text: &str) -> bool {
    let given = text.get(2..4).and_then(|check| check.parse::<u32>().ok());
    given.is_some() && iban_check(text) == given
}

/// The check digits of an account (ISO 13616), from 2 to 98; None if it has not an account's shape.
fn iban_check(text: &str) -> Option<u32> {
    let bytes = text.as_bytes();
    let shaped = text.is_ascii()
        && bytes.len() >= 4
        && bytes[..2].iter().all(u8::is_ascii_alphabetic)
        && bytes[2..4].iter().all(u8::is_ascii_digit);
    if !shaped {
        return None;
    }
    let (mut rest, mut count) = (0_u32, 4);
    for byte in bytes[4..].iter().copied().filter(|byte| *byte != b' ').chain([bytes[0], bytes[1], b'0', b'0']) {
        let value = char::from(byte).to_digit(36)?;
        rest = (rest * if value < 10 { 10 } else { 100 } + value) % 97;
        count += 1;
    }
    // The country and the check digits were counted twice.
    (15..=34).contains(&(count - 4)).then_some(98 - rest)
}
