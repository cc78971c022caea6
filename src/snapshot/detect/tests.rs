//! Names in many languages, made-up values of every kind in columns that do not say so, and columns that are clean.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::scenario::rules::parse;
use crate::snapshot::mask::{Equality, Masker};

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
        type_name: "text".to_owned(),
        length: None,
        nullable: true,
        unique: false,
        equality: Equality::Letters,
        references: Vec::new(),
    }
}

fn table(name: &str, columns: Vec<Column>) -> Table {
    Table { schema: "public".to_owned(), name: name.to_owned(), columns }
}

fn name(table: &str, column: &str) -> ColumnName {
    ColumnName { schema: "public".into(), table: table.into(), column: column.into() }
}

/// What values look like in a column whose name says nothing.
fn looks_like(kind: Kind, values: &[String], whole: bool) -> Option<Looks> {
    let column = column("x7", kind);
    look(&table("t", vec![column.clone()]), &column, Some(&Sample { values: values.to_vec(), whole }))
}

fn strings<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
}

#[test]
fn names_in_many_languages() {
    #[track_caller]
    fn check(personal: Personal, names: &[&str]) {
        for name in names {
            assert_eq!(by_name("t", name), Some(personal), "{name}");
        }
    }
    check(
        Personal::Email,
        &[
            "email",
            "E-Mail",
            "user_email",
            "EmailAddress",
            "e_mail_2",
            "mailAdresse",
            "courriel",
            "correo_electronico",
            "epost",
            "e_posta",
            "billingEmail",
            "kundenemail",
            "pochta",
            "email_hash",
        ],
    );
    check(
        Personal::FirstName,
        &[
            "first_name",
            "firstName",
            "FIRSTNAME",
            "Vorname",
            "kundenvorname",
            "prénom",
            "voornaam",
            "imie",
            "imię",
            "fornavn",
            "förnamn",
            "imya",
            "primeiro_nome",
            "customer_first_name",
        ],
    );
    check(
        Personal::LastName,
        &[
            "last_name",
            "surname",
            "Nachname",
            "nom_de_famille",
            "apellidos",
            "sobrenome",
            "cognome",
            "achternaam",
            "nazwisko",
            "soyadı",
            "efternavn",
            "familiya",
        ],
    );
    check(
        Personal::Phone,
        &[
            "phone",
            "phone_number",
            "home_phone_2",
            "Telefonnummer",
            "handy_nr",
            "téléphone",
            "telefono",
            "celular",
            "telefoon",
            "nr_telefonu",
            "cepTelefonu",
            "tlf",
            "mobile",
            "fax",
        ],
    );
    check(
        Personal::Birth,
        &[
            "dob",
            "date_of_birth",
            "birthday",
            "born_on",
            "Geburtsdatum",
            "geb_datum",
            "date_naissance",
            "fecha_nacimiento",
            "data_nascita",
            "geboortedatum",
            "data_urodzenia",
            "doğum_tarihi",
            "fødselsdato",
            "data_rozhdeniya",
        ],
    );
    check(
        Personal::Street,
        &[
            "street",
            "address",
            "billing_address",
            "addressLine1",
            "Straße",
            "hausnummer",
            "rue",
            "dirección",
            "indirizzo",
            "adres",
            "ulica",
            "gatuadress",
            "rechnungsadresse",
        ],
    );
    check(Personal::City, &["city", "Wohnort", "ville", "ciudad", "miasto", "şehir"]);
    check(Personal::Postcode, &["zip", "zip_code", "PLZ", "postleitzahl", "code_postal", "kod_pocztowy", "postnummer"]);
    check(Personal::Iban, &["iban", "IBAN_nr", "bank_account", "kontonummer"]);
    check(Personal::Card, &["card_number", "cc_number", "creditcard", "kreditkarte"]);
    check(
        Personal::NationalId,
        &[
            "ssn",
            "passport_no",
            "tax_id",
            "steuernummer",
            "dni",
            "codice_fiscale",
            "bsn",
            "PESEL",
            "tc_kimlik",
            "fødselsnummer",
            "snils",
            "cpf",
        ],
    );
    check(
        Personal::Credential,
        &[
            "password",
            "password_hash",
            "encrypted_password",
            "api_key",
            "reset_token",
            "Passwort",
            "mot_de_passe",
            "contraseña",
            "şifre",
        ],
    );
    check(Personal::Address, &["ip", "last_ip", "ip_address", "remoteAddr", "mac_address"]);
    check(
        Personal::Sensitive,
        &["gender", "religion", "diagnosis", "salary", "Geschlecht", "nationalité", "blood_type"],
    );
    check(Personal::Name, &["full_name", "username", "displayName", "cardholder_name", "ansprechpartner", "ad_soyad"]);
}

