//! What a plain sample would miss: each value of short lists and the pairs of them, NULL and the empty text, the least and the greatest,
//! the longest, each shape of serialised text. A survey of all rows says what there is and who has it; rows that are taken cover it; what
//! is left is asked for, as far as the budget goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Key;
use super::shape::shape;
use crate::engine::capture::{CUT, Kind, WholeColumn, lengths};

/// More values than these are no short list.
const VALUES: usize = 100;
/// More shapes than these are none.
const SHAPES: usize = 40;
/// Columns with more values than these are in no pairs.
const PAIRED: u16 = 32;
/// More pairs than these, of all of a table's columns, are not looked for: the last columns are in none, then.
const PAIRS: usize = 2000;
/// As long as columns are among them that turn out to be no short lists.
const PAIRS_MEANWHILE: usize = 4 * PAIRS;
/// Held by fewer rows than this, something is rare.
const RARE: u64 = 10;

/// One row's fields; `None` is NULL.
type Fields<'r> = &'r [Option<Vec<u8>>];

/// What of a table's rows is looked for.
#[derive(Debug, Clone)]
pub struct Coverage {
    columns: Vec<Column>,
    key: Vec<usize>,
    /// Columns whose lengths a survey tells, in that order.
    lengths: Vec<usize>,
    /// Rows that may be added.
    budget: u64,
    rows: u64,
    /// By two columns and their values' numbers.
    pairs: BTreeMap<(usize, usize), HashMap<(u16, u16), Item>>,
    pair_count: usize,
    /// Columns in no pairs.
    unpaired: BTreeSet<usize>,
    asked: BTreeSet<Key>,
    drawn: Option<u64>,
}

/// What became of a table's coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Values, shapes, extremes and pairs that production has.
    pub found: u64,
    /// Those that fewer than ten rows have.
    pub rare: u64,
    /// Those that the plain sample had.
    pub drawn: u64,
    /// Rows that were added for others.
    pub added: u64,
    /// What is not there.
    pub missed: Vec<Missed>,
}

/// Something of a column, or of two, that no row of the sample has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub columns: Vec<String>,
    pub what: What,
    pub count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Values,
    Shapes,
    Extremes,
    Pairs,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Values => "values",
            What::Shapes => "shapes",
            What::Extremes => "extremes",
            What::Pairs => "pairs of values",
        }
    }
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: Kind,
    is_long: bool,
    /// It is a key's, and a survey sees it whole.
    is_key: bool,
    null: Option<Item>,
    empty: Option<Item>,
    /// None where there are too many.
    values: Option<HashMap<Vec<u8>, (u16, Item)>>,
    shapes: Option<HashMap<Vec<u8>, Item>>,
    least: Option<(Measure, Item)>,
    greatest: Option<(Measure, Item)>,
    longest: Option<(u64, Item)>,
}

/// Something that rows have, and the row that is taken for it.
#[derive(Debug, Clone)]
struct Item {
    rows: u64,
    /// The least wins, so that it is the same row each time.
    order: u64,
    key: Key,
    is_covered: bool,
}

/// How values of a column compare.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Measure {
    Whole(i128),
    Number(f64),
    /// Of a date, digits of its year before its text.
    Moment(usize, Vec<u8>),
}

impl Coverage {
    /// `key`: fields that tell rows apart, one at least.
    pub fn new(columns: &[WholeColumn], key: &[usize], budget: u64) -> Coverage {
        let column = |(at, column): (usize, &WholeColumn)| Column {
            name: column.name.clone(),
            kind: column.kind,
            is_long: column.is_long(),
            is_key: key.contains(&at),
            null: None,
            empty: None,
            values: Some(HashMap::new()),
            shapes: column.is_long().then(HashMap::new),
            least: None,
            greatest: None,
            longest: None,
        };
        Coverage {
            columns: columns.iter().enumerate().map(column).collect(),
            key: key.to_vec(),
            lengths: lengths(columns),
            budget,
            rows: 0,
            pairs: BTreeMap::new(),
            pair_count: 0,
            unpaired: BTreeSet::new(),
            asked: BTreeSet::new(),
            drawn: None,
        }
    }

