//! Keys that wait, first in first out; beyond a number of them, on disk.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use super::Key;

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
    Writing(BufWriter<File>),
    Reading(BufReader<File>),
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
            let file = BufWriter::new(tempfile::tempfile()?);
            self.spilled.push_back(Spilled { end: End::Writing(file), left: 0 });
        }
        if let Some(Spilled { end: End::Writing(file), left }) = self.spilled.back_mut() {
            write(file, &key)?;
            *left += 1;
        }
        Ok(())
    }

    /// At most so many; none once it is empty.
    pub fn pop(&mut self, count: usize) -> io::Result<Vec<Key>> {
        let mut keys = Vec::new();
        while keys.len() < count {
            if let Some(key) = self.memory.pop_front() {
                keys.push(key);
                continue;
            }
            let Some(mut first) = self.spilled.pop_front() else { break };
            let Some(left) = first.left.checked_sub(1) else { continue };
            let mut file = match first.end {
                End::Reading(file) => file,
                End::Writing(file) => {
                    let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                    io::Seek::rewind(&mut file)?;
                    BufReader::new(file)
                }
            };
            keys.push(read(&mut file)?);
            first = Spilled { end: End::Reading(file), left };
            self.spilled.push_front(first);
        }
        Ok(keys)
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