#[test]
fn names_that_fool_nobody() {
    for name in [
        "filename",
        "file_name",
        "hostname",
        "table_name",
        "product_name",
        "username_count",
        "email_verified",
        "email_verified_at",
        "is_email_public",
        "phone_type",
        "address_type",
        "email_template",
        "mailbox_size",
        "sort_order",
        "status",
        "id",
        "created_at",
        "price",
        "quantity",
        "description",
        "notes",
        "via_ferrata_km",
        "capital",
        "capacity",
        "panel",
        "company_type",
        "emails_sent_count",
        "has_phone",
        "thread",
        "bread",
        "agent",
        "pinned",
        "spin",
        "tally",
        "latest",
        "average",
        "package",
        "message",
        "usage",
        "image",
        "sextant",
        "macro",
        "zipped",
        "organ",
        "shipping",
    ] {
        assert_eq!(by_name("things", name), None, "{name}");
    }
    assert_eq!(by_name("customers", "name"), Some(Personal::Name));
    assert_eq!(by_name("Kunden", "Name"), Some(Personal::Name));
    assert_eq!(by_name("app_users", "nome"), Some(Personal::Name));
    assert_eq!(by_name("products", "name"), None);
    // A key that leads to somewhere else.
    for column_name in ["city_id", "email_id", "city", "phone_id"] {
        let column = column(column_name, Kind::Integer { bytes: 4, unsigned: false });
        let values = strings(["1", "2", "3"]);
        assert_eq!(
            look(&table("t", vec![column.clone()]), &column, Some(&Sample { values, whole: true })),
            None,
            "{column_name}"
        );
    }
}

/// Published examples, and what differs from them by one digit.
#[test]
fn national_numbers() {
    let examples = [
        ("Germany", "86095742719"),
        ("France", "2 55 08 14 168 025 38"),
        ("Spain", "12345678Z"),
        ("Spain", "X1234567L"),
        ("Italy", "RSSMRA85T10A562S"),
        ("the Netherlands", "111222333"),
        ("Belgium", "85.07.30-033 28"),
        ("Poland", "44051401359"),
        ("Portugal", "123456789"),
        ("Brazil", "123.456.789-09"),
        ("Sweden", "811228-9874"),
        ("Norway", "15076500565"),
        ("Denmark", "070761-4285"),
        ("Finland", "131052-308T"),
        ("Turkey", "10000000146"),
        ("Russia", "112-233-445 95"),
        ("Russia", "500100732259"),
        ("Switzerland", "756.9217.0769.85"),
        ("China", "11010519491231002X"),
        ("the United States", "078-05-1120"),
        ("the United Kingdom", "AB 12 34 56 C"),
    ];
    for (country, example) in examples {
        let (_, is_one) = numbers::NUMBERS.iter().find(|(of, _)| *of == country).unwrap();
        assert!(is_one(example), "{country}: {example}");
        assert!(looks_like(Kind::Text, &[example.to_owned()], true).is_some(), "{country}: {example}");
        if ["Denmark", "the United States", "the United Kingdom"].contains(&country) {
            continue;
        }
        // Another digit somewhere breaks the check digits, in one of all places at least.
        let broken = (0..example.len()).filter(|at| example.as_bytes()[*at].is_ascii_digit()).filter(|at| {
            let digit = example.as_bytes()[*at];
            let other = char::from(if digit == b'9' { b'0' } else { digit + 1 });
            !is_one(&format!("{}{other}{}", &example[..*at], &example[at + 1..]))
        });
        assert!(broken.count() >= 5, "{country}: {example}");
    }
}

fn with_luhn(body: &str) -> String {
    let digits: Vec<u8> = body.bytes().map(|digit| digit - b'0').collect();
    format!("{body}{}", crate::snapshot::mask::luhn(&digits))
}

fn account(country: &str, bban: &str) -> String {
    let rest = format!("{bban}{country}00").chars().fold(0_u64, |rest, c| {
        let value = u64::from(c.to_digit(36).unwrap());
        (rest * if value < 10 { 10 } else { 100 } + value) % 97
    });
    format!("{country}{:02}{bban}", 98 - rest)
}

