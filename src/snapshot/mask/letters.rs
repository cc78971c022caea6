//! Alphabets: a letter or digit as a number among those like it, so that a masked text has letters where there were letters, of the same
//! script, length in bytes and case.

use std::sync::LazyLock;

/// What a character is among its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Stays.
    Fixed(char),
    Symbol {
        alphabet: Alphabet,
        /// Below the alphabet's size.
        index: u32,
        /// A capital.
        upper: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Of [`RANGES`].
    Range(u8),
    /// Of [`SETS`].
    Set(u8),
    /// Digits without zero: the first of a number.
    NonZero,
    /// Uncased letters among the 64 code points from here, all of which have as many bytes.
    Block(u32),
    /// Small letters among the 64 code points from here, each with a capital.
    Cased(u32),
    /// Of [`SINGLES`].
    Single(u8),
    /// Bytes that are not ASCII, as the characters from U+0080 on.
    Byte,
}

/// From one small letter or digit to another, and how far the capitals lie before them; 0 where there are none.
const RANGES: &[(char, char, u32)] = &[
    ('0', '9', 0),
    ('a', 'z', 32),
    ('à', 'ö', 32),
    ('ø', 'þ', 32),
    ('α', 'ρ', 32),
    ('σ', 'ω', 32),
    ('а', 'я', 32),
    ('ѐ', 'џ', 80),
    ('ա', 'ֆ', 48),
    ('０', '９', 0),
    ('ａ', 'ｚ', 32),
    ('٠', '٩', 0),
    ('۰', '۹', 0),
    ('०', '९', 0),
    ('ぁ', 'ゖ', 0),
    ('ァ', 'ヺ', 0),
    ('㐀', '䶿', 0),
    ('一', '鿿', 0),
    ('가', '힣', 0),
];
const DIGIT: Alphabet = Alphabet::Range(0);
const LATIN: Alphabet = Alphabet::Range(1);

/// Small letters of two bytes, or three, each with a capital of as many.
const SETS: &[&str] = &[
    "āăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĵķĺļľŀłńņňŋōŏőŕŗřśŝşšţťŧũūŭůűųŵŷźżž",
    "άέήίόύώ",
    "ґғҕҗҙқҝҟҡңҥҧҩҫҭүұҳҵҷҹһҽҿ",
    "ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
];

/// Letters, and what an accent-insensitive comparison takes them for.
const FOLDED: &[(&str, char)] = &[
    ("àáâãäåāăąạảấầẩẫậắằẳẵặ", 'a'),
    ("çćĉċč", 'c'),
    ("ďđð", 'd'),
    ("èéêëēĕėęěẹẻẽếềểễệ", 'e'),
    ("ĝğġģ", 'g'),
    ("ĥħ", 'h'),
    ("ìíîïĩīĭįỉị", 'i'),
    ("ĵ", 'j'),
    ("ķ", 'k'),
    ("ĺļľŀł", 'l'),
    ("ñńņň", 'n'),
    ("òóôõöøōŏőọỏốồổỗộớờởỡợ", 'o'),
    ("ŕŗř", 'r'),
    ("śŝşš", 's'),
    ("ţťŧ", 't'),
    ("ùúûüũūŭůűųụủứừửữự", 'u'),
    ("ŵ", 'w'),
    ("ýŷỳỵỷỹ", 'y'),
    ("źżž", 'z'),
    ("ё", 'е'),
    ("й", 'и'),
    ("ї", 'і'),
    ("ά", 'α'),
    ("έ", 'ε'),
    ("ή", 'η'),
    ("ί", 'ι'),
    ("ό", 'ο'),
    ("ύ", 'υ'),
    ("ώ", 'ω'),
];

