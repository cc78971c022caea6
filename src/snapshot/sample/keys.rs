//! A set of hashed keys, each with a small number, that goes to disk where it grows: sorted runs, newer ones before older ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

/// Bytes of a hash and its number.
const RECORD_BYTES: usize = 17;
/// About a page.
const BLOCK_RECORDS: usize = 240;

type Record = ([u8; 16], u8);

/// What was known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    New,
    /// With a smaller number.
    Further,
    Before,
}

pub struct KeySet {
    recent: BTreeMap<[u8; 16], u8>,
    /// Keys in memory.
    most: usize,
    /// The newest first.
    runs: Vec<Run>,
}

/// Records in order, each key once.
struct Run {
    file: File,
    records: usize,
    /// The first key of each block.
    fences: Vec<[u8; 16]>,
}

impl KeySet {
    pub fn new(most: usize) -> Self {
        KeySet { recent: BTreeMap::new(), most: most.max(1), runs: Vec::new() }
    }

    /// Notes the key with the number, or raises its number to it.
    pub fn raise(&mut self, key: [u8; 16], number: u8) -> io::Result<Known> {
        let before = self.get(&key)?;
        let known = match before {
            Some(before) if before >= number => return Ok(Known::Before),
            Some(_) => Known::Further,
            None => Known::New,
        };
        self.recent.insert(key, number);
        if self.recent.len() > self.most {
            self.spill()?;
        }
        Ok(known)
    }

    fn get(&self, key: &[u8; 16]) -> io::Result<Option<u8>> {
        if let Some(number) = self.recent.get(key) {
            return Ok(Some(*number));
        }
        for run in &self.runs {
            if let Some(number) = run.get(key)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn spill(&mut self) -> io::Result<()> {
        let recent = std::mem::take(&mut self.recent);
        self.runs.insert(0, Run::write(recent.into_iter().map(Ok))?);
        // A run is merged with those that are not much longer: so each key is written again a few times only, and runs stay few.
        let (mut count, mut records) = (1, self.runs[0].records);
        while let Some(older) = self.runs.get(count).filter(|older| older.records <= 2 * records) {
            records += older.records;
            count += 1;
        }
        if count > 1 {
            let merged = Run::write(Merge::of(&self.runs[..count])?)?;
            self.runs.splice(..count, [merged]);
        }
        Ok(())
    }
}

impl Run {
    fn write(records: impl Iterator<Item = io::Result<Record>>) -> io::Result<Run> {
        let mut file = BufWriter::new(tempfile::tempfile()?);
        let (mut count, mut fences) = (0, Vec::new());
        for record in records {
            let (key, number) = record?;
            if count % BLOCK_RECORDS == 0 {
                fences.push(key);
            }
            file.write_all(&key)?;
            file.write_all(&[number])?;
            count += 1;
        }
        Ok(Run { file: file.into_inner().map_err(io::IntoInnerError::into_error)?, records: count, fences })
    }

    fn get(&self, key: &[u8; 16]) -> io::Result<Option<u8>> {
        let Some(block) = self.fences.partition_point(|fence| fence <= key).checked_sub(1) else { return Ok(None) };
        let first = block * BLOCK_RECORDS;
        let count = (self.records - first).min(BLOCK_RECORDS);
        let mut bytes = [0; BLOCK_RECORDS * RECORD_BYTES];
        let bytes = &mut bytes[..count * RECORD_BYTES];
        self.file.read_exact_at(bytes, (first * RECORD_BYTES) as u64)?;
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        let found = records.binary_search_by(|record| record[..16].cmp(key));
        Ok(found.ok().map(|at| records[at][16]))
    }
}

/// Several runs as one; of a key that stands in several, the newest record.
struct Merge<'r> {
    heads: Vec<(Option<Record>, Records<'r>)>,
}

struct Records<'r> {
    file: BufReader<ReadAt<'r>>,
    left: usize,
}

/// A file read from its beginning, wherever its own position is.
struct ReadAt<'r> {
    file: &'r File,
    at: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Records<'_> {
    fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let (mut key, mut number) = ([0; 16], [0]);
        self.file.read_exact(&mut key)?;
        self.file.read_exact(&mut number)?;
        Ok(Some((key, number[0])))
    }
}

impl<'r> Merge<'r> {
    fn of(runs: &'r [Run]) -> io::Result<Self> {
        let head = |run: &'r Run| {
            let file = BufReader::new(ReadAt { file: &run.file, at: 0 });
            let mut records = Records { file, left: run.records };
            Ok((records.next()?, records))
        };
        Ok(Merge { heads: runs.iter().map(head).collect::<io::Result<_>>()? })
    }

    fn step(&mut self) -> io::Result<Option<Record>> {
        let newest = self.heads.iter().filter_map(|(head, _)| *head).min_by_key(|(key, _)| *key);
        let Some((key, number)) = newest else { return Ok(None) };
        for (head, records) in &mut self.heads {
            if head.is_some_and(|(other, _)| other == key) {
                *head = records.next()?;
            }
        }
        Ok(Some((key, number)))
    }
}

impl Iterator for Merge<'_> {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
