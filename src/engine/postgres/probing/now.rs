//! What a plan made of a table's shape, asked in a probe's own session.

use std::collections::BTreeSet;

use super::session::Session;
use super::shape::{self, Origin};
use crate::engine::postgres::names::literal;
use crate::engine::probing::{Table, Unique};

/// Which of the columns that it had were dropped since; none where the table of that name is another by now.
pub(in crate::engine) async fn dropped_now(
    session: &mut Session,
    origin: &Origin,
    table: &Table,
) -> Option<BTreeSet<usize>> {
    let dropped = format!(
        "SELECT attnum FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attisdropped
            AND attrelid = pg_catalog.to_regclass({})",
        origin.oid,
        literal(&table.quoted)
    );
    let rows = session.send(&dropped).await.ok()?;
    let numbers: Vec<i16> = rows.into_iter().flatten().flatten().filter_map(|number| number.parse().ok()).collect();
    let positions = origin.numbers.iter().enumerate().filter(|(_, number)| numbers.contains(number));
    Some(positions.map(|(position, _)| position).collect())
}

/// The unique indexes of the table that now has its name, by the columns that it had; none where the session cannot tell.
pub(in crate::engine) async fn unique_now(session: &mut Session, table: &Table) -> Option<Vec<Unique>> {
    let rows = session.send(&shape::unique_by_name(&literal(&table.quoted))).await.ok()?;
    let mut indexes: Vec<(String, Unique)> = Vec::new();
    for row in rows {
        let [Some(index), Some(equality), Some(quoted)] = <[Option<String>; 3]>::try_from(row).ok()? else { continue };
        // A column of the release's own is not named by what is inserted.
        let Some(column) = table.columns.iter().position(|column| column.quoted == quoted) else { continue };
        match indexes.last_mut() {
            Some((last, unique)) if *last == index => unique.columns.push(column),
            _ => indexes.push((index, Unique { name: None, columns: vec![column], equality: equality == "t" })),
        }
    }
    Some(indexes.into_iter().map(|(_, unique)| unique).collect())
}

/// Whether a check constraint of that name is none of those known before. One that nothing can be said of counts as new: no false comfort.
pub(in crate::engine) async fn made_since(session: &mut Session, origin: &Origin, constraint: &str) -> bool {
    let named =
        format!("SELECT oid FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conname = {}", literal(constraint));
    let Ok(rows) = session.send(&named).await else { return true };
    let mut oids = rows.into_iter().flatten().flatten().filter_map(|oid| oid.parse().ok());
    oids.any(|oid: u32| !origin.checks.contains(&oid))
}
