use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::cycle::{Master, SIZE_MAX};
use super::super::shape::{Texts, is_email, is_iban, is_phone};
use super::super::{address, number};
use super::*;

/// Transformers that may stand on unique columns, and values of their own kind beside any others.
fn injective() -> Vec<(&'static str, BoxedStrategy<String>)> {
    let digits = |count: std::ops::Range<usize>| {
        vec(0_u8..10, count).prop_map(|digits| digits.iter().map(|digit| char::from(b'0' + digit)).collect::<String>())
    };
    vec![
        ("format", "[a-zA-Z0-9ÄÖÜäöüéÉñłŁßжЖя漢字カ가α .@_-]{0,40}".boxed()),
        ("email", "[a-cA-C]{1,3}[.+]?[a-z0-9]{0,3}@[a-b]{1,2}\\.(com|de|test|TEST|test\\.test)".boxed()),
        ("phone", "(\\+|00|0|\\(0|)[0-9]{1,3}[ /)-]{0,2}[0-9]{2,8}( ?x[0-9]{1,3})?".boxed()),
        ("postcode", "[A-Z]{0,2}[0-9]{1,5} ?[0-9A-Z]{0,3}".boxed()),
        ("card", "[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[0-9]{0,7}".boxed()),
        (
            "iban",
            prop_oneof![
                "[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}".boxed(),
                "[a-zA-Z]{2}[0-9]{2}( [0-9]{4}){3,5}".boxed(),
                digits(11..20).prop_map(|bban| valid_iban("DE", &bban)).boxed()
            ]
            .boxed(),
        ),
        (
            "date",
            prop_oneof![
                "[0-9]{4}-[01][0-9]-[0-3][0-9]".boxed(),
                "(19|20)[0-9]{2}-0[1-9]-[12][0-9]( [0-2][0-9]:00)?".boxed()
            ]
            .boxed(),
        ),
        (
            "integer",
            prop_oneof!["-?[0-9]{1,3}".boxed(), "-?[0-9]{1,45}".boxed(), "-?[0-9]{1,3}\\.[0-9]{1,2}".boxed()].boxed(),
        ),
        (
            "ip",
            prop_oneof![
                any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()).boxed(),
                any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()).boxed(),
                "(10|127|192|172)\\.(168|16|0|1)\\.[0-9]{1,2}\\.[0-9]{1,2}(/[0-9]{1,2})?".boxed(),
                "[0-9a-f]{1,4}::[0-9a-f]{1,4}(/[0-9]{1,3})?".boxed()
            ]
            .boxed(),
        ),
        (
            "mac",
            prop_oneof![
                "[0-9a-f]{2}(:[0-9a-f]{2}){5}".boxed(),
                "[0-9]{2}(-[0-9]{2}){5}".boxed(),
                "[0-9A-F]{2}(:[0-9A-F]{2}){5}".boxed()
            ]
            .boxed(),
        ),
        (
            "uuid",
            prop_oneof![
                "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}".boxed(),
                "0{8}-0{4}-0{4}-0{4}-0{9}[0-9]{3}".boxed(),
                "[0-9A-F]{32}".boxed()
            ]
            .boxed(),
        ),
        ("url", "(https?|ftp)://([a-c]@)?[a-b]{1,2}\\.(de|test)(:[0-9]{2})?(/[a-b%]{0,3})?(\\?q=%C3[a-b])?".boxed()),
    ]
}

/// An account with right check digits.
pub fn valid_iban(country: &str, bban: &str) -> String {
    let rearranged = format!("{bban}{country}00");
    let rest = rearranged.chars().fold(0_u64, |rest, c| {
        let value = u64::from(c.to_digit(36).unwrap());
        (rest * if value < 10 { 10 } else { 100 } + value) % 97
    });
    format!("{country}{:02}{bban}", 98 - rest)
}