    /// Looks at one row of the survey: a field a column, the lengths of long ones, what else tells the row. `order` decides between rows.
    pub fn survey(&mut self, row: Fields<'_>, order: impl FnOnce(&Key) -> u64) {
        let count = self.columns.len();
        // What stands behind the columns stands behind their lengths here.
        let field = |at: usize| row.get(if at < count { at } else { at + self.lengths.len() }).cloned().flatten();
        let Some(key) = self.key.iter().map(|at| field(*at)).collect::<Option<Key>>() else { return };
        // Where a row lies is not the same elsewhere.
        let order = match self.key.iter().all(|at| *at < count) {
            true => order(&key),
            false => order(&(0..count).map(|at| field(at).unwrap_or_default()).collect()),
        };
        let candidate = Item { rows: 1, order, key, is_covered: false };
        self.rows += 1;
        let mut numbers = Vec::with_capacity(count);
        for (at, column) in self.columns.iter_mut().enumerate() {
            let told = self.lengths.binary_search(&at).ok().and_then(|place| row.get(count + place)?.as_deref());
            let length = told.and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
            numbers.push(column.look(row.get(at).and_then(Option::as_deref), length, &candidate));
        }
        self.pair(&numbers, &candidate);
    }

    fn pair(&mut self, numbers: &[Option<u16>], candidate: &Item) {
        for (at, number) in numbers.iter().enumerate() {
            if number.is_none_or(|number| number >= PAIRED) && self.unpaired.insert(at) {
                self.drop_pairs(at);
            }
        }
        let paired = |at: &usize| !self.unpaired.contains(at);
        let listed: Vec<(usize, u16)> =
            (0..numbers.len()).filter(paired).filter_map(|at| Some((at, numbers[at]?))).collect();
        for (place, (one, first)) in listed.iter().enumerate() {
            for (other, second) in &listed[place + 1..] {
                let pairs = self.pairs.entry((*one, *other)).or_default();
                let before = pairs.len();
                Item::seen(pairs.entry((*first, *second)), candidate);
                self.pair_count += pairs.len() - before;
            }
        }
        self.drop_last_pairs(PAIRS_MEANWHILE);
    }

    /// Whatever order rows came in, the same columns stay.
    fn drop_last_pairs(&mut self, most: usize) {
        while self.pair_count > most {
            let Some(last) = self.pairs.keys().map(|(_, other)| *other).max() else { return };
            self.unpaired.insert(last);
            self.drop_pairs(last);
        }
    }

    fn drop_pairs(&mut self, column: usize) {
        self.pairs.retain(|(one, other), _| *one != column && *other != column);
        self.pair_count = self.pairs.values().map(HashMap::len).sum();
    }

    /// Production's rows that were looked at.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// A row that was taken, whole.
    pub fn cover(&mut self, row: Fields<'_>) {
        let mut numbers = Vec::with_capacity(self.columns.len());
        for (at, column) in self.columns.iter_mut().enumerate() {
            numbers.push(column.cover(row.get(at).and_then(Option::as_deref)));
        }
        for ((one, other), pairs) in &mut self.pairs {
            let (Some(one), Some(other)) = (numbers[*one], numbers[*other]) else { continue };
            if let Some(item) = pairs.get_mut(&(one, other)) {
                item.is_covered = true;
            }
        }
    }

    /// Keys of rows to take next, until there are none: a column's or a pair's at a time, for a row often covers more than it was asked for.
    pub fn ask(&mut self) -> Vec<Key> {
        if self.drawn.is_none() {
            self.drop_last_pairs(PAIRS);
            self.drawn = Some(self.counted(|item| item.is_covered));
        }
        let mut keys = Vec::new();
        for column in &mut self.columns {
            Self::choose(column.items_mut(), (&mut self.asked, self.budget), &mut keys);
            if !keys.is_empty() {
                return keys;
            }
        }
        for pairs in self.pairs.values_mut() {
            Self::choose(pairs.values_mut(), (&mut self.asked, self.budget), &mut keys);
            if !keys.is_empty() {
                return keys;
            }
        }
        keys
    }

