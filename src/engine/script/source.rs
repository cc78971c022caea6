//! Where a script's lines come from.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};
use std::path::{Path, PathBuf};

use super::ScriptProblem;
use crate::event::Place;

/// A script's text.
#[derive(Debug, Clone)]
pub enum Source {
    File(PathBuf),
    /// Text that stands in another file, from a line there.
    Text {
        text: String,
        file: String,
        line: usize,
    },
}

impl Source {
    /// The name in places and messages: relative to `folder` where it lies in there.
    pub(in crate::engine) fn name(&self, folder: &Path) -> String {
        match self {
            Source::File(path) => path.strip_prefix(folder).unwrap_or(path).display().to_string(),
            Source::Text { file, .. } => file.clone(),
        }
    }

    pub(in crate::engine) fn path(&self) -> Option<PathBuf> {
        match self {
            Source::File(path) => Some(path.canonicalize().unwrap_or_else(|_| path.clone())),
            Source::Text { .. } => None,
        }
    }

    pub(in crate::engine) fn first_line(&self) -> usize {
        match self {
            Source::File(_) => 1,
            Source::Text { line, .. } => *line,
        }
    }

    pub(in crate::engine) fn open(&self, from: Option<&Place>, name: &str) -> Result<Lines, ScriptProblem> {
        let reader: Box<dyn BufRead + Send> = match self {
            Source::File(path) => {
                Box::new(BufReader::new(File::open(path).and_then(refuse_folder).map_err(|source| {
                    ScriptProblem::Unreadable { file: name.to_owned(), place: from.cloned(), source }
                })?))
            }
            Source::Text { text, .. } => Box::new(Cursor::new(text.clone())),
        };
        Ok(Lines { reader, at_start: true })
    }
}

/// A folder opens, and only reading it fails, without saying why.
fn refuse_folder(file: File) -> std::io::Result<File> {
    if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
}

/// Lines, read one at a time: a script may hold a table's worth of COPY data.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    at_start: bool,
}

impl Lines {
    /// The next line without its end.
    pub fn next(&mut self, file: &str, line: usize) -> Result<Option<String>, ScriptProblem> {
        let mut text = self.next_raw(file, line)?;
        if let Some(text) = &mut text
            && text.ends_with('\n')
        {
            text.pop();
        }
        Ok(text)
    }

    /// The next line, its end included.
    pub fn next_raw(&mut self, file: &str, line: usize) -> Result<Option<String>, ScriptProblem> {
        let place = || Place { file: file.to_owned(), line };
        let mut bytes = Vec::new();
        self.reader.read_until(b'\n', &mut bytes).map_err(|source| ScriptProblem::Unreadable {
            file: file.to_owned(),
            place: Some(place()),
            source,
        })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.at_start {
            self.at_start = false;
            if bytes.starts_with(b"PGDMP") {
                return Err(ScriptProblem::Archive { place: place() });
            }
            if bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
        }
        String::from_utf8(bytes).map(Some).map_err(|_| ScriptProblem::Encoding { place: place() })
    }
}
