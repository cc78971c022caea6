//! What a plan made of a table's shape, asked in a probe's own session: the information schema shows a session what it may see.

use std::collections::BTreeSet;

use super::session::Session;
use super::shape::Origin;
use crate::engine::mysql::names::literal;
use crate::engine::probing::Unique;

/// Which of the columns that it had are dropped; none where nobody can tell. A column whose place another took that was not there is
/// renamed, and asked for as before.
pub(in crate::engine) async fn dropped_now(session: &mut Session, origin: &Origin) -> Option<BTreeSet<usize>> {
    let now = columns_now(session, origin).await?;
    (!now.is_empty()).then(|| dropped(&origin.columns, &now))
}

async fn columns_now(session: &mut Session, origin: &Origin) -> Option<Vec<String>> {
    let asked = format!(
        "SELECT column_name FROM information_schema.columns
        WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(&origin.database),
        literal(&origin.table)
    );
    Some(session.send(&asked).await.ok()?.into_iter().flatten().flatten().collect())
}

/// By position in `before`.
fn dropped(before: &[String], now: &[String]) -> BTreeSet<usize> {
    // Between the same two that are still there, a new one.
    let replaced = |position: usize| {
        let kept = |name: &&String| now.contains(name);
        let from = before[..position].iter().rev().find(kept);
        let to = before[position + 1..].iter().find(kept);
        let at = |name: &String| now.iter().position(|each| each == name);
        let from = from.and_then(at).map_or(0, |at| at + 1);
        let to = to.and_then(at).unwrap_or(now.len());
        now.get(from..to).is_some_and(|between| between.iter().any(|name| !before.contains(name)))
    };
    let gone = (0..before.len()).filter(|&position| !now.contains(&before[position]));
    gone.filter(|&position| !replaced(position)).collect()
}

/// The unique indexes of the table that now has its name, by the columns that it had; none where the session cannot tell.
pub(in crate::engine) async fn unique_now(session: &mut Session, origin: &Origin) -> Option<Vec<Unique>> {
    let asked = format!(
        "SELECT index_name, column_name FROM information_schema.statistics
        WHERE table_schema = {} AND table_name = {} AND non_unique = 0 AND column_name IS NOT NULL
        ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index",
        literal(&origin.database),
        literal(&origin.table)
    );
    let mut indexes: Vec<Unique> = Vec::new();
    for row in session.send(&asked).await.ok()? {
        let [Some(index), Some(name)] = <[Option<String>; 2]>::try_from(row).ok()? else { continue };
        // A column of the release's own is not named by what is inserted.
        let Some(column) = origin.columns.iter().position(|column| *column == name) else { continue };
        match indexes.last_mut() {
            Some(last) if last.name.as_ref() == Some(&index) => last.columns.push(column),
            _ => indexes.push(Unique { name: Some(index), columns: vec![column], equality: true }),
        }
    }
    Some(indexes)
}

/// Whether a check constraint of that name is none of those known before.
pub(in crate::engine) fn made_since(origin: &Origin, constraint: &str) -> bool {
    !origin.checks.iter().any(|known| known == constraint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_in_whose_place_another_is_was_renamed() {
        let check = |before: &str, now: &str, expected: &[usize]| {
            let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
            let dropped: Vec<usize> = dropped(&names(before), &names(now)).into_iter().collect();
            assert_eq!(dropped, expected, "{before} to {now}");
        };
        check("iabc", "iabc", &[]);
        check("iabc", "ibc", &[1]);
        check("iabc", "ixbc", &[]);
        check("iabc", "ibcd", &[1]);
        check("iabc", "iab", &[3]);
        check("iabc", "iabx", &[]);
        check("iabc", "ic", &[1, 2]);
        check("iabc", "ci", &[1, 2]);
    }
}
