//! What each transformer makes of values: the shape that they had.

use super::super::shape::{is_card, is_email, is_iban, luhn};
use super::super::{address, number};
use super::properties::valid_iban;
use super::*;

/// Letters and digits as `a`, `A` and `0`.
fn shape(text: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_digit() => '0',
        c if c.is_uppercase() => 'A',
        c if c.is_lowercase() => 'a',
        c if c.is_alphabetic() => 'x',
        c => c,
    };
    text.chars().map(letter).collect()
}

#[test]
fn format_keeps_the_shape() {
    let mut one = One::text("format");
    for text in ["Jane O'Neil-Smith 3rd", "Łódź, ul. Żółta 5", "Москва", "ΑΘΗΝΑ αθήνα", "AB-12/cd", "  x  ", "漢字カナ"]
    {
        let masked = one.mask(text);
        assert_eq!(shape(&masked), shape(text));
        assert_eq!(masked.len(), text.len(), "{text}: {masked}");
        assert_ne!(masked, text);
    }
    let mut long = "The quick brown fox. ".repeat(50);
    long.push('x');
    assert_eq!(shape(&one.mask(&long)), shape(&long));
    let mut ends = One::of(Kind::Text, None, "{ format = { keep_first = 3, keep_last = 2 } }");
    let masked = ends.mask("INV-2024-0815-X7");
    assert!(masked.starts_with("INV") && masked.ends_with("X7") && masked != "INV-2024-0815-X7", "{masked}");
    // At most half of what tells values apart stays, however short it is.
    let masked = ends.mask("abcd");
    assert!(masked.starts_with("ab") && !masked.contains("cd"), "{masked}");
    assert_ne!(ends.mask("a"), "a");
    let masked = ends.mask("--a-b1");
    assert!(masked.starts_with("--a-") && !masked.ends_with("b1"), "{masked}");
}

#[test]
fn mail_is_never_delivered() {
    let mut one = One::text("email");
    for address in ["jane.doe@corp.com", "a@b.de", "ÄRGER+tag@mail.example.co.uk", "x_y@localhost"] {
        let masked = one.mask(address);
        assert!(masked.ends_with(".test") && is_email(&masked), "{masked}");
        assert_eq!(shape(masked.strip_suffix(".test").unwrap()), shape(address));
    }
    assert_eq!(shape(&one.mask("not given")), shape("not given"));
    let mut short = One::of(Kind::Text, Some(12), "\"email\"");
    assert_eq!(short.mask("a@bc.de").len(), 12);
    assert_eq!(short.mask("abc@bc.de").len(), 9);
    // As long as it may be, and below the reserved name already.
    assert_eq!(shape(&short.mask("ab@cd.e.test")), shape("ab@cd.e"));
}

#[test]
fn phone_numbers_stay_dialled_alike() {
    let mut one = One::text("phone");
    for (number, begins) in
        [("+49 171 1234567", "+49 "), ("0049-30-901820", "0049-"), ("030 901820", "0"), ("+1 (555) 010-9999", "+1 (")]
    {
        let masked = one.mask(number);
        assert_eq!(shape(&masked), shape(number));
        assert!(masked.starts_with(begins) && masked != number, "{number}: {masked}");
    }
    for zeros in ["0000000000", "000 000-000", "0".repeat(60).as_str()] {
        assert_eq!(one.mask(zeros), zeros);
        assert_eq!(shape(&One::text("card").mask(zeros)), shape(zeros));
    }
    let digits = |text: String| text.chars().filter(char::is_ascii_digit).collect::<String>();
    assert_eq!(digits(one.mask("030 901820")), digits(one.mask("(030) 90-18-20")));
}

#[test]
fn check_digits_fit_where_they_did() {
    let mut card = One::text("card");
    for number in ["4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444"] {
        let masked = card.mask(number);
        assert_eq!(shape(&masked), shape(number));
        assert_eq!(masked.as_bytes()[0], number.as_bytes()[0]);
        let digits: Vec<u8> = masked.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        let (check, body) = digits.split_last().unwrap();
        assert!(is_card(&masked) && luhn(body) == *check, "{masked}");
    }
    let mut iban = One::text("iban");
    for account in
        ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", &valid_iban("FR", "20041010050500013M02606")]
    {
        let masked = iban.mask(account);
        assert!(is_iban(account) && is_iban(&masked) && masked[..2] == account[..2] && masked != account, "{masked}");
    }
    assert!(!is_iban(&iban.mask("DE00 3704 0044 0532 0130 00")));
}

