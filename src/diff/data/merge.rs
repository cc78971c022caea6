//! A merge of two sorted streams of rows, and the tally of what it finds.

use std::cmp::Ordering;
use std::collections::VecDeque;

use futures::{Stream, StreamExt};

use crate::diff::Sides;
use crate::engine::content::{HashedRow, KeyHash};

/// A row on one side only, or two that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair<T> {
    Before(T),
    After(T),
    Both(T, T),
}

/// Rows of one key that may wait for one of the other side to pair off with. Of a unique key there is never more than one; a key that
/// is not unique may have any number, and what is over this bound counts as removed or added instead of changed. Rows of 100 columns
/// take some eight megabytes then.
const WAITING_MAX: usize = 10_000;

/// Pairs rows off by key; both streams must ascend. Of several rows with one key, equal ones cancel out, and of the rest the n-th on
/// either side make a pair.
///
/// # Errors
/// A stream's.
pub(super) async fn merge<E>(
    mut before: impl Stream<Item = Result<HashedRow, E>> + Unpin,
    mut after: impl Stream<Item = Result<HashedRow, E>> + Unpin,
    mut found: impl FnMut(Pair<&HashedRow>),
) -> Result<(), E> {
    let mut left = before.next().await.transpose()?;
    let mut right = after.next().await.transpose()?;
    let mut waiting = Waiting::default();
    loop {
        let order = match (&left, &right) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(l), Some(r)) => l.cmp(r),
        };
        // The smaller one can have no equal any more.
        if order.is_le() {
            let row = std::mem::replace(&mut left, before.next().await.transpose()?);
            if order.is_lt() {
                row.into_iter().for_each(|row| waiting.add(row, Side::Before, &mut found));
            }
        }
        if order.is_ge() {
            let row = std::mem::replace(&mut right, after.next().await.transpose()?);
            if order.is_gt() {
                row.into_iter().for_each(|row| waiting.add(row, Side::After, &mut found));
            }
        }
    }
    waiting.end(&mut found);
    Ok(())
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Before,
    After,
}

/// Rows of one key and one side that have no equal.
#[derive(Debug, Default)]
struct Waiting {
    side: Side,
    rows: VecDeque<HashedRow>,
}

impl Waiting {
    fn add(&mut self, row: HashedRow, side: Side, found: &mut impl FnMut(Pair<&HashedRow>)) {
        if self.rows.front().is_some_and(|waiting| waiting.key != row.key) {
            self.end(found);
        }
        match self.rows.pop_front_if(|_| self.side != side) {
            Some(other) if side == Side::After => found(Pair::Both(&other, &row)),
            Some(other) => found(Pair::Both(&row, &other)),
            None => {
                self.side = side;
                self.rows.push_back(row);
            }
        }
        if self.rows.len() > WAITING_MAX {
            self.leave(found);
        }
    }

    /// No more rows of that key come.
    fn end(&mut self, found: &mut impl FnMut(Pair<&HashedRow>)) {
        while !self.rows.is_empty() {
            self.leave(found);
        }
    }

