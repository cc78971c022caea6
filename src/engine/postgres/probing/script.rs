//! One probe's operation: what it sends each time, made anew, and how it is run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

use super::follow::made_since;
use super::session::{Failure, FailureKind, Session};
use super::shape::{Identity, Table};
use super::sql::Sql;
use super::values::Style;

/// Ends every write: deferred constraints are checked as a commit would, and nothing stays.
const CHECKED_AND_UNDONE: &str = "; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK";

/// SQLSTATE of a check constraint's refusal, and of a row without a partition.
const CHECK: &str = "23514";

/// How many other rows are tried when one was refused for what it holds.
pub(super) const OTHER_ROWS: usize = 16;

/// When an operation is done, which says what is to blame where a row is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the plan: the row. Timed by the server's clock.
    Alone,
    /// From the plan's beginning on: a row that was taken before is as good as what an application writes.
    Release,
}

/// Values by column; `None` is NULL.
pub(super) type Values = Vec<Option<String>>;

/// A way to insert a row into a table.
#[derive(Debug, Clone)]
pub(super) struct Insert {
    /// Columns named.
    pub columns: Vec<usize>,
    /// Those of them whose value must be new.
    pub fresh: Vec<usize>,
    pub style: Style,
    /// Rows whose values are copied.
    pub rows: Arc<Vec<Values>>,
    /// The row itself exists: it is deleted first, in the same transaction.
    pub replaces: bool,
}

/// The row that an update or a delete is done on.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// One that exists, by its key.
    Existing(Arc<Vec<Values>>),
    /// One inserted before in the same transaction.
    Inserted(Insert),
}

#[derive(Debug, Clone)]
pub(super) enum Operate {
    /// By key, or any row where there is no key to read by.
    Read {
        columns: Vec<usize>,
        rows: Option<Arc<Vec<Values>>>,
    },
    Insert(Insert),
    Update {
        column: usize,
        target: Target,
    },
    Delete(Target),
    /// Somebody's own statements.
    Custom {
        sql: String,
        commit: bool,
    },
}

/// A probe's operation, ready to be run again and again.
#[derive(Debug)]
pub struct Script {
    /// None for custom statements.
    pub(super) table: Option<Arc<Table>>,
    pub(super) operate: Operate,
    /// Positions of the rows in use.
    pub(super) rows: Vec<usize>,
    /// Those that the server took at least once.
    pub(super) taken: BTreeSet<usize>,
    /// What the release has refused, though it was taken before: tried until it is taken again, so that one row of many that fails is a
    /// failure for as long as it lasts.
    pub(super) again: Option<(usize, Option<usize>)>,
    /// It was done in the plan already.
    released: bool,
    rng: SmallRng,
}

impl Script {
    pub(super) fn new(table: &Arc<Table>, operate: Operate) -> Script {
        let count = match &operate {
            Operate::Read { rows, .. } => rows.as_ref().map_or(0, |rows| rows.len()),
            Operate::Insert(insert) => insert.rows.len(),
            Operate::Update { target, .. } | Operate::Delete(target) => target.rows().len(),
            Operate::Custom { .. } => 0,
        };
        Script::of(Some(Arc::clone(table)), operate, (0..count).collect(), rand::make_rng())
    }

    /// Statements of the scenario's own, in a transaction that is rolled back unless `commit`.
    pub fn custom(sql: &str, commit: bool) -> Script {
        let operate = Operate::Custom { sql: sql.to_owned(), commit };
        Script::of(None, operate, Vec::new(), SmallRng::seed_from_u64(0))
    }

    fn of(table: Option<Arc<Table>>, operate: Operate, rows: Vec<usize>, rng: SmallRng) -> Script {
        Script { table, operate, rows, taken: BTreeSet::new(), again: None, released: false, rng }
    }

    /// Sequence values that one operation uses up for good, and how many there are: none where none are drawn.
    pub fn burns(&self) -> Option<Burns> {
        let (insert, times) = match &self.operate {
            Operate::Insert(insert) => (insert, if self.twice(insert) { 2 } else { 1 }),
            Operate::Update { target: Target::Inserted(insert), .. } | Operate::Delete(Target::Inserted(insert)) => {
                (insert, 1)
            }
            _ => return None,
        };
        let drawn = self.table().columns.iter().enumerate().filter(|(nth, _)| !insert.columns.contains(nth));
        let left = drawn.filter_map(|(_, column)| column.sequence).map(|sequence| sequence.left).min()?;
        Some(Burns { each: times, left })
    }