#[test]
fn numbers_fit_where_they_did() {
    let mut integer = One::of(Kind::Integer { bytes: 4, unsigned: false }, None, "\"integer\"");
    for number in [i32::MIN, i32::MIN + 1, -2_000_000_000, -1, 1, 9, 10, 99, 65_536, 2_000_000_000, i32::MAX] {
        let masked: i32 = integer.mask(&number.to_string()).parse().unwrap();
        assert_eq!(masked.signum(), number.signum());
    }
    assert_eq!(integer.mask("0"), "0");
    assert_eq!(shape(&integer.mask("00042")), "00000");
    let mut numeric = One::of(Kind::Numeric, None, "\"integer\"");
    for number in ["12.50", "-0.07", "0.00", "1234567890123456789012345678901234567890123456.5"] {
        let masked = numeric.mask(number);
        assert_eq!(shape(&masked), shape(number));
        assert_eq!(masked.starts_with('0'), number.starts_with('0'));
    }
    for zero in ["0.00000000", "-0.00", "0.000000000000000000", "NaN", "Infinity", "-Infinity"] {
        assert_eq!(numeric.mask(zero), zero);
    }
    assert_eq!(shape(&numeric.mask("0.000000000000000001")), shape("0.000000000000000001"));
    // However a number is written, it becomes the same one.
    assert_eq!(numeric.mask("57") + ".00", numeric.mask("57.00"));
    assert_eq!(numeric.mask("57.5") + "0", numeric.mask("57.50"));
    let mut seen = std::collections::HashSet::new();
    for number in 1..10_000 {
        let masked = numeric.mask(&format!("{}.{:02}", number / 100, number % 100));
        assert!(seen.insert(masked.trim_end_matches('0').trim_end_matches('.').to_owned()), "{number}");
    }
    let mut noise = One::of(Kind::Numeric, None, "{ noise = { share = \"10%\" } }");
    for number in [1000.0, 12345.67, -99999.99, 0.5] {
        let written = format!("{number:.2}");
        let masked: f64 = noise.mask(&written).parse().unwrap();
        assert!((masked - number).abs() <= number.abs() * 0.1 + 0.005, "{number}: {masked}");
    }
    assert_eq!(noise.mask("NaN"), "NaN");
    let mut least = One::of(Kind::Integer { bytes: 2, unsigned: false }, None, "{ noise = { share = \"100%\" } }");
    for number in 32_000..=32_767 {
        assert!(least.mask(&number.to_string()).parse::<i16>().is_ok(), "{number}");
    }
    let mut float = One::of(Kind::Float, None, "\"noise\"");
    assert!((float.mask("1.5e+300").parse::<f64>().unwrap() / 1.5e300 - 1.0).abs() <= 0.1);
}

