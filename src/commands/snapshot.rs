//! `rehearsal snapshot`: a folder taken of a live database, looked at, and held against what was written.

use std::io::Write;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{Error, with_causes};
use crate::engine::endpoint::Endpoint;
use crate::engine::url::{self, UrlError};
use crate::event::snapshot::{CaptureProgress, Damaged, SnapshotTable};
use crate::outcome::words::{count, number};
use crate::scenario::rules;
use crate::settings::CaptureSettings;
use crate::snapshot::capture::{self, CaptureError, CaptureRequest, Masking};
use crate::snapshot::detect::Undecided;
use crate::snapshot::store::{Manifest, StoreError, StoredMissed, StoredOrphans, StoredSampledTable};
use crate::snapshot::verify;

pub use crate::event::snapshot::SnapshotSummary;

/// How the tool's sessions call themselves on the source.
const APPLICATION: &str = "rehearsal snapshot";

/// Sessions on the source, unless flags say how many.
const WORKERS_MAX: usize = 8;

/// A snapshot that was taken.
pub struct Captured {
    pub summary: SnapshotSummary,
    /// Lowercase fragments for a warning.
    pub notes: Vec<String>,
    pub elapsed_ms: f64,
}

/// What was found in a folder.
pub struct Verified {
    pub chunks: u64,
    pub rows: u64,
    pub damaged: Vec<Damaged>,
}

/// Takes a snapshot. On an error, or when cancelled, nothing is left of it.
///
/// # Errors
/// Wrong flags, or what stood in the way.
pub async fn capture(
    settings: &CaptureSettings,
    progress: &mut (dyn FnMut(&CaptureProgress) + Send),
    cancel: CancellationToken,
) -> Result<Captured, Error> {
    let endpoint = endpoint(&settings.source)?;
    let masking = masking(settings)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let request = CaptureRequest {
        endpoint: &endpoint,
        folder: &settings.out,
        workers: settings.workers.unwrap_or(cores.min(WORKERS_MAX)),
        rate: settings.rate,
        part_bytes: capture::PART_BYTES,
        transform: None,
        masking: masking.as_ref(),
        cancel: &cancel,
    };
    let captured = match capture::capture(&request, progress).await {
        Ok(captured) => captured,
        Err(CaptureError::Undecided { columns, draft }) => return Err(undecided(settings, columns, &draft)),
        Err(error) => return Err(error.into()),
    };
    let summary = summary(&settings.out, &captured.manifest);
    Ok(Captured { summary, notes: captured.notes, elapsed_ms: captured.elapsed.as_secs_f64() * 1e3 })
}

/// What is in a snapshot.
///
/// # Errors
/// There is none, or its manifest is damaged.
pub fn inspect(folder: &Path) -> Result<SnapshotSummary, Error> {
    Ok(summary(folder, &Manifest::read(folder)?))
}

/// Reads a whole snapshot.
///
/// # Errors
/// There is none.
pub async fn verify(folder: &Path, cancel: CancellationToken) -> Result<Verified, Error> {
    match verify::verify(folder, &cancel).await? {
        Some(verify::Verified { chunks, rows, damaged }) => Ok(Verified { chunks, rows, damaged }),
        None => Err(Error::Inconclusive { what: "cancelled".to_owned(), hint: None, source: None }),
    }
}

/// None = rows may be copied as they are.
fn masking(settings: &CaptureSettings) -> Result<Option<Masking>, Error> {
    let Some(file) = &settings.rules else {
        if settings.unmasked {
            return Ok(None);
        }
        return Err(Error::usage(
            "rows would be copied as they are",
            "say --unmasked if production's rows may lie in the folder as they are, or --rules FILE with how they are masked",
        ));
    };
    let rules = rules::load(file)?;
    if let Some(draft) = settings.draft.as_ref().filter(|draft| draft.exists()) {
        return Err(Error::usage(
            format!("{} is there already", draft.display()),
            "give another file with --draft: what somebody may have written is not overwritten",
        ));
    }
    let masking = Masking::by(rules);
    masking.map(Some).map_err(|error| Error::usage(error.to_string(), error.hint()))
}

fn undecided(settings: &CaptureSettings, columns: Vec<Undecided>, draft: &str) -> Error {
    let count = columns.len();
    let what = CaptureError::Undecided { columns, draft: String::new() }.to_string();
    let decide = "mask each by a rule, or keep it by `as = \"keep\"` with a reason";
    let Some(path) = &settings.draft else {
        return Error::usage(what, format!("{decide}; --draft FILE writes a draft of such rules"));
    };
    let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(draft.as_bytes()));
    match written {
        Ok(()) => Error::usage(
            what,
            format!(
                "{} holds a draft of rules for {count}: read it, and take what is right into the rules file",
                path.display()
            ),
        ),
        Err(error) => Error::Usage {
            what: format!("{what}\nand the draft could not be written to {}", path.display()),
            hint: Some(decide.to_owned()),
            source: Some(error.into()),
        },
    }
}

