//! Samples of made-up databases in memory: nothing in them refers to a row that is not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::engine::capture::{Kind, WholeColumn};
use crate::scenario::rules::parse;

/// Tables with their rows, and what refers to what.
#[derive(Debug, Clone)]
struct Database {
    tables: Vec<Table>,
    rows: Vec<Vec<Row>>,
    references: Vec<Reference>,
}

fn field(number: u8) -> Option<Vec<u8>> {
    Some(number.to_string().into_bytes())
}

/// Each table has a key of its own, and columns with few different values and NULLs; references lead anywhere, the same table included,
/// by one column or two, to keys or not, for all rows or those of one type.
fn database() -> impl Strategy<Value = Database> {
    let rows = vec(vec(proptest::option::weighted(0.8, 0_u8..8), 4), 0..25);
    let reference =
        (0_usize..5, 0_usize..5, vec((1_usize..5, 0_usize..5), 1..3), proptest::option::of((1_usize..5, 0_u8..3)));
    (vec((rows, any::<bool>()), 1..5), vec(reference, 0..7)).prop_map(|(contents, references)| {
        let count = contents.len();
        let tables = contents.iter().enumerate().map(|(at, (_, keyed))| Table {
            schema: "public".to_owned(),
            name: format!("t{at}"),
            columns: ["id", "a", "b", "c", "d"].map(str::to_owned).to_vec(),
            coverage: None,
            key: if *keyed { vec![0] } else { Vec::new() },
        });
        let tables = tables.collect();
        let rows = contents.iter().map(|(rows, _)| {
            let row = |(id, row): (u8, &Vec<Option<u8>>)| {
                std::iter::once(field(id)).chain(row.iter().map(|value| value.and_then(field))).collect()
            };
            (0..).zip(rows).map(row).collect()
        });
        let rows = rows.collect();
        let references = references.into_iter().map(|(from, to, columns, when)| Reference {
            from: from % count,
            from_columns: columns.iter().map(|(from, _)| *from).collect(),
            to: to % count,
            to_columns: columns.iter().map(|(_, to)| *to).collect(),
            when: when.map(|(field, value)| (field, value.to_string())),
        });
        Database { tables, rows, references: references.collect() }
    })
}

fn rules_text() -> impl Strategy<Value = String> {
    let rows = || prop_oneof![Just("\"all\""), Just("\"none\""), Just("\"20%\""), Just("2"), Just("5")];
    (vec(rows(), 5), 0_u64..4, 0_u64..4, 0_u64..100, 0_usize..5).prop_map(|(rows, depth, most, seed, own)| {
        let mut text = format!("[sample]\nrows = \"20%\"\nseed = {seed}\nchildren = {{ depth = {depth}, most = {most} }}\n[sample.tables]\n");
        for (at, rows) in rows.iter().enumerate() {
            let rows = if at == own { format!("{{ rows = {rows}, children = {{ most = 1 }} }}") } else { (*rows).to_owned() };
            text += &format!("t{at} = {rows}\n");
        }
        text
    })
}

impl Database {
    fn answer(&self, request: &Request) -> Vec<Row> {
        match request {
            Request::Draw { table, rows, seed } => {
                let all = &self.rows[*table];
                let drawn = |row: &&Row| blake3::hash(format!("{seed}{row:?}").as_bytes()).as_bytes()[0];
                match rows {
                    Rows::All => all.clone(),
                    Rows::None => unreachable!("never asked for"),
                    Rows::Share(share) => {
                        all.iter().filter(|row| f64::from(drawn(row)) < share * 256.0).cloned().collect()
                    }
                    Rows::Count(count) => {
                        let mut ordered: Vec<_> = all.iter().collect();
                        ordered.sort_by_key(|row| (drawn(row), (*row).clone()));
                        ordered.into_iter().take(usize::try_from(*count).unwrap()).cloned().collect()
                    }
                }
            }
            Request::Rows { table, columns, when, keys, most, .. } => {
                let mut found = Vec::new();
                for key in keys {
                    let fits = |row: &&Row| {
                        key_of(row, columns).as_ref() == Some(key)
                            && when.as_ref().is_none_or(|(field, text)| row[*field].as_deref() == Some(text.as_bytes()))
                    };
                    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
                    found.extend(self.rows[*table].iter().filter(fits).take(most).cloned());
                }
                found
            }
        }
    }