    /// What is sent, with `$1` for values.
    pub fn shown(&mut self) -> String {
        let row = self.rows.first().copied().unwrap_or(0);
        let second = match &self.operate {
            Operate::Insert(insert) if self.twice(insert) => Some(row),
            _ => None,
        };
        let mut sql = self.first(Sql::to_show(), row, second);
        if let Operate::Update { target: Target::Inserted(_), .. } | Operate::Delete(Target::Inserted(_)) = self.operate
        {
            let key = vec![None; self.key().len()];
            sql.push("; ");
            sql = self.second(sql, &key, row);
        }
        sql.finish()
    }

    /// Does the operation once. A row that is refused for what it holds (its parent is gone, say) is not used again while there are others.
    /// Returns how long the server was at it, before the plan.
    ///
    /// # Errors
    /// What the server said, when no row was taken, or a row that was taken before breaks what the release has made.
    pub async fn run(&mut self, session: &Session, stage: Stage) -> Result<Option<Duration>, Failure> {
        if stage == Stage::Release && !std::mem::replace(&mut self.released, true) {
            self.keep_to_taken();
        }
        let (row, second) = self.again.unwrap_or_else(|| self.pick(stage));
        let failure = match self.once(session, row, second, stage == Stage::Alone).await {
            Ok(took) => {
                self.again = None;
                self.taken.extend([Some(row), second].into_iter().flatten());
                return Ok(took);
            }
            Err(failure) => failure,
        };
        if stage == Stage::Release
            && let Some(followed) = self.follow(session, &failure, row).await
        {
            return followed.map(|()| None);
        }
        if !self.is_about_values(session, &failure, (row, second), stage).await {
            self.insist(&failure, (row, second), stage);
            return Err(failure);
        }
        if self.rows.len() > 1 || self.is_a_collision(&failure, row) {
            self.try_others(session, (row, second), failure, stage).await
        } else {
            Err(failure)
        }
    }

    /// In the plan, a refused row must not pass for one that never was any good.
    fn keep_to_taken(&mut self) {
        if self.writes() && self.rows.iter().any(|row| self.taken.contains(row)) {
            let taken = &self.taken;
            self.rows.retain(|row| taken.contains(row));
        }
    }

    fn insist(&mut self, failure: &Failure, on: (usize, Option<usize>), stage: Stage) {
        let about_the_row = failure.error.code.starts_with("22") || failure.error.code.starts_with("23");
        if stage == Stage::Release && failure.kind == FailureKind::Refused && about_the_row {
            self.again = Some(on);
        }
    }

    /// The rows that were refused one by one, then others, until one is taken. Those that were not are used no more, while there are others.
    async fn try_others(
        &mut self,
        session: &Session,
        (row, second): (usize, Option<usize>),
        failure: Failure,
        stage: Stage,
    ) -> Result<Option<Duration>, Failure> {
        let to_blame = second.is_none() && !self.is_a_collision(&failure, row);
        let mut refused: Vec<usize> = if to_blame { vec![row] } else { Vec::new() };
        let drawn = index::sample(&mut self.rng, self.rows.len(), OTHER_ROWS.min(self.rows.len()));
        let others: Vec<usize> = drawn.into_iter().map(|nth| self.rows[nth]).collect();
        // Again those whose new value had bad luck, where there are few.
        for row in second.into_iter().chain([row]).chain(others.into_iter().cycle().take(OTHER_ROWS)) {
            if refused.contains(&row) {
                continue;
            }
            match self.once(session, row, None, stage == Stage::Alone).await {
                Ok(took) => {
                    self.again = None;
                    self.taken.insert(row);
                    self.rows.retain(|each| !refused.contains(each));
                    return Ok(took);
                }
                Err(other) if self.is_about_values(session, &other, (row, None), stage).await => {
                    if !self.is_a_collision(&other, row) {
                        refused.push(row);
                    }
                }
                Err(other) if stage == Stage::Release && other.error.code == CHECK => {
                    self.insist(&other, (row, None), stage);
                    return Err(other);
                }
                // What stands in the way of every row says more than what one of them held: a release may have come in between.
                Err(other) => return Err(other),
            }
        }
        // The next operation need not try them again.
        if self.rows.iter().any(|row| !refused.contains(row)) {
            self.rows.retain(|each| !refused.contains(each));
        }
        Err(failure)
    }

