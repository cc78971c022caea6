//! What differs between two databases, as text for a person and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::event::{Change, DataChange, DiffResult, NotCompared, ObjectKind, SchemaChange};

/// Version of the JSON; raised when a reader of the old one would misread the new one.
const FORMAT: u32 = 1;

/// Characters of a definition that a line shows.
const DEFINITION_CHARACTERS: usize = 160;

/// Lines for a person: schema first, then data, then what was not compared. No values but samples, and no keys.
pub fn text(result: &DiffResult) -> String {
    let mut out = String::new();
    section(&mut out, "schema", result.schema.iter().map(schema_line));
    section(&mut out, "data", result.data.iter().map(data_lines));
    section(&mut out, "content not compared", result.not_compared.iter().map(not_compared_line));
    out.push_str(&closing_line(result));
    out.push('\n');
    out
}

/// The whole result, keys of differing rows included, pretty-printed and with a newline at its end. `before` and `after` say what was
/// compared.
pub fn json(before: &str, after: &str, result: &DiffResult) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        format: u32,
        before: &'a str,
        after: &'a str,
        equal: bool,
        #[serde(flatten)]
        result: &'a DiffResult,
    }
    let document = Document { format: FORMAT, before, after, equal: result.is_equal(), result };
    let mut json =
        serde_json::to_string_pretty(&document).expect("keys of maps are strings, and nothing else can fail");
    json.push('\n');
    json
}

fn section(out: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    if lines.len() == 0 {
        return;
    }
    out.push_str(title);
    out.push('\n');
    for line in lines {
        out.push_str("  ");
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
}

fn schema_line(change: &SchemaChange) -> String {
    let sign = match change.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    };
    let mut line = format!("{sign} {} {}", change.kind.name(), change.object);
    // Writing to a string cannot fail, here and below.
    let says_its_table = matches!(change.kind, ObjectKind::Column | ObjectKind::Privilege);
    if let Some(table) = change.table.as_ref().filter(|_| !says_its_table) {
        let _ = write!(line, " on {table}");
    }
    let (before, after) = excerpts(change.before.as_deref(), change.after.as_deref());
    let value = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    match change.property {
        Some(property) => {
            let _ = write!(line, ": {} {} -> {}", property.name(), value(before), value(after));
        }
        None => line.extend(before.or(after).map(|definition| format!(": {definition}"))),
    }
    line
}

/// Both values on a line each; of long ones that begin alike, from shortly before the first difference.
fn excerpts(before: Option<&str>, after: Option<&str>) -> (Option<String>, Option<String>) {
    let (before, after) = (before.map(one_line), after.map(one_line));
    let is_long =
        |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > DEFINITION_CHARACTERS);
    let skip = match (&before, &after) {
        (Some(b), Some(a)) if is_long(&before) || is_long(&after) => {
            let alike = b.chars().zip(a.chars()).take_while(|(b, a)| b == a).count();
            alike.saturating_sub(DEFINITION_CHARACTERS / 4)
        }
        _ => 0,
    };
    (before.map(|text| excerpt(&text, skip)), after.map(|text| excerpt(&text, skip)))
}

fn excerpt(text: &str, skip: usize) -> String {
    let mut characters = text.chars().skip(skip);
    let mut out = String::from(if skip > 0 { "…" } else { "" });
    out.extend(characters.by_ref().take(DEFINITION_CHARACTERS));
    if characters.next().is_some() {
        out.push('…');
    }
    out
}

/// Definitions span lines; a report's line does not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn data_lines(change: &DataChange) -> String {
    let mut lines = format!("~ {}: ", change.table);
    if change.rows_before == change.rows_after {
        let _ = write!(lines, "{} rows", change.rows_after);
    } else {
        let _ = write!(lines, "{} -> {} rows", change.rows_before, change.rows_after);
    }
    let counts = [("added", change.added), ("removed", change.removed), ("changed", change.changed)];
    for (what, count) in counts {
        if let Some(count) = count.filter(|count| *count > 0) {
            let _ = write!(lines, ", {count} {what}");
        }
    }
    if !change.columns.is_empty() {
        let columns: Vec<String> = change.columns.iter().map(|(column, rows)| format!("{column} in {rows}")).collect();
        let _ = write!(lines, " ({})", columns.join(", "));
    }
    let _ = write!(lines, "; matched by {}", change.matched_by);
    for sample in &change.samples {
        lines.extend(sample.before.as_ref().map(|row| row_line('-', row)));
        lines.extend(sample.after.as_ref().map(|row| row_line('+', row)));
    }
    lines
}

fn row_line(sign: char, row: &BTreeMap<String, Option<String>>) -> String {
    let text =
        |value: &Option<String>| value.as_deref().map_or("NULL".to_owned(), |value| excerpt(&one_line(value), 0));
    let values: Vec<String> = row.iter().map(|(column, value)| format!("{column}={}", text(value))).collect();
    format!("\n      {sign} {}", values.join(" "))
}

fn not_compared_line(not_compared: &NotCompared) -> String {
    format!("{}: {}", not_compared.table, not_compared.reason)
}

fn closing_line(result: &DiffResult) -> String {
    let compared = match result.tables_compared {
        1 => "content of 1 table compared".to_owned(),
        tables => format!("content of {tables} tables compared"),
    };
    if result.is_equal() {
        return format!("no difference; {compared}");
    }
    let plural = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    format!(
        "{}, {}; {compared}",
        plural(result.schema.len(), "difference in the schema", "differences in the schema"),
        plural(result.data.len(), "table with other content", "tables with other content"),
    )
}

#[cfg(test)]
mod tests;
