//! What the server kept of statements, as the statements of a program.

use std::collections::{HashMap, HashSet};

use crate::engine::EngineKind;
use crate::engine::mysql::blot;
use crate::engine::mysql::connect::application_of;
use crate::engine::mysql::error::{cut, shown};
use crate::engine::recover::{MAX_SQL, MAX_STATEMENTS, Recovered};
use crate::engine::said::BLOT;
use crate::event::{SqlError, Statement, Work};

/// Asks for the events that ended since then, by the server's timer in picoseconds; oldest first. What a routine runs inside is its
/// CALL's.
pub(super) fn since(end: u64) -> String {
    format!(
        "SELECT THREAD_ID, EVENT_ID, EVENT_NAME, SQL_TEXT, COALESCE(MYSQL_ERRNO, 0), RETURNED_SQLSTATE, MESSAGE_TEXT,
            COALESCE(TIMER_START, 0), COALESCE(TIMER_END, 0), ROWS_AFFECTED, ROWS_SENT
        FROM performance_schema.events_statements_history_long
        WHERE NESTING_EVENT_LEVEL = 0 AND TIMER_END >= {end} ORDER BY TIMER_END, THREAD_ID, EVENT_ID"
    )
}

pub(super) type Row = (u64, u64, String, Option<Vec<u8>>, u16, Option<String>, Option<Vec<u8>>, u64, u64, u64, u64);

/// In a millisecond: what the servers' timers count in.
const PICOSECONDS: f64 = 1e9;

/// One event of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    thread: u64,
    event: u64,
    /// By the server's timer, in picoseconds.
    pub end: u64,
}

/// A statement as the server kept it.
#[derive(Debug, Clone, Default)]
pub(super) struct Event {
    pub thread: u64,
    pub event: u64,
    /// "statement/sql/alter_table"
    pub name: String,
    /// None of what is no statement.
    pub sql: Option<String>,
    pub error: u16,
    pub state: Option<String>,
    pub message: Option<String>,
    pub start: u64,
    pub end: u64,
    pub affected: u64,
    pub sent: u64,
}

/// Text as the server kept it: in another character set, or cut within a character.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Event {
    pub fn of((thread, event, name, sql, error, state, message, start, end, affected, sent): Row) -> Event {
        let text = |bytes: Option<Vec<u8>>| bytes.as_deref().map(lossy);
        let (sql, message) = (text(sql), text(message));
        Event { thread, event, name, sql, error, state, message, start, end, affected, sent }
    }

    pub fn key(&self) -> Key {
        Key { thread: self.thread, event: self.event, end: self.end }
    }

    /// "alter_table"; empty of what is sent by other means than as text.
    fn kind(&self) -> &str {
        self.name.strip_prefix("statement/sql/").unwrap_or_default()
    }

    /// A prepared statement that is run. MariaDB keeps no text of those.
    fn is_execution(&self) -> bool {
        self.name.starts_with("statement/com/") && self.name.to_ascii_lowercase().contains("execute")
    }

    /// Whether it is something that the program ran, or was refused: what is only prepared is told when it is run.
    fn is_told(&self) -> bool {
        let is_statement = self.sql.is_some() && self.name != "statement/com/Prepare";
        self.error != 0 || is_statement || self.is_execution()
    }

    /// What stands for a text that the server did not keep.
    fn without_text(&self) -> String {
        match self.is_execution() {
            true => "EXECUTE /* a prepared statement whose text the server did not keep */".to_owned(),
            false => format!("/* {} */", self.name.rsplit('/').next().unwrap_or_default()),
        }
    }

    /// MySQL's own client asks so, of every server, whether it knows a quote that none knows.
    fn is_the_clients(&self) -> bool {
        self.sql.as_deref() == Some("select $$") && self.error == 1064
    }
}

/// What earlier events of a session say about later ones.
#[derive(Debug, Default)]
struct Session {
    ours: bool,
    in_transaction: bool,
    /// Of its last statement among those collected.
    last: Option<usize>,
}

/// A statement with what it takes to show it.
struct Found {
    statement: Statement,
    state: Option<String>,
    key: Key,
    /// Where the server kept none.
    without_text: Option<String>,
}

