//! The flags of `rehearsal snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::args::TextFormat;
use crate::settings::CaptureSettings;

/// Take a snapshot of production, or look at one.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    Capture(CaptureArgs),
    Inspect(InspectArgs),
    Verify(VerifyArgs),
}

/// Read a live database into a folder that scenarios restore.
///
/// All of it is of one moment. Reads only, over several sessions, by connections that are not encrypted. On Postgres tables are locked as
/// pg_dump locks them: ALTER TABLE, TRUNCATE and the like wait until it has ended, and whoever comes after them to the same table waits too;
/// on all engines, old versions of rows are kept until then. A folder that an interrupted or killed capture left is begun anew: rows of two moments do not fit together.
///
/// Rows are masked by `--rules`, with the key in the environment variable that the file names, or copied by `--unmasked`. Begin with an empty
/// rules file and `--draft`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rehearsal snapshot capture env:PRODUCTION --out shop.snapshot --rules shop.rules.toml --draft draft.toml
  rehearsal snapshot capture env:PRODUCTION --out shop.snapshot --rules shop.rules.toml
  rehearsal snapshot capture postgresql://reader@replica/shop --out shop.snapshot --unmasked --rate 20MB/s")]
pub struct CaptureArgs {
    /// The database: env:NAME for a URL in the environment, or a URL, which other users of this machine can read
    #[arg(value_name = "URL")]
    pub source: String,
    /// The snapshot's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Mask rows by this rules file; what may be personal and no rule decides about stops the capture
    #[arg(long, value_name = "FILE", conflicts_with = "unmasked")]
    pub rules: Option<PathBuf>,
    /// Where such columns are, write a draft of rules for them to this file
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub draft: Option<PathBuf>,
    /// Copy rows as they are
    #[arg(long)]
    pub unmasked: bool,
    /// Sessions that read at the same time [default: one a core, 8 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,
    /// Read no more than this of rows, as 20MB/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<u64>,
    /// What standard output carries at the end
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

impl CaptureArgs {
    pub fn settings(&self) -> CaptureSettings {
        CaptureSettings {
            source: self.source.clone(),
            out: self.out.clone(),
            unmasked: self.unmasked,
            rules: self.rules.clone(),
            draft: self.draft.clone(),
            workers: self.workers.map(usize::from),
            rate: self.rate,
        }
    }
}

/// Say what is in a snapshot.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The snapshot's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// See whether a snapshot is still as it was written: every hash and count.
///
/// Exits with 0 when it is, 1 when something is damaged, 2 when there is no snapshot.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The snapshot's folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[arg(long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

/// "20MB/s" in bytes a second.
fn rate(text: &str) -> Result<u64, String> {
    let form = || "a rate is written as 20MB/s, with kB, MB or GB".to_owned();
    let amount = text.strip_suffix("/s").ok_or_else(form)?.trim_end();
    let units = [("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((amount.strip_suffix(unit)?.trim_end(), factor)))
        .ok_or_else(form)?;
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) {
        Some(rate) if rate > 0 => Ok(rate),
        _ => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_are_read_with_their_unit() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(rate(text).ok(), expected, "{text}");
        check("20MB/s", Some(20_000_000));
        check("500 kB/s", Some(500_000));
        check("1GB/s", Some(1_000_000_000));
        for wrong in ["", "20", "20MB", "0MB/s", "-1MB/s", "1.5MB/s", "20MiB/s", "99999999999999GB/s"] {
            check(wrong, None);
        }
    }
}