    /// Whether it was the new value's bad luck, not the row's fault: where there are few values, such as codes of two letters, many are
    /// taken.
    fn is_a_collision(&self, failure: &Failure, row: usize) -> bool {
        self.may_collide(failure, row) && (self.taken.contains(&row) || self.rows.len() == 1)
    }

    /// Whether another new value may be taken where this one was refused.
    pub(super) fn may_collide(&self, failure: &Failure, row: usize) -> bool {
        let makes_few = |insert: &Insert| {
            insert.fresh.iter().any(|&column| {
                let sample = insert.rows[row][column].as_deref().unwrap_or_default();
                self.table().columns[column].kind.has_few(sample, insert.style)
            })
        };
        failure.error.code == "23505" && self.insert_of().is_some_and(makes_few)
    }

    /// Refused for what the row holds, which need not hold for what an application would write: foreign key, unique, check and
    /// exclusion constraints. A missing value (23502) is about the statement.
    async fn is_about_values(
        &self,
        session: &Session,
        failure: &Failure,
        (row, second): (usize, Option<usize>),
        stage: Stage,
    ) -> bool {
        let alone = stage == Stage::Alone;
        let was_taken = self.taken.contains(&row) && second.is_none_or(|second| self.taken.contains(&second));
        match failure.error.code.as_str() {
            _ if failure.kind != FailureKind::Refused => false,
            "23503" | "23505" | "23P01" => true,
            CHECK => alone || !was_taken || !self.breaks_the_new(session, failure).await,
            // A trigger's own word.
            "P0001" => alone,
            _ => false,
        }
    }

    /// Whether a row that was taken is refused by what was not there then. Values made up each time may break what always was.
    async fn breaks_the_new(&self, session: &Session, failure: &Failure) -> bool {
        // Without a constraint's name, it is a row for which there is no partition any more.
        let (Some(constraint), Some(table)) = (&failure.error.constraint, &self.table) else { return false };
        let makes_values = self.insert_of().is_some_and(|insert| !insert.fresh.is_empty());
        !makes_values || made_since(session, constraint, &table.checks).await
    }

    /// Does the operation once, on that row.
    pub(super) async fn once(
        &mut self,
        session: &Session,
        row: usize,
        second: Option<usize>,
        timed: bool,
    ) -> Result<Option<Duration>, Failure> {
        let message = self.first(Sql::to_send(), row, second).finish();
        let (mut rows, mut took) = send(session, &message, timed).await?;
        if let Operate::Update { target: Target::Inserted(_), .. } | Operate::Delete(Target::Inserted(_)) = self.operate
        {
            // A trigger or a policy may have kept the row out: then there is nothing to do it on, and the transaction must end.
            let key = rows.pop().unwrap_or_else(|| vec![None; self.key().len()]);
            let message = self.second(Sql::to_send(), &key, row).finish();
            let (_, more) = send(session, &message, timed).await?;
            took = took.zip(more).map(|(took, more)| took + more);
        }
        Ok(took)
    }

    /// At random; before the plan those first that were not taken yet, for only they can be told from what the release breaks.
    fn pick(&mut self, stage: Stage) -> (usize, Option<usize>) {
        if self.rows.is_empty() {
            return (0, None);
        }
        let untried = match stage {
            Stage::Alone if self.writes() => self.rows.iter().position(|row| !self.taken.contains(row)),
            _ => None,
        };
        let nth = untried.unwrap_or_else(|| self.rng.random_range(0..self.rows.len()));
        let row = self.rows[nth];
        let twice = matches!(&self.operate, Operate::Insert(insert) if self.twice(insert));
        // The neighbour: another row wherever there is one.
        (row, twice.then(|| self.rows[(nth + 1) % self.rows.len()]))
    }

