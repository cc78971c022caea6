//! The flags of `rehearsal diff`.

use clap::{Args, ValueEnum};

use crate::settings::DiffSettings;

/// Compare schema and data of two databases
///
/// Exits with 0 when they are equal, 1 when they differ, 2 when the arguments are wrong, 3 when they could not be compared.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  rehearsal diff postgresql://me@localhost/before postgresql://me@localhost/after
  rehearsal diff mysql://me@db1/shop mysql://me@db2/shop --schema
  rehearsal diff env:STAGING env:REHEARSED --data --tables orders,sales.invoices --format json")]
pub struct DiffArgs {
    /// The state before: a URL, or env:NAME for one in the environment
    #[arg(value_name = "A")]
    pub before: String,

    /// The state after
    #[arg(value_name = "B")]
    pub after: String,

    /// Compare the schema; without --schema and --data both are compared
    #[arg(long)]
    pub schema: bool,

    /// Compare the tables' content
    #[arg(long)]
    pub data: bool,

    /// Only these tables
    #[arg(long, value_name = "T,…", value_delimiter = ',')]
    pub tables: Option<Vec<String>>,

    /// What standard output carries; JSON holds the keys of differing rows as well
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,

    /// Show the values of up to N differing rows a table
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub samples: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DiffFormat {
    #[default]
    Text,
    Json,
}

impl DiffArgs {
    pub fn settings(&self) -> DiffSettings {
        let all = !self.schema && !self.data;
        DiffSettings {
            before: self.before.clone(),
            after: self.after.clone(),
            schema: self.schema || all,
            data: self.data || all,
            tables: self.tables.clone(),
            samples: self.samples,
            keys: self.format == DiffFormat::Json,
        }
    }
}
