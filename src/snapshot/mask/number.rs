//! Numbers and dates: whole numbers permuted among those of as many digits, noise, dates moved by days.

use super::cycle::Keyed;
use super::format::Scratch;
use super::letters::{Slot, non_zero};

/// Greatest values of the engines' integer types, so that a number stays within every type that it fits.
const ABOVE: &[u128] = &[
    i8::MAX as u128,
    u8::MAX as u128,
    i16::MAX as u128,
    u16::MAX as u128,
    (1 << 23) - 1,
    (1 << 24) - 1,
    i32::MAX as u128,
    u32::MAX as u128,
    i64::MAX as u128,
    u64::MAX as u128,
];
/// The same of their least values, without the sign.
const BELOW: &[u128] = &[1 << 7, 1 << 15, 1 << 23, 1 << 31, 1 << 63];

/// Digits of the longest whole number that is permuted as one.
const DIGITS_MAX: usize = 37;

/// A number as it is written: a sign, digits, perhaps a fraction.
struct Decimal<'t> {
    sign: &'t str,
    whole: &'t str,
    /// With its point.
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    /// None if it has another form, as an exponent.
    fn parse(text: &'t str) -> Option<Self> {
        let (sign, rest) = text.split_at(usize::from(text.starts_with('-')));
        let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = !whole.is_empty() && digits(whole) && fraction.get(1..).is_none_or(digits) && fraction != ".";
        is_one.then_some(Decimal { sign, whole, fraction })
    }
}

/// Another number of as many digits and the same sign, but for zeros at the end of a fraction, which stay: so numbers are permuted by their
/// value, however many decimals they are written with. A zero stays one. False, with nothing written, if it is no plain number.
pub fn integer(keyed: &Keyed, text: &str, scratch: &mut Scratch) -> bool {
    let Some(number) = Decimal::parse(text) else { return false };
    let zeros = number.whole.bytes().take_while(|digit| *digit == b'0').count();
    let significant = &number.whole[zeros..];
    let fraction = number.fraction.trim_end_matches('0').trim_end_matches('.');
    if fraction.is_empty() && significant.len() <= DIGITS_MAX {
        let value: u128 = significant.parse().unwrap_or(0);
        let (first, last) = bucket(value, !number.sign.is_empty());
        // The least of a bucket tells it apart.
        let masked = first + keyed.next(value - first, last - first + 1, first as u64 ^ (first >> 64) as u64);
        scratch.out.push_str(number.sign);
        scratch.out.push_str(&number.whole[..zeros]);
        if value > 0 {
            scratch.out.push_str(&masked.to_string());
        }
        scratch.out.push_str(number.fraction);
        return true;
    }
    // The first digit of the whole and the last of the fraction are no zeros, and stay none.
    let leading = number.sign.len() + zeros;
    let end = number.sign.len() + number.whole.len() + fraction.len();
    scratch.read(text, false);
    for (at, (slot, c)) in scratch.slots.iter_mut().zip(text.chars()).enumerate() {
        if at < leading || at >= end {
            *slot = Slot::Fixed(c);
        } else if (at == leading && !significant.is_empty()) || (at + 1 == end && !fraction.is_empty()) {
            *slot = non_zero(c);
        }
    }
    scratch.write_masked(keyed, None);
    true
}

/// The least and the greatest number with as many digits that every integer type holds or does not hold as it does this one; without the
/// sign.
fn bucket(value: u128, negative: bool) -> (u128, u128) {
    if value == 0 {
        return (0, 0);
    }
    let (mut first, mut last) = (10_u128.pow(value.ilog10()), 10_u128.pow(value.ilog10() + 1) - 1);
    for limit in if negative { BELOW } else { ABOVE } {
        if value <= *limit {
            last = last.min(*limit);
            break;
        }
        first = first.max(limit + 1);
    }
    (first, last)
}

