//! What is drawn from lists: names, streets, cities, companies, user agents, filler words. Different values may become one.

use std::collections::HashSet;
use std::sync::OnceLock;

use fake::locales::{
    AR_SA, CY_GB, DE_DE, Data, EN, FA_IR, FR_FR, IT_IT, JA_JP, NL_NL, PT_BR, PT_PT, TR_TR, ZH_CN, ZH_TW,
};

use super::cycle::Keyed;
use crate::scenario::rules::Locale;

/// One locale's words.
#[derive(Debug)]
pub struct Lists {
    first_names: Words,
    last_names: Words,
    street_kinds: Words,
    city_ends: Words,
    company_ends: Words,
    /// "rue Martin" and not "Martin Street".
    kind_first: bool,
    agents: Words,
    filler: &'static [&'static str],
}

/// Words with their lengths in characters, the shortest first.
#[derive(Debug)]
struct Words(Vec<(usize, &'static str)>);

impl Words {
    fn of(words: &'static [&'static str]) -> Self {
        let mut words: Vec<_> = words.iter().map(|word| (word.chars().count(), *word)).collect();
        words.sort_unstable();
        words.dedup();
        Words(words)
    }

    /// Those of at most so many characters, or the shortest.
    fn fitting(&self, most: usize) -> &[(usize, &'static str)] {
        let end = self.0.partition_point(|(length, _)| *length <= most);
        &self.0[..end.max(1).min(self.0.len())]
    }
}

impl Lists {
    pub fn of(locale: Locale) -> &'static Lists {
        static ALL: OnceLock<Vec<(Locale, Lists)>> = OnceLock::new();
        let all = ALL.get_or_init(|| Locale::ALL.map(|locale| (locale, built(locale))).into());
        all.iter().find(|(of, _)| *of == locale).map(|(_, lists)| lists).expect("one for each locale")
    }
}

/// Whether a word, in any case, is a first or a last name in any locale.
pub fn is_name(word: &str) -> bool {
    static ALL: OnceLock<HashSet<String>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let lists = Locale::ALL.map(Lists::of);
        let names = lists.iter().flat_map(|lists| lists.first_names.0.iter().chain(&lists.last_names.0));
        names.map(|(_, name)| name.to_lowercase()).collect()
    });
    all.contains(&word.to_lowercase())
}

fn built(locale: Locale) -> Lists {
    match locale {
        Locale::En => lists::<EN>(),
        Locale::Ar => lists::<AR_SA>(),
        Locale::Cy => lists::<CY_GB>(),
        Locale::De => lists::<DE_DE>(),
        Locale::Fa => lists::<FA_IR>(),
        Locale::Fr => lists::<FR_FR>(),
        Locale::It => lists::<IT_IT>(),
        Locale::Ja => lists::<JA_JP>(),
        Locale::Nl => lists::<NL_NL>(),
        Locale::Pt => lists::<PT_PT>(),
        Locale::PtBr => lists::<PT_BR>(),
        Locale::Tr => lists::<TR_TR>(),
        Locale::ZhCn => lists::<ZH_CN>(),
        Locale::ZhTw => lists::<ZH_TW>(),
    }
}

fn lists<L: Data>() -> Lists {
    Lists {
        first_names: Words::of(L::NAME_FIRST_NAME),
        last_names: Words::of(L::NAME_LAST_NAME),
        street_kinds: Words::of(L::ADDRESS_STREET_SUFFIX),
        city_ends: Words::of(L::ADDRESS_CITY_SUFFIX),
        company_ends: Words::of(L::COMPANY_SUFFIX),
        kind_first: L::ADDRESS_STREET_TPL.starts_with("{StreetSuffix}"),
        agents: Words::of(L::INTERNET_USER_AGENT),
        filler: L::LOREM_WORD,
    }
}

/// What decides a draw.
#[derive(Clone, Copy)]
pub struct Draw<'k> {
    pub keyed: &'k Keyed,
    pub lists: &'static Lists,
    /// Characters that the column takes.
    pub most: Option<usize>,
}

