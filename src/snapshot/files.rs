//! A dump of several files into MariaDB or MySQL: each read by the engine's own client, in a session of its own, rows several at once.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};

use super::mydumper::{Dump, DumpFile, Stage, text};
use super::{PROGRESS_EVERY, Progress, SnapshotError, feed, jobs, source};
use crate::engine::mysql::restore::{RestoreError, Target};

/// Sessions that bring rows in at the same time, at most.
const AT_ONCE: usize = 4;

/// Restores a dump into the target's database. Gives notes, as [`super::Restored`] has them.
///
/// # Errors
/// Of which file, and at which of its lines, the server refused what.
pub async fn restore(
    target: &Target<'_>,
    dump: &Dump,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>, SnapshotError> {
    let (read, total) = (Arc::new(AtomicU64::new(0)), dump.bytes());
    let mut notes = BTreeSet::new();
    for of_stage in dump.files.chunk_by(|one, other| one.stage == other.stage) {
        let at_once = if of_stage[0].stage == Stage::Rows { jobs().min(AT_ONCE) } else { 1 };
        let files = of_stage.iter().enumerate().map(|(seat, file)| restore_file(target, dump, file, seat, &read));
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel::<String>();
        let restoring = futures::stream::iter(files)
            .buffer_unordered(at_once)
            .inspect_ok(|(name, _)| {
                // Whoever shows it may have gone.
                let _ = told.send(name.clone());
            })
            .try_collect::<Vec<_>>();
        tokio::pin!(restoring);
        let mut what = format!("restoring {}", of_stage[0].name);
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        let mut tell = |what: &str| progress(what, Some(read.load(Ordering::Relaxed).min(total)), Some(total));
        let restored = loop {
            tokio::select! {
                restored = &mut restoring => break restored?,
                Some(name) = telling.recv() => what = format!("restored {name}"),
                _ = tick.tick() => {}
            }
            tell(&what);
        };
        // Who came last may not have had its turn.
        while let Ok(name) = telling.try_recv() {
            tell(&format!("restored {name}"));
        }
        notes.extend(restored.into_iter().flat_map(|(_, notes)| notes));
    }
    Ok(notes.into_iter().collect())
}

/// The file's name, and notes.
async fn restore_file(
    target: &Target<'_>,
    dump: &Dump,
    file: &DumpFile,
    seat: usize,
    read: &Arc<AtomicU64>,
) -> Result<(String, Vec<String>), SnapshotError> {
    let failed = |source| SnapshotError::RestoreMysql { name: file.name.clone(), source };
    let notes = match file.stage {
        Stage::Database => {
            read.fetch_add(file.bytes, Ordering::Relaxed);
            let text = String::from_utf8_lossy(&text(file)?).into_owned();
            match target.alter_database(&dump.database, &text) {
                Some(alter) => target.client_at(seat, &mut alter.as_bytes()).await.map_err(failed)?,
                None => Vec::new(),
            }
        }
        Stage::Routines | Stage::Triggers => {
            read.fetch_add(file.bytes, Ordering::Relaxed);
            let (script, lines) = delimited(&text(file)?);
            let restored = target.client_at(seat, &mut script.as_slice()).await;
            restored.map_err(|error| failed(at_its_line(error, &lines)))?
        }
        Stage::Sequences | Stage::Tables | Stage::Rows | Stage::Views => {
            let script = source::open(&file.path, file.compression, Arc::clone(read))?;
            fed(target, seat, &file.path, script).await?.map_err(failed)?
        }
    };
    Ok((file.name.clone(), notes))
}

/// What the client made of it. That the client failed says more than that the file could not be read to its end.
async fn fed(
    target: &Target<'_>,
    seat: usize,
    path: &Path,
    script: Box<dyn Read + Send>,
) -> Result<Result<Vec<String>, RestoreError>, SnapshotError> {
    let (mut ours, theirs) = tokio::io::duplex(256 * 1024);
    let feeding = tokio::task::spawn_blocking(move || feed(script, theirs));
    let restored = target.client_at(seat, &mut ours).await;
    // The feeder ends with its pipe.
    drop(ours);
    let fed: io::Result<()> = feeding.await.expect("feeding does not panic");
    match (restored, fed) {
        (Err(error), _) => Ok(Err(error)),
        (Ok(notes), Ok(())) => Ok(Ok(notes)),
        (Ok(_), Err(source)) => Err(SnapshotError::Damaged { path: path.to_owned(), source }),
    }
}

/// Routines and triggers have semicolons of their own: mydumper puts a blank behind those that end a line, so that only its statements end
/// with a line. Here another sign ends them, on a line of its own; each line of it is told with the one that it had, from 1.
fn delimited(text: &[u8]) -> (Vec<u8>, Vec<u64>) {
    const SIGN: &str = "$$rehearsal$$";
    let mut script = format!("DELIMITER {SIGN}\n").into_bytes();
    let mut lines = vec![1];
    for (line, number) in text.split_inclusive(|byte| *byte == b'\n').zip(1..) {
        lines.push(number);
        match line.strip_suffix(b";\n") {
            Some(rest) => {
                script.extend_from_slice(rest);
                script.extend_from_slice(format!("\n{SIGN}\n").as_bytes());
                lines.push(number);
            }
            None => script.extend_from_slice(line),
        }
    }
    (script, lines)
}

fn at_its_line(error: RestoreError, lines: &[u64]) -> RestoreError {
    match error {
        RestoreError::Refused { line, number, message } => {
            let at = usize::try_from(line).unwrap_or_default().saturating_sub(1);
            RestoreError::Refused { line: lines.get(at).copied().unwrap_or(line), number, message }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_s_end_ends_a_statement_of_a_routine_file() {
        let file = "SET @a = 1;\nCREATE PROCEDURE p()\nBEGIN\n  SELECT ';'; \nEND;\n";
        let (script, lines) = delimited(file.as_bytes());
        let expected = "DELIMITER $$rehearsal$$\nSET @a = 1\n$$rehearsal$$\nCREATE PROCEDURE p()\nBEGIN\n  SELECT ';'; \nEND\n$$rehearsal$$\n";
        assert_eq!((String::from_utf8_lossy(&script).as_ref(), lines), (expected, vec![1, 1, 1, 2, 3, 4, 5, 5]));
        let refused = |line| RestoreError::Refused { line, number: 1064, message: "no".to_owned() };
        assert_eq!(at_its_line(refused(7), &[1, 1, 1, 2, 3, 4, 5, 5]).to_string(), "line 5: no (1064)");
    }
}
