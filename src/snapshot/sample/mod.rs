//! Which rows a sample takes: those that were drawn, everything that they refer to, and as asked what refers to them. Asks for rows and is
//! given them; it knows no server, and its key sets lie on disk where memory is short.

mod coverage;
mod keys;
mod queue;
mod shape;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

pub use self::coverage::{Coverage, Covered, Missed, What};
use self::keys::{KeySet, Known};
use self::queue::Queue;
use crate::scenario::rules::{Children, ColumnPattern, Reference as RuleReference, Rows, Rules};

/// A table, as far as sampling has to know it.
#[derive(Debug, Clone)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// In the order of a row's fields.
    pub columns: Vec<String>,
    /// What rows have of it is looked at; none where that is not asked for, or there is no key.
    pub coverage: Option<Coverage>,
    /// Fields that tell a row from all others; none where there is no such key, and rows that are alike are then one.
    pub key: Vec<usize>,
}

/// Rows of one table that refer to rows of one table; of the database or of the rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Index of the table that refers.
    pub from: usize,
    /// Fields, as many as in `to_columns`, at least one. A NULL in any of them refers to nothing.
    pub from_columns: Vec<usize>,
    /// Index of the table referred to.
    pub to: usize,
    /// Not necessarily a key.
    pub to_columns: Vec<usize>,
    /// Only rows with this text in that field refer.
    pub when: Option<(usize, String)>,
}

/// A row's fields, unescaped; `None` is NULL.
pub type Row = Vec<Option<Vec<u8>>>;

/// Fields that are looked for, none of them NULL.
pub type Key = Vec<Vec<u8>>;

/// Rows that are asked for. The same request has to be answered by the same rows, whenever it is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Rows of a table by [`Rows`], which the seed decides; never [`Rows::None`].
    Draw { table: usize, rows: Rows, seed: u64 },
    /// Every row with one of the keys in these columns, and where `when` says so with that text in that one.
    Rows {
        table: usize,
        columns: Vec<usize>,
        when: Option<(usize, String)>,
        keys: Vec<Key>,
        /// At most so many for each key: the first by the table's own key.
        most: Option<u64>,
        /// How far children of these rows are followed.
        depth: u8,
    },
}

impl Request {
    pub fn table(&self) -> usize {
        match self {
            Request::Draw { table, .. } | Request::Rows { table, .. } => *table,
        }
    }
}

/// A request that is being answered.
#[derive(Debug, Clone)]
pub struct Open {
    pub request: Request,
    /// Keys of parents for which there is a row.
    found: BTreeSet<[u8; 16]>,
}

/// Keys that rows refer to, and that no row has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphans {
    pub table: usize,
    /// Fields of that table.
    pub columns: Vec<usize>,
    pub keys: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("could not keep the sample's keys on disk")]
    Disk(#[from] io::Error),
    #[error("the rules file refers to {column}, which is not there")]
    NoColumn { column: String },
}

/// How much a sampler holds at once.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys in memory, of all sets and queues together; more lie on disk.
    pub keys: usize,
    /// Keys in one request.
    pub batch: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { keys: 1 << 20, batch: 5000 }
    }
}

/// What a row leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    /// Rows by columns of a table.
    Parents { table: usize, columns: Vec<usize> },
    /// Rows that refer by a reference; how far their own children are followed.
    Children { reference: usize, depth: u8 },
}

/// Takes rows until nothing refers to a row that was not taken.
///
/// Ask [`Sampler::request`] what to fetch, give the rows to [`Sampler::take`], in as many portions as they come in, and write those that it
/// returns; until there is nothing more to fetch.
pub struct Sampler {
    tables: Vec<Table>,
    references: Vec<Reference>,
    plan: Vec<(Rows, Children)>,
    seed: u64,
    bounds: Bounds,
    /// By table, how far each row's children were followed. Empty for tables that are taken whole.
    taken: Vec<KeySet>,
    /// Keys that were asked for as parents.
    asked: BTreeMap<Want, KeySet>,
    waiting: BTreeMap<Want, Queue>,
    /// Tables of which rows are still to be drawn.
    draws: Vec<usize>,
    /// By table and fields, keys of parents that no row has.
    orphans: BTreeMap<(usize, Vec<usize>), u64>,
    /// Hashes of production's values say nothing without it.
    secret: [u8; 32],
}