/// Values of every kind that content tells.
fn kinds() -> Vec<(&'static str, BoxedStrategy<String>)> {
    let pesel = "[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])[0-9]{4}".prop_map(|body| {
        let sum: u32 =
            body.chars().zip([1, 3, 7, 9, 1, 3, 7, 9, 1, 3]).map(|(c, weight)| c.to_digit(10).unwrap() * weight).sum();
        format!("{body}{}", (10 - sum % 10) % 10)
    });
    let dni = (0_u32..100_000_000)
        .prop_map(|number| format!("{number:08}{}", char::from(b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize])));
    let nir = (1_u64..=2, 0_u64..1_000_000_000_000).prop_map(|(sex, rest)| {
        let body = sex * 1_000_000_000_000 + rest;
        format!("{body}{:02}", 97 - body % 97)
    });
    let first: Vec<&str> = vec!["Jane", "Wolfgang", "François", "Giulia", "Mehmet", "Sanne", "MARIA", "paul"];
    let last: Vec<&str> = vec!["Smith", "Müller", "Martin", "Rossi", "Yılmaz", "Johnson", "SCHMIDT"];
    vec![
        ("mail", "[a-z]{1,8}[.+_-]?[a-z0-9]{1,8}@([a-z0-9]{1,8}\\.){1,2}(com|de|co\\.uk|museum)".boxed()),
        (
            "phone",
            prop_oneof![
                "\\+(1|7|49|33|351)[ -]?[1-9][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{4}".boxed(),
                "0[1-9][0-9]{1,3}[ /-][1-9][0-9]{5,7}".boxed(),
                "\\([2-9][0-9]{2}\\) [0-9]{3}-[0-9]{4}".boxed(),
                "[2-9][0-9]{2}-[0-9]{3}-[0-9]{4}".boxed(),
                "0[1-9][0-9]{8,9}".boxed()
            ]
            .boxed(),
        ),
        (
            "card",
            prop_oneof!["4[0-9]{14}", "5[1-5][0-9]{13}", "3[47][0-9]{12}"].prop_map(|body| with_luhn(&body)).boxed(),
        ),
        (
            "card in groups",
            "4[0-9]{14}"
                .prop_map(|body| {
                    let whole = with_luhn(&body);
                    [&whole[..4], &whole[4..8], &whole[8..12], &whole[12..]].join(" ")
                })
                .boxed(),
        ),
        (
            "account",
            prop_oneof![
                "[0-9]{18}".prop_map(|bban| account("DE", &bban)),
                "[A-Z]{4}[0-9]{14}".prop_map(|bban| account("GB", &bban)),
                "[0-9]{10}[0-9A-Z]{11}[0-9]{2}".prop_map(|bban| account("FR", &bban))
            ]
            .boxed(),
        ),
        (
            "address of a machine",
            prop_oneof![
                any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
                any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
                "[0-9a-f]{2}(:[0-9a-f]{2}){5}".boxed()
            ]
            .boxed(),
        ),
        ("Polish number", pesel.boxed()),
        ("Spanish number", dni.boxed()),
        ("French number", nir.boxed()),
        (
            "American number",
            "[1-8][0-9]{2}-[1-9][0-9]-[0-9]{3}[1-9]".prop_filter("not given", |ssn| !ssn.starts_with("666")).boxed(),
        ),
        ("first name", prop::sample::select(first.clone()).prop_map(str::to_owned).boxed()),
        (
            "name",
            (prop::sample::select(first), prop::sample::select(last))
                .prop_map(|(first, last)| format!("{first} {last}"))
                .boxed(),
        ),
        (
            "street",
            prop_oneof![
                "[A-Z][a-z]{3,8} (Street|Road|Ave) [0-9]{1,3}",
                "[A-Z][a-z]{3,8}(straße|weg|gasse) [0-9]{1,3}[a-c]?",
                "[0-9]{1,3} rue [A-Z][a-z]{4,9}",
                "ul\\. [A-Z][a-z]{3,8} [0-9]{1,3}"
            ]
            .boxed(),
        ),
        (
            "secret",
            prop_oneof![
                "\\$2[aby]\\$1[0-2]\\$[A-Za-z0-9./]{53}",
                "eyJ[A-Za-z0-9_-]{20,40}\\.[A-Za-z0-9_-]{20,40}\\.[A-Za-z0-9_-]{20}"
            ]
            .boxed(),
        ),
        ("place", "-?[1-8][0-9]\\.[0-9]{4,6}, -?1?[0-9]{2}\\.[0-9]{4,6}".boxed()),
        ("web address", "https?://[a-z]{3,9}\\.(com|de)/[a-z0-9]{0,12}".boxed()),
        ("free text", "[a-z]{3,9} [a-z]{2,9} [a-z]{2,9}".boxed()),
    ]
}