/// What a character is. With `fold_accents` a letter with an accent is the one without.
pub fn slot(c: char, fold_accents: bool) -> Slot {
    match c {
        '0'..='9' => return Slot::Symbol { alphabet: DIGIT, index: c as u32 - '0' as u32, upper: false },
        'a'..='z' => return Slot::Symbol { alphabet: LATIN, index: c as u32 - 'a' as u32, upper: false },
        'A'..='Z' => return Slot::Symbol { alphabet: LATIN, index: c as u32 - 'A' as u32, upper: true },
        _ if c.is_ascii() || !c.is_alphanumeric() => return Slot::Fixed(c),
        _ => {}
    }
    let (small, upper) = small(c);
    let small = if fold_accents { folded(small) } else { small };
    let symbol = |alphabet, index| Slot::Symbol { alphabet, index, upper };
    for (number, (first, last, _)) in (0..).zip(RANGES) {
        if (*first..=*last).contains(&small) {
            return symbol(Alphabet::Range(number), small as u32 - *first as u32);
        }
    }
    for (number, set) in (0..).zip(SETS) {
        if let Some(index) = (0..).zip(set.chars()).find(|(_, letter)| *letter == small).map(|(index, _)| index) {
            return symbol(Alphabet::Set(number), index);
        }
    }
    let base = small as u32 & !63;
    if let Some((index, _)) = (0..).zip(block(base)).find(|(_, letter)| *letter == small)
        && block(base).nth(1).is_some()
    {
        return symbol(Alphabet::Block(base), index);
    }
    if let Some((index, _)) = (0..).zip(cased(base)).find(|(_, letter)| *letter == small)
        && cased(base).nth(1).is_some()
    {
        return symbol(Alphabet::Cased(base), index);
    }
    for (number, single) in (0..).zip(SINGLES.iter()) {
        if let Ok(index) = single.binary_search(&small) {
            return symbol(Alphabet::Single(number), u32::try_from(index).expect("some hundreds"));
        }
    }
    Slot::Fixed(c)
}

/// A byte of what is no text.
pub fn byte_slot(byte: u8) -> Slot {
    match byte.checked_sub(0x80) {
        Some(index) => Slot::Symbol { alphabet: Alphabet::Byte, index: index.into(), upper: false },
        None => slot(char::from(byte), false),
    }
}

/// Letters and digits that are alone in their neighbourhood, as ß, or whose capital is no other one's; those with a capital by themselves.
/// Each list has its letters by code point.
static SINGLES: LazyLock<[Vec<char>; 2]> = LazyLock::new(|| {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // Beyond it, neighbourhoods are full.
    for base in (0x80..0x34000).step_by(64) {
        let (uncased, cased): (Vec<char>, Vec<char>) = (block(base).collect(), cased(base).collect());
        let others = (base..base + 64).filter_map(char::from_u32).filter(|c| {
            // What is written small as another letter is masked as that one.
            let held = !c.is_alphanumeric() || small(*c).0 != *c || is_held(*c);
            !held && !uncased.contains(c) && !cased.contains(c)
        });
        without.extend(others);
        without.extend(uncased.iter().filter(|_| uncased.len() == 1));
        with.extend(cased.iter().filter(|_| cased.len() == 1));
    }
    without.sort_unstable();
    [with, without]
});

fn is_held(small: char) -> bool {
    RANGES.iter().any(|(first, last, _)| (*first..=*last).contains(&small))
        || SETS.iter().any(|set| set.contains(small))
}

/// The small letters among the 64 code points from `base` that have a capital and that no other alphabet holds.
fn cased(base: u32) -> impl Iterator<Item = char> {
    let has_capital = |c: char| {
        let mut upper = c.to_uppercase();
        let capital = upper.next().filter(|capital| *capital != c && upper.next().is_none());
        capital.is_some_and(|capital| small(capital) == (c, true))
    };
    (base..base + 64)
        .filter_map(char::from_u32)
        .filter(move |c| !c.is_ascii() && c.is_alphanumeric() && has_capital(*c) && !is_held(*c))
}

