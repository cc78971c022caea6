//! Another server, as foreign tables name it: it notes that somebody knocked and never answers.

use std::io::ErrorKind;
use std::net::TcpListener;

pub struct Elsewhere(TcpListener);

impl Elsewhere {
    pub fn new() -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be asked without waiting");
        Elsewhere(listener)
    }

    /// Tables with rows here and rows there: a partitioned one, and one with a child. `tags` refers to the latter, and is empty.
    pub fn tables(&self) -> String {
        let port = self.0.local_addr().expect("bound").port();
        format!(
            "CREATE EXTENSION postgres_fdw;
             CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw
                OPTIONS (host '127.0.0.1', port '{port}', dbname 'shop', connect_timeout '2');
             CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'app', password 'secret');
             CREATE TABLE events (day date NOT NULL, what text) PARTITION BY RANGE (day);
             CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
             INSERT INTO events_new SELECT '2024-03-01', 'x' FROM generate_series(1, 20);
             CREATE FOREIGN TABLE events_old PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') SERVER elsewhere;
             CREATE TABLE notes (id int PRIMARY KEY, body text);
             INSERT INTO notes SELECT g, 'note' FROM generate_series(1, 5) g;
             CREATE FOREIGN TABLE notes_old () INHERITS (notes) SERVER elsewhere;
             CREATE TABLE tags (note int NOT NULL REFERENCES notes, tag text NOT NULL, PRIMARY KEY (note, tag));"
        )
    }

    /// Nobody connected.
    #[track_caller]
    pub fn assert_left_alone(&self) {
        match self.0.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("somebody connected: {other:?}"),
        }
    }
}
