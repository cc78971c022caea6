//! Values within values: JSON by paths, and the text form of arrays.

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::format::Scratch;
use super::transformer::Transformer;
use crate::scenario::rules::{JsonPath, Rest};

/// Deeper JSON is NULL from there on.
const DEPTH_MAX: usize = 200;

/// So many digits are no field's name.
const KEY_DIGITS: usize = 6;

/// What happens to the values of a JSON document.
pub struct Json {
    /// Each for the value that it leads to and all within it; the nearest to a value counts, and of several the first.
    pub paths: Vec<(JsonPath, Transformer)>,
    pub rest: Rest,
    pub texts: Transformer,
    pub numbers: Transformer,
}

impl Json {
    /// False, with nothing written, if the text is no JSON.
    pub fn mask(&self, text: &str, scratch: &mut Scratch) -> bool {
        let Ok(raw) = serde_json::from_str::<&RawValue>(text) else { return false };
        let start = scratch.out.len();
        // Spaces are where they were.
        let between = if text.contains("\": ") { [", ", ": "] } else { [",", ":"] };
        let whole = self.value(raw.get(), between, &mut Vec::new(), scratch).is_some();
        if !whole {
            scratch.out.truncate(start);
        }
        whole
    }

    /// None if it could not be read.
    fn value<'t>(
        &self,
        text: &'t str,
        between: [&str; 2],
        taken: &mut Vec<Option<String>>,
        scratch: &mut Scratch,
    ) -> Option<()> {
        let text = text.trim();
        if taken.len() > DEPTH_MAX {
            scratch.out.push_str("null");
            return Some(());
        }
        match text.as_bytes().first()? {
            b'{' | b'[' if self.path(taken).is_some_and(Transformer::is_null) => scratch.out.push_str("null"),
            b'{' => {
                let Entries(entries) = serde_json::from_str::<Entries<'t>>(text).ok()?;
                scratch.out.push('{');
                for (at, (key, value)) in entries.into_iter().enumerate() {
                    if at > 0 {
                        scratch.out.push_str(between[0]);
                    }
                    taken.push(Some(key.clone()));
                    self.key(&key, taken, scratch);
                    scratch.out.push_str(between[1]);
                    self.value(value.get(), between, taken, scratch)?;
                    taken.pop();
                }
                scratch.out.push('}');
            }
            b'[' => {
                let Items(items) = serde_json::from_str::<Items<'t>>(text).ok()?;
                scratch.out.push('[');
                for (at, value) in items.into_iter().enumerate() {
                    if at > 0 {
                        scratch.out.push_str(between[0]);
                    }
                    taken.push(None);
                    self.value(value.get(), between, taken, scratch)?;
                    taken.pop();
                }
                scratch.out.push(']');
            }
            b'"' => self.leaf(&serde_json::from_str::<String>(text).ok()?, true, taken, scratch),
            b'-' | b'0'..=b'9' => self.leaf(text, false, taken, scratch),
            b'n' => scratch.out.push_str("null"),
            _ => self.boolean(text, taken, scratch),
        }
        Some(())
    }

    /// What is no other one by being masked is the same for all: false, unless a rule gives another one.
    fn boolean(&self, text: &str, taken: &[Option<String>], scratch: &mut Scratch) {
        let written = match (self.path(taken), self.rest) {
            (Some(transformer), _) if transformer.keeps() => text,
            (Some(transformer), _) if transformer.is_null() => "null",
            (Some(transformer), _) => match transformer.fixed() {
                Some(fixed) if ["true", "false", "null"].contains(&fixed) => fixed,
                Some(fixed) => return scratch.out.push_str(&quoted(fixed)),
                None => "false",
            },
            (None, Rest::Keep) => text,
            (None, Rest::Null) => "null",
            (None, Rest::Format) => "false",
        };
        scratch.out.push_str(written);
    }

    /// A key that is no name of a field, as an address or a number of somebody, is masked like a text unless what it leads to is kept.
    fn key(&self, key: &str, taken: &[Option<String>], scratch: &mut Scratch) {
        let kept = self.path(taken).map_or(self.rest == Rest::Keep, Transformer::keeps);
        if kept || is_field(key) {
            return scratch.out.push_str(&quoted(key));
        }
        let start = scratch.out.len();
        self.texts.apply(key, None, scratch);
        let masked = scratch.out.split_off(start);
        scratch.out.push_str(&quoted(&masked));
    }

    /// The transformer of the path that leads to a value, or else to what it lies in, the nearest first.
    fn path(&self, taken: &[Option<String>]) -> Option<&Transformer> {
        if self.paths.is_empty() {
            return None;
        }
        let taken: Vec<_> = taken.iter().map(Option::as_deref).collect();
        let leads = |end: usize| self.paths.iter().find(|(path, _)| path.matches(&taken[..end]));
        (1..=taken.len()).rev().find_map(leads).map(|(_, transformer)| transformer)
    }

    fn leaf(&self, value: &str, is_text: bool, taken: &[Option<String>], scratch: &mut Scratch) {
        let start = scratch.out.len();
        let transformer = self.path(taken);
        let written = match (transformer, self.rest) {
            _ if value.is_empty() => true,
            (Some(transformer), _) => transformer.apply(value, None, scratch),
            (None, Rest::Format) if is_text => self.texts.apply(value, None, scratch),
            (None, Rest::Format) => self.number(value, scratch),
            (None, Rest::Keep) => {
                scratch.out.push_str(value);
                true
            }
            (None, Rest::Null) => false,
        };
        let masked = scratch.out.split_off(start);
        match written {
            false => scratch.out.push_str("null"),
            true if !is_text && serde_json::from_str::<serde_json::Number>(&masked).is_ok() => {
                scratch.out.push_str(&masked)
            }
            true => scratch.out.push_str(&quoted(&masked)),
        }
    }

    /// The exponent stays.
    fn number(&self, text: &str, scratch: &mut Scratch) -> bool {
        let (digits, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
        let written = self.numbers.apply(digits, None, scratch);
        scratch.out.push_str(exponent);
        written
    }
}

