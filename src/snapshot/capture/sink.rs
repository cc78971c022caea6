//! Rows of a sample on their way into chunks: as they are found, in no order of tables, so that each table's wait in memory until they
//! are worth a chunk or memory is short. Blocks its thread.

use std::collections::HashMap;

use super::{CaptureError, RowTransform, Transform, of_file};
use crate::engine::capture::{Planned, Whole};
use crate::snapshot::rows::{self, Field};
use crate::snapshot::sample::Row;
use crate::snapshot::store::{Chunk, ChunkWriter, Places};

/// Bytes of one table's rows that become a chunk.
const CHUNK: usize = 16 << 20;
/// Bytes of all tables' rows that wait, at most.
const WAITING: usize = 48 << 20;

pub(super) struct Sink {
    places: Places,
    /// By planned table.
    tables: Vec<Waiting>,
    /// By whole table: the planned one by what a row says of where it lies.
    lies: Vec<HashMap<Vec<u8>, usize>>,
    waiting: usize,
    sunk: Vec<Sunk>,
}

/// A chunk of a planned table.
pub(super) struct Sunk {
    pub planned: usize,
    pub part: usize,
    pub chunk: Chunk,
}

struct Waiting {
    what: String,
    transform: Option<Box<dyn RowTransform>>,
    /// The whole table's field for each stored column.
    order: Vec<usize>,
    rows: Vec<u8>,
    taken: u64,
    chunks: usize,
}

impl Sink {
    pub(super) fn new(
        planned: &[Planned],
        wholes: &[Whole],
        transform: Option<&dyn Transform>,
        places: Places,
    ) -> Sink {
        let waiting = |(at, Planned { table, .. }): (usize, &Planned)| {
            let whole = wholes.iter().find(|whole| whole.parts.iter().any(|part| part.planned == at));
            let place =
                |name: &str| whole.and_then(|whole| whole.columns.iter().position(|column| column.name == name));
            Waiting {
                what: table.shown(),
                transform: transform.and_then(|transform| transform.of_table(table)),
                order: table.stored_columns().filter_map(|column| place(&column.name)).collect(),
                rows: Vec::new(),
                taken: 0,
                chunks: 0,
            }
        };
        let lies = |whole: &Whole| {
            whole.parts.iter().map(|part| (part.mark.clone().into_bytes(), part.planned)).collect::<HashMap<_, _>>()
        };
        Sink {
            places,
            tables: planned.iter().enumerate().map(waiting).collect(),
            lies: wholes.iter().map(lies).collect(),
            waiting: 0,
            sunk: Vec::new(),
        }
    }

    /// Takes a row of a whole table, and gives the planned one that it is of.
    ///
    /// # Errors
    /// It cannot be transformed, or a chunk cannot be written.
    pub(super) fn put(&mut self, at: usize, whole: &Whole, mut row: Row) -> Result<usize, CaptureError> {
        // Without a field that says where it lies, there is one place.
        let mark = row.get(whole.columns.len()).and_then(Option::as_deref).unwrap_or_default();
        let Some(planned) = self.lies[at].get(mark).copied() else {
            let what = whole.name.name.clone();
            return Err(CaptureError::Transform {
                what,
                row: 0,
                why: "it lies in no table that is captured".to_owned(),
            });
        };
        let table = &mut self.tables[planned];
        table.taken += 1;
        let mut fields: Vec<Field> = table.order.iter().map(|at| row[*at].take()).collect();
        if let Some(transform) = &mut table.transform {
            let failed = |why| CaptureError::Transform { what: table.what.clone(), row: table.taken, why };
            if !transform.row(&mut fields).map_err(failed)? {
                return Ok(planned);
            }
        }
        let before = table.rows.len();
        rows::write(&fields, &mut table.rows);
        self.waiting += table.rows.len() - before;
        if table.rows.len() >= CHUNK {
            self.sink(planned)?;
        } else if self.waiting >= WAITING {
            let largest = (0..self.tables.len()).max_by_key(|at| self.tables[*at].rows.len());
            self.sink(largest.unwrap_or(planned))?;
        }
        Ok(planned)
    }

    /// # Errors
    /// A chunk cannot be written.
    pub(super) fn finish(&mut self) -> Result<Vec<Sunk>, CaptureError> {
        for planned in 0..self.tables.len() {
            self.sink(planned)?;
        }
        Ok(std::mem::take(&mut self.sunk))
    }

    fn sink(&mut self, planned: usize) -> Result<(), CaptureError> {
        let table = &mut self.tables[planned];
        let rows = std::mem::take(&mut table.rows);
        if rows.is_empty() {
            return Ok(());
        }
        self.waiting -= rows.len();
        let part = table.chunks;
        table.chunks += 1;
        let (path, file) = self.places.chunk(planned, part);
        let failed = of_file(path.clone());
        let mut writer = ChunkWriter::create(&path, file).map_err(&failed)?;
        writer.write(&rows).map_err(&failed)?;
        if let Some(chunk) = writer.finish(&path).map_err(&failed)? {
            self.sunk.push(Sunk { planned, part, chunk });
        }
        Ok(())
    }
}
