//! From the tables as read to [`Rules`] whose patterns, paths and expressions are right.
//!
//! Each function records what is wrong and goes on; `None` is given only where something was recorded.

use std::path::PathBuf;

use super::grammar::{
    AsForm, AsTable, ChildrenTable, MaskTable, OneOrMany, Plain, ReferenceTable, RestForm, RulesFile,
};
use super::grammar::{SampleTable, TableSampleTable};
use super::pattern::{ColumnPattern, Glob, JsonPath, TablePattern};
use super::{
    Children, Coverage, Domain, KEY_VARIABLE, Locale, Mask, Of, Piece, Reference, Rest, Rows, Rules, Sample,
    TableSample, Transform,
};
use crate::scenario::leaf::Text;
use crate::scenario::problem::{Mistake, Problems};
use crate::scenario::read::{Either, Found, List, Map};
use crate::scenario::tree::{At, Place};

const CHILDREN: Children = Children { depth: 1, most: 100 };
const COVERAGE_BUDGET: u64 = 200;
const SHIFT_DAYS: u32 = 365;
/// A century: further, no date means what it did.
const SHIFT_DAYS_MAX: u64 = 36_525;
const NOISE: f64 = 0.1;
const HASH_LENGTH: usize = 32;
/// Hexadecimal digits of 256 bits.
const HASH_LENGTH_MAX: u64 = 64;
const COLUMN_FORM: &str = "\"table.column\" or \"schema.table.column\"";

pub(super) fn rules(raw: RulesFile, file: PathBuf, problems: &mut Problems) -> Rules {
    let locale = raw.locale.map_or(Locale::default(), |word| word.value.0);
    let mut check = Check { problems };
    Rules {
        file,
        locale,
        key_variable: raw.key.map_or_else(|| KEY_VARIABLE.to_owned(), |key| key.value.0),
        sample: check.sample(raw.sample.map(|table| table.value)),
        references: check.all(raw.reference, Check::reference),
        coverage: Coverage {
            on: raw.coverage.as_ref().and_then(|table| table.value.on.as_ref()).is_none_or(|on| on.value),
            budget: raw.coverage.and_then(|table| table.value.budget).map_or(COVERAGE_BUDGET, |count| count.value.0),
        },
        masks: check.masks(raw.mask, locale),
        domains: check.all(raw.domain, |check, table, at| {
            let columns = table.columns?;
            let patterns: Vec<_> = columns.value.iter().filter_map(|column| check.column(column)).collect();
            if columns.value.len() < 2 && patterns.iter().all(ColumnPattern::is_exact) {
                check.wrong(at, "one column", "at least two columns, or a pattern with `*`");
                return None;
            }
            let line = check.problems.line(at);
            Some(Domain { columns: patterns, line })
        }),
    }
}

struct Check<'p> {
    problems: &'p mut Problems,
}