/// Different values stay different, equal ones equal, whatever the column's length; and different but for case stays so.
#[test]
fn no_two_values_become_one() {
    for (transform, values) in injective() {
        proptest!(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }, |(
            values in vec(prop_oneof![4 => values.clone(), 1 => "[a-c0-2 .@:/-]{0,6}".boxed()], 1..80),
            length in proptest::option::of(1_usize..60),
        )| {
            let length = length.map(|least| values.iter().map(|value| value.chars().count()).max().unwrap_or(0).max(least));
            let mut one = One::of(Kind::Text, length, &format!("\"{transform}\""));
            let mut exact: HashMap<String, String> = HashMap::new();
            let mut folded: HashMap<String, String> = HashMap::new();
            for value in &values {
                let masked = one.mask(value);
                prop_assert_eq!(&masked, &one.mask(value), "{} of {:?} twice", transform, value);
                if let Some(length) = length {
                    prop_assert!(masked.chars().count() <= length, "{} of {:?} is {:?}, longer than {}", transform, value, masked, length);
                }
                let known = exact.entry(masked.clone()).or_insert_with(|| value.clone());
                prop_assert!(known.eq_ignore_ascii_case(value) || known.to_lowercase() == value.to_lowercase(), "{}: {:?} and {:?} become {:?}", transform, known, value, masked);
                let known = folded.entry(masked.to_lowercase()).or_insert_with(|| value.to_lowercase());
                prop_assert_eq!(&*known, &value.to_lowercase(), "{}: meet in {:?}", transform, masked);
                prop_assert_eq!(one.mask(&value.to_lowercase()).to_lowercase(), masked.to_lowercase(), "{}: case of {:?}", transform, value);
            }
        });
    }
}

/// Whatever is a letter or a digit of any script becomes another one, and none becomes that of two which differ but for case.
#[test]
fn every_letter_becomes_another_one() {
    use super::super::letters::{Slot, slot};
    let mut alphabets: HashMap<u64, u32> = HashMap::new();
    let mut seen = HashMap::new();
    for c in ('\0'..'\u{34000}').filter(|c| c.is_alphanumeric()) {
        let Slot::Symbol { alphabet, index, upper } = slot(c, false) else { panic!("{c:?} stays") };
        let size = *alphabets.entry(alphabet.id()).or_insert_with(|| alphabet.size());
        assert!(size > 1 && index < size, "{c:?} is one of {size}");
        if let Some(other) = seen.insert((alphabet.id(), index, upper), c) {
            assert_eq!(char::to_lowercase(other).to_string(), c.to_lowercase().to_string(), "{other:?} {c:?}");
        }
    }
    let mut one = One::text("format");
    for text in ["გიორგი", "Əliyev", "ß", "ÿ", "İ", "ı", "²", "ς", "ᎠᎡ", "ẞ"] {
        let masked = one.mask(text);
        assert!(masked.chars().zip(text.chars()).any(|(one, other)| one != other), "{text}: {masked}");
    }
}

/// Small domains whole: the values of one shape become each other.
#[test]
fn small_domains_are_permuted() {
    let mut format = One::text("format");
    let mut integer = One::of(Kind::Integer { bytes: 2, unsigned: false }, None, "\"integer\"");
    let mut seen = std::collections::HashSet::new();
    for number in 0..1000 {
        assert!(seen.insert(format.mask(&format!("{number:03}"))));
    }
    assert_eq!(seen.len(), 1000);
    let mut seen = std::collections::HashSet::new();
    for number in i16::MIN..=i16::MAX {
        let masked: i16 = integer.mask(&number.to_string()).parse().unwrap();
        assert!(seen.insert(masked), "{number}");
        assert!(masked != number || number == 0, "{number}");
        assert_eq!(masked.to_string().len(), number.to_string().len());
    }
    let mut ip = One::of(Kind::Ip, None, "\"ip\"");
    let mut seen = std::collections::HashSet::new();
    for host in 0..=255 {
        let masked = ip.mask(&format!("192.168.7.{host}"));
        assert!(masked.starts_with("192.168."), "{masked}");
        assert!(seen.insert(masked));
    }
}

/// All texts of these shapes, in which `0` stands for any digit.
fn all_of(shapes: &[&str]) -> Vec<String> {
    let grow = |texts: Vec<String>, c: char| match c {
        '0' => texts.iter().flat_map(|text| ('0'..='9').map(move |digit| format!("{text}{digit}"))).collect(),
        c => texts.into_iter().map(|text| text + &c.to_string()).collect(),
    };
    shapes.iter().flat_map(|shape| shape.chars().fold(vec![String::new()], grow)).collect()
}