    /// The rows taken of each table, and how many requests that took.
    fn sample(&self, rules: &str, bounds: Bounds) -> (Vec<Vec<Row>>, usize) {
        let rules = parse(Path::new("rules.toml"), rules).unwrap();
        let mut sampler = Sampler::new(self.tables.clone(), self.references.clone(), &rules, bounds).unwrap();
        let mut taken = vec![Vec::new(); self.tables.len()];
        let mut requests = 0;
        while let Some(mut open) = sampler.request().unwrap() {
            requests += 1;
            let rows = self.answer(&open.request);
            // In portions, as they come from a server.
            for rows in rows.chunks(3) {
                let new = sampler.take(&mut open, rows.to_vec()).unwrap();
                taken[open.request.table()].extend(new);
            }
            sampler.finish(&open);
        }
        taken.iter_mut().for_each(|rows| rows.sort());
        (taken, requests)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sample_is_closed_under_its_references(database in database(), text in rules_text(), keys in 1_usize..6, batch in 1_usize..4) {
        let (taken, _) = database.sample(&text, Bounds { keys, batch });
        let sets: Vec<BTreeSet<&Row>> = taken.iter().map(|rows| rows.iter().collect()).collect();
        for (set, rows) in sets.iter().zip(&taken) {
            prop_assert_eq!(set.len(), rows.len(), "a row was taken twice");
        }
        for reference in &database.references {
            for row in taken[reference.from].iter().filter(|row| refers(reference, row)) {
                let Some(key) = key_of(row, &reference.from_columns) else { continue };
                for parent in database.rows[reference.to].iter().filter(|row| key_of(row, &reference.to_columns).as_ref() == Some(&key)) {
                    prop_assert!(sets[reference.to].contains(parent), "{:?} refers to {:?}", row, parent);
                }
            }
        }
        // What was drawn is there, and with it the children that were asked for.
        let rules = parse(Path::new("rules.toml"), &text).unwrap();
        for (at, table) in database.tables.iter().enumerate() {
            let (rows, children) = rules.sample.of(&table.schema, &table.name);
            if rows == Rows::None {
                continue;
            }
            for row in database.answer(&Request::Draw { table: at, rows, seed: rules.sample.seed }) {
                prop_assert!(sets[at].contains(&row));
                for reference in database.references.iter().filter(|reference| reference.to == at && children.depth > 0) {
                    let from = &database.tables[reference.from];
                    if rules.sample.of(&from.schema, &from.name).0 == Rows::None {
                        continue;
                    }
                    let Some(key) = key_of(&row, &reference.to_columns) else { continue };
                    let wanted = Request::Rows { table: reference.from, columns: reference.from_columns.clone(), when: reference.when.clone(), keys: vec![key], most: Some(children.most), depth: 0 };
                    for child in database.answer(&wanted) {
                        prop_assert!(sets[reference.from].contains(&child), "{:?} of {:?}", child, row);
                    }
                }
            }
        }
        // Where the keys lie and how many are asked for at once makes no difference.
        let (again, _) = database.sample(&text, Bounds::default());
        prop_assert_eq!(taken, again);
    }

    /// Against a map, whatever spills when.
    #[test]
    fn key_sets_on_disk_are_sets(raised in vec((0_u8..60, 0_u8..4), 0..600), most in 1_usize..20) {
        let mut set = KeySet::new(most);
        let mut map: HashMap<u8, u8> = HashMap::new();
        for (key, number) in raised {
            let wanted = match map.get(&key) {
                None => Known::New,
                Some(before) if *before < number => Known::Further,
                Some(_) => Known::Before,
            };
            prop_assert_eq!(set.raise(hashed(&[7; 32], [Some([key].as_slice())].into_iter()), number).unwrap(), wanted);
            let entry = map.entry(key).or_default();
            *entry = number.max(*entry);
        }
    }

    #[test]
    fn queues_on_disk_keep_their_order(steps in vec((any::<bool>(), 1_usize..9), 0..80), most in 1_usize..5) {
        let (mut queue, mut wanted, mut next) = (Queue::new(most), std::collections::VecDeque::new(), 0_u32);
        for (push, count) in steps {
            if push {
                for _ in 0..count {
                    let key = vec![next.to_le_bytes().to_vec(), vec![b'x'; next as usize % 5]];
                    queue.push(key.clone()).unwrap();
                    wanted.push_back(key);
                    next += 1;
                }
            } else {
                let popped = queue.pop(count).unwrap();
                prop_assert_eq!(&popped, &wanted.drain(..count.min(wanted.len())).collect::<Vec<_>>());
            }
        }
    }
}

impl Database {
    /// With a key for each table, and all its columns looked at.
    fn covered(mut self, kind: Kind, budget: u64) -> Database {
        for (table, rows) in self.tables.iter_mut().zip(&self.rows) {
            let column = |name: &String| WholeColumn { name: name.clone(), kind, cast: String::new() };
            let columns: Vec<WholeColumn> = table.columns.iter().map(column).collect();
            table.key = vec![0];
            let mut coverage = Coverage::new(&columns, &table.key, budget);
            for row in rows {
                coverage.survey(row, |key| Sampler::order(3, key));
            }
            table.coverage = Some(coverage);
        }
        self
    }

