//! Keys that wait, first in first out; beyond a number of them, on disk: sealed by a key that is kept nowhere, for they are production's
//! values.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use super::Key;

/// Servers take no statement of any length.
const BYTES: usize = 1 << 20;

pub struct Queue {
    memory: VecDeque<Key>,
    /// Keys in memory.
    most: usize,
    /// What came once memory was full, in its order; what came after it was turned to reading.
    spilled: VecDeque<Spilled>,
}

struct Spilled {
    end: End,
    left: usize,
}

enum End {
    Writing(BufWriter<Sealed>),
    Reading(BufReader<Sealed>),
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Queue { memory: VecDeque::new(), most: most.max(1), spilled: VecDeque::new() }
    }

    pub fn push(&mut self, key: Key) -> io::Result<()> {
        if self.spilled.is_empty() && self.memory.len() < self.most {
            self.memory.push_back(key);
            return Ok(());
        }
        if !matches!(self.spilled.back(), Some(Spilled { end: End::Writing(_), .. })) {
            let file = BufWriter::new(Sealed::create()?);
            self.spilled.push_back(Spilled { end: End::Writing(file), left: 0 });
        }
        if let Some(Spilled { end: End::Writing(file), left }) = self.spilled.back_mut() {
            write(file, &key)?;
            *left += 1;
        }
        Ok(())
    }

    /// At most so many, and of not much more bytes than [`BYTES`]; none once it is empty.
    pub fn pop(&mut self, count: usize) -> io::Result<Vec<Key>> {
        let (mut keys, mut bytes): (Vec<Key>, usize) = (Vec::new(), 0);
        while keys.len() < count && bytes < BYTES {
            bytes += keys.last().into_iter().flatten().map(Vec::len).sum::<usize>();
            if let Some(key) = self.memory.pop_front() {
                keys.push(key);
                continue;
            }
            let Some(mut first) = self.spilled.pop_front() else { break };
            let Some(left) = first.left.checked_sub(1) else { continue };
            let mut file = match first.end {
                End::Reading(file) => file,
                End::Writing(file) => {
                    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                    BufReader::new(file.rewound()?)
                }
            };
            keys.push(read(&mut file)?);
            first = Spilled { end: End::Reading(file), left };
            self.spilled.push_front(first);
        }
        Ok(keys)
    }
}

/// A file that nobody can read without this.
struct Sealed {
    file: File,
    secret: [u8; 32],
    cipher: ChaCha20,
}

impl Sealed {
    fn create() -> io::Result<Sealed> {
        let secret = rand::random();
        Ok(Sealed { file: tempfile::tempfile()?, secret, cipher: cipher(&secret) })
    }

    /// To be read from its beginning.
    fn rewound(mut self) -> io::Result<Sealed> {
        io::Seek::rewind(&mut self.file)?;
        Ok(Sealed { cipher: cipher(&self.secret), ..self })
    }
}

/// Each file has a secret of its own, so that the same nonce does.
fn cipher(secret: &[u8; 32]) -> ChaCha20 {
    ChaCha20::new(secret.into(), &[0; 12].into())
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sealed = bytes.to_vec();
        self.cipher.apply_keystream(&mut sealed);
        self.file.write_all(&sealed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for Sealed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.cipher.apply_keystream(&mut bytes[..count]);
        Ok(count)
    }
}

fn write(file: &mut impl Write, key: &Key) -> io::Result<()> {
    let number = |length: usize| u32::try_from(length).map(u32::to_le_bytes).map_err(io::Error::other);
    file.write_all(&number(key.len())?)?;
    for field in key {
        file.write_all(&number(field.len())?)?;
        file.write_all(field)?;
    }
    Ok(())
}

fn read(file: &mut impl Read) -> io::Result<Key> {
    let mut number = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes) as usize)
    };
    let fields = number()?;
    let mut key = Vec::with_capacity(fields);
    for _ in 0..fields {
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        let mut field = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut field)?;
        key.push(field);
    }
    Ok(key)
}
