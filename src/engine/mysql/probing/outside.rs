//! Which writes leave through triggers what a rollback does not undo: in tables without transactions, on other servers, by loaded functions.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::read::SYSTEM;
use super::text::words;
use crate::engine::mysql::connect::DriverError;

/// What a write to some table may set off. Names are in lower case, without their database: a body that names one may mean it.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Triggers by database and table, each with its name and the words of its body.
    triggers: BTreeMap<(String, String), Vec<Body>>,
    routines: BTreeMap<String, Vec<Body>>,
    /// Databases in which there is a table of that name.
    tables: BTreeMap<String, BTreeSet<String>>,
    /// Engines without transactions, by table.
    kept: BTreeMap<String, String>,
    loaded: BTreeSet<String>,
}

/// Of a trigger or a routine.
#[derive(Debug, Clone)]
struct Body {
    name: String,
    words: BTreeSet<String>,
}

impl Reach {
    /// `transactional`: engines with transactions.
    ///
    /// # Errors
    /// The driver's.
    pub async fn read(connection: &mut Conn, transactional: &[String]) -> Result<Reach, DriverError> {
        let mut reach = Reach::default();
        let asked = format!(
            "SELECT event_object_schema, event_object_table, trigger_name, action_statement
            FROM information_schema.triggers WHERE event_object_schema NOT IN {SYSTEM}"
        );
        let triggers: Vec<(String, String, String, String)> = connection.query(asked).await?;
        if triggers.is_empty() {
            return Ok(reach);
        }
        for (database, table, name, text) in triggers {
            reach.triggers.entry((database, table)).or_default().push(Body { name, words: words(&text) });
        }
        let asked = format!(
            "SELECT routine_name, COALESCE(routine_definition, '') FROM information_schema.routines
            WHERE routine_schema NOT IN {SYSTEM}"
        );
        let routines: Vec<(String, String)> = connection.query(asked).await?;
        for (name, text) in routines {
            let body = Body { words: words(&text), name: name.clone() };
            reach.routines.entry(name.to_lowercase()).or_default().push(body);
        }
        let asked = format!(
            "SELECT table_schema, table_name, COALESCE(engine, '') FROM information_schema.tables
            WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN {SYSTEM}"
        );
        let tables: Vec<(String, String, String)> = connection.query(asked).await?;
        for (database, table, engine) in tables {
            let name = table.to_lowercase();
            reach.tables.entry(name.clone()).or_default().insert(database);
            if !transactional.iter().any(|each| each.eq_ignore_ascii_case(&engine)) || is_elsewhere(&engine) {
                reach.kept.insert(name, engine);
            }
        }
        let loaded: Vec<String> = connection.query("SELECT name FROM mysql.func").await?;
        reach.loaded = loaded.into_iter().map(|name| name.to_lowercase()).collect();
        Ok(reach)
    }

    /// Why writes to this table must not be tried, if they must not.
    pub fn outside(&self, database: &str, table: &str) -> Option<String> {
        let of = |database: &str, table: &str| self.triggers.get(&(database.to_owned(), table.to_owned()));
        let mut left: Vec<&Body> = of(database, table).into_iter().flatten().collect();
        let mut seen = BTreeSet::new();
        while let Some(body) = left.pop() {
            if !seen.insert((&body.name, &body.words)) {
                continue;
            }
            for word in &body.words {
                if let Some(engine) = self.kept.get(word) {
                    return Some(format!(
                        "a rollback does not undo what its triggers do: {} names {word}, a table of engine {engine}",
                        body.name
                    ));
                }
                if self.loaded.contains(word) {
                    return Some(format!(
                        "a rollback does not undo what its triggers do: {} names the loaded function {word}",
                        body.name
                    ));
                }
                left.extend(self.routines.get(word).into_iter().flatten());
                for database in self.tables.get(word).into_iter().flatten() {
                    // Triggers keep the case of their table's name.
                    let triggers = self
                        .triggers
                        .iter()
                        .filter(|((of, table), _)| of == database && table.eq_ignore_ascii_case(word));
                    left.extend(triggers.flat_map(|(_, bodies)| bodies));
                }
            }
        }
        None
    }
}

pub(super) fn is_elsewhere(engine: &str) -> bool {
    ELSEWHERE.iter().any(|each| each.eq_ignore_ascii_case(engine))
}

/// Engines whose tables only stand for rows that lie elsewhere.
const ELSEWHERE: &[&str] = &["FEDERATED", "CONNECT", "SPIDER", "S3", "ndbcluster"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_that_leave_something_are_told_from_those_that_do_not() {
        let body = |name: &str, text: &str| vec![Body { name: name.into(), words: words(text) }];
        let reach = |text: &str| Reach {
            triggers: BTreeMap::from([
                (("shop".into(), "orders".into()), body("t", text)),
                (("shop".into(), "Notes".into()), body("u", "INSERT INTO audit.log VALUES (1)")),
            ]),
            routines: BTreeMap::from([("note".into(), body("note", "INSERT INTO notes VALUES (1)"))]),
            tables: BTreeMap::from([("notes".into(), BTreeSet::from(["shop".into()]))]),
            kept: BTreeMap::from([("log".into(), "MyISAM".into())]),
            loaded: BTreeSet::from(["sys_exec".into()]),
        };
        let check = |text: &str, expected: Option<&str>| {
            let reason = reach(text).outside("shop", "orders");
            assert_eq!(
                reason.as_deref().and_then(|reason| reason.split_once(": ")).map(|(_, how)| how),
                expected,
                "{text}"
            );
        };
        check("SET NEW.changed = NOW()", None);
        check("INSERT INTO log VALUES (1)", Some("t names log, a table of engine MyISAM"));
        check("CALL note()", Some("u names log, a table of engine MyISAM"));
        check("SET @a = sys_exec('ls')", Some("t names the loaded function sys_exec"));
        check("/* log */ INSERT INTO orders VALUES (1)", None);
    }
}