    fn leave(&mut self, found: &mut impl FnMut(Pair<&HashedRow>)) {
        let Some(row) = self.rows.pop_front() else { return };
        found(match self.side {
            Side::Before => Pair::Before(&row),
            Side::After => Pair::After(&row),
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    Added,
    Removed,
    Changed,
}

/// Counts of differing rows, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// Changed rows by column, in the rows' own order of columns.
    pub columns: Vec<u64>,
    pub keys: Vec<(Difference, KeyHash)>,
    keys_max: usize,
    /// Before and after.
    pub samples: Vec<Sides<Option<HashedRow>>>,
    samples_max: usize,
}

impl Tally {
    /// For rows of so many columns besides the key, keeping at most so many keys and rows.
    pub(super) fn new(columns: usize, keys_max: usize, samples_max: usize) -> Tally {
        Tally {
            added: 0,
            removed: 0,
            changed: 0,
            columns: vec![0; columns],
            keys: Vec::new(),
            keys_max,
            samples: Vec::new(),
            samples_max,
        }
    }

    pub(super) fn add(&mut self, pair: Pair<&HashedRow>) {
        let (difference, sides) = match pair {
            Pair::Before(row) => (Difference::Removed, Sides { before: Some(row), after: None }),
            Pair::After(row) => (Difference::Added, Sides { before: None, after: Some(row) }),
            Pair::Both(before, after) => {
                let columns = self.columns.iter_mut().zip(before.columns.iter().zip(&after.columns));
                columns.filter(|(_, (before, after))| before != after).for_each(|(count, _)| *count += 1);
                (Difference::Changed, Sides { before: Some(before), after: Some(after) })
            }
        };
        match difference {
            Difference::Added => self.added += 1,
            Difference::Removed => self.removed += 1,
            Difference::Changed => self.changed += 1,
        }
        if self.keys.len() < self.keys_max {
            self.keys.extend(sides.before.or(sides.after).map(|row| (difference, row.key)));
        }
        if self.samples.len() < self.samples_max {
            self.samples.push(Sides { before: sides.before.cloned(), after: sides.after.cloned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::{HashedRow, Tally, WAITING_MAX, merge};

    /// Rows as (key, columns), sorted; the tally as "added removed changed [by column]".
    async fn check(before: &[(i64, &[i64])], after: &[(i64, &[i64])], expected: &str) {
        let rows = |rows: &[(i64, &[i64])]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|(key, columns)| Ok::<_, ()>(HashedRow { key: (*key, 0), columns: columns.to_vec() }))
                .collect();
            stream::iter(rows)
        };
        let mut tally = Tally::new(2, 10, 0);
        merge(rows(before), rows(after), |pair| tally.add(pair)).await.expect("no stream fails");
        let shown = format!("+{} -{} ~{} {:?}", tally.added, tally.removed, tally.changed, tally.columns);
        assert_eq!(shown, expected);
        assert_eq!(tally.keys.len() as u64, tally.added + tally.removed + tally.changed);
    }

    #[tokio::test]
    async fn rows_pair_off_by_key() {
        check(&[], &[], "+0 -0 ~0 [0, 0]").await;
        check(&[(1, &[5, 6])], &[(1, &[5, 6])], "+0 -0 ~0 [0, 0]").await;
        check(&[(1, &[5, 6]), (3, &[5, 6])], &[(1, &[5, 7]), (2, &[5, 6])], "+1 -1 ~1 [0, 1]").await;
        check(&[(1, &[1, 1]), (2, &[2, 2])], &[(2, &[3, 3])], "+0 -1 ~1 [1, 1]").await;
    }

    #[tokio::test]
    async fn duplicates_pair_off_one_by_one() {
        check(&[(1, &[]), (1, &[]), (1, &[])], &[(1, &[])], "+0 -2 ~0 [0, 0]").await;
        check(&[(1, &[])], &[(1, &[]), (1, &[]), (2, &[])], "+2 -0 ~0 [0, 0]").await;
    }

    /// A key that is not unique, such as one of several rows where it is NULL.
    #[tokio::test]
    async fn equal_rows_of_one_key_cancel_out_before_the_rest_pairs_off() {
        check(&[(1, &[1, 1]), (1, &[2, 2]), (1, &[3, 3])], &[(1, &[2, 2]), (1, &[3, 3])], "+0 -1 ~0 [0, 0]").await;
        check(&[(1, &[2, 2]), (1, &[3, 3])], &[(1, &[1, 1]), (1, &[2, 2]), (1, &[3, 3])], "+1 -0 ~0 [0, 0]").await;
        check(&[(1, &[1, 1]), (1, &[5, 5])], &[(1, &[1, 1]), (1, &[5, 6])], "+0 -0 ~1 [0, 1]").await;
        check(&[(1, &[1, 1]), (1, &[5, 5])], &[(1, &[3, 1]), (1, &[5, 5]), (1, &[6, 6])], "+1 -0 ~1 [1, 0]").await;
        // What is left of one key makes no pair with what is left of the next.
        check(&[(1, &[1, 1]), (1, &[2, 2])], &[(1, &[1, 1]), (2, &[2, 2])], "+1 -1 ~0 [0, 0]").await;
    }

    #[tokio::test]
    async fn a_bounded_number_of_rows_waits_for_its_pair() {
        let rows = |columns: std::ops::Range<i64>| {
            stream::iter(columns.map(|column| Ok::<_, ()>(HashedRow { key: (1, 0), columns: vec![column] })))
        };
        let most = i64::try_from(WAITING_MAX).expect("it is small");
        let mut tally = Tally::new(1, 0, 0);
        merge(rows(0..most + 5), rows(most + 5..2 * most + 10), |pair| tally.add(pair)).await.expect("no stream fails");
        assert_eq!((tally.added, tally.removed, tally.changed), (5, 5, WAITING_MAX as u64));
    }

    #[tokio::test]
    async fn no_more_is_kept_than_asked_for() {
        let mut tally = Tally::new(0, 1, 2);
        let row = |key| HashedRow { key: (key, 0), columns: Vec::new() };
        let rows = |keys: &[i64]| stream::iter(keys.iter().map(|key| Ok::<_, ()>(row(*key))).collect::<Vec<_>>());
        merge(rows(&[1, 2, 3]), rows(&[]), |pair| tally.add(pair)).await.expect("no stream fails");
        assert_eq!((tally.removed, tally.keys.len(), tally.samples.len()), (3, 1, 2));
    }
}
