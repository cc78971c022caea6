//! The flags of `rehearsal cache`, and what it shows.

use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Subcommand};
use jiff::SpanRelativeTo;
use serde::Serialize;

use super::args::TextFormat;
use crate::commands::cache::{Listed, Prune};
use crate::report::terminal::{bytes, date};

/// Restored clusters that later runs begin with: list them, remove them.
///
/// A run that restored a snapshot and ran its setup keeps the stopped clusters of all nodes. A later run of which nothing that goes into
/// them is different begins with a clone. `run` and `up` keep as much as --cache-size says, and take no part in it with --no-cache.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rehearsal cache ls
  rehearsal cache prune --unused-for 7d
  rehearsal cache prune --to 2GB")]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List baselines: their size, when they were made and last used, and of what they are.
    Ls {
        #[arg(long, value_enum, default_value_t = TextFormat::Text)]
        format: TextFormat,
    },
    /// Remove all baselines that no running or kept lab uses, or some of them.
    Prune {
        /// Only those that no run has begun with for so long: 12h, 7d.
        #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "to")]
        unused_for: Option<Duration>,
        /// Only the longest unused, until the others together take no more than that: 2GB.
        #[arg(long, value_name = "SIZE")]
        to: Option<ByteSize>,
    },
}

/// Which are to go.
pub fn which(unused_for: Option<Duration>, to: Option<ByteSize>) -> Prune {
    match (unused_for, to) {
        (Some(time), _) => Prune::UnusedFor(time),
        (None, Some(most)) => Prune::ToBytes(most.as_u64()),
        (None, None) => Prune::All,
    }
}

/// A day has 24 hours.
fn time(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    time.try_into().map_err(|_| "it is less than nothing".to_owned())
}

/// As a program reads it.
#[derive(Serialize)]
struct Row<'b> {
    key: &'b str,
    lab: Option<&'static str>,
    bytes: u64,
    made: Option<String>,
    used: String,
    in_use: bool,
    usable: bool,
    what: &'b str,
}

impl Row<'_> {
    fn of(baseline: &Listed) -> Row<'_> {
        let manifest = baseline.manifest.as_ref();
        let used = jiff::Timestamp::try_from(baseline.used).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Row {
            key: &baseline.key,
            lab: manifest.map(|manifest| manifest.lab.name()),
            bytes: baseline.bytes(),
            made: manifest.map(|manifest| manifest.made.to_string()),
            used: used.to_string(),
            in_use: baseline.in_use,
            usable: baseline.usable,
            what: manifest.map_or("cannot be read", |manifest| &manifest.what),
        }
    }
}

/// Of all baselines.
pub fn listed(baselines: &[Listed], format: TextFormat) -> String {
    let rows: Vec<Row<'_>> = baselines.iter().map(Row::of).collect();
    if format == TextFormat::Json {
        return serde_json::to_string_pretty(&rows).expect("plain data of strings and numbers") + "\n";
    }
    let mut text = String::new();
    for row in &rows {
        let state = match (row.in_use, row.usable) {
            (true, _) => "in use".to_owned(),
            (false, true) => format!("used {}", date(&row.used)),
            (false, false) => "of no use any more".to_owned(),
        };
        let lab = row.lab.unwrap_or("?");
        text.push_str(&format!("{}  {lab:<6}  {:>8}  {state:<25}  {}\n", &short(row.key), bytes(row.bytes), row.what));
    }
    let all = baselines.iter().map(Listed::bytes).sum();
    text + &format!("{} in all\n", bytes(all))
}

/// Of those that are gone.
pub fn pruned(gone: &[Listed]) -> String {
    let freed = gone.iter().map(Listed::bytes).sum();
    let lines = gone.iter().map(Row::of).map(|row| format!("removed {}  {}\n", short(row.key), row.what));
    lines.collect::<String>() + &format!("{} freed\n", bytes(freed))
}

fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(time("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(time("12h 30m"), Ok(Duration::from_secs(45_000)));
        assert!(time("-1d").is_err());
        assert!(time("a week").is_err());
    }
}