impl Sampler {
    /// `references` are the database's own; those of the rules come with them.
    ///
    /// # Errors
    /// A reference of the rules names what is not there.
    pub fn new(
        tables: Vec<Table>,
        mut references: Vec<Reference>,
        rules: &Rules,
        bounds: Bounds,
    ) -> Result<Sampler, SampleError> {
        for reference in &rules.references {
            references.extend(resolved(reference, &tables)?);
        }
        let plan: Vec<_> = tables.iter().map(|table| rules.sample.of(&table.schema, &table.name)).collect();
        let draws = (0..tables.len()).rev().filter(|table| plan[*table].0 != Rows::None).collect();
        // A set for each table; of each reference at most one more, and a queue for each depth, of which few are used at once.
        let bounds = Bounds { keys: bounds.keys / (tables.len() + 3 * references.len()).max(1), ..bounds };
        let taken = tables.iter().map(|_| KeySet::new(bounds.keys)).collect();
        let seed = rules.sample.seed;
        let (asked, waiting, orphans) = Default::default();
        let secret = rand::random();
        Ok(Sampler { tables, references, plan, seed, bounds, taken, asked, waiting, draws, orphans, secret })
    }

    /// What to fetch next; None once the sample is whole.
    ///
    /// # Errors
    /// Keys on disk could not be read.
    pub fn request(&mut self) -> Result<Option<Open>, SampleError> {
        let request = self.next()?;
        Ok(request.map(|request| Open { request, found: BTreeSet::new() }))
    }

    fn next(&mut self) -> Result<Option<Request>, SampleError> {
        // All is drawn before anything is followed: a search for few keys costs as much as one for many.
        if let Some(table) = self.draws.pop() {
            return Ok(Some(Request::Draw { table, rows: self.plan[table].0, seed: self.seed }));
        }
        while let Some((want, queue)) = self.waiting.iter_mut().next() {
            let keys = queue.pop(self.bounds.batch)?;
            if keys.is_empty() {
                let want = want.clone();
                self.waiting.remove(&want);
                continue;
            }
            return Ok(Some(match want {
                Want::Parents { table, columns } => {
                    Request::Rows { table: *table, columns: columns.clone(), when: None, keys, most: None, depth: 0 }
                }
                Want::Children { reference, depth } => {
                    let (depth, reference) = (*depth, &self.references[*reference]);
                    Request::Rows {
                        table: reference.from,
                        columns: reference.from_columns.clone(),
                        when: reference.when.clone(),
                        keys,
                        most: Some(self.plan[reference.to].1.most),
                        depth,
                    }
                }
            }));
        }
        Ok(None)
    }

    /// Takes rows that were fetched for a request, and gives those that are new, each once.
    ///
    /// # Errors
    /// Keys could not be kept on disk.
    pub fn take(&mut self, open: &mut Open, rows: Vec<Row>) -> Result<Vec<Row>, SampleError> {
        let Open { request, found } = open;
        let table = request.table();
        let whole = self.plan[table].0 == Rows::All;
        let depth = match request {
            Request::Draw { .. } => u8::try_from(self.plan[table].1.depth).unwrap_or(u8::MAX),
            Request::Rows { depth, .. } => *depth,
        };
        let mut new = Vec::new();
        for row in rows {
            // Whatever leads to a row of a table that is taken whole, it comes when the table is drawn.
            if let Request::Rows { columns, most: None, .. } = request
                && let Some(key) = key_of(&row, columns)
            {
                found.insert(self.folded(&key));
            }
            let known = match (whole, &*request) {
                (true, Request::Draw { .. }) => Known::New,
                (true, Request::Rows { .. }) => Known::Before,
                (false, _) => {
                    let identity = self.identity(table, &row);
                    self.taken[table].raise(identity, depth)?
                }
            };
            match known {
                Known::Before => continue,
                Known::New => {
                    self.follow_parents(table, &row)?;
                    self.follow_children(table, &row, depth)?;
                    if let Some(coverage) = &mut self.tables[table].coverage {
                        coverage.cover(&row);
                    }
                    new.push(row);
                }
                Known::Further => self.follow_children(table, &row, depth)?,
            }
        }
        Ok(new)
    }