impl Draw<'_> {
    pub fn first_name(self, value: &str, out: &mut String) {
        let name = self.pick(&self.lists.first_names, 0, value, usize::MAX);
        self.finish(name, value, out);
    }

    pub fn last_name(self, value: &str, out: &mut String) {
        let name = self.pick(&self.lists.last_names, 1, value, usize::MAX);
        self.finish(name, value, out);
    }

    /// "First Last", or "Last, First" where there is a comma; the last name alone where no more fits.
    pub fn name(self, value: &str, out: &mut String) {
        let most = self.most.unwrap_or(usize::MAX);
        let first = self.pick(&self.lists.first_names, 0, value, most / 2);
        let comma = value.contains(',');
        let between = if comma { ", " } else { " " };
        let left = most.saturating_sub(first.chars().count() + between.len());
        let last = self.pick(&self.lists.last_names, 1, value, left);
        let whole = if comma { [last, between, first].concat() } else { [first, between, last].concat() };
        if whole.chars().count() <= most {
            self.finish(&whole, value, out);
        } else {
            self.last_name(value, out);
        }
    }

    pub fn street(self, value: &str, out: &mut String) {
        let kind = self.pick(&self.lists.street_kinds, 2, value, usize::MAX);
        let name = self.pick(&self.lists.last_names, 1, value, usize::MAX);
        let number = self.number(3, value, 199) + 1;
        let whole = match self.lists.kind_first {
            true => format!("{kind} {name}, {number}"),
            false => format!("{name} {kind} {number}"),
        };
        self.finish(&whole, value, out);
    }

    pub fn city(self, value: &str, out: &mut String) {
        let name = self.pick(&self.lists.last_names, 1, value, usize::MAX);
        let end = self.pick(&self.lists.city_ends, 4, value, usize::MAX);
        let between = if end.starts_with(char::is_uppercase) { " " } else { "" };
        self.finish(&[name, between, end].concat(), value, out);
    }

    pub fn company(self, value: &str, out: &mut String) {
        let name = self.pick(&self.lists.last_names, 1, value, usize::MAX);
        let end = self.pick(&self.lists.company_ends, 5, value, usize::MAX);
        self.finish(&format!("{name} {end}"), value, out);
    }

    pub fn user_agent(self, value: &str, out: &mut String) {
        let agent = self.pick(&self.lists.agents, 6, value, usize::MAX);
        out.extend(agent.chars().take(self.most.unwrap_or(usize::MAX)));
    }

    /// Words of as many characters, line by line.
    pub fn text(self, value: &str, out: &mut String) {
        for (number, line) in (0_u64..).zip(value.split_inclusive('\n')) {
            let body = line.trim_end_matches(['\r', '\n']);
            let mut left = body.chars().count();
            let mut round = 0_u64;
            while left > 0 {
                let digest =
                    self.keyed.digest(&[&number.to_le_bytes(), &round.to_le_bytes(), value.as_bytes()].concat());
                for pair in digest.chunks_exact(2) {
                    let random = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
                    let word = self.lists.filler[random % self.lists.filler.len()];
                    let length = out.len();
                    out.extend(word.chars().chain([' ']).take(left));
                    left -= out[length..].chars().count();
                    if left == 0 {
                        break;
                    }
                }
                round += 1;
            }
            if out.ends_with(' ') {
                out.pop();
                out.push('.');
            }
            out.push_str(&line[body.len()..]);
        }
    }

    /// A word that the value decides, in whatever case it is written, and that is not the value itself.
    fn pick(self, words: &Words, purpose: u8, value: &str, most: usize) -> &'static str {
        let fitting = words.fitting(self.most.unwrap_or(usize::MAX).min(most));
        let Some(at) = fitting.len().checked_sub(1).map(|_| self.number(purpose, value, fitting.len())) else {
            return "";
        };
        let word = fitting[at].1;
        if fitting.len() > 1 && word.to_lowercase() == value.to_lowercase() {
            return fitting[(at + 1) % fitting.len()].1;
        }
        word
    }

    fn number(self, purpose: u8, value: &str, size: usize) -> usize {
        let mut whole = vec![purpose];
        whole.extend_from_slice(value.to_lowercase().as_bytes());
        self.keyed.draw(&whole, size)
    }

    /// Writes what was drawn in capitals where the value is, and as much of it as the column takes.
    fn finish(self, drawn: &str, value: &str, out: &mut String) {
        let drawn = drawn.chars().take(self.most.unwrap_or(usize::MAX));
        let upper = value.chars().any(char::is_uppercase);
        let lower = value.chars().any(char::is_lowercase);
        match (upper, lower) {
            (true, false) if value.chars().count() > 1 => {
                // Letters whose capital is several stay.
                out.extend(drawn.map(|c| one(c.to_uppercase()).unwrap_or(c)));
            }
            (false, true) => out.extend(drawn.map(|c| one(c.to_lowercase()).unwrap_or(c))),
            _ => out.extend(drawn),
        }
    }
}

fn one(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}