/// Whole sets of short texts, with a reserved name so short that it comes about by chance: as many come out, and none is too long.
#[test]
fn no_two_of_all_short_texts_become_one() {
    let keyed = Master::new(KEY).keyed("test");
    let check = |texts: Vec<String>, most: usize, mask: fn(&Texts<'_>, &str, &mut Scratch)| {
        let mut scratch = Scratch::default();
        let mut seen = HashMap::new();
        for text in texts {
            scratch.out.clear();
            let all = Texts { keyed: &keyed, most: Some(most), fold_accents: false, reserved: ".1" };
            mask(&all, &text, &mut scratch);
            assert!(scratch.out.chars().count() <= most, "{text}: {}", scratch.out);
            // Nothing but zeros is no phone number.
            assert!(scratch.out != text || !text.contains(|c: char| matches!(c, '1'..='9')), "{text}");
            if let Some(other) = seen.insert(scratch.out.clone(), text.clone()) {
                panic!("{text} and {other} become {}", scratch.out);
            }
        }
    };
    let addresses = all_of(&["0@0", "00@0", "0@00", "0@0.0", "0.0@0", "0@00.0", "0@0.0.0", "000", "0.0", "0@.0"]);
    check(addresses, 7, |texts, text, scratch| texts.email(text, scratch));
    check(all_of(&["0@0", "0@00", "0@0.0", "00@0.0"]), 6, |texts, text, scratch| texts.email(text, scratch));
    check(
        all_of(&["a://0", "a://0.0", "a://0/0", "a://0.0/0", "a://0:1/0", "a://0.0:1", "a:/0.0", "0.0"]),
        9,
        |texts, text, scratch| texts.url(text, scratch),
    );
    check(all_of(&["+0000", "00000", "0 000", "(00)0"]), 9, |texts, text, scratch| texts.phone(text, scratch));
}

/// What is of a kind stays so, and what is of none never becomes one: so that the two cannot meet.
#[test]
fn kinds_stay_apart() {
    type Is = fn(&str) -> bool;
    let cases: &[(&str, Is, &str)] = &[
        ("date", number::is_date, "(19|20|00|99)[0-9]{2}-[0-9][0-9]-[0-3][0-9]"),
        ("ip", |text| address::is_ip(text, None), "[0-9]{1,2}\\.[0-9]\\.[0-9]{1,3}\\.[0-9](/[0-9]{1,2})?"),
        ("uuid", address::is_uuid, "[0-9a-g]{31}[0-9]"),
        ("mac", address::is_mac, "[0-9a-f]{2}(:[0-9a-g]{2}){5}"),
        ("iban", is_iban, "DE0[0-9]( [0-9]{4}){3}"),
        ("phone", is_phone, "(x|a|ab|)[0-9]{4}"),
        ("email", is_email, "[a@. ]{1,3}[a@.]{1,3}"),
    ];
    for (transform, is_one, values) in cases {
        let mut one = One::text(transform);
        let mut seen = [0, 0];
        let values = proptest::string::string_regex(values).unwrap();
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..2000 {
            let value = values.new_tree(&mut runner).unwrap().current();
            let masked = one.mask(&value);
            assert_eq!(is_one(&masked), is_one(&value), "{transform}: {value} becomes {masked}");
            seen[usize::from(is_one(&value))] += 1;
        }
        assert!(seen[0] > 20 && seen[1] > 10, "{transform}: {seen:?}");
    }
}