/// A digit from 1 to 9 as one that stays so.
pub fn non_zero(digit: char) -> Slot {
    Slot::Symbol { alphabet: Alphabet::NonZero, index: digit as u32 - '1' as u32, upper: false }
}

impl Alphabet {
    pub fn size(self) -> u32 {
        match self {
            Alphabet::Range(number) => {
                let (first, last, _) = RANGES[usize::from(number)];
                last as u32 - first as u32 + 1
            }
            Alphabet::Set(number) => {
                u32::try_from(SETS[usize::from(number)].chars().count()).expect("some tens of letters")
            }
            Alphabet::NonZero => 9,
            Alphabet::Block(base) => u32::try_from(block(base).count()).expect("at most 64"),
            Alphabet::Cased(base) => u32::try_from(cased(base).count()).expect("at most 64"),
            Alphabet::Single(number) => u32::try_from(SINGLES[usize::from(number)].len()).expect("some hundreds"),
            Alphabet::Byte => 128,
        }
    }

    /// A number that tells alphabets apart.
    pub fn id(self) -> u64 {
        match self {
            Alphabet::Range(number) => u64::from(number),
            Alphabet::Set(number) => 64 + u64::from(number),
            Alphabet::NonZero => 128,
            Alphabet::Single(number) => 129 + u64::from(number),
            Alphabet::Byte => 140,
            Alphabet::Block(base) => 256 + u64::from(base),
            Alphabet::Cased(base) => (1 << 32) + u64::from(base),
        }
    }

    /// The letter with that index.
    pub fn letter(self, index: u32, upper: bool) -> char {
        let found = match self {
            Alphabet::Range(number) => {
                let (first, _, capitals) = RANGES[usize::from(number)];
                char::from_u32(first as u32 + index - if upper { capitals } else { 0 })
            }
            Alphabet::Set(number) => {
                let small = SETS[usize::from(number)].chars().nth(index as usize);
                capital(small, upper)
            }
            Alphabet::NonZero => char::from_u32('1' as u32 + index),
            Alphabet::Block(base) => block(base).nth(index as usize),
            Alphabet::Cased(base) => capital(cased(base).nth(index as usize), upper),
            Alphabet::Single(number) => capital(SINGLES[usize::from(number)].get(index as usize).copied(), upper),
            Alphabet::Byte => char::from_u32(0x80 + index),
        };
        found.expect("an index below the alphabet's size")
    }
}

fn capital(small: Option<char>, upper: bool) -> Option<char> {
    if upper { small.and_then(|small| small.to_uppercase().next()) } else { small }
}

/// The small letter of what is written small as one character, and whether it was that one's capital.
fn small(c: char) -> (char, bool) {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(small), None) if small != c => {
            let mut upper = small.to_uppercase();
            // A capital that is not its small letter's own, as ẞ, would not come back: it becomes what the small one does.
            (small, upper.next() == Some(c) && upper.next().is_none())
        }
        _ => (c, false),
    }
}

fn folded(small: char) -> char {
    FOLDED.iter().find(|(letters, _)| letters.contains(small)).map_or(small, |(_, base)| *base)
}

/// A text in lower case as it would be written without accents: "strasse" for "straße".
pub fn without_accents(lower: &str) -> String {
    let mut plain = String::with_capacity(lower.len());
    for c in lower.chars() {
        match c {
            'ß' => plain.push_str("ss"),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'ı' => plain.push('i'),
            // Half of a capital that is two letters small.
            '\u{307}' => {}
            c => plain.push(folded(c)),
        }
    }
    plain
}

/// The uncased letters and digits among the 64 code points from `base` that no other alphabet holds.
fn block(base: u32) -> impl Iterator<Item = char> {
    let uncased = |c: char| c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]);
    (base..base + 64)
        .filter_map(char::from_u32)
        .filter(move |c| !c.is_ascii() && c.is_alphanumeric() && uncased(*c) && !is_held(*c))
}