/// Whatever is listed is told in a column whose name says nothing: alone, in free text, in JSON, in arrays.
#[test]
fn no_listed_kind_comes_through() {
    for (kind, values) in kinds() {
        proptest!(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() }, |(values in vec(values.clone(), 1..60), whole in any::<bool>())| {
            prop_assert!(looks_like(Kind::Text, &values, whole).is_some(), "{}: {:?}", kind, values);
            let texts: Vec<_> = values.iter().map(|value| format!("please use {value} from now")).collect();
            prop_assert!(looks_like(Kind::Text, &texts, whole).is_some(), "{}: {:?}", kind, texts);
            let documents: Vec<_> = values.iter().map(|value| serde_json::json!({ "k": [{ "v": value }], "n": 1 }).to_string()).collect();
            for kind_of_column in [Kind::Json, Kind::Text] {
                let looks = looks_like(kind_of_column, &documents, whole);
                prop_assert!(looks.as_ref().is_some_and(|looks| looks.personal == Personal::Document), "{}: {:?}: {:?}", kind, documents, looks);
            }
            let arrays: Vec<_> = values.iter().map(|value| format!("{{\"{}\"}}", value.replace('"', "\\\""))).collect();
            prop_assert!(looks_like(Kind::Array(Box::new(Kind::Text)), &arrays, whole).is_some(), "{}: {:?}", kind, arrays);
        });
    }
}

/// One among many codes is enough for what cannot be anything else.
#[test]
fn one_among_many_is_enough() {
    for (kind, values) in kinds() {
        if !["mail", "account", "secret", "card", "card in groups", "address of a machine", "American number"]
            .contains(&kind)
        {
            continue;
        }
        let mut runner = TestRunner::deterministic();
        for _ in 0..20 {
            let mut column: Vec<_> = (0..300).map(|number| format!("K-{number}")).collect();
            column.push(values.new_tree(&mut runner).unwrap().current());
            assert!(looks_like(Kind::Text, &column, false).is_some(), "{kind}: {:?}", column.last());
        }
    }
}

#[test]
fn what_is_told_holds_no_value() {
    for (kind, values) in kinds() {
        let mut runner = TestRunner::deterministic();
        let values: Vec<_> = (0..20).map(|_| values.new_tree(&mut runner).unwrap().current()).collect();
        let documents: Vec<_> = values.iter().map(|value| serde_json::json!({ value: value }).to_string()).collect();
        for looks in
            [looks_like(Kind::Text, &values, true), looks_like(Kind::Json, &documents, true)].into_iter().flatten()
        {
            assert!(!values.iter().any(|value| looks.why.contains(value.as_str())), "{kind}: {}", looks.why);
        }
    }
}

#[test]
fn clean_columns_are_clean() {
    #[track_caller]
    fn check(kind: Kind, value: impl Fn(u64) -> String) {
        let values: Vec<_> =
            (0..200_u64).map(|number| value(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)).collect();
        assert_eq!(looks_like(kind, &values, false), None, "{:?}", &values[..3]);
    }
    check(Kind::Text, |number| format!("AB-{}", number % 1000));
    check(Kind::Text, |number| ["new", "paid", "in transit", "Sent back"][(number % 4) as usize].to_owned());
    check(Kind::Text, |number| format!("{number:032x}"));
    check(Kind::Text, |number| format!("2024-01-{:02} 10:00:00", number % 28 + 1));
    check(Kind::Text, |number| format!("v{}.{}.{}", number % 9, number % 7, number % 5));
    check(Kind::Text, |number| format!("{}.{:02}", number % 1000, number % 100));
    check(Kind::Text, |number| format!("images/{number}/large.png"));
    check(Kind::Json, |number| {
        format!("{{\"width\": {}, \"colour\": \"{}\"}}", number % 100, ["red", "blue"][(number % 2) as usize])
    });
    check(Kind::Integer { bytes: 8, unsigned: false }, |number| number.to_string());
    check(Kind::Uuid, |number| format!("{number:032x}"));
    check(Kind::Timestamp, |_| "2024-01-01".to_owned());
    check(Kind::Array(Box::new(Kind::Integer { bytes: 4, unsigned: false })), |number| {
        format!("{{{number},{number}}}")
    });
}

