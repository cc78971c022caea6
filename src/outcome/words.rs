//! How figures, names and SQL are put into words, the same in findings and in every report.

/// "0.42 ms", "420 ms", "4.21 s", "3 min 12 s", "2 h 27 min".
pub fn duration(ms: f64) -> String {
    if ms < 0.005 {
        "0 s".into()
    } else if ms < 9.95 {
        format!("{ms:.1} ms").replace(".0 ", " ")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 59_995.0 {
        trim_zeros(&format!("{:.2}", ms / 1e3)) + " s"
    } else {
        let seconds = (ms / 1e3).round() as u64;
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, minutes, 0) => format!("{minutes} min"),
            (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
            (hours, 0, _) => format!("{hours} h"),
            (hours, minutes, _) => format!("{hours} h {minutes} min"),
        }
    }
}

/// A moment of the run: "+3.21 s".
pub fn moment(ms: f64) -> String {
    format!("+{:.2} s", ms.max(0.0) / 1e3)
}

/// A date of RFC 3339 as people read it: "2026-11-22 01:02 UTC".
pub fn date(rfc3339: &str) -> String {
    let parsed = rfc3339.parse::<jiff::Timestamp>();
    parsed.map_or_else(|_| rfc3339.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// "50,000,000".
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// "1 table", "3 tables", "2 indexes".
pub fn count(value: u64, one: &str) -> String {
    let ending = match () {
        () if value == 1 => "",
        () if one.ends_with('x') || one.ends_with('s') => "es",
        () => "s",
    };
    format!("{} {one}{ending}", number(value))
}

/// "12.3 MB", in powers of ten.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1e3;
    let mut unit = 0;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1e3;
        unit += 1;
    }
    let digits = usize::from(scaled < 99.95);
    format!("{} {}", trim_zeros(&format!("{scaled:.digits$}")), UNITS[unit])
}

/// `part` of `whole`: "0.8 %", "under 0.1 %".
pub fn percent(part: u64, whole: u64) -> String {
    let value = part as f64 * 100.0 / whole.max(1) as f64;
    if value > 0.0 && value < 0.1 { "under 0.1 %".into() } else { trim_zeros(&format!("{value:.1}")) + " %" }
}

/// "a", "a and b", "a, b and c"; after `most` names: "a, b and 7 more".
pub fn list<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).into(),
        _ if names.len() > most => {
            let shown = most.max(1);
            format!("{} and {} more", names[..shown].join(", "), number((names.len() - shown) as u64))
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// SQL on one line, its white space folded, cut after `most` characters.
pub fn one_line(sql: &str, most: usize) -> String {
    let folded = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let folded = folded.trim_end_matches(';');
    if folded.chars().count() <= most {
        return folded.into();
    }
    folded.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// A table's name without the schema that every search path has: "public.orders" and "orders" are one.
///
/// A name that needs its quotes in SQL is written with and without them, by people and by the server's own functions.
pub fn bare(table: &str) -> &str {
    let table = table.strip_prefix("public.").unwrap_or(table);
    let inner = table.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains(['"', '.'])).unwrap_or(table)
}

/// Upper case first letter: "the run was killed" → "The run was killed".
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// "1.50" → "1.5", "2.00" → "2".
fn trim_zeros(text: &str) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text.into() }
}
