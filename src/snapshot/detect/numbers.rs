//! National numbers of people, told by their check digits, or by their form where they have none.

/// A country, and whether a text is a number of somebody there.
pub type Numbers = (&'static str, fn(&str) -> bool);

pub const NUMBERS: &[Numbers] = &[
    ("Germany", german),
    ("France", french),
    ("Spain", spanish),
    ("Italy", italian),
    ("the Netherlands", dutch),
    ("Belgium", belgian),
    ("Poland", polish),
    ("Portugal", portuguese),
    ("Brazil", brazilian),
    ("Sweden", swedish),
    ("Norway", norwegian),
    ("Denmark", danish),
    ("Finland", finnish),
    ("Turkey", turkish),
    ("Russia", russian),
    ("Switzerland", swiss),
    ("China", chinese),
    ("the United States", american),
    ("the United Kingdom", british),
];

/// The digits, where the text is so many of them and nothing else but what may stand between them.
fn digits<const N: usize>(text: &str, between: &[char]) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut count = 0;
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) if count < N => {
                found[count] = digit;
                count += 1;
            }
            None if between.contains(&c) => {}
            _ => return None,
        }
    }
    (count == N).then_some(found)
}

fn weighed(digits: &[u32], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn number(digits: &[u32]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(*digit))
}

/// A day and a month of two digits each.
fn is_day(day: u64, month: u64) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

/// Steuer-Identifikationsnummer (ISO 7064, MOD 11,10).
fn german(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &[' ']) else { return false };
    let mut product = 10;
    for digit in &digits[..10] {
        let sum = (digit + product) % 10;
        product = if sum == 0 { 10 } else { sum } * 2 % 11;
    }
    digits[0] != 0 && (11 - product) % 10 == digits[10]
}

