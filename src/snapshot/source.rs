//! Where a snapshot comes from, made ready: files opened and decompressed, live servers dumped, and what it needs read off it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::load::Folder;
use super::mydumper::Dump;
use super::store::Manifest;
use super::{SnapshotError, live};
use crate::engine::host::{Host, HostError};
use crate::engine::postgres::client_programs;
use crate::engine::postgres::dump::{self, Requirements};
use crate::engine::postgres::restore::{self, Target};
use crate::scenario::{Compression, EngineKind, Extension, Snapshot, SnapshotSource};

/// Of a dump, what is looked at before it is restored.
const HEAD_BYTES: u64 = 64 << 10;
/// How long reading an archive's table of contents may take.
const CONTENTS_DEADLINE: Duration = Duration::from_secs(300);

/// A snapshot that lies on this machine, and what it needs of a server.
#[derive(Debug)]
pub struct Prepared {
    pub(super) source: Ready,
    pub requirements: Requirements,
    pub(super) roles: Option<PathBuf>,
    /// Roles that the roles file makes.
    pub(super) roles_made: std::collections::BTreeSet<String>,
    /// A dump of MySQL or MariaDB that turns the binary log off for itself, as mysqldump has it by default where there are GTIDs.
    pub(super) is_unlogged: bool,
    /// What it is called in messages: the file's name.
    pub name: String,
    /// "empty", "dump", "url" or "snapshot", as [`crate::event::Event::Restored`] has it.
    pub kind: &'static str,
    /// A live server's dump, deleted with this.
    _dumped: Option<tempfile::TempDir>,
}

impl Prepared {
    /// Rows that production held, by table, where the snapshot tells.
    pub fn production_rows(&self) -> BTreeMap<String, u64> {
        match &self.source {
            Ready::Folder(folder) => folder.manifest.production_rows(),
            _ => BTreeMap::new(),
        }
    }
}

/// What a lab lends to make a snapshot ready.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// Serves where this machine has no `pg_restore` of its own.
    pub host: &'a dyn Host,
    /// On this machine, and cleared away with the lab whatever becomes of the run: a live server's rows lie there as they are.
    pub folder: &'a Path,
    /// Of the node that it is for: "15".
    pub version: &'a str,
    /// The node's name, where the version is its own and not the topology's.
    pub node: Option<&'a str>,
}

#[derive(Debug)]
pub(super) enum Ready {
    Empty,
    Script { path: PathBuf, compression: Compression },
    Archive { path: PathBuf },
    Files(Dump),
    Folder(Box<Folder>),
}

