//! Which transformer each column gets: rules, foreign keys and domains put together, and checked against what the columns take.

use super::cycle::Master;
use super::transformer::{Holds, Transformer};
use super::{Column, ColumnMask, ColumnName, Equality, KEY_BYTES_MIN, Kind, MaskProblem, Table, number};
use crate::scenario::rules::{ColumnPattern, Glob, Mask, Of, Reference, Rules, Transform};

/// Index of a table and of a column in it.
type At = (usize, usize);

/// The masks of each table, in the tables' order; those by which dates move come before what masks the entity.
pub fn plan(rules: &Rules, key: &str, tables: &[Table]) -> Result<Vec<Vec<ColumnMask>>, Vec<MaskProblem>> {
    let mut plan = Plan { rules, tables, problems: Vec::new() };
    if key.len() < KEY_BYTES_MIN && rules.need_key() {
        plan.problems.push(MaskProblem::ShortKey);
    }
    plan.patterns_meet();
    let master = Master::new(key);
    let mut masks: Vec<Vec<ColumnMask>> = tables.iter().map(|_| Vec::new()).collect();
    for domain in domains(rules, tables) {
        plan.domain(&domain, &master, &mut masks);
    }
    for masks in &mut masks {
        masks.sort_by_key(|mask| (mask.entity.is_none(), mask.field));
    }
    if plan.problems.is_empty() { Ok(masks) } else { Err(plan.problems) }
}

/// Ranks of rules up to this one name a column exactly.
pub const EXACT: u8 = 1;

/// The rule for a column by itself: an exact column with its schema before one without, then one with `*`, then by name, then by type; of
/// the same sort, the first.
pub fn rule<'r>(rules: &'r Rules, table: &Table, column: &Column) -> Option<(u8, &'r Mask)> {
    let rank = |mask: &Mask| match &mask.of {
        Of::Columns(patterns) => patterns
            .iter()
            .filter(|pattern| pattern.matches(&table.schema, &table.name, &column.name))
            .map(|pattern| match (pattern.is_exact(), &pattern.table.schema) {
                (true, Some(_)) => 0,
                (true, None) => EXACT,
                (false, _) => 2,
            })
            .min(),
        Of::Names(names) => names.iter().any(|name| name.matches(&column.name)).then_some(3),
        Of::Types(types) => types.iter().any(|kind| kind.matches(&column.type_name)).then_some(4),
    };
    let met = rules.masks.iter().filter_map(|mask| Some((rank(mask)?, mask)));
    met.min_by_key(|(rank, _)| *rank)
}

/// Which transformers a kind of column has, by [`Kind::described`].
pub fn for_kind(described: &str) -> &'static str {
    match described {
        "whole numbers" | "exact numbers" => "take `integer`, `noise`, `fixed` or `null`",
        "floating-point numbers" => "take `noise`, `fixed` or `null`",
        "dates" | "timestamps" => "take `date`, `fixed` or `null`",
        "UUIDs" => "take `uuid`, `fixed` or `null`",
        "network addresses" => "take `ip`, `fixed` or `null`",
        "hardware addresses" => "take `mac`, `fixed` or `null`",
        "JSON" => "take `json`, `fixed` or `null`",
        _ => "take `fixed` or `null`",
    }
}

/// Columns that hold the same things, each at least itself: tied by foreign keys, references or `[[domain]]`. In the tables' order.
pub fn domains(rules: &Rules, tables: &[Table]) -> Vec<Vec<At>> {
    let starts: Vec<usize> = tables
        .iter()
        .scan(0, |next, table| {
            let start = *next;
            *next += table.columns.len();
            Some(start)
        })
        .collect();
    let all: Vec<At> = tables
        .iter()
        .enumerate()
        .flat_map(|(at, table)| (0..table.columns.len()).map(move |column| (at, column)))
        .collect();
    let mut roots: Vec<usize> = (0..all.len()).collect();
    let mut tie = |first: usize, second: usize| {
        let (first, second) = (root(&mut roots, first), root(&mut roots, second));
        // The smaller one, so that the order is that of the tables.
        roots[first.max(second)] = first.min(second);
    };
    let named = |name: &ColumnName| {
        all.iter().position(|(table, column)| {
            let table = &tables[*table];
            table.schema == name.schema && table.name == name.table && table.columns[*column].name == name.column
        })
    };
    for (at, (table, column)) in all.iter().enumerate() {
        for other in tables[*table].columns[*column].references.iter().filter_map(named) {
            tie(at, other);
        }
    }
    let mut tie_all = |patterns: &[&ColumnPattern]| {
        let met =
            patterns.iter().flat_map(|pattern| met(pattern, tables)).map(|(table, column)| starts[table] + column);
        let met: Vec<_> = met.collect();
        for pair in met.windows(2) {
            tie(pair[0], pair[1]);
        }
    };
    for reference in &rules.references {
        match reference {
            Reference::Plain { from, to, .. } => {
                for pair in from.iter().zip(to) {
                    tie_all(&[pair.0, pair.1]);
                }
            }
            Reference::Polymorphic { id, to, .. } => {
                for (_, to) in to {
                    tie_all(&[id, to]);
                }
            }
        }
    }
    for domain in &rules.domains {
        tie_all(&domain.columns.iter().collect::<Vec<_>>());
    }
    let mut domains: Vec<Vec<At>> = vec![Vec::new(); all.len()];
    for (at, column) in all.iter().enumerate() {
        domains[root(&mut roots, at)].push(*column);
    }
    domains.retain(|domain| !domain.is_empty());
    domains
}