/// The program's statements so far.
pub(super) struct Collected {
    /// When the mark ran, by the server's timer in picoseconds and by the run's clock.
    mark: u64,
    mark_ms: f64,
    /// The mark's own, which is this program's.
    own: u64,
    /// Of the last reading.
    seen: HashSet<Key>,
    sessions: HashMap<u64, Session>,
    statements: Vec<Found>,
    left_out: u64,
    /// Of prepared statements that were seen while they ran, by thread and event.
    texts: HashMap<(u64, u64), String>,
    /// Seen running by the last look.
    running: HashMap<(u64, u64), String>,
}

impl Collected {
    pub fn new(mark: &Event, mark_ms: f64) -> Collected {
        Collected {
            mark: mark.start.midpoint(mark.end),
            mark_ms,
            own: mark.thread,
            seen: HashSet::new(),
            sessions: HashMap::new(),
            statements: Vec::new(),
            left_out: 0,
            texts: HashMap::new(),
            running: HashMap::new(),
        }
    }

    /// Takes the texts of prepared statements that run now. One is sure where it is the same in two looks: between a thread's event and
    /// its text the thread may have gone on to another.
    pub fn look_at(&mut self, running: Vec<(u64, u64, Vec<u8>)>) {
        let running: HashMap<(u64, u64), String> =
            running.into_iter().map(|(thread, event, text)| ((thread, event), lossy(&text))).collect();
        for (key, text) in &running {
            if self.running.get(key) == Some(text) {
                self.texts.entry(*key).or_insert_with(|| text.clone());
            }
        }
        self.running = running;
    }

    /// Adds what a reading found, in the order in which it ended, and was not in the one before.
    pub fn add(&mut self, events: Vec<Event>, ours: fn(&str) -> bool) {
        let seen: HashSet<Key> = events.iter().map(Event::key).collect();
        for event in events {
            if event.thread != self.own && !self.seen.contains(&event.key()) {
                self.take(event, ours);
            }
        }
        self.seen = seen;
    }

    /// Whether that thread was a session of the tool's own; what has ended no statement yet is nobody's.
    pub fn is_ours(&self, thread: u64) -> bool {
        self.sessions.get(&thread).is_some_and(|session| session.ours)
    }

    fn take(&mut self, event: Event, ours: fn(&str) -> bool) {
        if !event.is_told() {
            return;
        }
        let sql = event.sql.clone().unwrap_or_default();
        let session = self
            .sessions
            .entry(event.thread)
            .or_insert_with(|| Session { ours: application_of(&sql).is_some_and(ours), ..Session::default() });
        if session.ours || event.is_the_clients() {
            return;
        }
        let in_transaction = session.in_transaction;
        session.in_transaction = stays_open(event.kind(), in_transaction);
        // Of statements sent in one text, the first has the others' behind it.
        if let Some(last) = session.last.take()
            && let Some(rest) = self.statements[last].statement.sql.strip_suffix(&sql)
            && let Some(alone) = rest.trim_end().strip_suffix(';')
            && !sql.is_empty()
        {
            let alone = alone.len();
            self.statements[last].statement.sql.truncate(alone);
        }
        let room = if event.error != 0 { MAX_STATEMENTS + 100 } else { MAX_STATEMENTS };
        if self.statements.len() >= room {
            self.left_out += 1;
            return;
        }
        session.last = Some(self.statements.len());
        let error = (event.error != 0).then(|| SqlError {
            code: event.error.to_string(),
            message: event.message.clone().unwrap_or_default(),
            table: None,
            column: None,
            constraint: None,
            position: None,
        });
        let statement = Statement {
            command: command(event.kind(), &sql),
            started_ms: self.mark_ms + (event.start as f64 - self.mark as f64) / PICOSECONDS,
            elapsed_ms: event.end.saturating_sub(event.start) as f64 / PICOSECONDS,
            rows: error.is_none().then_some(if event.affected > 0 { event.affected } else { event.sent }),
            work: work(event.kind()),
            attempts: 1,
            in_transaction,
            recovered: true,
            error,
            sql,
            ..Statement::default()
        };
        let without_text = event.sql.is_none().then(|| event.without_text());
        self.statements.push(Found { statement, key: event.key(), state: event.state, without_text });
    }