    fn choose<'i>(
        items: impl Iterator<Item = &'i mut Item>,
        (asked, budget): (&mut BTreeSet<Key>, u64),
        keys: &mut Vec<Key>,
    ) {
        let mut open: Vec<&mut Item> = items.filter(|item| !item.is_covered).collect();
        open.sort_by_key(|item| item.order);
        for item in open {
            if asked.contains(&item.key) {
                item.is_covered = true;
            } else if (asked.len() as u64) < budget {
                item.is_covered = true;
                asked.insert(item.key.clone());
                keys.push(item.key.clone());
            }
        }
    }

    fn counted(&self, which: impl Fn(&Item) -> bool) -> u64 {
        let columns = self.columns.iter().flat_map(Column::items).map(|(_, item)| item);
        let pairs = self.pairs.values().flat_map(HashMap::values);
        columns.chain(pairs).filter(|item| which(item)).count() as u64
    }

    pub fn covered(&self) -> Covered {
        let mut missed = Vec::new();
        let mut miss = |columns: Vec<String>, what, count: usize| {
            if count > 0 {
                missed.push(Missed { columns, what, count: count as u64 });
            }
        };
        for column in &self.columns {
            for kind in [What::Values, What::Shapes, What::Extremes] {
                let count = column.items().filter(|(what, item)| *what == kind && !item.is_covered).count();
                miss(vec![column.name.clone()], kind, count);
            }
        }
        for ((one, other), pairs) in &self.pairs {
            let count = pairs.values().filter(|item| !item.is_covered).count();
            miss(vec![self.columns[*one].name.clone(), self.columns[*other].name.clone()], What::Pairs, count);
        }
        Covered {
            found: self.counted(|_| true),
            rare: self.counted(|item| item.rows < RARE),
            drawn: self.drawn.unwrap_or_default(),
            added: self.asked.len() as u64,
            missed,
        }
    }
}

impl Item {
    fn seen<K>(entry: std::collections::hash_map::Entry<'_, K, Item>, candidate: &Item) {
        entry.and_modify(|item| item.meet(candidate)).or_insert_with(|| candidate.clone());
    }

    fn meet(&mut self, candidate: &Item) {
        self.rows += 1;
        if candidate.order < self.order {
            self.order = candidate.order;
            self.key.clone_from(&candidate.key);
        }
    }
}

fn note(place: &mut Option<Item>, candidate: &Item) {
    match place {
        Some(item) => item.meet(candidate),
        None => *place = Some(candidate.clone()),
    }
}

/// Keeps what is further than what was there; `further`: how the new one has to compare.
fn keep<M: PartialOrd>(place: &mut Option<(M, Item)>, measure: M, candidate: &Item, further: std::cmp::Ordering) {
    match place {
        Some((kept, item)) => match measure.partial_cmp(kept) {
            Some(std::cmp::Ordering::Equal) => item.meet(candidate),
            Some(found) if found == further => *place = Some((measure, candidate.clone())),
            _ => {}
        },
        None => *place = Some((measure, candidate.clone())),
    }
}

impl Column {
    /// The number of the value in the short list, 0 for NULL; none where it is no list.
    fn look(&mut self, value: Option<&[u8]>, length: Option<u64>, candidate: &Item) -> Option<u16> {
        let Some(value) = value else {
            note(&mut self.null, candidate);
            return self.values.is_some().then_some(0);
        };
        if value.is_empty() {
            note(&mut self.empty, candidate);
        }
        if let Some(measure) = self.measure(value) {
            keep(&mut self.least, measure.clone(), candidate, std::cmp::Ordering::Less);
            keep(&mut self.greatest, measure, candidate, std::cmp::Ordering::Greater);
        }
        if let Some(length) = length {
            keep(&mut self.longest, length, candidate, std::cmp::Ordering::Greater);
        }
        if self.shapes.is_none() && self.values.is_none() {
            return None;
        }
        let seen = self.seen(value);
        if let Some(shapes) = &mut self.shapes {
            Item::seen(shapes.entry(shape(&seen)), candidate);
            if shapes.len() > SHAPES {
                self.shapes = None;
            }
        }
        let values = self.values.as_mut()?;
        let next = u16::try_from(values.len() + 1).expect("a short list");
        let (number, _) = values
            .entry(seen)
            .and_modify(|(_, item)| item.meet(candidate))
            .or_insert_with(|| (next, candidate.clone()));
        let number = *number;
        if values.len() > VALUES {
            self.values = None;
            return None;
        }
        Some(number)
    }