    /// Says that all rows for a request were taken.
    pub fn finish(&mut self, open: &Open) {
        let Request::Rows { table, columns, keys, most: None, .. } = &open.request else { return };
        let asked: BTreeSet<[u8; 16]> = keys.iter().map(|key| self.folded(key)).collect();
        let orphans = asked.difference(&open.found).count() as u64;
        if orphans > 0 {
            *self.orphans.entry((*table, columns.clone())).or_default() += orphans;
        }
    }

    /// Asks for rows that what was taken so far misses. Says whether there is something to fetch; called once nothing else is.
    ///
    /// # Errors
    /// Keys could not be kept on disk.
    pub fn cover(&mut self) -> Result<bool, SampleError> {
        let mut any = false;
        for table in 0..self.tables.len() {
            let Table { coverage, key, .. } = &mut self.tables[table];
            let Some(coverage) = coverage else { continue };
            let (keys, columns) = (coverage.ask(), key.clone());
            any |= !keys.is_empty();
            for key in keys {
                self.want_parent(Want::Parents { table, columns: columns.clone() }, key)?;
            }
        }
        Ok(any)
    }

    /// For a survey: a table's coverage, and what decides between rows that are as good as each other.
    pub fn coverage(&mut self, table: usize) -> Option<&mut Coverage> {
        self.tables[table].coverage.as_mut()
    }

    /// Whether it is looked at what the table's rows have.
    pub fn is_covered(&self, table: usize) -> bool {
        self.tables[table].coverage.is_some()
    }

    /// What became of it.
    pub fn covered(&self, table: usize) -> Option<Covered> {
        self.tables[table].coverage.as_ref().map(Coverage::covered)
    }

    /// Which of two rows is taken, where one will do.
    pub fn order(seed: u64, key: &Key) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        for field in key {
            hasher.update(&(field.len() as u64).to_le_bytes()).update(field);
        }
        u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("8 of 32 bytes"))
    }

    /// What is taken of a table by itself.
    pub fn rows_of(&self, table: usize) -> Rows {
        self.plan[table].0
    }

    /// Whatever rows refer to that is not there.
    pub fn orphans(&self) -> Vec<Orphans> {
        let orphans = self.orphans.iter();
        orphans
            .map(|((table, columns), keys)| Orphans { table: *table, columns: columns.clone(), keys: *keys })
            .collect()
    }

    /// Alike for keys that collations take for the same.
    fn folded(&self, key: &Key) -> [u8; 16] {
        let field = |field: &Vec<u8>| String::from_utf8_lossy(field).trim_end_matches(' ').to_lowercase().into_bytes();
        let folded: Key = key.iter().map(field).collect();
        self.hashed(folded.iter().map(|field| Some(field.as_slice())))
    }

    fn hashed<'f>(&self, fields: impl Iterator<Item = Option<&'f [u8]>>) -> [u8; 16] {
        hashed(&self.secret, fields)
    }

    fn identity(&self, table: usize, row: &Row) -> [u8; 16] {
        let key = &self.tables[table].key;
        if key.is_empty() {
            return self.hashed(row.iter().map(Option::as_deref));
        }
        self.hashed(key.iter().map(|field| row[*field].as_deref()))
    }

    fn follow_parents(&mut self, table: usize, row: &Row) -> Result<(), SampleError> {
        let parents: Vec<(Want, Key)> = self
            .references
            .iter()
            .filter(|reference| reference.from == table && refers(reference, row))
            .filter(|reference| self.plan[reference.to].0 != Rows::All)
            .filter_map(|reference| {
                let key = key_of(row, &reference.from_columns)?;
                Some((Want::Parents { table: reference.to, columns: reference.to_columns.clone() }, key))
            })
            .collect();
        parents.into_iter().try_for_each(|(want, key)| self.want_parent(want, key))
    }

    fn want_parent(&mut self, want: Want, key: Key) -> Result<(), SampleError> {
        let bound = self.bounds.keys;
        let hash = self.hashed(key.iter().map(|field| Some(field.as_slice())));
        let asked = self.asked.entry(want.clone()).or_insert_with(|| KeySet::new(bound));
        if asked.raise(hash, 0)? == Known::New {
            self.waiting.entry(want).or_insert_with(|| Queue::new(bound)).push(key)?;
        }
        Ok(())
    }

    fn follow_children(&mut self, table: usize, row: &Row, depth: u8) -> Result<(), SampleError> {
        let Some(left) = depth.checked_sub(1) else { return Ok(()) };
        let to_here = |(_, reference): &(usize, &Reference)| reference.to == table;
        for (at, reference) in self.references.iter().enumerate().filter(to_here) {
            // A table that is to be left empty has only rows to which others refer.
            if matches!(self.plan[reference.from].0, Rows::All | Rows::None) {
                continue;
            }
            let Some(key) = key_of(row, &reference.to_columns) else { continue };
            let want = Want::Children { reference: at, depth: left };
            self.waiting.entry(want).or_insert_with(|| Queue::new(self.bounds.keys)).push(key)?;
        }
        Ok(())
    }
}