fn endpoint(source: &str) -> Result<Endpoint, Error> {
    let url = match source.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|_| {
            Error::usage(
                format!("the environment has no variable {name}"),
                format!("export {name}=postgresql://user:password@host/database, or mysql://…"),
            )
        })?,
        None => source.to_owned(),
    };
    let endpoint = url::endpoint(&url).map_err(|error| Error::Usage {
        what: format!("the source is no usable URL: {error}"),
        hint: Some(match error {
            UrlError::Malformed { .. } => {
                "give postgresql://user@host/database or mysql://user@host/database, or env:NAME for one in the environment"
                    .to_owned()
            }
            _ => "see `rehearsal snapshot capture --help`".to_owned(),
        }),
        source: None,
    })?;
    // What the URL says holds: people tell sessions apart by it.
    Ok(if endpoint.application == "rehearsal" { endpoint.named(APPLICATION) } else { endpoint })
}

impl From<CaptureError> for Error {
    fn from(error: CaptureError) -> Error {
        let (what, hint) = (with_causes(&error), error.hint());
        if error.is_usage() {
            Error::Usage { what, hint, source: None }
        } else {
            Error::Inconclusive { what, hint, source: None }
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        CaptureError::from(error).into()
    }
}

fn summary(folder: &Path, manifest: &Manifest) -> SnapshotSummary {
    let database = &manifest.database;
    let tables = manifest.tables.iter().map(|stored| SnapshotTable {
        table: stored.table.shown(),
        columns: stored.table.columns.len() as u64,
        rows: stored.rows,
        production_rows: stored.production_rows,
        bytes: stored.bytes,
        stored_bytes: stored.chunks.iter().map(|chunk| chunk.stored_bytes).sum(),
        chunks: stored.chunks.len() as u64,
    });
    let masked = manifest.tables.iter().filter(|stored| !stored.masks.is_empty()).map(|stored| {
        let columns: Vec<String> =
            stored.masks.iter().map(|mask| format!("{} ({})", mask.column, mask.transformer)).collect();
        format!("{}: {}", stored.table.shown(), columns.join(", "))
    });
    let sample = manifest.sample.as_ref();
    SnapshotSummary {
        format: manifest.format,
        folder: folder.display().to_string(),
        engine: database.engine.name().to_owned(),
        server: database.version.split([' ', '-']).next().unwrap_or_default().to_owned(),
        database: database.name.clone(),
        captured: manifest.captured,
        is_standby: database.is_standby,
        is_masked: manifest.is_masked,
        masked: masked.collect(),
        is_sampled: manifest.is_sampled,
        sampled: sample.iter().flat_map(|sample| &sample.tables).map(sampled).collect(),
        missed: sample.iter().flat_map(|sample| &sample.tables).flat_map(missed).collect(),
        orphans: sample.iter().flat_map(|sample| &sample.orphans).map(orphans).collect(),
        encoding: database.encoding.clone(),
        collation: database.collation.clone(),
        position: database.position.clone(),
        extensions: database.extensions.iter().map(|one| format!("{} {}", one.name, one.version)).collect(),
        roles: database.roles.iter().map(|role| role.name.clone()).collect(),
        sequences: database.sequences.len() as u64,
        left_out: database.left_out.iter().map(|left| format!("{}: {}", left.what, left.why)).collect(),
        tables: tables.collect(),
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        stored_bytes: manifest.stored_bytes(),
    }
}

fn sampled(table: &StoredSampledTable) -> String {
    let StoredSampledTable { table, rows, found, rare, drawn, added, .. } = table;
    let (Some(found), Some(rare), Some(drawn), Some(added)) = (found, rare, drawn, added) else {
        return format!("{table}: {rows}");
    };
    format!(
        "{table}: {rows}; {} that rows have, {} of them rare, {} in a plain sample, {} added",
        count(*found, "thing"),
        number(*rare),
        number(*drawn),
        count(*added, "row")
    )
}

fn missed(table: &StoredSampledTable) -> impl Iterator<Item = String> {
    let of = |missed: &StoredMissed| {
        format!("{}.{}: {} {}", table.table, missed.columns.join(" × "), number(missed.count), missed.what)
    };
    table.missed.iter().map(of)
}

fn orphans(orphans: &StoredOrphans) -> String {
    let StoredOrphans { table, columns, keys } = orphans;
    format!("{table} ({}): {} that rows refer to and no row has", columns.join(", "), count(*keys, "key"))
}
