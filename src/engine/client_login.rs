//! How a person's own client finds a server: a file that holds passwords, and the command that opens a session.

use std::path::Path;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

/// The file's name, as people know it.
pub fn file_name(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Postgres => "pgpass",
        EngineKind::Mysql | EngineKind::Mariadb => "my.cnf",
    }
}

/// What one server needs in the file (chapters "The Password File" of Postgres's manual, "Using Option Files" of the others'). `name` is
/// the node's.
pub fn entry(name: &str, endpoint: &Endpoint) -> String {
    let Endpoint { engine, host, port, user, password, .. } = endpoint;
    match engine {
        EngineKind::Postgres => format!("{host}:{port}:*:{user}:{password}\n"),
        EngineKind::Mysql | EngineKind::Mariadb => format!(
            "[client_{name}]\nhost = {host}\nport = {port}\nprotocol = tcp\nuser = {user}\npassword = {password}\n"
        ),
    }
}

/// A shell command that opens a session on a node, whose passwords are in `file`. Holds none itself.
pub fn command(file: &Path, name: &str, endpoint: &Endpoint) -> String {
    let file = quoted(&file.display().to_string());
    match endpoint.engine {
        EngineKind::Postgres => format!("PGPASSFILE={file} psql {}", quoted(&endpoint.url_without_password())),
        engine => {
            let client = if engine == EngineKind::Mysql { "mysql" } else { "mariadb" };
            let database = quoted(&endpoint.database);
            format!("{client} --defaults-file={file} --defaults-group-suffix=_{name} {database}")
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