/// So many bits that two keys never meet.
fn hashed<'f>(secret: &[u8; 32], fields: impl Iterator<Item = Option<&'f [u8]>>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    for field in fields {
        match field {
            Some(field) => {
                hasher.update(&(field.len() as u64 + 1).to_le_bytes());
                hasher.update(field);
            }
            None => {
                hasher.update(&0_u64.to_le_bytes());
            }
        }
    }
    let whole = hasher.finalize();
    whole.as_bytes()[..16].try_into().expect("half of 32 bytes")
}

fn refers(reference: &Reference, row: &Row) -> bool {
    // A padded type's values come with what they are padded with.
    let is = |value: &[u8], text: &str| value.trim_ascii_end() == text.trim_ascii_end().as_bytes();
    reference.when.as_ref().is_none_or(|(field, text)| row[*field].as_deref().is_some_and(|value| is(value, text)))
}

/// None where a field is NULL.
fn key_of(row: &Row, fields: &[usize]) -> Option<Key> {
    fields.iter().map(|field| row[*field].clone()).collect()
}

/// The references of the rules file; one for each value of a polymorphic one's type.
fn resolved(reference: &RuleReference, tables: &[Table]) -> Result<Vec<Reference>, SampleError> {
    let all = |patterns: &[ColumnPattern]| {
        let found: Result<Vec<_>, _> = patterns.iter().map(|pattern| column(pattern, tables)).collect();
        found.map(|found| (found[0].0, found.iter().map(|(_, column)| *column).collect::<Vec<_>>()))
    };
    match reference {
        RuleReference::Plain { from, to, .. } => {
            let ((from, from_columns), (to, to_columns)) = (all(from)?, all(to)?);
            Ok(vec![Reference { from, from_columns, to, to_columns, when: None }])
        }
        RuleReference::Polymorphic { kind, id, to, .. } => {
            let ((from, kind), (_, id)) = (column(kind, tables)?, column(id, tables)?);
            let one = |(value, to): &(String, ColumnPattern)| {
                let (to, to_column) = column(to, tables)?;
                let when = Some((kind, value.clone()));
                Ok(Reference { from, from_columns: vec![id], to, to_columns: vec![to_column], when })
            };
            to.iter().map(one).collect()
        }
    }
}

fn column(pattern: &ColumnPattern, tables: &[Table]) -> Result<(usize, usize), SampleError> {
    let met = tables.iter().enumerate().find_map(|(at, table)| {
        let column = table.columns.iter().position(|column| pattern.matches(&table.schema, &table.name, column))?;
        Some((at, column))
    });
    met.ok_or_else(|| SampleError::NoColumn { column: pattern.to_string() })
}