    fn cover(&mut self, value: Option<&[u8]>) -> Option<u16> {
        let Some(value) = value else {
            self.null.iter_mut().for_each(|item| item.is_covered = true);
            return Some(0);
        };
        if value.is_empty() {
            self.empty.iter_mut().for_each(|item| item.is_covered = true);
        }
        if let Some(measure) = self.measure(value) {
            for (extreme, item) in self.least.iter_mut().chain(&mut self.greatest) {
                item.is_covered |= *extreme == measure;
            }
        }
        if let Some((longest, item)) = &mut self.longest
            && !item.is_covered
        {
            // Of a padded type, a survey counts without what it is padded with.
            item.is_covered = String::from_utf8_lossy(value).trim_end_matches(' ').chars().count() as u64 >= *longest;
        }
        if self.shapes.is_none() && self.values.is_none() {
            return None;
        }
        let seen = self.seen(value);
        if let Some(item) = self.shapes.as_mut().and_then(|shapes| shapes.get_mut(&shape(&seen))) {
            item.is_covered = true;
        }
        let (number, item) = self.values.as_mut()?.get_mut(&seen)?;
        item.is_covered = true;
        Some(*number)
    }

    /// A value as a survey sees it; of a padded type, without what it is padded with.
    fn seen(&self, value: &[u8]) -> Vec<u8> {
        if !self.is_long || self.is_key {
            return value.to_vec();
        }
        let text = String::from_utf8_lossy(value);
        let end = text.char_indices().nth(CUT).map_or(text.len(), |(at, _)| at);
        text[..end].trim_end_matches(' ').as_bytes().to_vec()
    }

    fn measure(&self, value: &[u8]) -> Option<Measure> {
        let text = std::str::from_utf8(value).ok()?;
        match self.kind {
            Kind::Integer => text.parse().ok().map(Measure::Whole),
            Kind::Number | Kind::Float => {
                text.parse().ok().filter(|number: &f64| !number.is_nan()).map(Measure::Number)
            }
            Kind::Date | Kind::Timestamp => Some(Measure::Moment(text.find('-').unwrap_or(usize::MAX), value.to_vec())),
            Kind::Time => Some(Measure::Moment(0, value.to_vec())),
            _ => None,
        }
    }

    fn items(&self) -> impl Iterator<Item = (What, &Item)> {
        let values = self.values.iter().flat_map(HashMap::values).map(|(_, item)| item);
        let values = self.null.iter().chain(&self.empty).chain(values).map(|item| (What::Values, item));
        let shapes = self.shapes.iter().flat_map(HashMap::values).map(|item| (What::Shapes, item));
        let extremes = self.least.iter().chain(&self.greatest).map(|(_, item)| item);
        let extremes = extremes.chain(self.longest.iter().map(|(_, item)| item)).map(|item| (What::Extremes, item));
        values.chain(shapes).chain(extremes)
    }

    fn items_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        let values = self.values.iter_mut().flat_map(HashMap::values_mut).map(|(_, item)| item);
        let shapes = self.shapes.iter_mut().flat_map(HashMap::values_mut);
        let extremes = self.least.iter_mut().chain(&mut self.greatest).map(|(_, item)| item);
        let extremes = extremes.chain(self.longest.iter_mut().map(|(_, item)| item));
        self.null.iter_mut().chain(&mut self.empty).chain(values).chain(shapes).chain(extremes)
    }
}