#[test]
fn dates_move_by_days() {
    let mut one = One::of(Kind::Timestamp, None, "{ date = { days = 30 } }");
    let moved = one.mask("2024-02-29 23:59:59.123+01");
    assert!(
        moved.ends_with(" 23:59:59.123+01") && number::is_date(&moved) && !moved.starts_with("2024-02-29"),
        "{moved}"
    );
    for word in ["infinity", "-infinity", "0000-00-00", "9999-12-31", "0001-01-01 00:00:00"] {
        assert_eq!(one.mask(word), word);
    }
    // What no calendar has, or not every engine, is not let through.
    for odd in
        ["1980-05-00", "1980-00-00 00:00:00", "2024-02-31", "2023-02-29", "0044-03-15 BC", "12024-05-06", "0000-03-04"]
    {
        let masked = one.mask(odd);
        assert!(masked != odd && shape(&masked) == shape(odd), "{odd}: {masked}");
        assert_eq!(masked.contains("-00"), odd.contains("-00"), "{odd}: {masked}");
    }
    let mut seen = std::collections::HashSet::new();
    for year in 1970..2040 {
        for month in 0..=12 {
            for day in 0..=31 {
                let date = format!("{year}-{month:02}-{day:02}");
                let masked = one.mask(&date);
                assert_ne!(masked, date);
                assert!(seen.insert(masked), "{date}");
            }
        }
    }
    let mut little = One::of(Kind::Date, None, "{ date = { days = 1 } }");
    let near = (2..=9).map(|day| format!("0001-01-0{day}"));
    let far = (20..=30).map(|day| format!("9999-12-{day}"));
    let first: std::collections::HashSet<_> = near.chain(far).map(|date| little.mask(&date)).collect();
    assert_eq!(first.len(), 19);
    assert_eq!(One::of(Kind::Date, None, "{ date = { together = true } }").mask("infinity"), "infinity");
    let mut unix = One::of(Kind::UnixTimestamp, None, "{ date = { days = 300 } }");
    for date in ["2038-01-18 00:00:00", "1970-01-02 00:00:00"] {
        let moved = unix.mask(date);
        assert!(moved.as_str() > "1970-01-01 23" && moved.as_str() < "2038-01-19", "{moved}");
    }
    // Of one person, everything moves alike; of another one, by other days.
    let rules = "[[mask]]\ncolumn = [\"t.born\", \"t.seen\"]\nas = { date = { days = 3000, per = \"id\" } }\n[[mask]]\ncolumn = \"t.id\"\nas = \"integer\"\n";
    let columns = vec![
        column("id", Kind::Integer { bytes: 4, unsigned: false }),
        column("born", Kind::Date),
        column("seen", Kind::Date),
    ];
    let masker = Masker::new(&parse(Path::new("r"), rules).unwrap(), KEY, &[table("t", columns)]).unwrap();
    let mut masker = masker.table("public", "t").unwrap();
    let mut row = |id: &str| {
        let mut fields = [id, "1980-01-01", "1980-01-01"].map(|text| Some(text.as_bytes().to_vec()));
        masker.row(&mut fields);
        fields.map(|field| String::from_utf8(field.unwrap()).unwrap())
    };
    // Of nobody, each date by itself, in a way of its column's own.
    let [_, born, seen] = row("");
    assert_ne!(born, seen);
    let (first, second) = (row("1"), row("2"));
    assert_eq!(first[1], first[2]);
    assert_ne!(first[1], second[1]);
}

#[test]
fn addresses_of_machines_stay_such() {
    let mut ip = One::of(Kind::Ip, None, "\"ip\"");
    for (address, begins) in [
        ("10.1.2.3", "10."),
        ("127.0.0.1", "127.0.0.1"),
        ("172.20.0.9", "172."),
        ("::1", "::1"),
        ("fe80::1", "fe"),
        ("10.0.0.0/8", ""),
    ] {
        let masked = ip.mask(address);
        assert!(address::is_ip(&masked, None) && masked.starts_with(begins), "{address}: {masked}");
    }
    let masked = ip.mask("8.8.8.8");
    assert!(!masked.starts_with("10.") && !masked.starts_with("127.") && masked != "8.8.8.8", "{masked}");
    assert!(ip.mask("192.168.0.0/16").ends_with(".0.0/16"));
    assert!(ip.mask("2001:db8::/32").ends_with("::/32"));
    let mut mac = One::of(Kind::Mac, None, "\"mac\"");
    assert!(address::is_mac(&mac.mask("08:00:2b:01:02:03")));
    let mut uuid = One::of(Kind::Uuid, None, "\"uuid\"");
    let masked = uuid.mask("018f3c5e-7b1a-7cde-8f01-23456789abcd");
    assert!(
        address::is_uuid(&masked) && masked.as_bytes()[14] == b'7' && b"89ab".contains(&masked.as_bytes()[19]),
        "{masked}"
    );
    assert_eq!(uuid.mask("00000000-0000-0000-0000-000000000000"), "00000000-0000-0000-0000-000000000000");
    assert!(address::is_uuid(&uuid.mask("00000000-0000-0000-0000-000000000001")));
}