    /// Two inserts in one transaction show what one does not: a key that is no longer given out. The same row twice would only show
    /// that it is the same, so its values must be new each time, or there must be two rows.
    fn twice(&self, insert: &Insert) -> bool {
        !insert.replaces && (self.rows.len() > 1 || self.is_new_each_time(insert))
    }

    fn is_new_each_time(&self, insert: &Insert) -> bool {
        self.table().unique.iter().all(|unique| {
            unique.columns.iter().any(|column| {
                insert.fresh.contains(column)
                    || (!insert.columns.contains(column) && self.table().columns[*column].gives_itself())
            })
        })
    }

    /// All of the operation, or all up to the key of the row that was inserted for it.
    fn first(&mut self, mut sql: Sql, row: usize, second: Option<usize>) -> Sql {
        // Taken out and put back, so that the generator can be borrowed beside it.
        let operate = std::mem::replace(&mut self.operate, Operate::Custom { sql: String::new(), commit: false });
        match &operate {
            Operate::Read { columns, rows } => {
                let table = self.table();
                sql.push("SELECT ").list(quoted(table, columns)).push(" FROM ").push(&table.quoted);
                match rows {
                    Some(rows) => sql.key(self.key_of(&rows[row])),
                    None => sql.push(" LIMIT 1"),
                };
            }
            Operate::Insert(insert) => {
                sql.push("BEGIN");
                for row in std::iter::once(row).chain(second) {
                    sql.push("; ");
                    self.insert(&mut sql, insert, row);
                }
                sql.push(CHECKED_AND_UNDONE);
            }
            Operate::Update { target: Target::Inserted(insert), .. } | Operate::Delete(Target::Inserted(insert)) => {
                sql.push("BEGIN; ");
                self.insert(&mut sql, insert, row);
                sql.push(" RETURNING ").list(quoted(self.table(), self.key()));
            }
            Operate::Update { column, target: Target::Existing(rows) } => {
                sql.push("BEGIN; ");
                self.update(&mut sql, *column, rows[row][*column].as_deref(), self.key_of(&rows[row]));
            }
            Operate::Delete(Target::Existing(rows)) => {
                sql.push("BEGIN; ");
                self.delete(&mut sql, self.key_of(&rows[row]));
                sql.push(CHECKED_AND_UNDONE);
            }
            Operate::Custom { sql: text, commit } => {
                // On lines of its own: it may end in a comment.
                sql.push("BEGIN;\n").push(text).push("\n");
                sql.push(if *commit { ";\nCOMMIT" } else { CHECKED_AND_UNDONE });
            }
        }
        self.operate = operate;
        sql
    }

    /// The rest, on the row whose key the server gave.
    fn second(&self, mut sql: Sql, key: &[Option<String>], row: usize) -> Sql {
        let key = self
            .key()
            .iter()
            .map(|&each| self.table().columns[each].quoted.as_str())
            .zip(key.iter().map(Option::as_deref));
        match &self.operate {
            Operate::Update { column, target } => {
                self.update(&mut sql, *column, target.rows()[row][*column].as_deref(), key);
            }
            _ => {
                self.delete(&mut sql, key);
                sql.push(CHECKED_AND_UNDONE);
            }
        }
        sql
    }

    fn insert(&mut self, sql: &mut Sql, insert: &Insert, row: usize) {
        let table = Arc::clone(self.table.as_ref().expect("inserts are of a table"));
        let values = &insert.rows[row];
        if insert.replaces {
            self.delete(sql, self.key_of(values));
            sql.push("; ");
        }
        sql.push("INSERT INTO ").push(&table.quoted);
        if insert.columns.is_empty() {
            sql.push(" DEFAULT VALUES");
            return;
        }
        sql.push(" (").list(quoted(&table, &insert.columns)).push(")");
        if insert.columns.iter().any(|&each| table.columns[each].identity == Identity::Always) {
            sql.push(" OVERRIDING SYSTEM VALUE");
        }
        let values: Vec<Option<String>> = insert
            .columns
            .iter()
            .map(|&each| match &values[each] {
                // NULLs are never equal, so they need not be new.
                Some(value) if insert.fresh.contains(&each) => {
                    table.columns[each].kind.fresh(value, insert.style, &mut self.rng).or_else(|| Some(value.clone()))
                }
                value => value.clone(),
            })
            .collect();
        sql.push(" VALUES (").values(values.iter().map(Option::as_deref)).push(")");
    }

