//! Values for probes: fresh ones where a column must be unique, made-up ones where a table has no row to copy.
//!
//! Values are text as the server's output functions write it; the server reads it back by the column's type.

use rand::RngExt;

/// Years that are new are from the end of what a year may be.
const FIRST_YEAR: u16 = 2100;
const LAST_YEAR: u16 = 2155;

/// What is known of a column's type, domains resolved to what they are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueKind {
    /// Up to this value.
    Integer {
        max: i64,
    },
    Numeric {
        /// Digits before and after the point; none = as many as one likes.
        digits: Option<(u32, u32)>,
    },
    Float,
    Text {
        /// Characters.
        max: Option<usize>,
    },
    Uuid,
    Date,
    /// With or without time zone.
    Timestamp,
    Time,
    /// Of four digits.
    Year,
    /// Hexadecimal digits behind a prefix.
    Bytes {
        prefix: &'static str,
        max: Option<usize>,
    },
    Boolean,
    Inet,
    Inet6,
    Mac,
    Json,
    Array,
    Range,
    /// Its first label.
    Enum(String),
    Bits(usize),
    Other,
}

/// How a text is made fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Each letter and digit by another one, so that formats hold: "AB-12" becomes "XQ-70".
    Shape,
    /// Random letters added at the end, or in the last characters' place where there is no room.
    Suffix,
}

impl ValueKind {
    /// Whether there are enough values that a random one is very likely new.
    pub fn can_be_fresh(&self) -> bool {
        match self {
            ValueKind::Integer { .. }
            | ValueKind::Float
            | ValueKind::Uuid
            | ValueKind::Timestamp
            | ValueKind::Date
            | ValueKind::Time
            | ValueKind::Year
            | ValueKind::Inet
            | ValueKind::Inet6
            | ValueKind::Mac => true,
            ValueKind::Bytes { max, .. } => max.is_none_or(|max| max >= 2),
            ValueKind::Numeric { digits } => digits.is_none_or(|(whole, _)| whole >= 3),
            ValueKind::Text { max } => max.is_none_or(|max| max >= 2),
            ValueKind::Bits(length) => *length >= 16,
            ValueKind::Boolean
            | ValueKind::Json
            | ValueKind::Array
            | ValueKind::Range
            | ValueKind::Enum(_)
            | ValueKind::Other => false,
        }
    }

    /// Whether there are so few values like `sample` that a random one may well exist.
    pub fn has_few(&self, sample: &str, style: Style) -> bool {
        const FEW: f64 = 1e6;
        let possible = match self {
            ValueKind::Text { max } => {
                let ways = |each: char| match each {
                    '1'..='9' => 9.0,
                    'a'..='z' | 'A'..='Z' => 26.0,
                    _ => 1.0,
                };
                let changeable = sample.chars().filter(char::is_ascii_alphanumeric).count();
                if style == Style::Shape && changeable >= 2 {
                    sample.chars().map(ways).product()
                } else {
                    26.0_f64.powi(i32::try_from(max.unwrap_or(8).min(8)).unwrap_or(8))
                }
            }
            ValueKind::Numeric { digits } => {
                10.0_f64.powi(i32::try_from(digits.map_or(15, |(whole, _)| whole).min(17)).unwrap_or(17))
            }
            ValueKind::Year => f64::from(LAST_YEAR - FIRST_YEAR),
            ValueKind::Bytes { max: Some(max), .. } => 256.0_f64.powi(i32::try_from(*max).unwrap_or(i32::MAX)),
            ValueKind::Bits(length) => 2.0_f64.powi(i32::try_from(*length).unwrap_or(i32::MAX)),
            _ => f64::INFINITY,
        };
        possible < FEW
    }

    /// The better the higher, among the columns of one unique index.
    pub fn freshness(&self) -> u32 {
        match self {
            ValueKind::Uuid => 6,
            ValueKind::Text { max } if max.is_none_or(|max| max >= 8) => 5,
            ValueKind::Integer { .. } | ValueKind::Numeric { .. } => 4,
            ValueKind::Bytes { .. } | ValueKind::Mac | ValueKind::Inet | ValueKind::Inet6 | ValueKind::Float => 3,
            ValueKind::Timestamp => 2,
            _ => 1,
        }
    }

    /// A value that no row has, like `sample`; none for types of few values.
    pub fn fresh(&self, sample: &str, style: Style, rng: &mut impl RngExt) -> Option<String> {
        Some(match self {
            // From the upper half, which keys given out in order do not reach for long.
            ValueKind::Integer { max } => rng.random_range(max / 2..=*max).to_string(),
            ValueKind::Numeric { digits } => {
                let whole = digits.map_or(15, |(whole, _)| whole).min(17);
                let top = 10_i64.pow(whole);
                rng.random_range(top / 10..top).to_string()
            }
            ValueKind::Float => rng.random_range(1.0e6..1.0e7).to_string(),
            ValueKind::Text { max } => fresh_text(sample, *max, style, rng),
            ValueKind::Uuid => uuid(rng),
            ValueKind::Date => date(rng),
            ValueKind::Timestamp => fresh_timestamp(sample, rng),
            ValueKind::Time => time(rng),
            ValueKind::Year => rng.random_range(FIRST_YEAR..=LAST_YEAR).to_string(),
            ValueKind::Bytes { prefix, max } => format!("{prefix}{}", hex(max.unwrap_or(16).min(16), rng)),
            ValueKind::Inet => inet(rng),
            ValueKind::Inet6 => inet6(rng),
            ValueKind::Mac => mac(rng),
            ValueKind::Bits(length) => bits(*length, rng),
            _ => return None,
        })
    }

