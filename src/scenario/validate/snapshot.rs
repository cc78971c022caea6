//! The data: which kind of dump it is, and whether it is there.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Check;
use crate::scenario::grammar::SnapshotTable;
use crate::scenario::leaf::Text;
use crate::scenario::problem::Mistake;
use crate::scenario::tree::{At, Place};
use crate::scenario::{Compression, EngineKind, Snapshot, SnapshotSource, rules};

const DEFAULT_DATABASE: &str = "rehearsal";

/// How files begin: an archive of `pg_dump -Fc`, and the two compressions.
const ARCHIVE: &[u8] = b"PGDMP";
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

const SOURCE_FORM: &str = "a snapshot's folder, a dump (.sql, .sql.gz, .sql.zst, pg_dump -Fc or -Fd), \"env:NAME\" for a live server's URL, or \"empty\"";

/// What becomes of a live server's rows.
struct Copying {
    may: bool,
    rules: Option<PathBuf>,
}

impl Check<'_> {
    pub(super) fn snapshot(&mut self, table: SnapshotTable) -> Option<Snapshot> {
        let is_unmasked = table.unmasked.is_some_and(|unmasked| unmasked.value);
        if let (true, Some(rules)) = (is_unmasked, &table.rules) {
            self.clash(rules.at, "`rules` beside `unmasked = true`", "leave one of them out");
        }
        let has_rules = table.rules.is_some();
        let rules = table.rules.and_then(|rules| self.rules(&rules, table.from.as_ref()));
        let copying = Copying { may: has_rules || is_unmasked, rules };
        let is_postgres = self.engine == EngineKind::Postgres;
        if let Some(roles) = &table.roles
            && !is_postgres
        {
            self.not_yet(roles.at, format!("`roles` on {}", self.engine.name()));
        }
        let roles = table.roles.map(|roles| self.file(&roles, "file"));
        let source = table.from.and_then(|from| self.source(from, copying));
        let production_rows = table.production_rows.map(|rows| rows.value.0).unwrap_or_default();
        Some(Snapshot {
            source: source?,
            database: table.database.map_or_else(|| DEFAULT_DATABASE.to_owned(), |database| database.value.0),
            roles: match roles {
                None => None,
                Some(found) => Some(found?),
            },
            production_rows: production_rows.into_iter().map(|(table, rows)| (table.value, rows.value.0)).collect(),
        })
    }

    /// The rules file of a live server. What lies in a snapshot was masked when it was taken, or was not.
    fn rules(&mut self, rules: &At<Text>, from: Option<&At<Text>>) -> Option<PathBuf> {
        if let Some(from) = from.filter(|from| !from.value.0.starts_with("env:")) {
            if from.value.0 == "empty" || self.path(from).join("manifest.json").is_file() {
                let hint = "take the snapshot by them: rehearsal snapshot capture URL --rules FILE --out DIR";
                self.clash(rules.at, "`rules` beside a snapshot that is no live server", hint);
            } else {
                self.not_yet(rules.at, "`rules` beside a dump");
            }
            return None;
        }
        let path = self.file(rules, "file")?;
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let found = rules::parse_into(&path, &text, self.problems)?;
                // A run has to know from its beginning how many rows production has.
                if !found.take_all() {
                    let hint = "take the sample beforehand: rehearsal snapshot capture URL --rules FILE --out DIR";
                    self.clash(rules.at, "rules with a `[sample]` beside a live server", hint);
                }
                Some(path)
            }
            Err(error) => {
                let reason = error.to_string();
                self.problems.raise(rules.at, Mistake::Unreadable { path: path.display().to_string(), reason });
                None
            }
        }
    }

    fn source(&mut self, from: At<Text>, copying: Copying) -> Option<SnapshotSource> {
        let text = from.value.0.as_str();
        if text == "empty" {
            return Some(SnapshotSource::Empty);
        }
        if let Some(variable) = self.variable(text, from.at) {
            if !copying.may {
                let message = "a live server's rows would be copied as they are";
                let hint =
                    "write `rules = \"FILE\"` beside it, or `unmasked = true` if its rows may lie on this machine";
                self.clash(from.at, message, hint);
            }
            return Some(SnapshotSource::Url { variable, rules: copying.rules });
        }
        if text.contains("://") {
            let form = "\"env:NAME\", with the URL in the environment variable NAME".to_owned();
            self.problems.raise(from.at, Mistake::Secret { form });
            return None;
        }
        let path = self.path(&from);
        if path.is_dir() {
            return self.dump_folder(path, from.at);
        }
        let path = self.there(path, from.at, "dump", Path::is_file)?;
        self.dump_file(path, from.at)
    }

    fn dump_folder(&mut self, path: PathBuf, at: Place) -> Option<SnapshotSource> {
        let is_postgres = self.engine == EngineKind::Postgres;
        if is_postgres && path.join("toc.dat").is_file() {
            return Some(SnapshotSource::Directory { path });
        }
        if path.join("manifest.json").is_file() {
            return Some(SnapshotSource::Folder { path });
        } else if path.join("capture.json").is_file() {
            self.wrong(at, "a snapshot whose capture was not finished", SOURCE_FORM);
        } else if is_postgres {
            self.wrong(at, "a folder without toc.dat", SOURCE_FORM);
        } else if path.join("metadata").is_file() {
            return Some(SnapshotSource::Mydumper { path });
        } else {
            let form = format!("a dump of {} (.sql, .sql.gz, .sql.zst, a folder of mydumper's)", self.engine.name());
            self.wrong(at, "a folder without metadata, which mydumper writes last", form);
        }
        None
    }

    fn dump_file(&mut self, path: PathBuf, at: Place) -> Option<SnapshotSource> {
        let start = match start_of(&path) {
            Ok(start) => start,
            Err(error) => {
                let (path, reason) = (path.display().to_string(), error.to_string());
                self.problems.raise(at, Mistake::Unreadable { path, reason });
                return None;
            }
        };
        if start.starts_with(ARCHIVE) && self.engine != EngineKind::Postgres {
            let form = format!(
                "a dump of {} (.sql, .sql.gz, .sql.zst, a folder of mydumper's), or \"empty\"",
                self.engine.name()
            );
            self.wrong(at, "an archive of pg_dump", form);
            return None;
        }
        if start.starts_with(ARCHIVE) {
            return Some(SnapshotSource::Custom { path });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (compression, magic) = match name {
            _ if name.ends_with(".sql") => (Compression::None, &[][..]),
            _ if name.ends_with(".sql.gz") => (Compression::Gzip, GZIP),
            _ if name.ends_with(".sql.zst") => (Compression::Zstd, ZSTD),
            _ => {
                self.wrong(at, "a file of another kind", SOURCE_FORM);
                return None;
            }
        };
        if !start.starts_with(magic) {
            self.wrong(at, "a file that is not compressed as its name says", SOURCE_FORM);
            return None;
        }
        Some(SnapshotSource::Sql { path, compression })
    }
}

/// The first bytes, as many as tell its kind.
fn start_of(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(path)?.take(ARCHIVE.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}
