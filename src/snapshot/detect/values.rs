//! What a sample of values says of their column.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::names::by_name;
use super::numbers::NUMBERS;
use super::{Confidence, Looks, Personal};
use crate::snapshot::mask::{is_iban, is_ip, is_mac, is_name, luhn, without_accents};

/// So many values show what a column holds, where they are not all of it.
const ENOUGH: usize = 30;

/// Longer, a value is no code.
const CODE_MAX: usize = 64;

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("written as an expression")
}

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"[^\s@<>"',;:()\[\]]+@[^\s@<>"',;:()\[\]]*[^\W_]\.[^\W\d_]{2,}"#));
/// With a country's code, with a city's in parentheses, or in groups.
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:^|[^\w.+-])(?:\+[1-9](?:[ ./()-]{0,2}\d){6,14}|00[1-9](?:[ ./()-]{0,2}\d){7,14}|\(0?\d{2,5}\)[ ./-]?(?:[ ./-]?\d){4,10}|0\d{1,5}[ /-]\d(?:[ /-]?\d){4,9}|\d{3}[ .-]\d{3}[ .-]\d{4})(?:$|[^\w-])",
    )
});
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d(?:[ -]?\d){11,18}"));
static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]){11,30}\b"));
static MACHINE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[0-9a-fA-F:.-]{3,}(?:/\d{1,3})?"));
static SECRET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\$(?:2[abxy]|argon2\w*|5|6|y|apr1|scrypt)\$|^pbkdf2|\beyJ[\w-]{8,}\.[\w-]+|-----BEGIN |^\{(?:SSHA|SHA|MD5)\}|^SCRAM-SHA",
    )
});
static FORMATTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b(?:\d{3}-\d{2}-\d{4}|\d{3}\.\d{3}\.\d{3}-\d{2}|\d{6}-\d{4}|756\.\d{4}\.\d{4}\.\d{2})\b")
});
static PLACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[( ]*-?\d{1,2}\.\d{3,}[, ]+-?\d{1,3}\.\d{3,}[) ]*$"));
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^[a-z][a-z0-9+.-]*://\S"));
static AGENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:Mozilla|Opera|Dalvik|curl|okhttp|PostmanRuntime)/\d"));

/// Words of streets, alone or at a word's end.
const STREETS: &[&str] = &[
    "street",
    "st",
    "str",
    "avenue",
    "ave",
    "road",
    "rd",
    "lane",
    "drive",
    "boulevard",
    "blvd",
    "court",
    "square",
    "rue",
    "chemin",
    "impasse",
    "quai",
    "calle",
    "avenida",
    "plaza",
    "paseo",
    "rua",
    "travessa",
    "via",
    "viale",
    "piazza",
    "corso",
    "ul",
    "ulica",
    "aleja",
    "ulitsa",
    "prospekt",
    "sokak",
    "sokagi",
    "cadde",
    "caddesi",
    "mahallesi",
    "stryd",
    "heol",
];
const STREET_ENDS: &[&str] = &[
    "strasse", "str", "gasse", "allee", "platz", "straat", "laan", "plein", "gracht", "gade", "vej", "gatan", "vagen",
    "veien", "gate", "katu", "weg",
];

/// How many of the values are what.
#[derive(Debug, Default)]
pub struct Seen {
    count: usize,
    found: BTreeMap<Personal, usize>,
    /// By country.
    national: BTreeMap<&'static str, usize>,
    /// With several words, or long.
    wordy: usize,
    /// One word of letters with a capital at its beginning.
    capitalised: usize,
    distinct: usize,
    /// Documents, where most values are such.
    documents: Vec<Value>,
}

