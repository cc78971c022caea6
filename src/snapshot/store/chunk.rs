//! Chunks: rows through BLAKE3 and zstd into a file and back, counted on the way. Blocks its thread.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::folder::private_file;
use super::{Chunk, Damage};
use crate::snapshot::rows;

/// Fast, and a third of the bytes.
const LEVEL: i32 = 1;

const BUFFER: usize = 256 * 1024;

/// Counts and hashes what passes.
struct Counted<T> {
    inner: T,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<T> Counted<T> {
    fn new(inner: T) -> Counted<T> {
        Counted { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.took(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.took(&buffer[..read]);
        Ok(read)
    }
}

/// Writes one chunk.
pub struct ChunkWriter {
    file: String,
    encoder: zstd::Encoder<'static, BufWriter<Counted<File>>>,
    hasher: blake3::Hasher,
    rows: u64,
    bytes: u64,
}

impl ChunkWriter {
    /// `file` is its name in the manifest.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, file: String) -> io::Result<ChunkWriter> {
        let target = BufWriter::with_capacity(BUFFER, Counted::new(private_file().create_new(true).open(path)?));
        let encoder = zstd::Encoder::new(target, LEVEL)?;
        Ok(ChunkWriter { file, encoder, hasher: blake3::Hasher::new(), rows: 0, bytes: 0 })
    }

    /// Whole rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        self.rows += rows::count(piece);
        self.encoder.write_all(piece)
    }

    /// The chunk, on the disk for good; none where it has no rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self, path: &Path) -> io::Result<Option<Chunk>> {
        let target = self.encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        if self.rows == 0 {
            drop(target);
            std::fs::remove_file(path)?;
            return Ok(None);
        }
        target.inner.sync_data()?;
        Ok(Some(Chunk {
            file: self.file,
            rows: self.rows,
            bytes: self.bytes,
            stored_bytes: target.bytes,
            blake3: target.hash(),
            rows_blake3: self.hasher.finalize().to_hex().to_string(),
        }))
    }
}

/// Reads one chunk; its end is only given out once everything before it is as it was written.
pub struct ChunkReader {
    expected: Chunk,
    decoder: zstd::Decoder<'static, BufReader<Counted<File>>>,
    hasher: blake3::Hasher,
    rows: u64,
    bytes: u64,
}

impl ChunkReader {
    /// # Errors
    /// The file is not there, or not as long as it was.
    pub fn open(folder: &Path, chunk: &Chunk) -> Result<ChunkReader, Damage> {
        let file = File::open(chunk.path(folder)?).map_err(Damage::of_open)?;
        let found = file.metadata().map_err(Damage::Unreadable)?.len();
        if found != chunk.stored_bytes {
            return Err(Damage::Size { expected: chunk.stored_bytes, found });
        }
        let source = BufReader::with_capacity(BUFFER, Counted::new(file));
        let decoder = zstd::Decoder::with_buffer(source).map_err(Damage::Unreadable)?;
        Ok(ChunkReader { expected: chunk.clone(), decoder, hasher: blake3::Hasher::new(), rows: 0, bytes: 0 })
    }

    /// The next bytes, which may end in the middle of a row; none at the end, once all is known to be whole.
    ///
    /// # Errors
    /// What is wrong with the file. Rows that were given out before are not to be kept then.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Damage> {
        // The bytes are not a frame of zstd's any more, or end before it does.
        let read = match self.decoder.read(buffer) {
            Ok(read) => read,
            Err(error) if error.raw_os_error().is_some() => return Err(Damage::Unreadable(error)),
            Err(_) => return Err(Damage::Changed),
        };
        let given = &buffer[..read];
        self.hasher.update(given);
        self.bytes += read as u64;
        self.rows += rows::count(given);
        if self.bytes > self.expected.bytes {
            return Err(Damage::Changed);
        }
        if read == 0 {
            self.judge()?;
        }
        Ok(read)
    }

    fn judge(&mut self) -> Result<(), Damage> {
        // What may stand behind the frame.
        let source = self.decoder.get_mut();
        io::copy(source, &mut io::sink()).map_err(Damage::Unreadable)?;
        if source.get_ref().hash() != self.expected.blake3 {
            return Err(Damage::Changed);
        }
        let Chunk { rows, bytes, .. } = self.expected;
        for (counted, expected, found) in [("rows", rows, self.rows), ("bytes", bytes, self.bytes)] {
            if expected != found {
                return Err(Damage::Count { counted, expected, found });
            }
        }
        let is_same = self.hasher.finalize().to_hex().as_str() == self.expected.rows_blake3;
        if is_same { Ok(()) } else { Err(Damage::Changed) }
    }
}