/// Numéro de sécurité sociale: the key of two digits is of the rest's remainder by 97.
fn french(text: &str) -> bool {
    // Corsica's departments have a letter.
    let text = text.replace("2A", "19").replace("2B", "18");
    let Some(digits) = digits::<15>(&text, &[' ']) else { return false };
    (1..=2).contains(&digits[0]) && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

/// DNI and NIE: the letter is of the number's remainder by 23.
fn spanish(text: &str) -> bool {
    let text = text.replace(['-', ' '], "").to_ascii_uppercase();
    if !text.is_ascii() || text.len() != 9 {
        return false;
    }
    let (body, letter) = text.split_at(8);
    let body = match body.as_bytes()[0] {
        b'X' => format!("0{}", &body[1..]),
        b'Y' => format!("1{}", &body[1..]),
        b'Z' => format!("2{}", &body[1..]),
        _ => body.to_owned(),
    };
    let plain = body.bytes().all(|byte| byte.is_ascii_digit());
    plain
        && body
            .parse::<usize>()
            .is_ok_and(|body| "TRWAGMYFPDXBNJZSQVHLCKE".as_bytes()[body % 23] == letter.as_bytes()[0])
}

/// Codice fiscale: the last letter is of a table for odd places and the values for even ones.
fn italian(text: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let text = text.to_ascii_uppercase();
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 16
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && bytes[..6].iter().all(u8::is_ascii_uppercase)
        && bytes[15].is_ascii_uppercase();
    if !shaped {
        return false;
    }
    let value = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = bytes[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| if at % 2 == 0 { ODD[value(*byte) as usize] } else { value(*byte) })
        .sum();
    sum % 26 == value(bytes[15])
}

/// Burgerservicenummer: the eleven test, in which the last digit counts against the others.
fn dutch(text: &str) -> bool {
    let Some(digits) = digits::<9>(text, &['.', ' ']) else { return false };
    let sum = weighed(&digits[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    number(&digits) > 0 && sum % 11 == digits[8] % 11 && sum % 11 < 10
}

/// Rijksregisternummer: a date, a count, and the remainder by 97; those born since 2000 have a 2 before it.
fn belgian(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &['.', '-', ' ']) else { return false };
    let (body, check) = (number(&digits[..9]), number(&digits[9..]));
    let month = number(&digits[2..4]);
    month <= 12 && [body, 2_000_000_000 + body].iter().any(|body| 97 - body % 97 == check)
}

/// PESEL.
fn polish(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &[]) else { return false };
    let month = number(&digits[2..4]) % 20;
    is_day(number(&digits[4..6]), month)
        && (10 - weighed(&digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10 == digits[10]
}

/// Número de identificação fiscal.
fn portuguese(text: &str) -> bool {
    let Some(digits) = digits::<9>(text, &[' ']) else { return false };
    let rest = weighed(&digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits[0] != 0 && digits[8] == if rest < 2 { 0 } else { 11 - rest }
}

/// CPF: two check digits.
fn brazilian(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &['.', '-']) else { return false };
    let check = |count: usize| {
        let sum: u32 =
            digits[..count].iter().zip((2..=count as u32 + 1).rev()).map(|(digit, weight)| digit * weight).sum();
        sum * 10 % 11 % 10
    };
    digits.iter().any(|digit| *digit != digits[0]) && check(9) == digits[9] && check(10) == digits[10]
}

/// Personnummer: a date, a count, and Luhn's digit; the century may stand before it.
fn swedish(text: &str) -> bool {
    let digits = match digits::<12>(text, &['-']) {
        Some(all) => all[2..].to_vec(),
        None => match digits::<10>(text, &['-', '+']) {
            Some(all) => all.to_vec(),
            None => return false,
        },
    };
    let day = number(&digits[4..6]);
    // Coordination numbers have 60 added to the day.
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| digit * if at % 2 == 0 { 2 } else { 1 })
        .map(|digit| digit / 10 + digit % 10)
        .sum();
    is_day(if day > 60 { day - 60 } else { day }, number(&digits[2..4])) && sum.is_multiple_of(10)
}

/// Fødselsnummer: a date, a count, two check digits.
fn norwegian(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &[' ']) else { return false };
    let day = number(&digits[..2]) % 40;
    is_day(day, number(&digits[2..4]) % 40)
        && weighed(&digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighed(&digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// CPR-nummer, with its hyphen: those given since 2007 have no check digit.
fn danish(text: &str) -> bool {
    let Some(digits) = digits::<10>(text, &['-']) else { return false };
    text.as_bytes()[6] == b'-' && is_day(number(&digits[..2]), number(&digits[2..4]))
}

/// Henkilötunnus: a date, a century's sign, a count, and a character for the remainder by 31.
fn finnish(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    if !text.is_ascii() || text.len() != 11 || !b"+-ABCDEFUVWXY".contains(&text.as_bytes()[6]) {
        return false;
    }
    let Some(digits) = digits::<9>(&[&text[..6], &text[7..10]].concat(), &[]) else { return false };
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY"[(number(&digits) % 31) as usize];
    is_day(number(&digits[..2]), number(&digits[2..4])) && text.as_bytes()[10] == check
}

/// T.C. kimlik numarası: two check digits.
fn turkish(text: &str) -> bool {
    let Some(digits) = digits::<11>(text, &[]) else { return false };
    let (odd, even) = (weighed(&digits, &[1, 0, 1, 0, 1, 0, 1, 0, 1]), weighed(&digits, &[0, 1, 0, 1, 0, 1, 0, 1]));
    let sum: u32 = digits[..10].iter().sum();
    digits[0] != 0 && (odd * 7 + 90 - even) % 10 == digits[9] && sum % 10 == digits[10]
}

/// SNILS, of eleven digits, and INN, of twelve.
fn russian(text: &str) -> bool {
    if let Some(digits) = digits::<11>(text, &['-', ' ']) {
        let sum = weighed(&digits, &[9, 8, 7, 6, 5, 4, 3, 2, 1]);
        return number(&digits[..9]) > 1_001_998 && u64::from(sum % 101 % 100) == number(&digits[9..]);
    }
    let Some(digits) = digits::<12>(text, &[]) else { return false };
    let check = |weights: &[u32]| weighed(&digits, weights) % 11 % 10;
    number(&digits) > 0
        && check(&[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits[10]
        && check(&[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits[11]
}

/// AHV-Nummer: an EAN that begins with 756.
fn swiss(text: &str) -> bool {
    let Some(digits) = digits::<13>(text, &['.', ' ']) else { return false };
    number(&digits[..3]) == 756
        && (10 - weighed(&digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]) % 10) % 10 == digits[12]
}

/// Resident identity card: the date, and a check character (ISO 7064, MOD 11-2).
fn chinese(text: &str) -> bool {
    if !text.is_ascii() || text.len() != 18 {
        return false;
    }
    let Some(digits) = digits::<17>(&text[..17], &[]) else { return false };
    let rest = weighed(&digits, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11;
    is_day(number(&digits[12..14]), number(&digits[10..12]))
        && text.as_bytes()[17].to_ascii_uppercase() == b"10X98765432"[rest as usize]
}

/// Social Security number, with its hyphens: it has no check digit.
fn american(text: &str) -> bool {
    let Some(digits) = digits::<9>(text, &['-']) else { return false };
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    text.split('-').map(str::len).eq([3, 2, 4]) && area != 0 && area != 666 && group != 0 && serial != 0
}

/// National Insurance number: two letters, six digits, a letter.
fn british(text: &str) -> bool {
    let text = text.replace(' ', "").to_ascii_uppercase();
    let bytes = text.as_bytes();
    bytes.len() == 9
        && bytes[..2].iter().all(|byte| byte.is_ascii_uppercase() && !b"DFIQUV".contains(byte))
        && bytes[2..8].iter().all(u8::is_ascii_digit)
        && (b'A'..=b'D').contains(&bytes[8])
}
