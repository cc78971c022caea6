//! The rules of masking put to a database that is being captured: its columns and some of their values looked at, every row masked on its
//! way into a chunk.

use std::collections::BTreeMap;

use super::{CaptureError, RowTransform, Transform};
use crate::engine::capture::{self, ColumnShape, Database, Planned, Source, Table, TableName, TableShape};
use crate::scenario::rules::Rules;
use crate::snapshot::detect::{self, Sample, Samples};
use crate::snapshot::mask::{self, ColumnName, Equality, KEY_BYTES_MIN, Kind, Masker, TableMasker};
use crate::snapshot::rows::Field;
use crate::snapshot::store::StoredMask;

/// Rows of a table that are looked at, all its partitions together.
const ROWS: usize = 300;
/// Of one partition of many.
const ROWS_OF_PART: usize = 10;
/// Of each value.
const CHARACTERS: usize = 8192;

/// By what rows are masked.
pub struct Masking {
    pub rules: Rules,
    /// The masking key itself.
    pub key: String,
}

/// Why there is no masking key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the environment has no variable {name}, which holds the masking key")]
    Missing { name: String },
    #[error("the masking key in {name} has fewer than {KEY_BYTES_MIN} bytes")]
    Short { name: String },
    #[error("the masking key in {name} is no UTF-8")]
    NotText { name: String },
}

impl KeyError {
    pub fn hint(&self) -> String {
        let (KeyError::Missing { name } | KeyError::Short { name } | KeyError::NotText { name }) = self;
        format!(
            "export {name}=… with a long random text, as of `openssl rand -hex 32`, and keep it: the same key gives the same masked values"
        )
    }
}

impl Masking {
    /// With the key that the rules name; rules that mask nothing need none.
    ///
    /// # Errors
    /// It is not there, or too short.
    pub fn by(rules: Rules) -> Result<Masking, KeyError> {
        if !rules.need_key() {
            return Ok(Masking { rules, key: String::new() });
        }
        let name = rules.key_variable.clone();
        match std::env::var(&name) {
            Ok(key) if key.len() >= KEY_BYTES_MIN => Ok(Masking { rules, key }),
            Ok(_) => Err(KeyError::Short { name }),
            Err(std::env::VarError::NotPresent) => Err(KeyError::Missing { name }),
            Err(std::env::VarError::NotUnicode(_)) => Err(KeyError::NotText { name }),
        }
    }
}

/// The rules, ready for the tables of a database.
pub(super) struct Masked {
    masker: Masker,
    /// By its own name.
    places: BTreeMap<TableName, Place>,
}

/// Which table of the rules' a table is.
struct Place {
    whole: TableName,
    /// For each column there, the field here; none where they are the same.
    order: Option<Vec<usize>>,
}

impl Masked {
    /// Looks at what rules do not decide about; reads no more than a few hundred rows a table.
    ///
    /// # Errors
    /// The rules do not fit, or columns that may be personal are undecided: all of them.
    pub(super) async fn prepare(
        masking: &Masking,
        source: &Source,
        (database, planned): (&Database, &[Planned]),
    ) -> Result<Masked, CaptureError> {
        let shapes = source.shapes().await.map_err(capture::SourceError::from)?;
        let shapes: BTreeMap<TableName, &TableShape> = shapes.iter().map(|shape| (name_of(shape), shape)).collect();
        // A schema's name where a database has none, so that rules may say it.
        let schema = |schema: &str| if schema.is_empty() { database.name.clone() } else { schema.to_owned() };
        let (mut tables, mut places) = (Vec::<mask::Table>::new(), BTreeMap::new());
        for Planned { table, .. } in planned {
            let own = TableName { schema: table.schema.clone(), name: table.name.clone() };
            let shape = shapes.get(&own).copied();
            let whole = shape.map_or(&own, |shape| &shape.whole);
            let whole = TableName { schema: schema(&whole.schema), name: whole.name.clone() };
            let columns: Vec<mask::Column> =
                table.stored_columns().map(|column| to_mask(column, shape, &schema)).collect();
            let known = tables.iter_mut().find(|known| known.schema == whole.schema && known.name == whole.name);
            let (whole, order) = match known {
                Some(known) => match joined(known, &columns) {
                    Some(order) => (whole, order),
                    // Not all the columns of its like: a table of its own, lest one is passed over.
                    None => {
                        let whole = TableName { schema: schema(&own.schema), name: own.name.clone() };
                        tables.push(mask::Table { schema: whole.schema.clone(), name: whole.name.clone(), columns });
                        (whole, None)
                    }
                },
                None => {
                    tables.push(mask::Table { schema: whole.schema.clone(), name: whole.name.clone(), columns });
                    (whole, None)
                }
            };
            places.insert(own, Place { whole, order });
        }
        let masker = Masker::new(&masking.rules, &masking.key, &tables)?;
        let samples = samples(masking, source, planned, (&tables, &places)).await?;
        let undecided = detect::undecided(&tables, &masking.rules, &samples);
        if undecided.is_empty() {
            return Ok(Masked { masker, places });
        }
        let draft = detect::draft(&undecided, &masking.rules, &tables);
        Err(CaptureError::Undecided { columns: undecided, draft })
    }