    /// A plausible value out of nothing; none for types that nothing is known of. `nth` chooses among the forms that texts take, for
    /// a check may ask for one of them.
    pub fn made_up(&self, nth: usize, rng: &mut impl RngExt) -> Option<String> {
        Some(match self {
            // Small, as quantities and codes are.
            ValueKind::Integer { .. } => rng.random_range(1..=100).to_string(),
            ValueKind::Numeric { .. } | ValueKind::Float => rng.random_range(1..=9).to_string(),
            ValueKind::Text { max } => made_up_text(max.unwrap_or(12), nth, rng),
            ValueKind::Uuid => uuid(rng),
            ValueKind::Date => "2024-05-17".to_owned(),
            ValueKind::Timestamp => format!("2024-05-17 {}", time(rng)),
            ValueKind::Time => time(rng),
            ValueKind::Year => "2024".to_owned(),
            ValueKind::Bytes { prefix, max } => format!("{prefix}{}", hex(max.unwrap_or(4).min(4), rng)),
            ValueKind::Boolean => "1".to_owned(),
            ValueKind::Inet => inet(rng),
            ValueKind::Inet6 => inet6(rng),
            ValueKind::Mac => mac(rng),
            ValueKind::Json | ValueKind::Array => "{}".to_owned(),
            ValueKind::Range => "empty".to_owned(),
            ValueKind::Enum(first) => first.clone(),
            ValueKind::Bits(length) => bits(*length, rng),
            ValueKind::Other => return None,
        })
    }
}

fn fresh_text(sample: &str, max: Option<usize>, style: Style, rng: &mut impl RngExt) -> String {
    let trimmed = sample.trim_end();
    if style == Style::Shape {
        let shaped: String = trimmed.chars().map(|each| another(each, rng)).collect();
        let changeable = trimmed.chars().filter(char::is_ascii_alphanumeric).count();
        if changeable >= 2 {
            return shaped;
        }
    }
    let added = max.map_or(8, |max| max.min(8));
    let kept = max.map_or(usize::MAX, |max| max - added);
    trimmed.chars().take(kept).chain(letters(added, rng).chars()).collect()
}

/// A word, an address, a number, a code.
fn made_up_text(max: usize, nth: usize, rng: &mut impl RngExt) -> String {
    let word = letters(max.min(12), rng);
    match nth % 4 {
        1 => format!("{}@example.com", letters(6, rng)).chars().take(max.max(15)).collect(),
        2 => word.chars().map(|each| char::from(b'1' + (each as u8 - b'a') % 9)).collect(),
        3 => word.to_uppercase(),
        _ => word,
    }
}

/// A letter by a letter of the same case, a digit by a digit.
fn another(each: char, rng: &mut impl RngExt) -> char {
    let of = |first: u8, count: u8, rng: &mut _| char::from(first + RngExt::random_range(rng, 0..count));
    match each {
        // A leading zero may matter, so a digit other than zero stays one.
        '1'..='9' => of(b'1', 9, rng),
        'a'..='z' => of(b'a', 26, rng),
        'A'..='Z' => of(b'A', 26, rng),
        other => other,
    }
}

fn letters(count: usize, rng: &mut impl RngExt) -> String {
    (0..count).map(|_| char::from(b'a' + rng.random_range(0..26u8))).collect()
}

fn hex(bytes: usize, rng: &mut impl RngExt) -> String {
    (0..bytes).map(|_| format!("{:02x}", rng.random::<u8>())).collect()
}

/// Version 4, variant 1.
fn uuid(rng: &mut impl RngExt) -> String {
    let bits = (rng.random::<u128>() & !(0xf << 76 | 0xc << 60)) | 0x4 << 76 | 0x8 << 60;
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn date(rng: &mut impl RngExt) -> String {
    format!("{}-{:02}-{:02}", rng.random_range(2100..9999), rng.random_range(1..=12), rng.random_range(1..=28))
}

fn time(rng: &mut impl RngExt) -> String {
    let (hour, minute, second) = (rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60));
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", rng.random_range(0..1_000_000))
}

/// Another time of the same day, so that the row stays in its partition; a far day where the sample is not in ISO form.
fn fresh_timestamp(sample: &str, rng: &mut impl RngExt) -> String {
    match sample.split_once(' ') {
        Some((day, _)) if day.len() >= 10 && day.is_ascii() => format!("{day} {}", time(rng)),
        _ => format!("{} {}", date(rng), time(rng)),
    }
}

fn inet(rng: &mut impl RngExt) -> String {
    let [a, b, c]: [u8; 3] = rng.random();
    format!("10.{a}.{b}.{c}")
}

/// A local one.
fn inet6(rng: &mut impl RngExt) -> String {
    let [a, b, c]: [u16; 3] = rng.random();
    format!("fd00::{a:x}:{b:x}:{c:x}")
}

fn mac(rng: &mut impl RngExt) -> String {
    // Locally administered, unicast.
    let [a, b, c, d, e]: [u8; 5] = rng.random();
    format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}")
}

fn bits(length: usize, rng: &mut impl RngExt) -> String {
    (0..length).map(|_| if rng.random() { '1' } else { '0' }).collect()
}