impl Check<'_> {
    fn wrong(&mut self, at: Place, found: impl Into<String>, form: impl Into<String>) {
        self.problems.raise(at, Mistake::WrongForm { found: found.into(), form: form.into(), hint: None });
    }

    fn clash(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.raise(at, Mistake::Clash { message: message.into(), hint: Some(hint.into()) });
    }

    fn all<T, R>(
        &mut self,
        list: Option<At<List<T>>>,
        mut one: impl FnMut(&mut Self, T, Place) -> Option<R>,
    ) -> Vec<R> {
        let tables = list.map(|list| list.value).unwrap_or_default();
        tables.into_iter().filter_map(|table| one(self, table.value, table.at)).collect()
    }

    fn sample(&mut self, table: Option<SampleTable>) -> Sample {
        let Some(table) = table else {
            return Sample { rows: Rows::All, seed: 0, children: CHILDREN, tables: Vec::new() };
        };
        let rows = table.rows.map_or(Rows::All, |rows| rows.value.0);
        let children = children(table.children, CHILDREN);
        let tables = table.tables.map(|map| map.value.0).unwrap_or_default();
        let tables = tables.into_iter().filter_map(|(name, sample)| {
            let Some(pattern) = TablePattern::parse(&name.value) else {
                let found = format!("\"{}\"", name.value);
                self.wrong(name.at, found, "\"table\" or \"schema.table\"");
                return None;
            };
            let line = self.problems.line(name.at);
            let sample = match sample.value {
                // A list of countries does not bring everybody in them.
                Either::A(only) if only.0 == Rows::All => {
                    TableSample { table: pattern, rows: Rows::All, children: Children { depth: 0, ..children }, line }
                }
                Either::A(only) => TableSample { table: pattern, rows: only.0, children, line },
                Either::B(TableSampleTable { rows: own, children: down, .. }) => TableSample {
                    table: pattern,
                    rows: own.map_or(rows, |rows| rows.value.0),
                    children: self::children(down, children),
                    line,
                },
            };
            Some(sample)
        });
        let tables = tables.collect();
        Sample { rows, seed: table.seed.map_or(0, |seed| seed.value.0), children, tables }
    }

    fn reference(&mut self, table: ReferenceTable, at: Place) -> Option<Reference> {
        let to = table.to?;
        match (table.from, table.r#type, table.id, to.value) {
            (Some(from), None, None, Either::A(to_one)) => {
                let to = At { value: Either::A(to_one), at: to.at };
                self.plain(from, to, at)
            }
            (Some(from), None, None, Either::B(Either::A(to_many))) => {
                let to = At { value: Either::B(to_many), at: to.at };
                self.plain(from, to, at)
            }
            (None, Some(kind), Some(id), Either::B(Either::B(to))) => self.polymorphic((&kind, &id), to, at),
            _ => {
                self.clash(
                    at,
                    "neither a plain reference nor a polymorphic one",
                    "give `from` and `to`, or `type`, `id` and `to` with one column for each value of the type",
                );
                None
            }
        }
    }

    fn plain(&mut self, from: At<OneOrMany>, to: At<OneOrMany>, at: Place) -> Option<Reference> {
        let (from, to) = (self.exact(from), self.exact(to));
        let (from, to) = (from?, to?);
        if from.len() != to.len() {
            let message = format!("{} columns refer to {}", from.len(), to.len());
            self.clash(at, message, "give as many columns in `from` as in `to`, in the same order");
            return None;
        }
        for side in [&from, &to] {
            if side.windows(2).any(|pair| pair[0].table != pair[1].table) {
                self.clash(at, "the columns are of several tables", "a reference leads from one table to one table");
                return None;
            }
        }
        Some(Reference::Plain { from, to, line: self.problems.line(at) })
    }

    fn polymorphic(&mut self, (kind, id): (&At<Text>, &At<Text>), to: Map<Text>, at: Place) -> Option<Reference> {
        let columns = (self.exact_column(kind), self.exact_column(id));
        let to: Vec<_> = to.0.iter().map(|(value, to)| Some((value.value.clone(), self.exact_column(to)?))).collect();
        let (kind, id_pattern) = (columns.0?, columns.1?);
        if kind.table != id_pattern.table {
            self.clash(id.at, "`type` and `id` are of two tables", "both stand in the row that refers");
            return None;
        }
        Some(Reference::Polymorphic {
            kind,
            id: id_pattern,
            to: to.into_iter().collect::<Option<_>>()?,
            line: self.problems.line(at),
        })
    }

    fn exact(&mut self, columns: At<OneOrMany>) -> Option<Vec<ColumnPattern>> {
        let columns = self.texts(columns)?;
        let found: Vec<_> = columns.iter().map(|column| self.exact_column(column)).collect();
        found.into_iter().collect()
    }

    fn exact_column(&mut self, column: &At<Text>) -> Option<ColumnPattern> {
        let pattern = self.column(column)?;
        if !pattern.is_exact() {
            self.wrong(column.at, format!("\"{}\"", column.value.0), format!("{COLUMN_FORM}, without `*`"));
            return None;
        }
        Some(pattern)
    }

    fn column(&mut self, column: &At<Text>) -> Option<ColumnPattern> {
        let pattern = ColumnPattern::parse(&column.value.0);
        if pattern.is_none() {
            self.wrong(column.at, format!("\"{}\"", column.value.0), COLUMN_FORM);
        }
        pattern
    }

    /// At least one.
    fn texts(&mut self, words: At<OneOrMany>) -> Option<List<Text>> {
        match words.value {
            Either::A(word) => Some(vec![At { value: word, at: words.at }]),
            Either::B(list) if list.is_empty() => {
                self.wrong(words.at, "an empty list", "at least one");
                None
            }
            Either::B(list) => Some(list),
        }
    }

    fn masks(&mut self, list: Option<At<List<MaskTable>>>, locale: Locale) -> Vec<Mask> {
        let mut lines: Vec<(String, usize)> = Vec::new();
        self.all(list, |check, table, at| {
            let MaskTable { column, name, r#type, r#as, reason, locale: own, .. } = table;
            let of = match (column, name, r#type) {
                (Some(column), None, None) => check.columns(column, &mut lines).map(Of::Columns),
                (None, Some(name), None) => check.globs(name).map(Of::Names),
                (None, None, Some(kind)) => check.globs(kind).map(Of::Types),
                _ => {
                    let message = "a mask says which columns by one of `column`, `name` and `type`";
                    check.clash(at, message, "make a mask of each");
                    None
                }
            };
            let r#as = r#as?;
            let transform = check.transform(r#as.value, r#as.at)?;
            if transform.keeps() && reason.is_none() {
                let message = "values stay as they are, and nobody says why";
                check.clash(r#as.at, message, "add `reason`, as in reason = \"published anyway\"");
            }
            Some(Mask {
                of: of?,
                transform,
                reason: reason.map(|reason| reason.value.0),
                locale: own.map_or(locale, |word| word.value.0),
                line: check.problems.line(at),
            })
        })
    }

    fn columns(&mut self, columns: At<OneOrMany>, lines: &mut Vec<(String, usize)>) -> Option<Vec<ColumnPattern>> {
        let columns = self.texts(columns)?;
        let mut patterns = Vec::new();
        for column in &columns {
            let pattern = self.column(column)?;
            let name = pattern.to_string();
            match lines.iter().find(|(other, _)| *other == name) {
                Some((_, first)) => {
                    let message = format!("\"{name}\" is masked already, on line {first}");
                    self.clash(column.at, message, "one mask for a column: leave one of them out");
                }
                None => lines.push((name, self.problems.line(column.at))),
            }
            patterns.push(pattern);
        }
        Some(patterns)
    }

    fn globs(&mut self, words: At<OneOrMany>) -> Option<Vec<Glob>> {
        Some(self.texts(words)?.iter().map(|word| Glob::new(&word.value.0)).collect())
    }

    fn transform(&mut self, form: AsForm, at: Place) -> Option<Transform> {
        let table = match form {
            Either::A(word) => return Some(plain(word.0)),
            Either::B(table) => *table,
        };
        if table.found().len() != 1 {
            let found: Vec<_> = table.found().iter().map(|key| format!("`{}`", key.value)).collect();
            let found = if found.is_empty() { "no transformer".to_owned() } else { found.join(", ") };
            self.wrong(at, found, "a table with one transformer");
            return None;
        }
        self.with_parameters(table)
    }

    fn with_parameters(&mut self, table: AsTable) -> Option<Transform> {
        if let Some(fixed) = table.fixed {
            return Some(Transform::Fixed(fixed.value.0));
        }
        if let Some(format) = table.format {
            let count = |count: Option<At<crate::scenario::leaf::Count<0>>>| {
                count.map_or(0, |count| usize::try_from(count.value.0).unwrap_or(usize::MAX))
            };
            let format = format.value;
            return Some(Transform::Format {
                keep_first: count(format.keep_first),
                keep_last: count(format.keep_last),
            });
        }
        if let Some(date) = table.date {
            let days = match date.value.days {
                None => SHIFT_DAYS,
                Some(days) if days.value.0 > SHIFT_DAYS_MAX => {
                    self.wrong(days.at, days.value.0.to_string(), format!("a whole number from 1 to {SHIFT_DAYS_MAX}"));
                    return None;
                }
                Some(days) => u32::try_from(days.value.0).expect("below SHIFT_DAYS_MAX"),
            };
            let together = date.value.together.as_ref().is_some_and(|together| together.value);
            if let (true, Some(per)) = (together, &date.value.per) {
                let message = "dates are moved by `per`, or all `together`";
                self.clash(per.at, message, "leave one of them out");
                return None;
            }
            return Some(Transform::Date { days, per: date.value.per.map(|per| per.value.0), together });
        }
        if let Some(noise) = table.noise {
            return Some(Transform::Noise { share: noise.value.share?.value.0 });
        }
        if let Some(hash) = table.hash {
            let length = hash.value.length?;
            if length.value.0 > HASH_LENGTH_MAX {
                let form = format!("a whole number from 1 to {HASH_LENGTH_MAX}");
                self.wrong(length.at, length.value.0.to_string(), form);
                return None;
            }
            return Some(Transform::Hash { length: usize::try_from(length.value.0).expect("below HASH_LENGTH_MAX") });
        }
        if let Some(regex) = table.regex {
            let (find, replace) = (regex.value.find?, regex.value.replace?);
            if let Err(error) = regex::Regex::new(&find.value.0) {
                let last = error.to_string();
                let why = last.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                self.wrong(find.at, format!("\"{}\": {why}", find.value.0), "a regular expression");
                return None;
            }
            return Some(Transform::Regex { find: find.value.0, replace: replace.value.0 });
        }
        if let Some(template) = table.template {
            return self.template(&template.value.0, template.at);
        }
        let json = table.json?.value;
        let paths = json.paths.map(|paths| paths.value.0).unwrap_or_default();
        let paths: Vec<_> = paths.into_iter().map(|(path, form)| self.json_path(&path, form)).collect();
        let rest = json.rest.map_or(Rest::Format, |word| match word.value.0 {
            RestForm::Format => Rest::Format,
            RestForm::Null => Rest::Null,
            RestForm::Keep => Rest::Keep,
        });
        Some(Transform::Json { paths: paths.into_iter().collect::<Option<_>>()?, rest })
    }

    fn json_path(&mut self, path: &At<String>, form: At<AsForm>) -> Option<(JsonPath, Transform)> {
        let transform = self.transform(form.value, form.at)?;
        let Some(steps) = JsonPath::parse(&path.value) else {
            let form = "a path such as \"user.email\", \"items[*].name\" or \"**.email\"";
            self.wrong(path.at, format!("\"{}\"", path.value), form);
            return None;
        };
        if matches!(&transform, Transform::Date { per: Some(_), .. } | Transform::Json { .. }) {
            let message = format!("`{}` cannot stand within JSON in this form", transform.name());
            self.clash(form.at, message, "a value in JSON has no columns beside it, and its own paths lead into it");
            return None;
        }
        Some((steps, transform))
    }

    fn template(&mut self, text: &str, at: Place) -> Option<Transform> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            pieces.push(Piece::Literal(before.to_owned()));
            let Some((name, after)) = after.split_once('}') else {
                self.wrong(at, format!("\"{text}\""), "text in which each `${` is closed by `}`");
                return None;
            };
            let words = <Plain as crate::scenario::leaf::Words>::words();
            let Some((_, word)) = words.iter().find(|(word, _)| *word == name) else {
                let known = words.iter().map(|(word, _)| (*word).to_owned()).collect();
                self.problems.raise(at, Mistake::UnknownName { what: "transformer", name: name.to_owned(), known });
                return None;
            };
            if matches!(word, Plain::Keep | Plain::Null | Plain::Json) {
                self.wrong(at, format!("`{name}`"), "a transformer that makes a text");
                return None;
            }
            pieces.push(Piece::Of(plain(*word)));
            rest = after;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
        Some(Transform::Template(pieces))
    }
}

fn children(table: Option<At<ChildrenTable>>, otherwise: Children) -> Children {
    let Some(At { value: table, .. }) = table else { return otherwise };
    Children {
        depth: table.depth.map_or(otherwise.depth, |count| count.value.0),
        most: table.most.map_or(otherwise.most, |count| count.value.0),
    }
}

/// The transformer with its usual parameters.
fn plain(word: Plain) -> Transform {
    match word {
        Plain::Keep => Transform::Keep,
        Plain::Null => Transform::Null,
        Plain::Format => Transform::Format { keep_first: 0, keep_last: 0 },
        Plain::Email => Transform::Email,
        Plain::Phone => Transform::Phone,
        Plain::FirstName => Transform::FirstName,
        Plain::LastName => Transform::LastName,
        Plain::Name => Transform::Name,
        Plain::Street => Transform::Street,
        Plain::City => Transform::City,
        Plain::Postcode => Transform::Postcode,
        Plain::Company => Transform::Company,
        Plain::Card => Transform::Card,
        Plain::Iban => Transform::Iban,
        Plain::Date => Transform::Date { days: SHIFT_DAYS, per: None, together: false },
        Plain::Integer => Transform::Integer,
        Plain::Noise => Transform::Noise { share: NOISE },
        Plain::Ip => Transform::Ip,
        Plain::Mac => Transform::Mac,
        Plain::Uuid => Transform::Uuid,
        Plain::Url => Transform::Url,
        Plain::UserAgent => Transform::UserAgent,
        Plain::Text => Transform::Text,
        Plain::Hash => Transform::Hash { length: HASH_LENGTH },
        Plain::Json => Transform::Json { paths: Vec::new(), rest: Rest::Format },
    }
}