    fn covered_sample(&self, rules: &str) -> (Vec<BTreeSet<Row>>, Vec<Covered>) {
        let rules = parse(Path::new("rules.toml"), rules).unwrap();
        let mut sampler =
            Sampler::new(self.tables.clone(), self.references.clone(), &rules, Bounds { keys: 3, batch: 2 }).unwrap();
        let mut taken = vec![BTreeSet::new(); self.tables.len()];
        loop {
            while let Some(mut open) = sampler.request().unwrap() {
                let answer = self.answer(&open.request);
                let new = sampler.take(&mut open, answer).unwrap();
                taken[open.request.table()].extend(new);
                sampler.finish(&open);
            }
            if !sampler.cover().unwrap() {
                let covered = (0..self.tables.len()).map(|table| sampler.covered(table).unwrap());
                return (taken, covered.collect());
            }
        }
    }
}

type Pair = (usize, usize, Option<Vec<u8>>, Option<Vec<u8>>);

/// The pairs of values of columns `a` to `d`, NULL among them.
fn pairs(rows: &[Row]) -> BTreeSet<Pair> {
    let of = |row: &Row| {
        let row = row.clone();
        (1..5).flat_map(move |one| {
            let row = row.clone();
            (one + 1..5).map(move |other| (one, other, row[one].clone(), row[other].clone()))
        })
    };
    rows.iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_values_and_pairs_there_are_a_covered_sample_has(database in database(), seed in 0_u64..50) {
        let database = database.covered(Kind::Integer, 1000);
        let rules = format!("[sample]\nrows = \"1%\"\nseed = {seed}\nchildren = {{ depth = 0 }}\n");
        let (taken, covered) = database.covered_sample(&rules);
        for ((all, taken), covered) in database.rows.iter().zip(&taken).zip(&covered) {
            let taken: Vec<Row> = taken.iter().cloned().collect();
            prop_assert_eq!(pairs(all), pairs(&taken));
            prop_assert_eq!(&covered.missed, &Vec::new());
            prop_assert!(covered.added <= covered.found - covered.drawn);
        }
        // Closed as any other.
        for reference in &database.references {
            for row in taken[reference.from].iter().filter(|row| refers(reference, row)) {
                let Some(key) = key_of(row, &reference.from_columns) else { continue };
                for parent in database.rows[reference.to].iter().filter(|row| key_of(row, &reference.to_columns).as_ref() == Some(&key)) {
                    prop_assert!(taken[reference.to].contains(parent));
                }
            }
        }
        // The same seed takes the same rows.
        prop_assert_eq!(database.covered_sample(&rules).0, taken);
    }

    #[test]
    fn a_budget_is_kept_and_what_it_does_not_reach_is_told(database in database(), budget in 1_u64..6) {
        let database = database.covered(Kind::Integer, budget);
        let alone = Database { references: Vec::new(), ..database };
        let (taken, covered) = alone.covered_sample("[sample]\nrows = 0\n");
        for ((all, taken), covered) in alone.rows.iter().zip(&taken).zip(&covered) {
            prop_assert!(taken.len() as u64 <= budget);
            let taken: Vec<Row> = taken.iter().cloned().collect();
            let missing = pairs(all).difference(&pairs(&taken)).count() as u64;
            let told: u64 = covered.missed.iter().filter(|missed| missed.what == What::Pairs).map(|missed| missed.count).sum();
            // Pairs with the table's key are told as well.
            prop_assert!(told >= missing, "{missing} are missing, {told} were told");
            prop_assert_eq!(covered.missed.is_empty(), missing == 0 && told == 0 && taken.len() >= all.len().min(1));
        }
    }
}

#[test]
fn extremes_empty_texts_and_shapes_are_covered() {
    let mut rows: Vec<Row> = (0..500)
        .map(|at| {
            [at.to_string(), format!("{{\"a\":{at}}}"), (at * 7 % 300).to_string()]
                .map(|text| Some(text.into_bytes()))
                .to_vec()
        })
        .collect();
    rows[77][1] = Some(Vec::new());
    rows[78][1] = Some(br#"{"b":[1,2]}"#.to_vec());
    rows[79][1] = None;
    rows[81][1] = Some(br#"{"a":8111111111}"#.to_vec());
    rows[80][2] = Some(b"-12345678901234567890".to_vec());
    let columns = [("id", Kind::Integer), ("doc", Kind::Json), ("n", Kind::Integer)];
    let columns = columns.map(|(name, kind)| WholeColumn { name: name.into(), kind, cast: String::new() });
    let mut coverage = Coverage::new(&columns, &[0], 100);
    for row in &rows {
        let length = row[1].as_ref().map(|doc| doc.len().to_string().into_bytes());
        let surveyed: Row = row.iter().cloned().chain([length]).collect();
        coverage.survey(&surveyed, |key| Sampler::order(0, key));
    }
    assert_eq!(coverage.rows(), 500);
    let mut asked = Vec::new();
    loop {
        let keys = coverage.ask();
        if keys.is_empty() {
            break;
        }
        for key in keys {
            let row = rows.iter().find(|row| row[0].as_ref() == Some(&key[0])).unwrap();
            coverage.cover(row);
            asked.push(String::from_utf8(key[0].clone()).unwrap());
        }
    }
    for wanted in ["0", "499", "77", "78", "79", "80", "81"] {
        assert!(asked.contains(&wanted.to_owned()), "{wanted} of {asked:?}");
    }
    assert!(asked.len() < 12, "{asked:?}");
    let covered = coverage.covered();
    assert_eq!((covered.drawn, covered.missed), (0, Vec::new()));
}

#[test]
fn keys_that_nothing_has_are_counted_once() {
    let database = Database {
        tables: vec![table("users", &["id"]), table("orders", &["id", "user"])],
        rows: vec![rows(&[["1"]]), rows(&[["1", "1"], ["2", "8"], ["3", "8"], ["4", "9"], ["5", ""]])],
        references: vec![Reference { from: 1, from_columns: vec![1], to: 0, to_columns: vec![0], when: None }],
    };
    let rules = parse(Path::new("r"), "[sample]\nrows = \"all\"\n[sample.tables]\nusers = 0\n").unwrap();
    let mut sampler =
        Sampler::new(database.tables.clone(), database.references.clone(), &rules, Bounds { keys: 9, batch: 1 })
            .unwrap();
    while let Some(mut open) = sampler.request().unwrap() {
        let answer = database.answer(&open.request);
        sampler.take(&mut open, answer).unwrap();
        sampler.finish(&open);
    }
    assert_eq!(sampler.orphans(), [Orphans { table: 0, columns: vec![0], keys: 2 }]);
}

/// A set of many blocks and runs.
#[test]
fn large_key_sets_are_found_again() {
    let mut set = KeySet::new(1000);
    let key = |number: u32| hashed(&[7; 32], [Some(number.to_le_bytes().as_slice())].into_iter());
    for number in 0..20_000 {
        assert_eq!(set.raise(key(number), 1).unwrap(), Known::New);
    }
    for number in (0..20_000).rev() {
        assert_eq!(set.raise(key(number), 1).unwrap(), Known::Before);
        assert_eq!(set.raise(key(number), 2).unwrap(), Known::Further);
    }
    assert_eq!(set.raise(key(20_000), 0).unwrap(), Known::New);
}

fn rows<const C: usize>(rows: &[[&str; C]]) -> Vec<Row> {
    rows.iter()
        .map(|row| row.iter().map(|text| (!text.is_empty()).then(|| text.as_bytes().to_vec())).collect())
        .collect()
}

fn table(name: &str, columns: &[&str]) -> Table {
    Table {
        schema: "shop".to_owned(),
        name: name.to_owned(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        coverage: None,
        key: vec![0],
    }
}

#[test]
fn references_of_the_rules_count_as_those_of_the_database() {
    let database = Database {
        tables: vec![
            table("users", &["id", "boss"]),
            table("posts", &["id"]),
            table("comments", &["id", "type", "of"]),
        ],
        rows: vec![
            rows(&[["1", "2"], ["2", "3"], ["3", ""], ["4", ""]]),
            rows(&[["7"], ["8"]]),
            rows(&[["1", "Post", "7"], ["2", "User", "1"], ["3", "User", "9"], ["4", "Page", "4"]]),
        ],
        references: vec![Reference { from: 0, from_columns: vec![1], to: 0, to_columns: vec![0], when: None }],
    };
    let text = "[sample]\nrows = \"none\"\n[sample.tables]\ncomments = \"all\"\n\
                [[reference]]\ntype = \"comments.type\"\nid = \"comments.of\"\nto = { Post = \"posts.id\", User = \"shop.users.id\" }\n";
    let (taken, requests) = database.sample(text, Bounds::default());
    let ids =
        |rows: &[Row]| rows.iter().map(|row| String::from_utf8(row[0].clone().unwrap()).unwrap()).collect::<Vec<_>>();
    assert_eq!(ids(&taken[0]), ["1", "2", "3"]);
    assert_eq!(ids(&taken[1]), ["7"]);
    assert_eq!(taken[2].len(), 4);
    assert!(requests < 10, "{requests}");
    let wrong = parse(Path::new("r"), "[[reference]]\nfrom = \"comments.author\"\nto = \"users.id\"\n").unwrap();
    let error = Sampler::new(database.tables.clone(), Vec::new(), &wrong, Bounds::default()).err().unwrap();
    assert_eq!(error.to_string(), "the rules file refers to comments.author, which is not there");
}

#[test]
fn children_are_followed_as_far_as_asked() {
    let database = Database {
        tables: vec![table("users", &["id"]), table("orders", &["id", "user"]), table("lines", &["id", "order"])],
        rows: vec![
            rows(&[["1"], ["2"]]),
            rows(&[["1", "1"], ["2", "1"], ["3", "1"], ["4", "2"]]),
            rows(&[["1", "1"], ["2", "2"], ["3", "3"], ["4", "4"]]),
        ],
        references: vec![
            Reference { from: 1, from_columns: vec![1], to: 0, to_columns: vec![0], when: None },
            Reference { from: 2, from_columns: vec![1], to: 1, to_columns: vec![0], when: None },
        ],
    };
    let counts = |children: &str| {
        // Nothing of orders and lines is drawn by itself.
        let text = format!("[sample]\nrows = \"all\"\nchildren = {children}\n[sample.tables]\norders = 0\nlines = 0\n");
        database.sample(&text, Bounds::default()).0.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(counts("{ depth = 0 }"), [2, 0, 0]);
    assert_eq!(counts("{ depth = 1 }"), [2, 4, 0]);
    assert_eq!(counts("{ depth = 2 }"), [2, 4, 4]);
    assert_eq!(counts("{ depth = 2, most = 2 }"), [2, 3, 3]);
    let taken: BTreeMap<_, _> = [("none", [0, 0, 0]), ("all", [2, 4, 4])].into();
    for (rows, wanted) in taken {
        let text = format!("[sample]\nrows = \"{rows}\"\n");
        let counted: Vec<_> = database.sample(&text, Bounds::default()).0.iter().map(Vec::len).collect();
        assert_eq!(counted, wanted);
    }
}