    /// With values left out of statements and errors, unless they are to be shown.
    pub fn recovered(self, engine: EngineKind, show_values: bool) -> Recovered {
        let mut statements = Vec::with_capacity(self.statements.len());
        for (index, Found { mut statement, state, key, without_text }) in self.statements.into_iter().enumerate() {
            statement.index = index;
            if let Some(text) = self.texts.get(&(key.thread, key.event)) {
                statement.command = command("", text);
                statement.sql.clone_from(text);
            }
            if !show_values {
                statement.sql = blot::sql(&statement.sql, engine);
                if let Some(error) = &mut statement.error {
                    let number = error.code.parse().unwrap_or_default();
                    error.message = shown(number, state.as_deref().unwrap_or_default(), &cut(&error.message));
                }
            }
            if statement.sql.is_empty()
                && let Some(without_text) = without_text
            {
                statement.command = command("", &without_text);
                statement.sql = without_text;
            }
            if let Some((end, _)) = statement.sql.char_indices().nth(MAX_SQL) {
                statement.sql.truncate(end);
                statement.sql.push_str(BLOT);
            }
            statements.push(statement);
        }
        Recovered { statements, left_out: self.left_out }
    }
}

/// The words by which people know the statement: "ALTER TABLE", "INSERT".
fn command(kind: &str, sql: &str) -> String {
    match kind {
        "set_option" => "SET".to_owned(),
        "change_db" => "USE".to_owned(),
        "call_procedure" => "CALL".to_owned(),
        "" | "error" => sql.split_whitespace().next().unwrap_or_default().to_ascii_uppercase(),
        kind if kind.starts_with("show_") => "SHOW".to_owned(),
        kind => {
            let plain = ["_multi", "_select", "_sql"].iter().find_map(|ending| kind.strip_suffix(ending));
            plain.unwrap_or(kind).replace('_', " ").to_ascii_uppercase()
        }
    }
}

/// What is sure of it from its kind alone: nothing was measured.
fn work(kind: &str) -> Work {
    const CONSTANT: [&str; 15] = [
        "analyze",
        "begin",
        "change_db",
        "commit",
        "dealloc_sql",
        "kill",
        "lock_tables",
        "prepare_sql",
        "release_savepoint",
        "rollback_to_savepoint",
        "savepoint",
        "set_option",
        "unlock_tables",
        "grant",
        "revoke",
    ];
    if CONSTANT.contains(&kind) || kind.starts_with("show_") { Work::Constant } else { Work::Unknown }
}