    /// What is done to a table's columns.
    pub(super) fn told(&self, table: &Table) -> Vec<StoredMask> {
        let Some((masker, place)) = self.find(table) else { return Vec::new() };
        let columns: Vec<&capture::Column> = table.stored_columns().collect();
        let mut told: Vec<(usize, &'static str)> = masker
            .masked()
            .map(|(field, transformer)| (place.order.as_ref().map_or(field, |order| order[field]), transformer))
            .collect();
        told.sort_unstable();
        told.into_iter()
            .map(|(field, transformer)| StoredMask {
                column: columns[field].name.clone(),
                transformer: transformer.to_owned(),
            })
            .collect()
    }

    fn find(&self, table: &Table) -> Option<(TableMasker, &Place)> {
        let own = TableName { schema: table.schema.clone(), name: table.name.clone() };
        let place = self.places.get(&own)?;
        Some((self.masker.table(&place.whole.schema, &place.whole.name)?, place))
    }
}

impl Transform for Masked {
    fn of_table(&self, table: &Table) -> Option<Box<dyn RowTransform>> {
        let (masker, place) = self.find(table)?;
        // Where nothing is masked, rows go by untouched.
        masker.masked().next()?;
        let columns: Vec<&capture::Column> = table.stored_columns().collect();
        let order = place.order.clone();
        let of = |field: usize| order.as_ref().map_or(field, |order| order[field]);
        let hex = masker.masked().map(|(field, _)| of(field)).filter(|field| columns[*field].is_hex).collect();
        let mut looks_at = vec![false; columns.len()];
        masker.looks_at().for_each(|field| looks_at[of(field)] = true);
        Some(Box::new(MaskedRows { masker, looks_at, hex, order, sorted: Vec::new() }))
    }
}

struct MaskedRows {
    masker: TableMasker,
    looks_at: Vec<bool>,
    /// Masked fields that hold their bytes as hexadecimal digits.
    hex: Vec<usize>,
    order: Option<Vec<usize>>,
    sorted: Vec<Field>,
}

impl RowTransform for MaskedRows {
    fn row(&mut self, fields: &mut [Field]) -> Result<bool, String> {
        if fields.len() != self.looks_at.len() {
            return Err(format!("it has {} fields instead of {}", fields.len(), self.looks_at.len()));
        }
        match &self.order {
            None => self.masker.row(fields),
            Some(order) => {
                self.sorted.clear();
                self.sorted.extend(order.iter().map(|at| fields[*at].take()));
                self.masker.row(&mut self.sorted);
                for (at, field) in order.iter().zip(self.sorted.drain(..)) {
                    fields[*at] = field;
                }
            }
        }
        // What binary data become does not depend on them: it is another text, or nothing.
        for at in &self.hex {
            if let Some(field) = &mut fields[*at] {
                *field = field.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect();
            }
        }
        Ok(true)
    }