    fn update<'a>(
        &self,
        sql: &mut Sql,
        column: usize,
        value: Option<&str>,
        key: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) {
        let table = self.table();
        sql.push("UPDATE ").push(&table.quoted).push(" SET ").push(&table.columns[column].quoted).push(" = ");
        sql.value(value).key(key).push(CHECKED_AND_UNDONE);
    }

    fn delete<'a>(&self, sql: &mut Sql, key: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) {
        sql.push("DELETE FROM ").push(&self.table().quoted).key(key);
    }

    fn key_of<'a>(&'a self, values: &'a Values) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        self.key().iter().map(|&each| (self.table().columns[each].quoted.as_str(), values[each].as_deref()))
    }

    fn writes(&self) -> bool {
        matches!(self.operate, Operate::Insert(_) | Operate::Update { .. } | Operate::Delete(_))
    }

    /// The way to insert that it takes, where it inserts.
    pub(super) fn insert_of(&self) -> Option<&Insert> {
        match &self.operate {
            Operate::Insert(insert)
            | Operate::Update { target: Target::Inserted(insert), .. }
            | Operate::Delete(Target::Inserted(insert)) => Some(insert),
            _ => None,
        }
    }

    pub(super) fn insert_of_mut(&mut self) -> Option<&mut Insert> {
        match &mut self.operate {
            Operate::Insert(insert)
            | Operate::Update { target: Target::Inserted(insert), .. }
            | Operate::Delete(Target::Inserted(insert)) => Some(insert),
            _ => None,
        }
    }

    /// Columns that its statements name.
    pub(super) fn named(&self) -> BTreeSet<usize> {
        let own: &[usize] = match &self.operate {
            Operate::Read { columns, .. } => columns,
            Operate::Update { column, .. } => std::slice::from_ref(column),
            _ => &[],
        };
        let inserted = self.insert_of().map_or(&[][..], |insert| &insert.columns);
        own.iter().chain(inserted).chain(self.key()).copied().collect()
    }

    /// Names these columns no more; false where it has to.
    pub(super) fn leave_out(&mut self, dropped: &[usize]) -> bool {
        let updated = matches!(&self.operate, Operate::Update { column, .. } if dropped.contains(column));
        if updated || self.key().iter().any(|column| dropped.contains(column)) {
            return false;
        }
        if let Operate::Read { columns, .. } = &mut self.operate {
            columns.retain(|column| !dropped.contains(column));
        }
        if let Some(insert) = self.insert_of_mut() {
            insert.columns.retain(|column| !dropped.contains(column));
            insert.fresh.retain(|column| !dropped.contains(column));
        }
        true
    }

    fn key(&self) -> &[usize] {
        self.table().key.as_deref().unwrap_or_default()
    }

    fn table(&self) -> &Table {
        self.table.as_ref().expect("only custom statements have no table, and they ask for none")
    }
}

impl Target {
    pub(super) fn rows(&self) -> &Arc<Vec<Values>> {
        match self {
            Target::Existing(rows) => rows,
            Target::Inserted(insert) => &insert.rows,
        }
    }
}

/// Sequence values used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burns {
    /// By each operation.
    pub each: u64,
    /// That the sequence, or its column, still had.
    pub left: u64,
}

async fn send(
    session: &Session,
    message: &str,
    timed: bool,
) -> Result<(Vec<Vec<Option<String>>>, Option<Duration>), Failure> {
    if timed {
        let (rows, took) = session.send_timed(message).await?;
        Ok((rows, Some(took)))
    } else {
        Ok((session.send(message).await?, None))
    }
}

fn quoted<'a>(table: &'a Table, columns: &'a [usize]) -> impl Iterator<Item = &'a str> {
    columns.iter().map(|&each| table.columns[each].quoted.as_str())
}