fn root(roots: &mut [usize], mut at: usize) -> usize {
    while roots[at] != at {
        roots[at] = roots[roots[at]];
        at = roots[at];
    }
    at
}

/// The columns that a pattern meets.
fn met(pattern: &ColumnPattern, tables: &[Table]) -> Vec<At> {
    let columns = |(at, table): (usize, &Table)| {
        let met = |column: &Column| pattern.matches(&table.schema, &table.name, &column.name);
        let found: Vec<At> = table
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| met(column))
            .map(|(column, _)| (at, column))
            .collect();
        found
    };
    tables.iter().enumerate().flat_map(columns).collect()
}

struct Plan<'p> {
    rules: &'p Rules,
    tables: &'p [Table],
    problems: Vec<MaskProblem>,
}

impl Plan<'_> {
    /// What is misspelt would stay as it is.
    fn patterns_meet(&mut self) {
        let mut missing = Vec::new();
        let columns = || self.tables.iter().flat_map(|table| &table.columns);
        let mut columns_meet = |what, patterns: &[&ColumnPattern], line| {
            for pattern in patterns.iter().filter(|pattern| met(pattern, self.tables).is_empty()) {
                missing.push(MaskProblem::NoColumn { pattern: pattern.to_string(), what, line });
            }
        };
        for domain in &self.rules.domains {
            columns_meet("domain", &domain.columns.iter().collect::<Vec<_>>(), domain.line);
        }
        for reference in &self.rules.references {
            columns_meet("reference", &reference.columns(), reference.line());
        }
        for mask in &self.rules.masks {
            if let Of::Columns(patterns) = &mask.of {
                columns_meet("mask", &patterns.iter().collect::<Vec<_>>(), mask.line);
            }
        }
        for mask in &self.rules.masks {
            let none =
                |what, pattern: &Glob| MaskProblem::NothingMet { what, pattern: pattern.to_string(), line: mask.line };
            match &mask.of {
                Of::Columns(_) => {}
                Of::Names(names) => {
                    let missed = names.iter().filter(|name| !columns().any(|column| name.matches(&column.name)));
                    missing.extend(missed.map(|name| none("column is called", name)));
                }
                Of::Types(types) => {
                    let missed = types.iter().filter(|kind| !columns().any(|column| kind.matches(&column.type_name)));
                    missing.extend(missed.map(|kind| none("column has the type", kind)));
                }
            }
        }
        for sample in &self.rules.sample.tables {
            if !self.tables.iter().any(|table| sample.table.matches(&table.schema, &table.name)) {
                let (what, pattern) = ("table is called", sample.table.to_string());
                missing.push(MaskProblem::NothingMet { what, pattern, line: sample.line });
            }
        }
        self.problems.extend(missing);
    }

    fn column(&self, at: At) -> (&Table, &Column) {
        let table = &self.tables[at.0];
        (table, &table.columns[at.1])
    }

    fn name(&self, at: At) -> ColumnName {
        let (table, column) = self.column(at);
        ColumnName { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() }
    }

    fn domain(&mut self, domain: &[At], master: &Master, masks: &mut [Vec<ColumnMask>]) {
        let ruled: Vec<(At, &Mask)> = domain
            .iter()
            .filter_map(|at| {
                let (table, column) = self.column(*at);
                rule(self.rules, table, column).map(|(_, mask)| (*at, mask))
            })
            .collect();
        // NULL is for a column alone: nobody who refers to something can be made to refer to nothing by the other side.
        let (nulls, others): (Vec<_>, Vec<_>) = ruled.iter().partition(|(_, mask)| mask.transform == Transform::Null);
        let nulled: Vec<At> = nulls.iter().map(|(at, _)| *at).collect();
        for (at, mask) in nulls {
            self.add(at, mask, &[at], master, masks);
        }
        let Some((first, mask)) = others.first().copied() else { return };
        // Were one of them to decide, what is masked by a rule of its own could stay as it is.
        let apart = others.iter().find(|(_, other)| other.transform != mask.transform || other.locale != mask.locale);
        if let Some((second, other)) = apart {
            self.problems.push(MaskProblem::Apart {
                first: self.name(first),
                second: self.name(*second),
                first_line: mask.line,
                second_line: other.line,
            });
            return;
        }
        for at in domain.iter().filter(|at| !nulled.contains(at)) {
            self.add(*at, mask, domain, master, masks);
        }
    }

    fn add(&mut self, at: At, mask: &Mask, domain: &[At], master: &Master, masks: &mut [Vec<ColumnMask>]) {
        if !self.fits(at, mask, domain.len() > 1) {
            return;
        }
        let entity = match &mask.transform {
            Transform::Date { per: Some(per), .. } => {
                let table = &self.tables[at.0];
                let entity = table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(per));
                if entity.is_none() {
                    let table = format!("{}.{}", table.schema, table.name);
                    self.problems.push(MaskProblem::NoEntity { table, per: per.clone(), line: mask.line });
                }
                entity
            }
            _ => None,
        };
        let columns = || domain.iter().map(|at| self.column(*at).1);
        let of_domain = self.name(domain[0]).to_string();
        let holds = Holds {
            domain: &of_domain,
            kind: &self.column(at).1.kind,
            most: columns().filter_map(|column| column.length).min(),
            fold_accents: columns().any(|column| column.equality == Equality::Accents),
        };
        if let Some(transformer) = Transformer::of(&mask.transform, mask.locale, master, holds) {
            masks[at.0].push(ColumnMask { field: at.1, name: mask.transform.name(), entity, transformer });
        }
    }

    fn fits(&mut self, at: At, mask: &Mask, is_tied: bool) -> bool {
        let (_, column) = self.column(at);
        let (name, line, transformer) = (self.name(at), mask.line, mask.transform.name());
        let problem = if !takes(&column.kind, &mask.transform) {
            MaskProblem::NotForKind { column: name, kind: column.kind.described(), transformer, line }
        } else if mask.transform == Transform::Null && !column.nullable {
            MaskProblem::NotNullable { column: name, line }
        } else if !mask.transform.is_injective() && mask.transform != Transform::Null && (column.unique || is_tied) {
            let why = if column.unique { "has to be unique" } else { "is joined with others" };
            MaskProblem::NotUnique { column: name, why, transformer, line }
        } else if matches!(&mask.transform, Transform::Fixed(text) if !holds(column, text)) {
            MaskProblem::FixedRefused { column: name, line }
        } else {
            return true;
        };
        self.problems.push(problem);
        false
    }
}