impl Seen {
    /// Empty values are none.
    pub fn of(values: &[String]) -> Seen {
        let mut seen = Seen::default();
        let mut distinct = BTreeSet::new();
        for value in values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()) {
            seen.count += 1;
            distinct.insert(value);
            if value.starts_with(['{', '[']) {
                seen.documents.extend(serde_json::from_str(value).ok());
            }
            for personal in found(value) {
                *seen.found.entry(personal).or_default() += 1;
            }
            for (country, is_one) in NUMBERS {
                if is_one(value) {
                    *seen.national.entry(country).or_default() += 1;
                }
            }
            let words = value.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count();
            seen.wordy += usize::from(words > 1 || value.chars().count() > CODE_MAX);
            let letters = value.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | '’'));
            seen.capitalised +=
                usize::from(letters && value.starts_with(char::is_uppercase) && value.contains(char::is_lowercase));
        }
        seen.distinct = distinct.len();
        seen
    }

    /// What a column of text looks like.
    pub fn text(self, whole: bool) -> Option<Looks> {
        if 2 * self.documents.len() > self.count {
            return of_documents(&self.documents, whole);
        }
        if let Some(looks) = self.personal() {
            return Some(looks);
        }
        // The same few words again and again are labels.
        let labels = self.distinct <= ENOUGH && self.count >= 10 * self.distinct;
        if self.wordy > 0 && !labels {
            return Some(self.told(Personal::FreeText, Confidence::Possible, self.wordy));
        }
        if self.distinct >= ENOUGH && 2 * self.capitalised > self.count && !labels {
            return Some(self.told(Personal::Name, Confidence::Possible, self.capitalised));
        }
        let shown = whole || self.count >= ENOUGH;
        (!shown).then(|| Looks {
            personal: Personal::Unseen,
            confidence: Confidence::Possible,
            why: format!("only {} seen", values(self.count)),
        })
    }

    /// What a column of numbers looks like.
    pub fn numbers(self) -> Option<Looks> {
        let card = self.found.get(&Personal::Card).copied().unwrap_or(0);
        // One of ten numbers has the right check digit by chance.
        if card > 0 && 5 * card >= self.count {
            return Some(self.told(Personal::Card, Confidence::Likely, card));
        }
        self.national().map(|count| self.told(Personal::NationalId, Confidence::Likely, count))
    }

    /// How many of the values are of one country's numbers, if most are.
    fn national(&self) -> Option<usize> {
        self.national.values().copied().max().filter(|count| 2 * count >= self.count)
    }

    fn personal(&self) -> Option<Looks> {
        // So many of a hundred are enough, and are then no accident.
        const SHARES: &[(Personal, usize, Confidence)] = &[
            (Personal::Email, 0, Confidence::Certain),
            (Personal::Iban, 0, Confidence::Certain),
            (Personal::Credential, 0, Confidence::Certain),
            (Personal::UserAgent, 0, Confidence::Certain),
            (Personal::Card, 0, Confidence::Likely),
            (Personal::NationalId, 0, Confidence::Likely),
            (Personal::Address, 0, Confidence::Likely),
            (Personal::Phone, 0, Confidence::Likely),
            (Personal::Location, 50, Confidence::Likely),
            (Personal::Street, 20, Confidence::Likely),
            (Personal::Name, 30, Confidence::Likely),
            (Personal::Url, 30, Confidence::Possible),
        ];
        if let Some(count) = self.national() {
            return Some(self.told(Personal::NationalId, Confidence::Certain, count));
        }
        let met = |(personal, share, confidence): &(Personal, usize, Confidence)| {
            let count = *self.found.get(personal)?;
            (100 * count >= share * self.count).then(|| self.told(*personal, *confidence, count))
        };
        SHARES.iter().find_map(met)
    }

    fn told(&self, personal: Personal, confidence: Confidence, count: usize) -> Looks {
        Looks { personal, confidence, why: format!("{count} of {}", values(self.count)) }
    }
}

fn values(count: usize) -> String {
    if count == 1 { "one value".to_owned() } else { format!("{count} values") }
}

/// What stands in a value, or is it; national numbers by their form.
fn found(value: &str) -> BTreeSet<Personal> {
    let mut found = BTreeSet::new();
    let mut add = |personal, is_there: bool| {
        if is_there {
            found.insert(personal);
        }
    };
    let digit = value.contains(|c: char| c.is_ascii_digit());
    add(Personal::Email, value.contains('@') && EMAIL.is_match(value));
    add(Personal::Credential, SECRET.is_match(value));
    add(Personal::UserAgent, AGENT.is_match(value));
    add(Personal::Url, LINK.is_match(value));
    add(Personal::Name, is_names(value));
    add(Personal::Address, (digit || value.contains(':')) && has_machine(value));
    if digit {
        add(Personal::Iban, ACCOUNT.find_iter(value).any(|found| has_account(found.as_str())));
        add(Personal::Card, DIGITS.find_iter(value).any(|found| is_card(value, found)));
        add(Personal::Phone, PHONE.is_match(value) || is_plain_phone(value));
        add(
            Personal::NationalId,
            FORMATTED.find_iter(value).any(|found| NUMBERS.iter().any(|(_, is_one)| is_one(found.as_str()))),
        );
        add(Personal::Location, PLACE.is_match(value));
        add(Personal::Street, has_street(value));
    }
    found
}

/// An account, to which words may have been taken that follow it.
fn has_account(found: &str) -> bool {
    let ends = found.char_indices().map(|(at, _)| at).chain([found.len()]);
    ends.filter(|end| *end >= 15).any(|end| is_iban(&found[..end]))
}