#[test]
fn urls_lead_nowhere() {
    let mut one = One::text("url");
    for (url, host) in [
        ("https://www.shop.de:8080/a/b?q=%C3%A4#x", "www.shop.de"),
        ("http://jane:pw@host", "host"),
        ("ftp://a.b.c/", "a.b.c"),
    ] {
        let masked = one.mask(url);
        let range = super::super::shape::host(&masked).unwrap();
        assert_eq!(shape(masked[range].strip_suffix(".test").unwrap()), shape(host));
        assert_eq!(masked.split("://").next(), url.split("://").next());
    }
    assert!(one.mask("https://www.shop.de:8080/a?q=%C3%A4").contains(".test:8080/"));
    assert!(one.mask("https://www.shop.de:8080/a?q=%C3%A4").ends_with("%C3%A4"));
}

#[test]
fn what_is_drawn_fits() {
    for transform in ["first_name", "last_name", "name", "street", "city", "company", "user_agent"] {
        for length in [1, 3, 8, 20] {
            let mut one = One::of(Kind::Text, Some(length), &format!("\"{transform}\""));
            for value in ["Jane", "JANE", "x"] {
                let masked = one.mask(value);
                assert!((1..=length).contains(&masked.chars().count()), "{transform}: {masked:?}");
            }
        }
        let mut one = One::text(transform);
        assert_eq!(one.mask("Jane Doe").to_lowercase(), one.mask("JANE DOE").to_lowercase());
        assert_ne!(one.mask("Jane Doe"), one.mask("Joan Dow"), "{transform}");
    }
    assert_eq!(One::text("last_name").mask("MÜLLER").to_uppercase(), One::text("last_name").mask("MÜLLER"));
    assert!(One::text("name").mask("Doe, Jane").contains(", "));
    let text = "First line, of some length.\n\nSecond.\r\n";
    let masked = One::text("text").mask(text);
    let lengths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
    assert_eq!(lengths(&masked), lengths(text));
    assert!(!masked.contains("First") && !masked.contains("Second"));
}

#[test]
fn the_simple_ones() {
    assert_eq!(One::of(Kind::Text, None, "{ fixed = \"*\" }").mask("secret"), "*");
    assert_eq!(One::of(Kind::Text, None, "{ hash = { length = 12 } }").mask("Jane").len(), 12);
    assert_eq!(One::of(Kind::Text, Some(5), "\"hash\"").mask("Jane").len(), 5);
    let mut regex = One::of(Kind::Text, None, "{ regex = { find = \"([a-z]+)@[a-z.]+\", replace = \"$1@x.test\" } }");
    assert_eq!(regex.mask("write to jane@corp.com now"), "write to jane@x.test now");
    let masked = One::of(Kind::Text, None, "{ template = \"user-${integer}\" }").mask("4711");
    assert!(masked.starts_with("user-") && masked.len() == 9, "{masked}");
    // What is not text in the database's encoding as well.
    let latin = b"J\xe9r\xf4me".to_vec();
    let mask = |transform: &str| {
        let mut fields = [Some(latin.clone())];
        masker_of(column("c", Kind::Text), transform, KEY).table("public", "t").unwrap().row(&mut fields);
        fields[0].take().unwrap()
    };
    assert_eq!(mask("{ fixed = \"*\" }"), b"*");
    assert_eq!(mask("{ hash = { length = 9 } }").len(), 9);
    let masked = mask("\"format\"");
    assert!(
        masked.len() == latin.len() && std::iter::zip(&masked, &latin).any(|(one, other)| *other > 127 && one != other)
    );
    let mut fields = [Some(b"x".to_vec())];
    masker_of(column("c", Kind::Text), "\"null\"", KEY).table("public", "t").unwrap().row(&mut fields);
    assert_eq!(fields, [None]);
}