    fn looks_at(&self) -> &[bool] {
        &self.looks_at
    }
}

fn name_of(shape: &TableShape) -> TableName {
    TableName { schema: shape.schema.clone(), name: shape.name.clone() }
}

/// Adds another partition to a table. Gives where its columns are, unless they are in the same order; nothing where it stores others.
#[expect(clippy::option_option, reason = "no place, and no other place")]
fn joined(known: &mut mask::Table, columns: &[mask::Column]) -> Option<Option<Vec<usize>>> {
    let at = |column: &mask::Column| columns.iter().position(|other| other.name == column.name);
    let order: Vec<usize> = known.columns.iter().map(at).collect::<Option<_>>()?;
    if order.len() != columns.len() {
        return None;
    }
    for (column, at) in known.columns.iter_mut().zip(&order) {
        column.unique |= columns[*at].unique;
    }
    let is_same = order.iter().enumerate().all(|(here, there)| here == *there);
    Some((!is_same).then_some(order))
}

/// A column of which nothing more is known is one of a type into which nobody looks.
fn to_mask(column: &capture::Column, shape: Option<&TableShape>, schema: &dyn Fn(&str) -> String) -> mask::Column {
    let shape = shape.and_then(|shape| shape.columns.iter().find(|found| found.name == column.name));
    let kind = shape.map_or(Kind::Other, |shape| kind(column, shape));
    let references = shape.into_iter().flat_map(|shape| &shape.references).map(|(table, column)| ColumnName {
        schema: schema(&table.schema),
        table: table.name.clone(),
        column: column.clone(),
    });
    mask::Column {
        name: column.name.clone(),
        type_name: match shape {
            // What a type is called by its maker says nothing.
            Some(shape) if is_other(&kind) && shape.kind == capture::Kind::Composite => "composite".to_owned(),
            Some(shape) if is_other(&kind) => shape.base.clone(),
            _ => column.type_name.clone(),
        },
        kind,
        length: shape.and_then(|shape| shape.length),
        nullable: column.is_nullable,
        unique: shape.is_none_or(|shape| shape.is_unique),
        equality: match shape.is_some_and(|shape| shape.folds_accents) {
            true => Equality::Accents,
            false => Equality::Letters,
        },
        references: references.collect(),
    }
}

fn is_other(kind: &Kind) -> bool {
    match kind {
        Kind::Array(element) => is_other(element),
        kind => *kind == Kind::Other,
    }
}

fn kind(column: &capture::Column, shape: &ColumnShape) -> Kind {
    let base = shape.base.as_str();
    let element = match shape.kind {
        capture::Kind::Text => Kind::Text,
        capture::Kind::Integer => {
            let bytes = match base {
                "tinyint" => 1,
                "int2" | "smallint" => 2,
                "mediumint" => 3,
                "int8" | "bigint" => 8,
                "year" => return Kind::Other,
                _ => 4,
            };
            Kind::Integer { bytes, unsigned: base == "oid" || column.type_name.contains("unsigned") }
        }
        capture::Kind::Number if base != "money" => Kind::Numeric,
        capture::Kind::Float => Kind::Float,
        capture::Kind::Boolean => Kind::Boolean,
        capture::Kind::Date => Kind::Date,
        // MySQL's and MariaDB's; on Postgres such a column is of a kind that has more room.
        capture::Kind::Timestamp if column.type_name.starts_with("timestamp") && base == "timestamp" => {
            if column.type_name.contains("time zone") { Kind::Timestamp } else { Kind::UnixTimestamp }
        }
        capture::Kind::Timestamp => Kind::Timestamp,
        capture::Kind::Time => Kind::Time,
        capture::Kind::Uuid => Kind::Uuid,
        capture::Kind::Network if base.starts_with("macaddr") => Kind::Mac,
        // A network's bits behind its prefix have to be zeros.
        capture::Kind::Network if base != "cidr" => Kind::Ip,
        capture::Kind::Json => Kind::Json,
        capture::Kind::Binary => Kind::Bytes,
        capture::Kind::Enum => Kind::Enum(shape.labels.clone()),
        _ => Kind::Other,
    };
    if column.kind == capture::Kind::Array { Kind::Array(Box::new(element)) } else { element }
}

/// Values of the columns about which no rule decides.
async fn samples(
    masking: &Masking,
    source: &Source,
    planned: &[Planned],
    (tables, places): (&[mask::Table], &BTreeMap<TableName, Place>),
) -> Result<Samples, CaptureError> {
    let mut parts: BTreeMap<&TableName, usize> = BTreeMap::new();
    for place in places.values() {
        *parts.entry(&place.whole).or_default() += 1;
    }
    let mut samples = Samples::new();
    for one in planned {
        let own = TableName { schema: one.table.schema.clone(), name: one.table.name.clone() };
        let Some(Place { whole, .. }) = places.get(&own) else { continue };
        let Some(table) = tables.iter().find(|table| table.schema == whole.schema && table.name == whole.name) else {
            continue;
        };
        let open = |column: &&mask::Column| {
            let looked_into =
                matches!(column.kind, Kind::Array(_) | Kind::Text | Kind::Json | Kind::Integer { .. } | Kind::Numeric);
            looked_into && mask::rule(&masking.rules, table, column).is_none()
        };
        let columns: Vec<&mask::Column> = table.columns.iter().filter(open).collect();
        if columns.is_empty() {
            continue;
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let rows = (ROWS / parts.get(whole).copied().unwrap_or(1)).max(ROWS_OF_PART);
        let some = source.some_rows(one, &names, (rows, CHARACTERS)).await.map_err(capture::SourceError::from)?;
        for (at, column) in columns.iter().enumerate() {
            let name =
                ColumnName { schema: whole.schema.clone(), table: whole.name.clone(), column: column.name.clone() };
            let sample = samples.entry(name).or_insert_with(|| Sample { values: Vec::new(), whole: true });
            sample.whole &= some.is_whole;
            let values = some.rows.iter().filter_map(|row| row.get(at)?.clone());
            sample.values.extend(values.map(|value| seen(&column.kind, value)));
        }
    }
    Ok(samples)
}

/// JSON that was cut is one long text: what nobody saw the end of was not shown to be clean.
fn seen(kind: &Kind, value: String) -> String {
    if *kind == Kind::Json && serde_json::from_str::<serde::de::IgnoredAny>(&value).is_err() {
        return serde_json::Value::String(value).to_string();
    }
    value
}
