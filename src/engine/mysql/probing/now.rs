//! What a plan made of a table's shape, asked in a probe's own session: the information schema shows a session what it may see.

use std::collections::BTreeSet;

use super::session::Session;
use super::shape::{Named, Origin};
use crate::engine::mysql::names::literal;
use crate::engine::probing::Unique;

/// Which of the columns that it had are dropped; none where nobody can tell. A column whose place a new one of its type took is renamed,
/// and asked for as before; so is one beside which there is a single new one of its type.
pub(in crate::engine) async fn dropped_now(session: &mut Session, origin: &Origin) -> Option<BTreeSet<usize>> {
    let now = columns_now(session, origin).await?;
    (!now.is_empty()).then(|| dropped(&origin.columns, &now))
}

async fn columns_now(session: &mut Session, origin: &Origin) -> Option<Vec<Named>> {
    let asked = format!(
        "SELECT column_name, column_type FROM information_schema.columns
        WHERE table_schema = {} AND table_name = {} ORDER BY ordinal_position",
        literal(&origin.database),
        literal(&origin.table)
    );
    let named = |row| match <[Option<String>; 2]>::try_from(row) {
        Ok([Some(name), Some(full_kind)]) => Some(Named { name, full_kind }),
        _ => None,
    };
    session.send(&asked).await.ok()?.into_iter().map(named).collect()
}

/// By position in `before`.
fn dropped(before: &[Named], now: &[Named]) -> BTreeSet<usize> {
    let at = |column: &Named| now.iter().position(|each| each.name == column.name);
    let is_new = |column: &Named| before.iter().all(|known| known.name != column.name);
    let mut new: Vec<usize> = (0..now.len()).filter(|&position| is_new(&now[position])).collect();
    let mut gone: BTreeSet<usize> = (0..before.len()).filter(|&position| at(&before[position]).is_none()).collect();
    // Between the same two that are still there, a new one; which is then no other's new name.
    gone.retain(|&position| {
        let from = before[..position].iter().rev().find_map(at).map_or(0, |at| at + 1);
        let to = before[position + 1..].iter().find_map(at).unwrap_or(now.len());
        let kind = &before[position].full_kind;
        let is_its = |&new: &usize| (from..to).contains(&new) && now[new].full_kind == *kind;
        let its = new.iter().position(is_its);
        its.map(|its| new.remove(its)).is_none()
    });
    // One that was moved as well.
    let alike = |position: usize| new.iter().filter(|&&new| now[new].full_kind == before[position].full_kind).count();
    gone.retain(|&position| alike(position) != 1);
    gone
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
        let Some(column) = origin.columns.iter().position(|column| column.name == name) else { continue };
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
    fn a_column_is_renamed_where_a_new_one_of_its_type_can_be_it() {
        let check = |before: &str, now: &str, expected: &[usize]| {
            let columns = |text: &str| {
                let columns = text.split(' ').map(|each| each.split_once(':').unwrap_or((each, "int")));
                columns
                    .map(|(name, kind)| Named { name: name.to_owned(), full_kind: kind.to_owned() })
                    .collect::<Vec<_>>()
            };
            let dropped: Vec<usize> = dropped(&columns(before), &columns(now)).into_iter().collect();
            assert_eq!(dropped, expected, "{before} to {now}");
        };
        check("i a b c", "i a b c", &[]);
        check("i a b c", "i b c", &[1]);
        check("i a b c", "i x b c", &[]);
        check("i a b c", "i b c d:text", &[1]);
        check("i a b c", "i a b", &[3]);
        check("i a b c", "i a b x", &[]);
        check("i a b c", "i c", &[1, 2]);
        check("i a b c", "c i", &[1, 2]);
        // DROP COLUMN legacy, ADD COLUMN notes text
        check("i a legacy", "i a notes:text", &[2]);
        check("i a legacy:varchar(20)", "i a notes:varchar(40)", &[2]);
        check("i a legacy", "i a x:text y", &[]);
        // CHANGE a b int AFTER c
        check("i a c:text", "i c:text b", &[]);
        // Which of the two it is, nobody can tell, and it is in the place of neither.
        check("i a c:text", "i c:text x y", &[1]);
        // CHANGE a x int, DROP COLUMN b
        check("i a c:text b", "i x c:text", &[3]);
    }
}
