//! Client programs that this tool runs itself, whatever the engine. Dumps of MySQL and MariaDB are read without any.

use std::path::PathBuf;

use crate::engine::postgres;

/// A client program, and where it is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientProgram {
    pub name: &'static str,
    /// "to take a snapshot of a live server"
    pub purpose: &'static str,
    /// How to get it.
    pub hint: &'static str,
    pub path: Option<PathBuf>,
}

/// All of them: the newest on this machine, for they speak to every older server.
pub fn all() -> Vec<ClientProgram> {
    let of_postgres = postgres::client_programs::USED.into_iter().map(|(name, purpose)| ClientProgram {
        name,
        purpose,
        hint: "install PostgreSQL's client programs, on Debian the package postgresql-client",
        path: postgres::client_programs::newest(name),
    });
    of_postgres.collect()
}
