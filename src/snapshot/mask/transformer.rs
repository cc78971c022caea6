//! A rule's transformer with its key, ready for a column's values.

use regex::Regex;

use super::cycle::{Keyed, Master};
use super::format::Scratch;
use super::letters::byte_slot;
use super::lists::{Draw, Lists};
use super::nested::{Json, array};
use super::number::{self, ANY_DAY, Dates, Move, UNIX_DAYS};
use super::shape::{RESERVED, Texts};
use super::{Kind, address};
use crate::scenario::rules::{Locale, Piece, Transform};

/// What is known of the column beside its rule.
#[derive(Debug, Clone, Copy)]
pub struct Holds<'k> {
    /// Tells the columns that hold the same things from all others.
    pub domain: &'k str,
    pub kind: &'k Kind,
    /// Characters that it takes.
    pub most: Option<usize>,
    pub fold_accents: bool,
}

pub struct Transformer {
    what: What,
    keyed: Keyed,
    lists: &'static Lists,
    /// No two values become one.
    injective: bool,
    most: Option<usize>,
    fold_accents: bool,
}

enum What {
    Null,
    Fixed(String),
    Json(Box<Json>),
    Array(Box<Transformer>),
    Regex {
        regex: Regex,
        replace: String,
    },
    Template(Vec<Part>),
    Date {
        dates: Box<Dates>,
        together: bool,
        typed: bool,
    },
    /// A number of a column of numbers.
    Number(Transform),
    Plain(Transform),
}

enum Part {
    Literal(String),
    Of(Box<Transformer>),
}

impl Transformer {
    /// None for [`Transform::Keep`], which has nothing to do.
    pub fn of(transform: &Transform, locale: Locale, master: &Master, holds: Holds<'_>) -> Option<Self> {
        let inner = |transform: &Transform, most| {
            Transformer::of(transform, locale, master, Holds { kind: &Kind::Text, most, ..holds })
        };
        let what = match (holds.kind, transform) {
            (_, Transform::Keep) => return None,
            (_, Transform::Null) => What::Null,
            (_, Transform::Fixed(text)) => What::Fixed(text.clone()),
            (Kind::Array(kind), _) => {
                let holds = Holds { kind, ..holds };
                What::Array(Box::new(Transformer::of(transform, locale, master, holds)?))
            }
            (_, Transform::Regex { find, replace }) => What::Regex {
                regex: Regex::new(find).expect("the rules file's expressions were compiled when it was read"),
                replace: replace.clone(),
            },
            (_, Transform::Template(pieces)) => What::Template(
                pieces
                    .iter()
                    .filter_map(|piece| match piece {
                        Piece::Literal(text) => Some(Part::Literal(text.clone())),
                        Piece::Of(transform) => Some(Part::Of(Box::new(inner(transform, None)?))),
                    })
                    .collect(),
            ),
            (_, Transform::Json { paths, rest }) => What::Json(Box::new(Json {
                paths: paths
                    .iter()
                    .filter_map(|(path, transform)| {
                        Some((path.clone(), inner(transform, None).or_else(|| keeper(master))?))
                    })
                    .collect(),
                rest: *rest,
                texts: inner(&Transform::Format { keep_first: 0, keep_last: 0 }, None)?,
                numbers: inner(&Transform::Integer, None)?,
            })),
            (kind, Transform::Date { days, together, .. }) => What::Date {
                dates: Box::new(Dates {
                    shared: master.keyed(transform.name()),
                    own: master.keyed(&format!("{} {}", transform.name(), holds.domain)),
                    days: *days,
                    range: if *kind == Kind::UnixTimestamp { UNIX_DAYS } else { ANY_DAY },
                }),
                together: *together,
                typed: *kind != Kind::Text,
            },
            (Kind::Integer { .. } | Kind::Numeric | Kind::Float, Transform::Integer | Transform::Noise { .. }) => {
                What::Number(transform.clone())
            }
            (_, transform) => What::Plain(transform.clone()),
        };
        let keyed = master.keyed(transform.name());
        let Holds { most, fold_accents, .. } = holds;
        Some(Transformer {
            what,
            keyed,
            lists: Lists::of(locale),
            injective: transform.is_injective(),
            most,
            fold_accents,
        })
    }