/// The number changed by at most `share` of itself, with as many decimals and no more digits; text that is no number stays.
pub fn noise(keyed: &Keyed, text: &str, share: f64, scratch: &mut Scratch) {
    let digest = keyed.digest(text.as_bytes());
    let random = u64::from_le_bytes(digest[..8].try_into().expect("8 of 32 bytes"));
    // From -share to share.
    let change = ((random >> 11) as f64 / (1_u64 << 52) as f64 - 1.0) * share;
    let exact = Decimal::parse(text).and_then(|number| {
        let digits = [number.whole, number.fraction.get(1..).unwrap_or_default()].concat();
        let value: i128 = if digits.len() < DIGITS_MAX { digits.parse().ok()? } else { return None };
        let most = match number.fraction {
            "" => bucket(value.unsigned_abs(), !number.sign.is_empty()).1,
            _ => 10_u128.pow(u32::try_from(digits.len()).ok()?) - 1,
        };
        let moved = value + (value as f64 * change).round() as i128;
        let moved = moved.unsigned_abs().min(most).to_string();
        let moved = format!("{moved:0>width$}", width = digits.len());
        Some((number.sign, number.whole.len(), moved, number.fraction))
    });
    match exact {
        Some((sign, whole, moved, fraction)) => {
            let (before, after) = moved.split_at(whole);
            let zeros = before.bytes().take_while(|digit| *digit == b'0').count().min(whole - 1);
            // A number that was padded stays so.
            let before = if text[sign.len()..].starts_with('0') { before } else { &before[zeros..] };
            scratch.out.push_str(sign);
            scratch.out.push_str(before);
            if !fraction.is_empty() {
                scratch.out.push('.');
                scratch.out.push_str(after);
            }
        }
        None => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                let moved = number * (1.0 + change);
                let moved = if moved.is_finite() { moved } else { number };
                let written = if text.contains(['e', 'E']) { format!("{moved:e}") } else { moved.to_string() };
                scratch.out.push_str(&written);
            }
            _ => scratch.out.push_str(text),
        },
    }
}

/// Days since 1970-01-01 that are moved among each other; those at the ends stand for "never" and "always".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    first: i64,
    last: i64,
}

/// 0001-01-02 to 9999-12-30.
pub const ANY_DAY: Days = Days { first: -719_161, last: 2_932_895 };
/// 1970-01-02 to 2038-01-18, as MySQL's TIMESTAMP has them.
pub const UNIX_DAYS: Days = Days { first: 1, last: 24_854 };

/// Days that Postgres has beside, each with as many digits in its year: before Christ, and after 9999.
const FAR_DAYS: &[Days] = &[
    Days { first: -2_440_587, last: -719_163 },
    Days { first: 2_932_897, last: 35_804_721 },
    Days { first: 35_804_722, last: 106_762_573 },
    Days { first: 106_762_574, last: 364_522_971 },
    Days { first: 364_522_972, last: 2_145_042_540 },
];

/// Years of which a date that no calendar has becomes one of another.
const YEARS: i64 = 8;

/// How dates are moved.
#[derive(Clone, Copy)]
pub enum Move<'m> {
    /// Each by itself, among those around it: equal ones alike, and no two to the same day.
    Alone,
    /// All of the entity by as many days.
    Like(&'m [u8]),
}

/// The keys and days of a column's dates.
pub struct Dates {
    /// Decides about entities, whose dates may stand in many columns.
    pub shared: Keyed,
    /// Of the columns that hold the same things.
    pub own: Keyed,
    /// The most by which a date is moved; at least 1.
    pub days: u32,
    pub range: Days,
}

impl Dates {
    /// Moves the date with which the text begins. Zero dates, the first and the last day stay. False, with nothing written, if it begins
    /// with none.
    pub fn date(&self, text: &str, by: Move<'_>, scratch: &mut Scratch) -> bool {
        let Some((day, rest)) = day(text) else { return self.odd(text, scratch) };
        if rest.ends_with("BC") {
            return self.odd(text, scratch);
        }
        if !(self.range.first..=self.range.last).contains(&day) {
            scratch.out.push_str(text);
            return true;
        }
        let moved = match by {
            Move::Alone => self.alone(day, self.range),
            Move::Like(entity) => self.like(day, entity),
        };
        let (year, month, day) = civil(moved);
        scratch.out.push_str(&format!("{year:04}-{month:02}-{day:02}{rest}"));
        true
    }

    fn like(&self, day: i64, entity: &[u8]) -> i64 {
        let size = self.range.last - self.range.first + 1;
        let drawn = self.shared.draw(entity, 2 * self.days as usize);
        // Backwards by 1 to `days`, or forwards.
        let shift = i64::try_from(drawn).expect("a few thousand days") - i64::from(self.days);
        let shift = if shift >= 0 { shift + 1 } else { shift };
        let shift = if shift % size == 0 { 1 } else { shift };
        self.range.first + (day - self.range.first + shift).rem_euclid(size)
    }