/// Whether a transaction that the session began itself is open after such a statement (chapters "Statements That Cause an Implicit Commit"
/// of the manuals).
fn stays_open(kind: &str, is_open: bool) -> bool {
    const ENDING: [&str; 10] =
        ["alter_", "create_", "drop_", "rename_", "grant", "revoke", "truncate", "lock_tables", "analyze", "optimize"];
    match kind {
        "begin" => true,
        "commit" | "rollback" => false,
        kind => is_open && !ENDING.iter().any(|beginning| kind.starts_with(beginning)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(thread: u64, event: u64, kind: &str, sql: &str) -> Event {
        let end = event * 1_000_000_000;
        let sql = Some(sql.to_owned());
        Event { thread, event, name: format!("statement/sql/{kind}"), sql, start: end, end, ..Event::default() }
    }

    fn collected(events: Vec<Event>) -> Collected {
        let mut collected = Collected::new(&event(1, 0, "select", "mark"), 100.0);
        collected.add(events, |application| application.starts_with("rehearsal"));
        collected
    }

    #[test]
    fn sessions_of_the_tool_s_own_and_clients_manners_are_left_out() {
        let refused = Event { error: 1064, ..event(8, 3, "error", "select $$") };
        let quit = Event { sql: None, ..event(8, 5, "", "") };
        let events = vec![
            event(1, 1, "select", "the mark's session"),
            event(7, 2, "set_option", "/* rehearsal probe */ SET SESSION autocommit = 1"),
            refused,
            event(7, 4, "insert", "INSERT INTO t VALUES (1)"),
            quit,
            event(8, 6, "update", "UPDATE t SET a = 'Ann' WHERE b = 7"),
        ];
        let recovered = collected(events).recovered(EngineKind::Mysql, false);
        let told: Vec<_> = recovered.statements.iter().map(|each| (each.index, each.sql.as_str())).collect();
        assert_eq!(told, [(0, "UPDATE t SET a = '…' WHERE b = …")]);
        assert_eq!(recovered.statements[0].started_ms, 106.0);
    }

    #[test]
    fn what_was_read_before_is_not_read_again() {
        let mut collected = collected(vec![event(8, 1, "select", "SELECT 1")]);
        let again = vec![event(8, 1, "select", "SELECT 1"), event(8, 2, "select", "SELECT 2")];
        collected.add(again, |_| false);
        let found = collected.recovered(EngineKind::Mysql, true).statements;
        assert_eq!(found.iter().map(|each| each.sql.as_str()).collect::<Vec<_>>(), ["SELECT 1", "SELECT 2"]);
    }

    #[test]
    fn prepared_statements_and_several_in_one_text() {
        let of_protocol = |number, what: &str, error| Event {
            sql: None,
            error,
            name: format!("statement/com/{what}"),
            ..event(8, number, "", "")
        };
        let mut collected = collected(vec![
            event(8, 1, "insert", "INSERT INTO t VALUES (1) ;\n DELETE FROM t"),
            event(8, 2, "delete", "DELETE FROM t"),
            of_protocol(3, "Prepare", 0),
            of_protocol(4, "Execute", 0),
            of_protocol(5, "Execute", 1062),
            of_protocol(6, "Init DB", 1044),
            of_protocol(7, "Ping", 0),
            Event { name: "statement/com/Prepare".into(), ..event(8, 8, "", "SELECT ?") },
            Event { name: "statement/com/Execute".into(), ..event(8, 9, "", "SELECT ?") },
        ]);
        let running = |text: &str| vec![(8, 4, text.as_bytes().to_vec()), (8, 5, b"another".to_vec())];
        collected.look_at(running("UPDATE t SET a = 'Ann'"));
        collected.look_at(vec![(8, 4, b"UPDATE t SET a = 'Ann'".to_vec()), (8, 5, b"and another".to_vec())]);
        let found = collected.recovered(EngineKind::Mariadb, false).statements;
        let told: Vec<_> = found.iter().map(|each| (each.command.as_str(), each.sql.as_str())).collect();
        let unknown = ("EXECUTE", "EXECUTE /* a prepared statement whose text the server did not keep */");
        assert_eq!(
            told,
            [
                ("INSERT", "INSERT INTO t VALUES (…) "),
                ("DELETE", "DELETE FROM t"),
                ("UPDATE", "UPDATE t SET a = '…'"),
                unknown,
                ("/*", "/* Init DB */"),
                ("SELECT", "SELECT ?"),
            ]
        );
    }

    #[test]
    fn errors_hold_no_values() {
        let check = |error: u16, message: &str, expected: &str| {
            let failed = Event { error, message: Some(message.to_owned()), ..event(8, 1, "insert", "INSERT") };
            let found = collected(vec![failed]).recovered(EngineKind::Mysql, false).statements;
            let told = found[0].error.as_ref().expect("it failed");
            assert_eq!((told.code.as_str(), told.message.as_str()), (error.to_string().as_str(), expected));
            assert_eq!(found[0].rows, None);
        };
        check(1062, "Duplicate entry 'ann' for key 't.PRIMARY'", "Duplicate entry … for key 't.PRIMARY'");
        // The server cut it within the value.
        let value = format!("Duplicate entry 'a for key {}", "x".repeat(200));
        check(1062, &value[..128], "Duplicate entry …");
    }

    #[test]
    fn a_transaction_lasts_to_its_end() {
        let events = vec![
            event(8, 1, "begin", "BEGIN"),
            event(8, 2, "update", "UPDATE t SET a = 1"),
            event(8, 3, "rollback_to_savepoint", "ROLLBACK TO a"),
            event(8, 4, "alter_table", "ALTER TABLE t ADD b int"),
            event(8, 5, "update", "UPDATE t SET b = 1"),
        ];
        let found = collected(events).recovered(EngineKind::Mysql, true).statements;
        let open: Vec<_> = found.iter().map(|each| each.in_transaction).collect();
        assert_eq!(open, [false, true, true, true, false]);
        let told: Vec<_> = found.iter().map(|each| (each.command.as_str(), each.work)).collect();
        let unknown = |command| (command, Work::Unknown);
        let constant = |command| (command, Work::Constant);
        assert_eq!(
            told,
            [
                constant("BEGIN"),
                unknown("UPDATE"),
                constant("ROLLBACK TO SAVEPOINT"),
                unknown("ALTER TABLE"),
                unknown("UPDATE"),
            ]
        );
    }
}
