//! A program's output into a file, as it comes, without secrets and within bounds.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Kept in the file; what comes after is counted.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A longer line is cut into such pieces.
const MAX_LINE: usize = 64 * 1024;

const TAIL_LINES: usize = 20;
const TAIL_COLUMNS: usize = 400;

/// Where output goes.
pub struct Kept {
    file: File,
    written: u64,
    left_out: u64,
    line: Vec<u8>,
    tail: VecDeque<String>,
    secrets: Vec<String>,
}

impl Kept {
    pub async fn create(path: &Path, secrets: Vec<String>) -> io::Result<Kept> {
        let file = File::create_new(path).await?;
        Ok(Kept { file, written: 0, left_out: 0, line: Vec::new(), tail: VecDeque::new(), secrets })
    }

    /// Reads to the end.
    pub async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let bytes = from.read(&mut buffer).await?;
            if bytes == 0 {
                return Ok(());
            }
            for piece in buffer[..bytes].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(piece);
                if self.line.ends_with(b"\n") || self.line.len() >= MAX_LINE {
                    self.end_line().await?;
                }
            }
            // A program that asks or counts on one line is seen while it does.
            self.file.flush().await?;
        }
    }

    /// Writes what is left, and returns the last lines.
    pub async fn finish(mut self) -> io::Result<Vec<String>> {
        if !self.line.is_empty() {
            self.end_line().await?;
        }
        if self.left_out > 0 {
            let note = format!("\n… {} more bytes left out\n", self.left_out);
            self.file.write_all(note.as_bytes()).await?;
        }
        self.file.flush().await?;
        Ok(self.tail.into())
    }

    async fn end_line(&mut self) -> io::Result<()> {
        let mut text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        for secret in &self.secrets {
            text = text.replace(secret, "…");
        }
        // Of a progress display that writes over itself the last state counts.
        let shown = text.trim_end();
        let shown = shown.rsplit('\r').next().unwrap_or(shown);
        if !shown.is_empty() {
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(shown.chars().take(TAIL_COLUMNS).collect());
        }
        let bytes = text.len() as u64;
        if self.left_out == 0 && self.written + bytes <= MAX_BYTES {
            self.written += bytes;
            self.file.write_all(text.as_bytes()).await
        } else {
            self.left_out += bytes;
            Ok(())
        }
    }
}
