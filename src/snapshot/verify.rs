//! Whether a snapshot folder still holds what was written: every chunk's hashes and counts, and the manifest's own seal.

use std::collections::BTreeSet;
use std::path::Path;

use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::jobs;
use super::store::{Chunk, ChunkReader, DATA, Damage, FORMAT, MANIFEST, Manifest, SCHEMA, StoreError};
use crate::event::snapshot::Damaged;

const BUFFER: usize = 256 * 1024;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verified {
    pub chunks: u64,
    pub rows: u64,
    pub damaged: Vec<Damaged>,
}

/// Reads everything in the folder. None = cancelled.
///
/// # Errors
/// There is no snapshot at all; a damaged one is no error.
pub async fn verify(folder: &Path, cancel: &CancellationToken) -> Result<Option<Verified>, StoreError> {
    let manifest = match Manifest::read(folder) {
        Ok(manifest) => manifest,
        // A later version's is not damaged, and nothing is known of it.
        Err(error @ StoreError::Damaged { damage: Damage::Format { found }, .. }) if found > u64::from(FORMAT) => {
            return Err(error);
        }
        Err(StoreError::Damaged { damage, .. }) => {
            let file = if matches!(damage, Damage::Unfinished) { None } else { Some(MANIFEST.to_owned()) };
            let damaged = Damaged { table: None, file, why: crate::event::with_causes(&damage) };
            return Ok(Some(Verified { damaged: vec![damaged], ..Verified::default() }));
        }
        Err(error) => return Err(error),
    };
    let mut verified = Verified::default();
    let told = |table: Option<String>, file: &str, damage: &Damage| Damaged {
        table,
        file: Some(file.to_owned()),
        why: crate::event::with_causes(damage),
    };
    for file in &manifest.schema {
        if let Err(damage) = file.check(folder) {
            verified.damaged.push(told(None, &format!("{SCHEMA}/{}", file.file), &damage));
        }
    }
    for table in &manifest.tables {
        let found = table.chunks.iter().map(|chunk| chunk.rows).sum();
        if found != table.rows {
            let damage = Damage::Sum { expected: table.rows, found };
            verified.damaged.push(told(Some(table.table.shown()), MANIFEST, &damage));
        }
    }
    let reading = manifest.chunks().map(|(table, chunk)| {
        let (name, chunk, folder) = (table.table.shown(), chunk.clone(), folder.to_owned());
        async move {
            let of_chunk = chunk.clone();
            let read = tokio::task::spawn_blocking(move || read(&folder, &chunk)).await;
            (name, of_chunk, read.expect("reading does not panic"))
        }
    });
    let mut reading = stream::iter(reading).buffered(jobs());
    while let Some((table, chunk, read)) = cancel.run_until_cancelled(reading.next()).await.flatten() {
        verified.chunks += 1;
        match read {
            Ok(()) => verified.rows += chunk.rows,
            Err(damage) => verified.damaged.push(told(Some(table), &format!("{DATA}/{}", chunk.file), &damage)),
        }
    }
    if cancel.is_cancelled() {
        return Ok(None);
    }
    verified.damaged.extend(strays(folder, &manifest).iter().map(|file| told(None, file, &Damage::Stray)));
    Ok(Some(verified))
}

fn read(folder: &Path, chunk: &Chunk) -> Result<(), Damage> {
    let mut reader = ChunkReader::open(folder, chunk)?;
    let mut buffer = vec![0; BUFFER];
    while reader.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Files below the two folders that the manifest does not name.
fn strays(folder: &Path, manifest: &Manifest) -> Vec<String> {
    let chunks = manifest.chunks().map(|(_, chunk)| format!("{DATA}/{}", chunk.file));
    let schema = manifest.schema.iter().map(|file| format!("{SCHEMA}/{}", file.file));
    let known: BTreeSet<String> = chunks.chain(schema).collect();
    let mut found = Vec::new();
    let mut folders = vec![DATA.to_owned(), SCHEMA.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).into_iter().flatten().flatten() {
            let name = format!("{below}/{}", entry.file_name().to_string_lossy());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(name),
                _ if known.contains(&name) => {}
                _ => found.push(name),
            }
        }
    }
    found.sort();
    found
}
