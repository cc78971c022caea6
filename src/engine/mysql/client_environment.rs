//! The environment in which MySQL's and MariaDB's own clients, and most frameworks, find a server.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::engine::endpoint::Endpoint;

/// Files of a person's own in the home folder, which go before everything but a command line.
const PERSONS_OWN: [&str; 2] = [".my.cnf", ".mylogin.cnf"];

/// What clients read (chapters "Environment Variables" and "Using Option Files" of the manuals): an option file in `folder`, which is
/// private, so that no password need stand in a command line; and what frameworks ask for. Holds the password.
///
/// # Errors
/// The file could not be written.
pub fn environment(endpoint: &Endpoint, folder: &Path) -> io::Result<Vec<(&'static str, String)>> {
    let file = folder.join("my.cnf");
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?.write_all(options(endpoint).as_bytes())?;
    Ok(vec![
        ("DATABASE_URL", endpoint.url()),
        ("MYSQL_HOME", folder.display().to_string()),
        ("MYSQL_HOST", endpoint.host.clone()),
        ("MYSQL_TCP_PORT", endpoint.port.to_string()),
        ("MYSQL_USER", endpoint.user.clone()),
        ("MYSQL_PWD", endpoint.password.clone()),
        ("MYSQL_DATABASE", endpoint.database.clone()),
    ])
}

/// The person's own file that would send a client elsewhere.
pub fn goes_before(home: &Path) -> Option<PathBuf> {
    PERSONS_OWN.iter().map(|name| home.join(name)).find(|file| file.exists())
}

fn options(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, user, password, database, .. } = endpoint;
    // Between quotes only the backslash has a meaning there.
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
    // MariaDB's client reads MySQL's section too.
    format!(
        "[client]\nhost = {}\nport = {port}\nprotocol = tcp\nuser = {}\npassword = {}\n[mysql]\ndatabase = {}\n",
        quoted(host),
        quoted(user),
        quoted(password),
        quoted(database)
    )
}
