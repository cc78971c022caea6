//! Probes follow a table's shape as a plan changes it. A copy of a row cannot be inserted beside it under a new unique index, and an
//! application writes no copies; a column that is dropped is one that nobody names any more. One that is renamed is still asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::recipes::{self, Ways};
use super::script::{OTHER_ROWS, Script};
use super::session::{Failure, FailureKind, Session};
use super::shape::{self, Table, Unique};
use super::sql::literal;

impl Script {
    /// After a refusal that the table's new shape explains: takes that up, and does the operation so. None = it is no such refusal, or
    /// it stands.
    ///
    /// # Errors
    /// [`FailureKind::Unfit`] where the new shape leaves no way to do it.
    pub(super) async fn follow(
        &mut self,
        session: &Session,
        failure: &Failure,
        row: usize,
    ) -> Option<Result<(), Failure>> {
        match failure.error.code.as_str() {
            _ if failure.kind != FailureKind::Refused => None,
            "42703" => self.leave_out_dropped(session, failure, row).await,
            "23505" | "23P01" => self.keep_to_unique(session, failure, row).await,
            _ => None,
        }
    }

    async fn leave_out_dropped(
        &mut self,
        session: &Session,
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
        Some(self.once(session, row, None, false).await.map(|_| {
            self.taken.insert(row);
        }))
    }

    /// Where the table has unique indexes that it had not, takes up a way to insert that keeps to them as well.
    async fn keep_to_unique(
        &mut self,
        session: &Session,
        failure: &Failure,
        row: usize,
    ) -> Option<Result<(), Failure>> {
        let (known, insert) = (Arc::clone(self.table.as_ref()?), self.insert_of()?.clone());
        let unique = unique_now(session, &known).await?;
        if unique.iter().all(|each| known.unique.contains(each)) {
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
                    Err(failure) => last = Some(failure.error.code),
                }
            }
        }
        if new_in_all && last.is_some_and(|code| code == "23505") {
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

/// Which of the columns that it had were dropped since; none where the table of that name is another by now.
async fn dropped_now(session: &Session, table: &Table) -> Option<BTreeSet<usize>> {
    let dropped = format!(
        "SELECT attnum FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attisdropped
            AND attrelid = pg_catalog.to_regclass({})",
        table.oid,
        literal(&table.quoted)
    );
    let rows = session.send(&dropped).await.ok()?;
    let numbers: Vec<i16> = rows.into_iter().flatten().flatten().filter_map(|number| number.parse().ok()).collect();
    let positions = table.columns.iter().enumerate().filter(|(_, column)| numbers.contains(&column.number));
    Some(positions.map(|(position, _)| position).collect())
}

/// The unique indexes of the table that now has its name, by the columns that it had; none where the session cannot tell.
async fn unique_now(session: &Session, table: &Table) -> Option<Vec<Unique>> {
    let rows = session.send(&shape::unique_by_name(&literal(&table.quoted))).await.ok()?;
    let mut indexes: Vec<(String, Unique)> = Vec::new();
    for row in rows {
        let [Some(index), Some(equality), Some(quoted)] = <[Option<String>; 3]>::try_from(row).ok()? else { continue };
        // A column of the release's own is not named by what is inserted.
        let Some(column) = table.columns.iter().position(|column| column.quoted == quoted) else { continue };
        match indexes.last_mut() {
            Some((last, unique)) if *last == index => unique.columns.push(column),
            _ => indexes.push((index, Unique { columns: vec![column], equality: equality == "t" })),
        }
    }
    Some(indexes.into_iter().map(|(_, unique)| unique).collect())
}

/// Whether a check constraint of that name is none of those known. One that nothing can be said of counts as new: no false comfort.
pub(super) async fn made_since(session: &Session, constraint: &str, known: &BTreeSet<u32>) -> bool {
    let named =
        format!("SELECT oid FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conname = {}", literal(constraint));
    let Ok(rows) = session.send(&named).await else { return true };
    let mut oids = rows.into_iter().flatten().flatten().filter_map(|oid| oid.parse().ok());
    oids.any(|oid: u32| !known.contains(&oid))
}
