//! One probe's operation: what it sends each time, made anew, and how it is run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

use super::dialect;
use super::follow::made_since;
use super::session::{Class, Failure, FailureKind, Session};
use super::sql::Sql;
use super::table::Table;
use super::values::Style;
use crate::engine::EngineKind;

/// How often an operation meets a deadlock until that is its answer.
const DEADLOCKS: usize = 3;

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
pub type Values = Vec<Option<String>>;

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
        /// To what it has in another row; else to what it has.
        changes: bool,
        target: Target,
    },
    Delete(Target),
    /// Somebody's own statements.
    Custom {
        engine: EngineKind,
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
    pub(super) rng: SmallRng,
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
    pub fn custom(engine: EngineKind, sql: &str, commit: bool) -> Script {
        let operate = Operate::Custom { engine, sql: dialect::statements(engine, sql), commit };
        Script::of(None, operate, Vec::new(), SmallRng::seed_from_u64(0))
    }

    /// Somebody's own statements as they stand between others.
    pub fn statements(engine: EngineKind, sql: &str) -> String {
        dialect::statements(engine, sql)
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
        let mut sql = self.first(Sql::to_show(self.engine()), row, second);
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
    pub async fn run(&mut self, session: &mut Session, stage: Stage) -> Result<Option<Duration>, Failure> {
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
        if stage == Stage::Release && failure.kind == FailureKind::Refused && failure.class.is_of_data() {
            self.again = Some(on);
        }
    }

    /// The rows that were refused one by one, then others, until one is taken. Those that were not are used no more, while there are others.
    async fn try_others(
        &mut self,
        session: &mut Session,
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
                Err(other) if stage == Stage::Release && other.class == Class::Check => {
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
        failure.class == Class::Unique && self.insert_of().is_some_and(makes_few)
    }

    /// Refused for what the row holds, which need not hold for what an application would write: foreign key, unique, check and
    /// exclusion constraints. A missing value is about the statement.
    async fn is_about_values(
        &self,
        session: &mut Session,
        failure: &Failure,
        (row, second): (usize, Option<usize>),
        stage: Stage,
    ) -> bool {
        let alone = stage == Stage::Alone;
        let was_taken = self.taken.contains(&row) && second.is_none_or(|second| self.taken.contains(&second));
        match failure.class {
            _ if failure.kind != FailureKind::Refused => false,
            Class::Unique => !self.is_given_twice(failure),
            Class::ForeignKey | Class::Exclusion => true,
            Class::Check => alone || !was_taken || !self.breaks_the_new(session, failure).await,
            Class::OldValue => alone || !was_taken,
            // A trigger's own word.
            Class::Raised => alone,
            _ => false,
        }
    }

    /// Whether the server itself gave a key that there is already: none of what the rows hold is in it.
    fn is_given_twice(&self, failure: &Failure) -> bool {
        let (Some(named), Some(insert), Some(table)) = (&failure.error.constraint, self.insert_of(), &self.table)
        else {
            return false;
        };
        let refusing = table.unique.iter().filter(|unique| unique.name.as_ref() == Some(named));
        refusing
            .flat_map(|unique| &unique.columns)
            .any(|&column| table.columns[column].sequence.is_some() && !insert.columns.contains(&column))
    }

    /// Whether a row that was taken is refused by what was not there then. Values made up each time may break what always was.
    async fn breaks_the_new(&self, session: &mut Session, failure: &Failure) -> bool {
        // Without a constraint's name, it is a row for which there is no partition any more.
        let (Some(constraint), Some(table)) = (&failure.error.constraint, &self.table) else { return false };
        let makes_values = self.insert_of().is_some_and(|insert| !insert.fresh.is_empty());
        !makes_values || made_since(session, table, constraint).await
    }

    /// Does the operation once, on that row; again where it was undone for others' sake, as an application does.
    pub(super) async fn once(
        &mut self,
        session: &mut Session,
        row: usize,
        second: Option<usize>,
        timed: bool,
    ) -> Result<Option<Duration>, Failure> {
        for _ in 1..DEADLOCKS {
            match self.attempt(session, row, second, timed).await {
                Err(Failure { class: Class::Deadlock, kind: FailureKind::Refused, .. }) => {}
                done => return done,
            }
        }
        self.attempt(session, row, second, timed).await
    }

    async fn attempt(
        &mut self,
        session: &mut Session,
        row: usize,
        second: Option<usize>,
        timed: bool,
    ) -> Result<Option<Duration>, Failure> {
        let message = self.first(Sql::to_send(self.engine()), row, second).finish();
        let (mut rows, mut took) = send(session, &message, timed).await?;
        if let Operate::Update { target: Target::Inserted(_), .. } | Operate::Delete(Target::Inserted(_)) = self.operate
        {
            // A trigger or a policy may have kept the row out: then there is nothing to do it on, and the transaction must end.
            let key = rows.pop().unwrap_or_else(|| vec![None; self.key().len()]);
            let message = self.second(Sql::to_send(self.engine()), &key, row).finish();
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

    pub(super) fn key(&self) -> &[usize] {
        self.table().key.as_deref().unwrap_or_default()
    }

    pub(super) fn engine(&self) -> EngineKind {
        match (&self.operate, &self.table) {
            (Operate::Custom { engine, .. }, _) => *engine,
            _ => self.table().engine,
        }
    }

    pub(super) fn table(&self) -> &Table {
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
    session: &mut Session,
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
