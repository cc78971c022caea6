//! In which files tables lie (chapters "InnoDB File-Per-Table Tablespaces" of the manuals).

use std::collections::BTreeSet;
use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::connect::{DriverError, in_time, with};
use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;

const DEADLINE: Duration = Duration::from_secs(10);

/// As [`crate::engine::files::of_tables`].
///
/// # Errors
/// As there.
pub async fn of_tables(superuser: &Endpoint, names: Option<&BTreeSet<String>>) -> Result<Vec<String>, DriverError> {
    let view = if superuser.engine == EngineKind::Mysql { "innodb_tablespaces" } else { "innodb_sys_tablespaces" };
    let asked = format!("SELECT name FROM information_schema.{view} WHERE name LIKE '%/%'");
    let server = superuser.in_database("");
    let spaces = with(&server, DEADLINE, async |connection| connection.query(asked).await);
    let spaces: Vec<String> = in_time(DEADLINE, spaces).await?;
    let wanted = spaces.into_iter().filter(|space| names.is_none_or(|names| is_of(space, names)));
    Ok(wanted.map(|space| format!("{space}.ibd")).collect())
}

/// "shop/orders", "shop/orders#P#p0" of a partition. Letters that not every file system has are written as "@00e9": such a table may be any.
fn is_of(space: &str, names: &BTreeSet<String>) -> bool {
    let table = space.rsplit_once('/').map_or(space, |(_, table)| table);
    let table = table.split('#').next().unwrap_or(table).to_lowercase();
    table.contains('@') || names.contains(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_of_tables() {
        let names = BTreeSet::from(["orders".to_owned()]);
        for (space, expected) in [
            ("shop/orders", true),
            ("shop/Orders#P#p0", true),
            ("shop/orders_old", false),
            ("shop/caf@00e9", true),
            ("orders/lines", false),
        ] {
            assert_eq!(is_of(space, &names), expected, "{space}");
        }
    }
}
