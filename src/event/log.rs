//! The log file: one record a line, flushed per event, readable after a kill.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::{Recorded, ReportError, Reporter};

/// Name of the log in a run's folder.
pub const FILE: &str = "events.jsonl";

/// Appends each record to the log before anyone else is told.
pub struct LogWriter {
    file: File,
    path: PathBuf,
}

impl LogWriter {
    /// # Errors
    /// If the file exists already or cannot be made: a log is never overwritten.
    pub fn create(folder: &Path) -> Result<LogWriter, ReportError> {
        let path = folder.join(FILE);
        match File::options().append(true).create_new(true).open(&path) {
            Ok(file) => Ok(LogWriter { file, path }),
            Err(source) => Err(ReportError { what: format!("could not create {}", path.display()), source }),
        }
    }
}

impl Reporter for LogWriter {
    fn report(&mut self, recorded: &Recorded) -> Result<(), ReportError> {
        let failed = |source| ReportError { what: format!("could not write {}", self.path.display()), source };
        let mut line = serde_json::to_vec(recorded).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // One write call a record: a kill leaves whole lines, but for the last.
        self.file.write_all(&line).map_err(failed)
    }

    fn finish(&mut self) -> Result<(), ReportError> {
        self.file
            .sync_all()
            .map_err(|source| ReportError { what: format!("could not write {}", self.path.display()), source })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("could not read {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}, line {line}, is not an event of this version of the log")]
    BadLine { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("{path}, line {line}, lacks events before it")]
    Gap { path: PathBuf, line: usize },
    #[error("{path} has no events")]
    Empty { path: PathBuf },
}

/// Reads a run's log back. `run` is its folder or the log itself. A last line cut short by a kill is left out.
///
/// # Errors
/// [`ReadError`] where the file cannot be read, holds nothing, any whole line is not an event, or events are missing among them.
pub fn read(run: &Path) -> Result<Vec<Recorded>, ReadError> {
    let path = if run.is_dir() { run.join(FILE) } else { run.to_path_buf() };
    let unreadable = |source| ReadError::Unreadable { path: path.clone(), source };
    let mut log = BufReader::new(File::open(&path).map_err(unreadable)?);
    let mut records: Vec<Recorded> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        log.read_until(b'\n', &mut line).map_err(unreadable)?;
        // Each is written with its end in one call, so what has none was cut short.
        if !line.ends_with(b"\n") {
            break;
        }
        let number = records.len() + 1;
        match serde_json::from_slice::<Recorded>(&line) {
            Ok(recorded) if recorded.seq == number as u64 => records.push(recorded),
            Ok(_) => return Err(ReadError::Gap { path, line: number }),
            Err(source) => return Err(ReadError::BadLine { path, line: number, source }),
        }
    }
    if records.is_empty() { Err(ReadError::Empty { path }) } else { Ok(records) }
}
