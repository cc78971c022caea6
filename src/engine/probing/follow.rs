//! Probes follow a table's shape as a plan changes it. A copy of a row cannot be inserted beside it under a new unique index, and an
//! application writes no copies; a column that is dropped is one that nobody names any more. One that is renamed is still asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::recipes::{self, Ways};
use super::script::{OTHER_ROWS, Script};
use super::session::{Class, Failure, FailureKind, Session};
use super::table::{Origin, Table, Unique};
use crate::engine::{mysql, postgres};

impl Script {
    /// After a refusal that the table's new shape explains: takes that up, and does the operation so. None = it is no such refusal, or
    /// it stands.
    ///
    /// # Errors
    /// [`FailureKind::Unfit`] where the new shape leaves no way to do it.
    pub(super) async fn follow(
        &mut self,
        session: &mut Session,
        failure: &Failure,
        row: usize,
    ) -> Option<Result<(), Failure>> {
        match failure.class {
            _ if failure.kind != FailureKind::Refused => None,
            Class::NoColumn => self.leave_out_dropped(session, failure, row).await,
            Class::Unique | Class::Exclusion => self.keep_to_unique(session, failure, row).await,
            _ => None,
        }
    }

    async fn leave_out_dropped(
        &mut self,
        session: &mut Session,
        failure: &Failure,
        row: usize,
    ) -> Option<Result<(), Failure>> {
        let table = Arc::clone(self.table.as_ref()?);
        let dropped = dropped_now(session, &table).await?;
        let needed = self.named().into_iter().filter(|column| dropped.contains(column)).collect::<Vec<_>>();
        if needed.is_empty() {
            return None;
        }
        if !self.leave_out(&needed) {
            return Some(Err(Failure { kind: FailureKind::Unfit, ..failure.clone() }));
        }
        match self.once(session, row, None, false).await {
            Ok(_) => {
                self.taken.insert(row);
                Some(Ok(()))
            }
            // The same statement may have made an index.
            Err(failure) if matches!(failure.class, Class::Unique | Class::Exclusion) => {
                let followed = self.keep_to_unique(session, &failure, row).await;
                Some(followed.unwrap_or(Err(failure)))
            }
            Err(failure) => Some(Err(failure)),
        }
    }

    /// Where the table has unique indexes that it had not, takes up a way to insert that keeps to them as well.
    async fn keep_to_unique(
        &mut self,
        session: &mut Session,
        failure: &Failure,
        row: usize,
    ) -> Option<Result<(), Failure>> {
        let (known, insert) = (Arc::clone(self.table.as_ref()?), self.insert_of()?.clone());
        let unique = unique_now(session, &known).await?;
        if unique.iter().all(|each| known.unique.iter().any(|known| known.is_alike(each))) {
            return None;
        }
        let table = Arc::new(Table { unique, ..Table::clone(&known) });
        let Ways { inserts, new_in_all } = recipes::keep_to_new(&known, &table, &insert);
        let rows = std::mem::take(&mut self.rows);
        self.table = Some(table);
        self.again = None;
        let mut last = None;
        for way in &inserts {
            let theirs =
                if Arc::ptr_eq(&way.rows, &insert.rows) { rows.clone() } else { (0..way.rows.len()).collect() };
            *self.insert_of_mut()? = way.clone();
            let candidates: Vec<usize> =
                std::iter::once(row).filter(|row| theirs.contains(row)).chain(theirs.iter().copied()).collect();
            for candidate in candidates.into_iter().take(OTHER_ROWS) {
                match self.once(session, candidate, None, false).await {
                    Ok(_) => {
                        self.use_rows(theirs, !Arc::ptr_eq(&way.rows, &insert.rows));
                        self.taken.insert(candidate);
                        return Some(Ok(()));
                    }
                    Err(failure) if failure.kind != FailureKind::Refused => {
                        self.go_back(known, insert, rows);
                        return Some(Err(failure));
                    }
                    Err(failure) => last = Some(failure.class),
                }
            }
        }
        if new_in_all && last == Some(Class::Unique) {
            // Not for want of a new value: a key is given out twice, say. The first way is how it goes on.
            *self.insert_of_mut()? = inserts.into_iter().next()?;
            self.rows = rows;
            return None;
        }
        self.go_back(known, insert, rows);
        Some(Err(Failure { kind: FailureKind::Unfit, ..failure.clone() }))
    }

    fn use_rows(&mut self, rows: Vec<usize>, others: bool) {
        self.rows = rows;
        if others {
            self.taken.clear();
        }
    }

    fn go_back(&mut self, table: Arc<Table>, insert: super::script::Insert, rows: Vec<usize>) {
        self.table = Some(table);
        self.rows = rows;
        if let Some(own) = self.insert_of_mut() {
            *own = insert;
        }
    }
}

/// Which of the columns that it had are no longer there; none where the table of that name is another by now, or nobody can tell.
async fn dropped_now(session: &mut Session, table: &Table) -> Option<BTreeSet<usize>> {
    match (session, &table.origin) {
        (Session::Postgres(session), Origin::Postgres(origin)) => {
            postgres::probing::dropped_now(session, origin, table).await
        }
        (Session::Mysql(session), Origin::Mysql(origin)) => mysql::probing::dropped_now(session, origin).await,
        _ => None,
    }
}

/// The unique indexes of the table that now has its name, by the columns that it had; none where the session cannot tell.
async fn unique_now(session: &mut Session, table: &Table) -> Option<Vec<Unique>> {
    match (session, &table.origin) {
        (Session::Postgres(session), Origin::Postgres(_)) => postgres::probing::unique_now(session, table).await,
        (Session::Mysql(session), Origin::Mysql(origin)) => mysql::probing::unique_now(session, origin).await,
        _ => None,
    }
}

/// Whether a check constraint of that name is none of those known. One that nothing can be said of counts as new: no false comfort.
pub(super) async fn made_since(session: &mut Session, table: &Table, constraint: &str) -> bool {
    match (session, &table.origin) {
        (Session::Postgres(session), Origin::Postgres(origin)) => {
            postgres::probing::made_since(session, origin, constraint).await
        }
        (_, Origin::Mysql(origin)) => mysql::probing::made_since(origin, constraint),
        _ => true,
    }
}