/// Whether a transformer makes what a column of that kind holds.
fn takes(kind: &Kind, transform: &Transform) -> bool {
    match (kind, transform) {
        (_, Transform::Keep | Transform::Null | Transform::Fixed(_)) => true,
        (Kind::Array(kind), transform) => !matches!(transform, Transform::Json { .. }) && takes(kind, transform),
        // JSON in a column of text is masked as such.
        (Kind::Text, _) => true,
        (Kind::Integer { .. } | Kind::Numeric, Transform::Integer | Transform::Noise { .. }) => true,
        (Kind::Float, Transform::Noise { .. }) => true,
        (Kind::Date | Kind::Timestamp | Kind::UnixTimestamp, Transform::Date { .. }) => true,
        (Kind::Uuid, Transform::Uuid) => true,
        (Kind::Ip, Transform::Ip) => true,
        (Kind::Mac, Transform::Mac) => true,
        (Kind::Json, Transform::Json { .. }) => true,
        _ => false,
    }
}

/// Whether a column takes that very text.
fn holds(column: &Column, text: &str) -> bool {
    if column.length.is_some_and(|most| text.chars().count() > most) {
        return false;
    }
    match &column.kind {
        Kind::Integer { bytes, unsigned } => text.parse::<i128>().is_ok_and(|value| {
            let bits = 8 * u32::from(*bytes);
            let (least, most) = match unsigned {
                true => (0, (1_i128 << bits) - 1),
                false => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
            };
            (least..=most).contains(&value)
        }),
        Kind::Numeric | Kind::Float => text.parse::<f64>().is_ok(),
        Kind::Date | Kind::Timestamp | Kind::UnixTimestamp => number::is_date(text),
        Kind::Uuid => super::address::is_uuid(text),
        Kind::Ip => super::address::is_ip(text, None),
        Kind::Mac => super::address::is_mac(text),
        Kind::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        Kind::Enum(labels) => labels.iter().any(|label| label == text),
        _ => true,
    }
}
