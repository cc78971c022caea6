//! A sample of a table's rows, at a cost that does not grow with the table.

use std::collections::BTreeSet;

use rand::RngExt;

use super::session::Session;
use super::shape::Origin;
use crate::engine::probing::{Failure, SAMPLE, Table, ValueKind, Values, WIDEST_ROW};

/// A table of at most so many rows and bytes is read whole.
const FEW_ROWS: u64 = 5_000;
const FEW_BYTES: u64 = 16 << 20;

/// Places in a larger one from which some rows each are taken.
const PLACES: usize = 12;

/// A bounded sample of rows: of a small table at random, of a large one from random places of a key of numbers, or else from both ends of
/// its key.
///
/// # Errors
/// What the server said.
pub(in crate::engine) async fn sample(
    session: &mut Session,
    origin: &Origin,
    table: &Table,
) -> Result<Vec<Values>, Failure> {
    if origin.rows <= FEW_ROWS && origin.bytes <= FEW_BYTES {
        return session.send(&select(table, &format!(" ORDER BY RAND() LIMIT {SAMPLE}"), "")).await;
    }
    let Some(key) = table.key.as_deref() else {
        return session.send(&select(table, "", &format!(" LIMIT {SAMPLE}"))).await;
    };
    let order = |way: &str| {
        let columns: Vec<String> = key.iter().map(|&each| format!("{}{way}", table.columns[each].quoted)).collect();
        columns.join(", ")
    };
    let first = &table.columns[key[0]];
    let mut parts = Vec::new();
    if matches!(first.kind, ValueKind::Integer { .. })
        && let Some((least, most)) = ends(session, table, &first.quoted).await?
    {
        for _ in 0..PLACES {
            let from = rand::rng().random_range(least..=most);
            parts.push(format!(
                " WHERE {} >= {from} ORDER BY {} LIMIT {}",
                first.quoted,
                order(""),
                SAMPLE.div_ceil(PLACES)
            ));
        }
    } else {
        for way in ["", " DESC"] {
            parts.push(format!(" ORDER BY {} LIMIT {}", order(way), SAMPLE / 2));
        }
    }
    let queries: Vec<String> = parts.iter().map(|part| select(table, "", part)).collect();
    let mut seen = BTreeSet::new();
    let mut rows = session.send(&queries.join(";\n")).await?;
    rows.retain(|row| seen.insert(row.clone()));
    Ok(rows)
}

/// The least and the most of an indexed column; none of an empty table.
async fn ends(session: &mut Session, table: &Table, quoted: &str) -> Result<Option<(i128, i128)>, Failure> {
    let rows = session.send(&format!("SELECT MIN({quoted}), MAX({quoted}) FROM {}", table.quoted)).await?;
    let mut ends = rows.into_iter().flatten().map(|end| end?.parse().ok());
    Ok(ends.next().flatten().zip(ends.next().flatten()))
}

/// Every column of the rows that `part` of the table's has and that are not too wide. The part is made first, so that the server need not
/// go on looking where many are.
fn select(table: &Table, then: &str, part: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| column.as_text()).collect();
    let names: Vec<&str> = table.columns.iter().map(|column| column.quoted.as_str()).collect();
    let wide: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.variable)
        .map(|column| format!("COALESCE(LENGTH({}), 0)", column.quoted))
        .collect();
    let narrow = if wide.is_empty() { String::new() } else { format!(" WHERE {} < {WIDEST_ROW}", wide.join(" + ")) };
    let from = if part.is_empty() {
        table.quoted.clone()
    } else {
        format!("(SELECT {} FROM {}{part}) AS part", names.join(", "), table.quoted)
    };
    format!("SELECT {} FROM {from}{narrow}{then}", columns.join(", "))
}