    pub fn is_null(&self) -> bool {
        matches!(self.what, What::Null)
    }

    /// Whether values stay as they are.
    pub fn keeps(&self) -> bool {
        matches!(self.what, What::Plain(Transform::Keep))
    }

    /// What every value becomes, where that is the same text.
    pub fn fixed(&self) -> Option<&str> {
        match &self.what {
            What::Fixed(text) => Some(text),
            _ => None,
        }
    }

    /// Masks one field in place. NULL stays, and so does what is empty or nothing but spaces, save that all become NULL where the rule
    /// says so. `entity` is the value by which dates are moved.
    pub fn field(&self, field: &mut Option<Vec<u8>>, entity: Option<&[u8]>, scratch: &mut Scratch) {
        if self.is_null() {
            *field = None;
        }
        let Some(bytes) = field else { return };
        scratch.out.clear();
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                // To many comparisons spaces at the end are none.
                let body = text.trim_end_matches(' ');
                if body.is_empty() {
                    return;
                }
                if !self.apply(body, entity, scratch) {
                    *field = None;
                    return;
                }
                let spaces = text.len() - body.len();
                let room = self.most.map_or(spaces, |most| most.saturating_sub(scratch.out.chars().count()));
                scratch.out.extend(std::iter::repeat_n(' ', spaces.min(room)));
                bytes.clear();
                bytes.extend_from_slice(scratch.out.as_bytes());
            }
            Err(_) => {
                if self.injective {
                    self.bytes(bytes, scratch);
                } else if self.apply(&String::from_utf8_lossy(bytes), entity, scratch) {
                    bytes.clear();
                    bytes.extend_from_slice(scratch.out.as_bytes());
                } else {
                    *field = None;
                }
            }
        }
    }

    /// Masks what is not text in the database's encoding, and stays so: ASCII letters and digits among their like, all other bytes among
    /// each other.
    fn bytes(&self, bytes: &mut Vec<u8>, scratch: &mut Scratch) {
        let byte = |c: char| u8::try_from(u32::from(c)).expect("ASCII, or one of the 128 characters after it");
        scratch.slots.clear();
        scratch.slots.extend(bytes.iter().map(|byte| byte_slot(*byte)));
        let is_text = |masked: &str| std::str::from_utf8(&masked.chars().map(byte).collect::<Vec<_>>()).is_ok();
        scratch.write_masked(&self.keyed, Some(&|masked| !is_text(masked)));
        bytes.clear();
        bytes.extend(scratch.out.chars().map(byte));
    }

    /// Appends what becomes of a value that is not empty to `scratch.out`; false if it becomes NULL.
    pub fn apply(&self, text: &str, entity: Option<&[u8]>, scratch: &mut Scratch) -> bool {
        let start = scratch.out.len();
        match &self.what {
            What::Null => return false,
            What::Fixed(fixed) => scratch.out.push_str(fixed),
            What::Json(json) => {
                if !json.mask(text, scratch) {
                    self.texts().format(text, scratch);
                }
                // What was masked can be longer; cut, it would be no JSON.
                if self.most.is_some_and(|most| scratch.out[start..].chars().count() > most) {
                    scratch.out.truncate(start);
                    scratch.out.push_str("null");
                    self.cut(start, scratch);
                }
            }
            What::Array(element) => array(text, element, scratch),
            What::Regex { regex, replace } => {
                scratch.out.push_str(&regex.replace_all(text, replace.as_str()));
                self.cut(start, scratch);
            }
            What::Template(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(text) => scratch.out.push_str(text),
                        Part::Of(transformer) => drop(transformer.apply(text, entity, scratch)),
                    }
                }
                self.cut(start, scratch);
            }
            What::Date { dates, together, typed } => {
                let by = match entity {
                    Some(entity) if !entity.is_empty() => Move::Like(entity),
                    _ if *together => Move::Like(b""),
                    // Rows of nobody have nothing in common.
                    _ => Move::Alone,
                };
                if *typed && ["infinity", "-infinity"].contains(&text) {
                    scratch.out.push_str(text);
                } else if !(*typed || number::is_date(text)) {
                    self.otherwise(text, &number::is_date, scratch);
                } else if !dates.date(text, by, scratch) {
                    self.texts().format(text, scratch);
                }
            }
            // Not a number, and the infinite ones, are no other than themselves.
            What::Number(_) if ["NaN", "Infinity", "-Infinity"].contains(&text) => scratch.out.push_str(text),
            What::Plain(transform) | What::Number(transform) => self.plain(transform, text, scratch),
        }
        true
    }

    fn plain(&self, transform: &Transform, text: &str, scratch: &mut Scratch) {
        let (texts, draw) = (self.texts(), Draw { keyed: &self.keyed, lists: self.lists, most: self.most });
        match transform {
            Transform::Keep => scratch.out.push_str(text),
            Transform::Email => texts.email(text, scratch),
            Transform::Phone => texts.phone(text, scratch),
            Transform::Card => texts.card(text, scratch),
            Transform::Iban => texts.iban(text, scratch),
            Transform::Url => texts.url(text, scratch),
            Transform::Format { keep_first, keep_last } if *keep_first > 0 || *keep_last > 0 => {
                texts.format_within(text, *keep_first, *keep_last, scratch);
            }
            Transform::FirstName => draw.first_name(text, &mut scratch.out),
            Transform::LastName => draw.last_name(text, &mut scratch.out),
            Transform::Name => draw.name(text, &mut scratch.out),
            Transform::Street => draw.street(text, &mut scratch.out),
            Transform::City => draw.city(text, &mut scratch.out),
            Transform::Company => draw.company(text, &mut scratch.out),
            Transform::UserAgent => draw.user_agent(text, &mut scratch.out),
            Transform::Text => draw.text(text, &mut scratch.out),
            Transform::Integer => {
                if !number::integer(&self.keyed, text, scratch) {
                    texts.format(text, scratch);
                }
            }
            Transform::Noise { share } if text.parse::<f64>().is_ok_and(f64::is_finite) => {
                let start = scratch.out.len();
                number::noise(&self.keyed, text, *share, scratch);
                self.cut(start, scratch);
            }
            Transform::Ip => {
                if !address::ip(&self.keyed, text, self.most, scratch) {
                    self.otherwise(text, &|masked| address::is_ip(masked, self.most), scratch);
                }
            }
            Transform::Mac => {
                if !address::mac(&self.keyed, text, scratch) {
                    self.otherwise(text, &address::is_mac, scratch);
                }
            }
            Transform::Uuid => {
                if !address::uuid(&self.keyed, text, scratch) {
                    self.otherwise(text, &address::is_uuid, scratch);
                }
            }
            Transform::Hash { length } => {
                let digest = self.keyed.digest(text.to_lowercase().as_bytes());
                let length = self.most.map_or(*length, |most| most.min(*length));
                let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
                let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
                scratch.out.extend(digits.take(length));
            }
            // The others have a variant of their own.
            _ => texts.format(text, scratch),
        }
    }

    /// As text, but never among those that are masked in the transformer's own way, with which it could meet.
    fn otherwise(&self, text: &str, own: &dyn Fn(&str) -> bool, scratch: &mut Scratch) {
        scratch.read(text, self.fold_accents);
        scratch.write_masked(&self.keyed, Some(&|masked| !own(masked)));
    }

    fn texts(&self) -> Texts<'_> {
        Texts { keyed: &self.keyed, most: self.most, fold_accents: self.fold_accents, reserved: RESERVED }
    }

    /// Cuts what was appended to what the column takes.
    fn cut(&self, start: usize, scratch: &mut Scratch) {
        let end = self.most.and_then(|most| scratch.out[start..].char_indices().nth(most));
        if let Some((at, _)) = end {
            scratch.out.truncate(start + at);
        }
    }
}

/// What leaves a value as it is, where a path of a document says so.
fn keeper(master: &Master) -> Option<Transformer> {
    Some(Transformer {
        what: What::Plain(Transform::Keep),
        keyed: master.keyed("keep"),
        lists: Lists::of(Locale::default()),
        injective: true,
        most: None,
        fold_accents: false,
    })
}