#[test]
fn json_is_masked_by_paths() {
    let mut one = One::of(
        Kind::Json,
        None,
        "{ json = { paths = { \"user.email\" = \"email\", \"**.born\" = \"date\", \"ids[*]\" = \"null\" } } }",
    );
    let document = r#"{"user": {"email": "a@b.de", "name": "Jané \"J\"", "born": "1980-01-01"}, "n": 12.50, "ids": [1, "x"], "e": 1.5e10, "t": true, "z": null, "s": ""}"#;
    let masked = one.mask(document);
    let value: serde_json::Value = serde_json::from_str(&masked).unwrap();
    assert!(value["user"]["email"].as_str().unwrap().ends_with(".test"), "{masked}");
    assert!(number::is_date(value["user"]["born"].as_str().unwrap()));
    assert_eq!(shape(value["user"]["name"].as_str().unwrap()), "Aaaa \"A\"");
    assert_eq!(value["ids"], serde_json::json!([null, null]));
    assert_eq!((&value["t"], &value["z"], &value["s"]), (&false.into(), &serde_json::Value::Null, &"".into()));
    assert!(masked.starts_with(r#"{"user": {"email": "#) && masked.contains("e10"), "{masked}");
    let masked = One::text("json").mask(r#"{"jane@corp.com": 1, "10045678": {"Jane Doe": true}, "line2": {}}"#);
    assert_eq!(shape(&masked), r#"{"aaaa@aaaa.aaa": 0, "00000000": {"Aaaa Aaa": aaaaa}, "aaaa0": {}}"#);
    assert!(masked.contains("false"), "{masked}");
    assert!(masked.contains("line2") && !masked.contains("jane") && !masked.contains("10045678"), "{masked}");
    // A path to an object or a list is for all that lies in it.
    let mut one = One::of(
        Kind::Json,
        None,
        "{ json = { paths = { user = { fixed = \"x\" }, \"user.id\" = \"integer\", tags = \"null\", \"mail_*\" = \"email\", flags = { fixed = \"true\" } }, rest = \"null\" } }",
    );
    let masked = one.mask(r#"{"user":{"name":{"first":"Jane"},"id":42,"ok":true},"tags":["a",{"b":1}],"mail_home":"a@b.de","flags":[false],"rest":false,"Jane Doe":1}"#);
    let value: serde_json::Value = serde_json::from_str(&masked).unwrap();
    assert_eq!(value["user"]["name"]["first"], "x");
    assert_eq!(value["user"]["ok"], "x");
    assert!(value["user"]["id"].is_number() && value["user"]["id"] != 42, "{masked}");
    assert_eq!((&value["tags"], &value["rest"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert!(value["mail_home"].as_str().unwrap().ends_with(".test"), "{masked}");
    assert_eq!(value["flags"], serde_json::json!([true]));
    assert!(!masked.contains("Jane"), "{masked}");
    let mut kept = One::of(Kind::Json, None, "{ json = { rest = \"keep\" } }\nreason = \"r\"");
    assert_eq!(kept.mask(r#"{"Jane Doe":true}"#), r#"{"Jane Doe":true}"#);
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    assert!(one.mask(&deep).contains("null"));
    assert_eq!(shape(&One::text("json").mask("no JSON: 5")), shape("no JSON: 5"));
}

#[test]
fn arrays_are_masked_by_element() {
    let mut one = One::of(Kind::Array(Box::new(Kind::Text)), None, "\"email\"");
    assert_eq!(shape(&one.mask(r#"{a@b.de,NULL,"x y","",{c@d.e}}"#)), r#"{a@a.aa.aaaa,AAAA,"a a","",{a@a.a.aaaa}}"#);
    assert!(one.mask("[0:1]={a@b.de,c@d.de}").starts_with("[0:1]={"));
    assert!(one.mask("{a@b.de,NULL}").ends_with(",NULL}"));
    let mut quoted = One::of(Kind::Array(Box::new(Kind::Text)), None, "\"format\"");
    assert_eq!(shape(&quoted.mask(r#"{"a\"b\\c,{d}"}"#)), r#"{"a\"a\\a,{a}"}"#);
    let mut numbers = One::of(Kind::Array(Box::new(Kind::Integer { bytes: 4, unsigned: false })), None, "\"integer\"");
    assert_eq!(shape(&numbers.mask("{12,-345}")), "{00,-000}");
}