/// Of 12 to 19 digits with the right check digit, by an issuer's first digit; not within a longer number or a path.
fn is_card(value: &str, found: regex::Match<'_>) -> bool {
    // Paths and hashes are full of digits.
    let borders = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '/' | '_'));
    let digits: Vec<u8> = found.as_str().bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let (check, body) = digits.split_last().expect("an expression of digits");
    (2..=6).contains(&digits[0])
        && luhn(body) == *check
        && borders(value[..found.start()].chars().next_back())
        && borders(value[found.end()..].chars().next())
}

/// Digits alone, as many as a number with its area code has and with its zero.
fn is_plain_phone(value: &str) -> bool {
    (9..=12).contains(&value.len())
        && value.starts_with('0')
        && !value.starts_with("00")
        && value.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_machine(value: &str) -> bool {
    MACHINE.find_iter(value).map(|found| found.as_str().trim_matches(['.', ':', '-'])).any(|word| {
        let v4 = || word.split('.').count() == 4 && is_ip(word, None);
        let v6 = || {
            let address = word.split('/').next().unwrap_or(word);
            address.matches(':').count() > 2 && address.parse::<std::net::Ipv6Addr>().is_ok()
        };
        v4() || v6() || (is_mac(word) && word.contains([':', '-']))
    }) || value.parse::<std::net::IpAddr>().is_ok()
}

/// One to four words, of which at least half are names of somebody.
fn is_names(value: &str) -> bool {
    let ideograph = |c: char| ('一'..='鿿').contains(&c);
    if (2..=4).contains(&value.chars().count()) && value.chars().all(ideograph) {
        return true;
    }
    let words: Vec<_> = value.split([' ', ',', '.', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let letters = |word: &&str| word.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '-' | '’' | '\u{200c}'));
    let names = words.iter().filter(|word| is_name(word)).count();
    is_name(value)
        || ((1..=4).contains(&words.len()) && words.iter().all(letters) && 2 * names >= words.len() && names > 0)
}

fn has_street(value: &str) -> bool {
    let plain = without_accents(&value.to_lowercase());
    plain.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).any(|word| {
        STREETS.contains(&word) || STREET_ENDS.iter().any(|end| word.len() > end.len() + 2 && word.ends_with(end))
    })
}

/// What a column of JSON looks like.
pub fn documents(texts: &[String], whole: bool) -> Option<Looks> {
    let documents: Vec<Value> = texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    of_documents(&documents, whole && documents.len() == texts.len())
}

/// Documents are clean where all their keys and values are, and enough were seen.
fn of_documents(documents: &[Value], whole: bool) -> Option<Looks> {
    let (mut texts, mut keys): (BTreeMap<String, Vec<String>>, Vec<String>) = Default::default();
    for document in documents {
        leaves(document, "", &mut texts, &mut keys);
    }
    let told = |personal: Personal, confidence, why: String| Some(Looks { personal, confidence, why });
    // Keys are told where they are words of this program's own lists: others may be somebody's name.
    if let Some((key, personal)) = texts.keys().find_map(|key| Some((key, by_name("", key)?))) {
        let seen = Seen::of(&texts[key]).personal();
        let confidence =
            if seen.is_some_and(|seen| seen.personal == personal) { Confidence::Certain } else { Confidence::Likely };
        return told(Personal::Document, confidence, format!("keys that name {}", personal.described()));
    }
    let held = texts.values().map(|values| Seen::of(values)).chain([Seen::of(&keys)]);
    let mut doubt = None;
    for seen in held {
        if let Some(looks) = seen.personal() {
            return told(Personal::Document, looks.confidence, format!("{} within it", looks.personal.described()));
        }
        doubt = doubt.or(seen.text(true));
    }
    if let Some(looks) = doubt {
        return told(Personal::Document, Confidence::Possible, format!("{} within it", looks.personal.described()));
    }
    let shown = whole || documents.len() >= ENOUGH;
    if shown {
        None
    } else {
        told(Personal::Document, Confidence::Possible, format!("only {} seen", values(documents.len())))
    }
}

/// Collects texts and numbers by the key that they stand under, and all keys that are no word.
fn leaves(value: &Value, key: &str, texts: &mut BTreeMap<String, Vec<String>>, keys: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.entry(key.to_owned()).or_default().push(text.clone()),
        Value::Number(number) => texts.entry(key.to_owned()).or_default().push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, key, texts, keys)),
        Value::Object(entries) => {
            for (key, value) in entries {
                if key.contains(|c: char| !c.is_ascii_alphabetic() && !matches!(c, '_' | '-' | '$')) {
                    keys.push(key.clone());
                }
                leaves(value, key, texts, keys);
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}
