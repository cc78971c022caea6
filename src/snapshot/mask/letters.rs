//! Alphabets: a letter or digit as a number among those like it, so that a masked text has letters where there were letters, of the same
//! script, length in bytes and case.

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
    match (0..).zip(block(base)).find(|(_, letter)| *letter == c) {
        Some((index, _)) => Slot::Symbol { alphabet: Alphabet::Block(base), index, upper: false },
        // Letters of rarer scripts with capitals, and single ones as ß.
        None => Slot::Fixed(c),
    }
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
        }
    }

    /// A number that tells alphabets apart.
    pub fn id(self) -> u64 {
        match self {
            Alphabet::Range(number) => u64::from(number),
            Alphabet::Set(number) => 64 + u64::from(number),
            Alphabet::NonZero => 128,
            Alphabet::Block(base) => 256 + u64::from(base),
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
                if upper { small.and_then(|small| small.to_uppercase().next()) } else { small }
            }
            Alphabet::NonZero => char::from_u32('1' as u32 + index),
            Alphabet::Block(base) => block(base).nth(index as usize),
        };
        found.expect("an index below the alphabet's size")
    }
}

/// The small letter of a capital that is one character, and whether it was one.
fn small(c: char) -> (char, bool) {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(small), None) if small != c => {
            let mut upper = small.to_uppercase();
            // A capital that is not its small letter's own would not come back.
            if upper.next() == Some(c) && upper.next().is_none() { (small, true) } else { (c, false) }
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
    let held = |c: char| RANGES.iter().any(|(first, last, _)| (*first..=*last).contains(&c));
    let uncased = |c: char| c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]);
    (base..base + 64)
        .filter_map(char::from_u32)
        .filter(move |c| !c.is_ascii() && c.is_alphanumeric() && uncased(*c) && !held(*c))
}