/// Finds the snapshot, dumps it if it is a live server, and reads what it needs. Starts no server. Without a lab, a live server's URL
/// is looked at and nothing more.
///
/// # Errors
/// What is wrong with the file or the URL, as far as it can be seen without a server; [`SnapshotError::NeedsLab`].
pub async fn prepare(
    engine: EngineKind,
    snapshot: &Snapshot,
    bench: Option<Bench<'_>>,
    cancel: &CancellationToken,
) -> Result<Prepared, SnapshotError> {
    let mut dumped = None;
    let (source, name, kind) = match &snapshot.source {
        SnapshotSource::Empty => (Ready::Empty, "nothing".to_owned(), "empty"),
        SnapshotSource::Sql { path, compression } => {
            (Ready::Script { path: path.clone(), compression: *compression }, file_name(path), "dump")
        }
        SnapshotSource::Custom { path } | SnapshotSource::Directory { path } => {
            (Ready::Archive { path: path.clone() }, file_name(path), "dump")
        }
        SnapshotSource::Folder { path } => {
            (Ready::Folder(Box::new(read_folder(path, engine)?)), file_name(path), "snapshot")
        }
        SnapshotSource::Mydumper { path } => {
            (Ready::Files(Dump::read(path, &snapshot.database)?), file_name(path), "dump")
        }
        SnapshotSource::Url { variable, rules } if rules.is_some() || engine != EngineKind::Postgres => {
            let source = live::Source::new(variable, rules.as_deref())?;
            let Some(bench) = bench else { return Err(SnapshotError::NeedsLab) };
            let folder = tempfile::Builder::new().prefix("snapshot-").tempdir_in(bench.folder);
            let folder = folder.map_err(SnapshotError::NoFolder)?;
            let path = folder.path().join("captured");
            source.capture(&path, cancel).await?;
            dumped = Some(folder);
            (Ready::Folder(Box::new(read_folder(&path, engine)?)), format!("the database of {variable}"), "url")
        }
        SnapshotSource::Url { variable, .. } => {
            live::dumped_url(variable)?;
            let Some(bench) = bench else { return Err(SnapshotError::NeedsLab) };
            let folder = tempfile::Builder::new().prefix("dump-").tempdir_in(bench.folder);
            let folder = folder.map_err(SnapshotError::NoFolder)?;
            let path = folder.path().join("dump");
            live::dump(variable, &path, (bench.version, bench.node), cancel).await?;
            dumped = Some(folder);
            (Ready::Archive { path }, format!("the database of {variable}"), "url")
        }
    };
    let mut is_unlogged = false;
    let requirements = match engine {
        EngineKind::Postgres => read_requirements(&source, bench.map(|bench| bench.host), cancel).await?,
        // What a dump of these needs, its client says when it reads it.
        EngineKind::Mysql | EngineKind::Mariadb => {
            is_unlogged = turns_log_off(&source)?;
            Requirements::default()
        }
    };
    if let (Some(_), Ready::Script { path, .. }) = (requirements.unfinished, &source) {
        return Err(SnapshotError::CutShort { path: path.clone() });
    }
    let mut roles_made = match &snapshot.roles {
        Some(path) => made_roles(path)?,
        None => Default::default(),
    };
    if let Ready::Folder(folder) = &source {
        roles_made.extend(folder.manifest.database.roles.iter().map(|role| role.name.clone()));
    }
    Ok(Prepared {
        source,
        requirements,
        roles: snapshot.roles.clone(),
        roles_made,
        is_unlogged,
        name,
        kind,
        _dumped: dumped,
    })
}

