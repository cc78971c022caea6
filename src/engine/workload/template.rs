//! A workload's file as it was read: its statements in order, with places for values.

use std::path::Path;

use super::Lexeme;
use super::lexeme;
use super::part::{Part, State, part};
use crate::engine::release::Script;
use crate::engine::script::{ScriptProblem, Source};
use crate::engine::{EngineKind, postgres};
use crate::event::Place;
use crate::scenario::{NodeField, substitute};

const OPEN: &str = "${";

/// What `${node.NAME.FIELD}` stands for; none of a node that is not there.
pub type NodeNames<'n> = dyn Fn(&str, NodeField) -> Option<String> + 'n;

/// The statements of one iteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) engine: EngineKind,
    /// At least one.
    pub(super) statements: Vec<Statement>,
    /// Columns referred to, each once.
    pub(super) references: Vec<Reference>,
    /// What the last statement leaves behind.
    pub(super) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub place: Place,
    pub pieces: Vec<Piece>,
    pub part: Part,
    /// Whether a transaction is open once it is done.
    pub open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// The value of that reference.
    Value(usize),
}

/// A column as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// "orders", "billing.orders".
    pub table: String,
    pub column: String,
    /// Where it stands first.
    pub place: Place,
}

impl Template {
    /// Reads the file, whose includes are looked for in `folder`, the scenario's.
    ///
    /// # Errors
    /// Everything that is wrong with it; never nothing.
    pub fn read(
        engine: EngineKind,
        file: &Path,
        folder: &Path,
        nodes: &NodeNames<'_>,
    ) -> Result<Template, Vec<ScriptProblem>> {
        let opened = Script::open(engine, Source::File(file.to_owned()), folder).map_err(|problem| vec![problem])?;
        // What only reading can show, such as an include that is not there, without stopping at the first.
        let checked = opened.check();
        if !checked.problems.is_empty() {
            return Err(checked.problems);
        }
        let mut template = Template { engine, statements: Vec::new(), references: Vec::new(), state: State::BEGIN };
        let (mut problems, mut script) = (Vec::new(), opened);
        loop {
            match next(&mut script) {
                Ok(Some((text, place))) => {
                    if let Err(problem) = template.add(&text, place, nodes) {
                        problems.push(problem);
                    }
                }
                Ok(None) => break,
                Err(problem) => {
                    problems.push(problem);
                    break;
                }
            }
        }
        if problems.is_empty() && template.statements.is_empty() {
            let place = Place { file: Source::File(file.to_owned()).name(folder), line: 1 };
            problems.push(ScriptProblem::wrong(place, "a workload without a statement"));
        }
        if problems.is_empty() { Ok(template) } else { Err(problems) }
    }

    fn add(&mut self, text: &str, place: Place, nodes: &NodeNames<'_>) -> Result<(), ScriptProblem> {
        let mut unknown = None;
        let text = substitute(text, |node, field| {
            nodes(node, field).unwrap_or_else(|| {
                unknown.get_or_insert_with(|| node.to_owned());
                String::new()
            })
        });
        if let Some(node) = unknown {
            return Err(ScriptProblem::wrong(place, format!("no node is called \"{node}\"")));
        }
        let part = part(self.engine, &text, &place)?;
        let pieces = self.pieces(&text, &place)?;
        self.state = self.state.after(part);
        self.statements.push(Statement { place, pieces, part, open: self.state.open });
        Ok(())
    }

    /// The text, cut at its references.
    fn pieces(&mut self, text: &str, place: &Place) -> Result<Vec<Piece>, ScriptProblem> {
        let wrong = |what: String| ScriptProblem::wrong(place.clone(), what);
        let (mut pieces, mut done, mut from) = (Vec::new(), 0, 0);
        while let Some(start) = text[from..].find(OPEN).map(|at| from + at) {
            let end = text[start..].find('}').map(|at| start + at + 1);
            let named = end.and_then(|end| named(&text[start + OPEN.len()..end - 1]));
            let (lexeme, within) = match end {
                // As a word of the same length, it says what stands around it.
                Some(end) => lexeme::at(self.engine, &masked(text, start..end), start),
                None => lexeme::at(self.engine, text, start),
            };
            let shown = &text[start..end.unwrap_or(start + OPEN.len())];
            from = end.unwrap_or(start + OPEN.len());
            match (lexeme, named, end) {
                (Lexeme::Comment, ..) | (Lexeme::Quoted, None, _) => {}
                (Lexeme::Quoted, Some(_), _) => {
                    return Err(wrong(format!(
                        "{shown} stands in quotes, where its value would be quoted twice: leave them out"
                    )));
                }
                (_, None, _) | (_, _, None) => {
                    let forms = "${TABLE.COLUMN} or ${node.NODE.FIELD}, with a host, a port or a url for its field";
                    return Err(wrong(format!("{shown} is no reference: expected {forms}")));
                }
                (Lexeme::Word, Some((table, column)), Some(end)) if within == (start..end) => {
                    pieces.push(Piece::Text(text[done..start].to_owned()));
                    pieces.push(Piece::Value(self.reference(table, column, place)));
                    done = end;
                }
                _ => return Err(wrong(format!("{shown} stands against another word: put a space between them"))),
            }
        }
        pieces.push(Piece::Text(text[done..].to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(pieces)
    }

    fn reference(&mut self, table: &str, column: &str, place: &Place) -> usize {
        let is_it = |known: &Reference| known.table == table && known.column == column;
        self.references.iter().position(is_it).unwrap_or_else(|| {
            let (table, column) = (table.to_owned(), column.to_owned());
            self.references.push(Reference { table, column, place: place.clone() });
            self.references.len() - 1
        })
    }
}

/// A statement as it is sent.
fn next(script: &mut Script) -> Result<Option<(String, Place)>, ScriptProblem> {
    match script {
        Script::Postgres(script) => loop {
            match script.next(true)? {
                Some(postgres::psql::Next::Said(_)) => {}
                Some(postgres::psql::Next::Statement(statement)) if statement.gset.is_some() => {
                    let hint = "draw the value from a row, with ${TABLE.COLUMN}".to_owned();
                    return Err(ScriptProblem::Unsupported { place: statement.place, command: "\\gset".into(), hint });
                }
                Some(postgres::psql::Next::Statement(statement)) => return Ok(Some((statement.text, statement.place))),
                None => return Ok(None),
            }
        },
        Script::Mysql(script) => Ok(script.next(true)?.map(|statement| (statement.text, statement.place))),
    }
}

/// Table and column of what stands between the braces; none of what can be no reference.
fn named(inside: &str) -> Option<(&str, &str)> {
    let (table, column) = inside.split_once('.').and_then(|_| inside.rsplit_once('.'))?;
    let is_name = |name: &str| !name.is_empty() && name.trim() == name && !name.contains(['\n', '$', '{']);
    let is_node = table == "node" || table.starts_with("node.");
    (is_name(table) && is_name(column) && !is_node).then_some((table, column))
}

/// The text with a plain word in that place.
fn masked(text: &str, range: std::ops::Range<usize>) -> String {
    format!("{}{}{}", &text[..range.start], "r".repeat(range.len()), &text[range.end..])
}