    /// Another day of the run of days in which it lies; where runs begin is secret.
    fn alone(&self, day: i64, range: Days) -> i64 {
        let (length, size) = (i64::from(self.days) + 1, range.last - range.first + 1);
        let offset = self.own.draw(b"where runs begin", self.days as usize) as i64;
        // One day alone at the end goes with the run before it.
        let runs = ((size + offset + length - 2) / length).max(1);
        let run = ((day - range.first + offset) / length).min(runs - 1);
        let start = (run * length - offset).max(0);
        let end = if run + 1 == runs { size } else { (run + 1) * length - offset };
        let (at, size) = ((day - range.first - start).unsigned_abs(), (end - start).unsigned_abs());
        let moved = self.own.next(at.into(), size.into(), (range.first + start).unsigned_abs());
        range.first + start + i64::try_from(moved).expect("below the days of a range")
    }

    /// Dates that are none of the plain calendar: with zeros for the month or the day, with a day that the month has not, before Christ,
    /// after 9999.
    fn odd(&self, text: &str, scratch: &mut Scratch) -> bool {
        let Some(([year, month, day], rest)) = parts(text) else { return false };
        let before = rest.ends_with("BC");
        if before || year > 9999 {
            let days = days_from(if before { 1 - year } else { year }, month, day);
            let Some(range) = FAR_DAYS.iter().find(|range| (range.first..=range.last).contains(&days)) else {
                return false;
            };
            let (year, month, day) = civil(self.alone(days, *range));
            let year = if before { 1 - year } else { year };
            scratch.out.push_str(&format!("{year:04}-{month:02}-{day:02}{rest}"));
            return true;
        }
        if (year, month, day) == (0, 0, 0) {
            scratch.out.push_str(text);
            return true;
        }
        // Those of the same sort within some years.
        let is_day = |year: i64, month: i64, day: i64| {
            month == 0 || day == 0 || civil(days_from(year, month, day)) == (year, month, day)
        };
        let sort = |year: i64, month: i64, day: i64| (year == 0, month == 0, day == 0, is_day(year, month, day));
        let of = |value: i64| (year - year % YEARS + value / (13 * 32), value / 32 % 13, value % 32);
        let value = (year % YEARS * 13 + month) * 32 + day;
        let own = sort(year, month, day);
        if month > 12 || day > 31 || (own.3 && year > 0 && month > 0 && day > 0) {
            return false;
        }
        let masked = self.own.next_where(
            u128::from(value.unsigned_abs()),
            u128::from((YEARS * 13 * 32).unsigned_abs()),
            (1 << 32) + (year / YEARS).unsigned_abs(),
            |value| {
                let (year, month, day) = of(i64::try_from(value).expect("some thousand"));
                sort(year, month, day) == own
            },
        );
        let (year, month, day) = of(i64::try_from(masked).expect("some thousand"));
        scratch.out.push_str(&format!("{year:04}-{month:02}-{day:02}{rest}"));
        true
    }
}

/// Year, month and day as they are written, and what comes after them.
fn parts(text: &str) -> Option<([i64; 3], &str)> {
    let (year, rest) = text.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let shaped =
        (4..=7).contains(&year.len()) && digits(year) && rest.is_char_boundary(5) && rest.as_bytes()[2] == b'-';
    if !shaped || !digits(&rest[..2]) || !digits(&rest[3..5]) || rest[5..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(([year.parse().ok()?, rest[..2].parse().ok()?, rest[3..5].parse().ok()?], &rest[5..]))
}

/// Whether the text is a date, perhaps with a time.
pub fn is_date(text: &str) -> bool {
    day(text).is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with([' ', 'T']))
}

/// Days since 1970-01-01 of the date `YYYY-MM-DD` with which the text begins, and what comes after it.
fn day(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && !bytes.get(10).is_some_and(u8::is_ascii_digit);
    if !shaped {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if year == 0 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let days = days_from(year, month, day);
    (civil(days) == (year, month, day)).then(|| (days, &text[10..]))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}