/// Opens a plain dump, decompressed; `read` counts the file's own bytes as they go by.
pub(super) fn open(
    path: &Path,
    compression: Compression,
    read: Arc<AtomicU64>,
) -> Result<Box<dyn Read + Send>, SnapshotError> {
    let file = File::open(path).map_err(|source| SnapshotError::Unreadable { path: path.to_owned(), source })?;
    let counted = BufReader::with_capacity(256 * 1024, Counted { file, read });
    Ok(match compression {
        Compression::None => Box::new(counted),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
        Compression::Zstd => Box::new(
            zstd::Decoder::with_buffer(counted)
                .map_err(|source| SnapshotError::Unreadable { path: path.to_owned(), source })?,
        ),
    })
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

fn read_folder(path: &Path, engine: EngineKind) -> Result<Folder, SnapshotError> {
    let manifest = Manifest::read(path)?;
    let found = manifest.database.engine;
    if found != engine {
        let (found, wanted) = (found.name(), engine.name());
        return Err(SnapshotError::OtherEngine { path: path.to_owned(), found, wanted });
    }
    Ok(Folder { path: path.to_owned(), manifest })
}

/// As the manifest tells it: no program is needed for that.
fn requirements_of(folder: &Folder) -> Requirements {
    let database = &folder.manifest.database;
    let extension =
        |extension: &crate::engine::capture::Extension| Extension { name: extension.name.clone(), version: None };
    Requirements {
        roles: database.roles.iter().map(|role| role.name.clone()).collect(),
        extensions: database.extensions.iter().map(extension).collect(),
        server_version: Some(database.version.clone()),
        encoding: Some(database.encoding.clone()),
        ..Requirements::default()
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

async fn read_requirements(
    source: &Ready,
    host: Option<&dyn Host>,
    cancel: &CancellationToken,
) -> Result<Requirements, SnapshotError> {
    match source {
        Ready::Empty | Ready::Files(_) => Ok(Requirements::default()),
        Ready::Folder(folder) => Ok(requirements_of(folder)),
        Ready::Script { path, compression } => {
            let (path, compression) = (path.clone(), *compression);
            let reading = tokio::task::spawn_blocking(move || script_requirements(&path, compression));
            tokio::select! {
                read = reading => read.expect("reading does not panic"),
                () = cancel.cancelled() => Err(SnapshotError::Cancelled),
            }
        }
        Ready::Archive { path } => {
            let sql = tokio::select! {
                sql = archive_schema(path, host) => sql?,
                () = cancel.cancelled() => return Err(SnapshotError::Cancelled),
            };
            Ok(dump::requirements(&sql[..]).expect("a slice can be read"))
        }
    }
}

/// Whether the dump's head, which mysqldump writes before the first table, sets `sql_log_bin`.
fn turns_log_off(source: &Ready) -> Result<bool, SnapshotError> {
    let Ready::Script { path, compression } = source else { return Ok(false) };
    let script = open(path, *compression, Arc::default())?;
    let mut head = Vec::new();
    let read = script.take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|source| SnapshotError::Damaged { path: path.to_owned(), source })?;
    let head = String::from_utf8_lossy(&head).to_ascii_uppercase();
    let before_tables = head.find("CREATE TABLE").map_or(head.as_str(), |end| &head[..end]);
    Ok(before_tables.contains("SQL_LOG_BIN"))
}

fn script_requirements(path: &Path, compression: Compression) -> Result<Requirements, SnapshotError> {
    let mut script = BufReader::with_capacity(256 * 1024, open(path, compression, Arc::default())?);
    let damaged = |source| SnapshotError::Damaged { path: path.to_owned(), source };
    if script.fill_buf().map_err(damaged)?.starts_with(b"PGDMP") {
        return Err(SnapshotError::ArchiveAsScript { path: path.to_owned() });
    }
    dump::requirements(script).map_err(damaged)
}

/// With this machine's newest `pg_restore`, or else the host's.
async fn archive_schema(path: &Path, host: Option<&dyn Host>) -> Result<Vec<u8>, SnapshotError> {
    let unreadable = |source| SnapshotError::Unreadable { path: path.to_owned(), source };
    let bad_archive = |source| SnapshotError::BadArchive { path: path.to_owned(), source };
    std::fs::metadata(path).map_err(unreadable)?;
    if let Some(program) = client_programs::newest("pg_restore") {
        let mut command = client_programs::command(&program);
        command.args(["--schema-only", "-f", "-"]).arg(path);
        let late = |_| HostError::Deadline {
            what: "pg_restore".to_owned(),
            deadline: CONTENTS_DEADLINE,
            last: "nothing".to_owned(),
        };
        let output = tokio::time::timeout(CONTENTS_DEADLINE, command.output()).await;
        let output = output.map_err(late).map_err(restore::RestoreError::from)?.map_err(SnapshotError::NoClient)?;
        return match output.status.code() {
            Some(0) => Ok(output.stdout),
            status => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(bad_archive(restore::failed("pg_restore", status.unwrap_or(-1), &said)))
            }
        };
    }
    let Some(host) = host else { return Err(SnapshotError::NoClientProgram { program: "pg_restore" }) };
    let there = format!("{}/snapshot", host.folder());
    host.put(path, &there).await.map_err(restore::RestoreError::from)?;
    let sql = Target::archive_schema(host, &there, CONTENTS_DEADLINE).await;
    super::remove(host, &there).await;
    sql.map_err(bad_archive)
}

fn made_roles(path: &Path) -> Result<std::collections::BTreeSet<String>, SnapshotError> {
    use crate::engine::postgres::script_stream::{Part, Scanner, words};

    let unreadable = |source| SnapshotError::Unreadable { path: path.to_owned(), source };
    let mut scanner = Scanner::new(BufReader::new(File::open(path).map_err(unreadable)?));
    let mut made = std::collections::BTreeSet::new();
    while let Some(part) = scanner.next_part().map_err(unreadable)? {
        if let Part::Statement { text, .. } = part {
            made.extend(dump::created_role(&words(&text)).map(str::to_owned));
        }
    }
    Ok(made)
}