/// Whether a key is written as names of fields are: letters without accents first, then few digits.
fn is_field(key: &str) -> bool {
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    key.is_empty()
        || (key.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$'))
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$' | b':'))
            && digits < KEY_DIGITS)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object's keys and values in their order, those included that come twice.
struct Entries<'t>(Vec<(String, &'t RawValue)>);

impl<'de> serde::Deserialize<'de> for Entries<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_map(Each)
    }
}

struct Items<'t>(Vec<&'t RawValue>);

impl<'de> serde::Deserialize<'de> for Items<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        from.deserialize_seq(Each)
    }
}

/// Masks each element of an array as Postgres writes it, `{a,"b c",NULL,{d}}`, whose bounds may stand before it.
pub fn array(text: &str, element: &Transformer, scratch: &mut Scratch) {
    let start = text.find('{').unwrap_or(0);
    scratch.out.push_str(&text[..start]);
    let mut rest = text[start..].chars();
    let mut word = String::new();
    // None between words; whether one was in quotes.
    let mut quoted: Option<bool> = None;
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                quoted = Some(true);
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => word.extend(rest.next()),
                        c => word.push(c),
                    }
                }
            }
            '{' | '}' | ',' => {
                if let Some(quoted) = quoted.take() {
                    write_element(&std::mem::take(&mut word), quoted, element, scratch);
                }
                scratch.out.push(c);
            }
            c => {
                quoted = quoted.or(Some(false));
                word.push(c);
            }
        }
    }
}

fn write_element(word: &str, quoted: bool, element: &Transformer, scratch: &mut Scratch) {
    if !quoted && word.eq_ignore_ascii_case("null") {
        return scratch.out.push_str(word);
    }
    if word.is_empty() {
        return scratch.out.push_str("\"\"");
    }
    let start = scratch.out.len();
    let written = element.apply(word, None, scratch);
    let masked = scratch.out.split_off(start);
    if !written {
        return scratch.out.push_str("NULL");
    }
    let special = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\');
    if quoted || masked.is_empty() || masked.contains(special) || masked.eq_ignore_ascii_case("null") {
        scratch.out.push('"');
        for c in masked.chars() {
            if matches!(c, '"' | '\\') {
                scratch.out.push('\\');
            }
            scratch.out.push(c);
        }
        scratch.out.push('"');
    } else {
        scratch.out.push_str(&masked);
    }
}