#[test]
fn what_was_not_seen_is_undecided() {
    for (kind, personal) in [
        (Kind::Text, Personal::Unseen),
        (Kind::Json, Personal::Document),
        (Kind::Bytes, Personal::Binary),
        (Kind::Other, Personal::Opaque),
    ] {
        let column = column("x7", kind);
        assert_eq!(look(&table("t", vec![column.clone()]), &column, None).map(|looks| looks.personal), Some(personal));
    }
    let few = strings(["A1", "B2"]);
    assert_eq!(looks_like(Kind::Text, &few, false).map(|looks| looks.personal), Some(Personal::Unseen));
    assert_eq!(looks_like(Kind::Text, &few, true), None);
    let surnames: Vec<_> = (0..60)
        .map(|number| format!("Xy{}zq", char::from(b'a' + number % 26)) + &"b".repeat(usize::from(number / 26)))
        .collect();
    assert_eq!(looks_like(Kind::Text, &surnames, true).map(|looks| looks.personal), Some(Personal::Name));
    for (type_name, personal) in [
        ("geometry(Point,4326)", Some(Personal::Location)),
        ("tsvector", Some(Personal::Opaque)),
        ("int4range", None),
        ("interval", None),
    ] {
        let column = Column { type_name: type_name.to_owned(), ..column("x7", Kind::Other) };
        assert_eq!(
            look(&table("t", vec![column.clone()]), &column, None).map(|looks| looks.personal),
            personal,
            "{type_name}"
        );
    }
}

#[test]
fn the_draft_decides_about_everything() {
    let int = Kind::Integer { bytes: 8, unsigned: false };
    let unique = |name: &str, kind: Kind| Column { unique: true, nullable: false, ..column(name, kind) };
    let refers = |column_name: &str, to: &str, kind: Kind| Column {
        references: vec![name("users", to)],
        ..column(column_name, kind)
    };
    let tables = vec![
        table(
            "users",
            vec![
                unique("id", int.clone()),
                unique("email", Kind::Text),
                column("first_name", Kind::Text),
                column("Geburtsdatum", Kind::Date),
                unique("username", Kind::Text),
                column("salary", Kind::Numeric),
                column("avatar", Kind::Bytes),
                column("settings", Kind::Json),
                column("last_ip", Kind::Ip),
                column("gender", Kind::Enum(vec!["f".into(), "m".into()])),
                column("phones", Kind::Array(Box::new(Kind::Text))),
                Column { nullable: false, ..column("face", Kind::Bytes) },
                column("lat", Kind::Float),
                Column { nullable: false, ..column("sex", Kind::Enum(vec!["f".into(), "m".into()])) },
                column("device_id", Kind::Uuid),
            ],
        ),
        table(
            "odd.table",
            vec![refers("who", "email", Kind::Text), column("a\"b.c", Kind::Text), refers("user", "id", int)],
        ),
    ];
    let none = parse(Path::new("rules.toml"), "").unwrap();
    let open = undecided(&tables, &none, &Samples::new());
    let told: Vec<_> = open.iter().map(|undecided| undecided.column.column.as_str()).collect();
    for (_, column) in tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column))) {
        assert_eq!(
            told.contains(&column.name.as_str()),
            !["id", "user"].contains(&column.name.as_str()),
            "{}",
            column.name
        );
    }
    let text = draft(&open, &none, &tables);
    let rules =
        parse(Path::new("draft.toml"), &text).unwrap_or_else(|errors| panic!("{text}\n{:?}", errors.problems()));
    assert_eq!(undecided(&tables, &rules, &Samples::new()), []);
    if let Err(errors) = Masker::new(&rules, "a key for the tests of masking", &tables) {
        panic!("{text}\n{:#?}", errors.problems);
    }
    // A rule on one column decides about those that hold the same things; NULL does not.
    let one = parse(Path::new("r"), "[[mask]]\ncolumn = \"users.email\"\nas = \"email\"\n").unwrap();
    assert!(!undecided(&tables, &one, &Samples::new()).iter().any(|of| of.column == name("odd.table", "who")));
    let null = parse(Path::new("r"), "[[mask]]\nname = \"who\"\nas = \"null\"\n").unwrap();
    let open = undecided(&tables, &null, &Samples::new());
    assert!(open.iter().any(|of| of.column == name("users", "email")));
    assert!(!open.iter().any(|of| of.column == name("odd.table", "who")));
}