/// The key decides: the same gives the same, another one almost everywhere something else.
#[test]
fn another_key_gives_other_values() {
    for (transform, values) in injective() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let values: Vec<String> = (0..60).map(|_| values.new_tree(&mut runner).unwrap().current()).collect();
        let values: Vec<_> = values.into_iter().filter(|value| value.len() > 8).collect();
        let mask = |key| {
            let mut one = One::keyed(Kind::Text, None, &format!("\"{transform}\""), key);
            values.iter().map(|value| one.mask(value)).collect::<Vec<_>>()
        };
        let first = mask(KEY);
        assert_eq!(first, mask(KEY));
        let other = mask("another key for the tests");
        let same = first.iter().zip(&other).filter(|(first, other)| first == other).count();
        // A date is one of 730 others.
        assert!(same * 5 <= values.len(), "{transform}: {same} of {} stay", values.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Text with a letter or a digit never stays what it was, nor does a number but zero.
    #[test]
    fn nothing_stays(text in "[a-zA-Z0-9äÖжЯ .@-]{0,30}", number in any::<i64>()) {
        if text.chars().any(char::is_alphanumeric) {
            for transform in ["format", "email"] {
                prop_assert_ne!(One::text(transform).mask(&text), text.clone());
            }
        }
        let kind = Kind::Integer { bytes: 8, unsigned: false };
        let masked = One::of(kind, None, "\"integer\"").mask(&number.to_string());
        prop_assert!(masked.parse::<i64>().is_ok());
        // 2^63 alone has its own magnitude's least and greatest.
        prop_assert!(masked != number.to_string() || number == 0 || number.unsigned_abs().to_string().len() == 1, "{}", number);
    }

    #[test]
    fn any_domain_is_permuted(size in prop_oneof![1_u128..400, Just(SIZE_MAX), SIZE_MAX - 1000..SIZE_MAX], seed in any::<u128>(), tweak in any::<u64>()) {
        let keyed = Master::new(KEY).keyed("test");
        if size < 400 {
            let mut seen: Vec<_> = (0..size).map(|value| keyed.next(value, size, tweak)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..size).collect::<Vec<_>>());
            // One cycle through everything.
            let mut at = 0;
            for step in 1..=size {
                at = keyed.next(at, size, tweak);
                prop_assert_eq!(at == 0, step == size);
            }
        } else {
            let value = seed % size;
            let next = keyed.next(value, size, tweak);
            prop_assert!(next < size && next != value);
            prop_assert_ne!(next, keyed.next((value + 1) % size, size, tweak));
        }
    }

    /// NULL, what is empty, and bytes that are no text.
    #[test]
    fn any_bytes_pass(bytes in vec(any::<u8>(), 0..40), at in 0_usize..32) {
        let transforms = ["format", "email", "phone", "first_name", "name", "street", "city", "company", "card", "iban", "date", "integer", "noise", "ip", "mac", "uuid", "url", "user_agent", "text", "hash", "json", "postcode", "last_name"];
        let mut one = One::text(transforms[at % transforms.len()]);
        let mut fields = [Some(bytes.clone())];
        one.0.row(&mut fields);
        let [field] = fields;
        let masked = field.unwrap();
        let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
        // What is drawn or hashed is text, whatever it is drawn for.
        prop_assert!(is_text(&masked) || !is_text(&bytes));
        if ["format", "email", "date", "integer", "uuid"].contains(&transforms[at % transforms.len()]) {
            prop_assert_eq!(is_text(&masked), is_text(&bytes));
            prop_assert!(masked != bytes || is_text(&bytes));
        }
        prop_assert_eq!(masked.is_empty(), bytes.is_empty());
        let mut fields = [None];
        one.0.row(&mut fields);
        prop_assert_eq!(fields, [None]);
    }

    /// Accents that a column's comparison does not see make no difference.
    #[test]
    fn accents_make_no_difference_where_they_make_none(text in "[a-zäöüéèêçñåÄÉ]{1,12}") {
        let column = Column { equality: Equality::Accents, ..column("c", Kind::Text) };
        let mut one = One(masker_of(column, "\"format\"", KEY).table("public", "t").unwrap());
        let plain: String = text.chars().map(|c| match c {
            'ä' | 'å' => 'a', 'Ä' => 'A', 'ö' => 'o', 'ü' => 'u', 'é' | 'è' | 'ê' => 'e', 'É' => 'E', 'ç' => 'c', 'ñ' => 'n', c => c,
        }).collect();
        prop_assert_eq!(one.mask(&text), one.mask(&plain));
    }
}
