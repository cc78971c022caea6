//! What the login may see: the information schema leaves out what it may not, and says nothing.

use std::collections::BTreeSet;

use super::Fields;
use crate::engine::EngineKind;
use crate::engine::mysql::names::literal;
use crate::engine::mysql::reading::Reading;
use crate::engine::reading::ReadError;

/// Triggers and events show only with these, keys and checks on MariaDB only with some other besides SELECT (chapters "The INFORMATION_SCHEMA
/// TRIGGERS Table" and "… EVENTS Table" of the manuals).
const NEEDED: [&str; 2] = ["EVENT", "TRIGGER"];

/// # Errors
/// [`ReadError::Query`] if the login, with the roles that it has on, may not see all that is in the database.
pub(super) async fn check(reading: &Reading) -> Result<(), ReadError> {
    let what = "what the login may see";
    let rows = async |sql: &str| Fields::all(reading, what, sql).await;
    let one = |mut row: Fields| row.text(0);
    let database = literal(reading.database());
    let mut held = BTreeSet::new();
    if reading.engine != EngineKind::Mysql {
        let roles = "SELECT ROLE_NAME FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME IS NOT NULL";
        let roles: Vec<String> = rows(roles).await?.into_iter().map(|row| literal(&one(row))).collect();
        if !roles.is_empty() {
            held.extend(rows(&of_roles(&roles.join(", "), &database)).await?.into_iter().map(one));
        }
    }
    let grantees = grantees(reading).await?;
    let sql = format!(
        "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE IN ({grantees})
         UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES
         WHERE GRANTEE IN ({grantees}) AND {database} LIKE TABLE_SCHEMA"
    );
    held.extend(rows(&sql).await?.into_iter().map(one));
    let missing: Vec<&str> = NEEDED.into_iter().filter(|needed| !held.contains(*needed)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why =
        format!("the login lacks {} on the database, without which part of it is not seen", missing.join(" and "));
    Err(ReadError::Query { what: "all of the schema".to_owned(), source: why.into() })
}

/// Routines on which the login has no privilege do not show at all, save to whoever may read the server's own table of them, or on MySQL
/// has one of two privileges on everything (chapter "The INFORMATION_SCHEMA ROUTINES Table" of the manuals).
///
/// # Errors
/// [`ReadError::Query`] with what the login lacks.
pub(super) async fn check_routines(reading: &Reading) -> Result<(), ReadError> {
    let refused = |why: &str| {
        let source = format!("the login lacks {why}, without which routines are not seen").into();
        ReadError::Query { what: "all of the schema".to_owned(), source }
    };
    if reading.engine != EngineKind::Mysql {
        let asked = reading.rows("routines", "SELECT 1 FROM mysql.proc LIMIT 1").await;
        return asked.map(|_| ()).map_err(|_| refused("SELECT on mysql.proc"));
    }
    let sql = format!(
        "SELECT 1 FROM information_schema.USER_PRIVILEGES
         WHERE PRIVILEGE_TYPE IN ('SHOW_ROUTINE', 'SELECT') AND GRANTEE IN ({})",
        grantees(reading).await?
    );
    if reading.rows("routines", &sql).await?.is_empty() { Err(refused("SHOW_ROUTINE")) } else { Ok(()) }
}

/// The account, and on MySQL the roles that it has on, as literals of the information schema's form.
async fn grantees(reading: &Reading) -> Result<String, ReadError> {
    let what = "what the login may see";
    let mut accounts = Fields::all(reading, what, "SELECT CURRENT_USER()").await?;
    if reading.engine == EngineKind::Mysql {
        let roles = "SELECT CONCAT(ROLE_NAME, '@', ROLE_HOST) FROM information_schema.ENABLED_ROLES";
        accounts.extend(Fields::all(reading, what, roles).await?);
    }
    let names = accounts.into_iter().map(|mut row| literal(&account(&row.text(0))));
    Ok(names.collect::<Vec<_>>().join(", "))
}

/// What roles of MariaDB bring along, which its information schema leaves out.
fn of_roles(roles: &str, database: &str) -> String {
    let of = |privilege: &str| {
        format!(
            "SELECT '{}' FROM mysql.user WHERE is_role = 'Y' AND {privilege}_priv = 'Y' AND User IN ({roles})
             UNION SELECT '{}' FROM mysql.db
             WHERE {privilege}_priv = 'Y' AND Host = '' AND User IN ({roles}) AND {database} LIKE Db",
            privilege.to_uppercase(),
            privilege.to_uppercase()
        )
    };
    format!("{} UNION {}", of("Event"), of("Trigger"))
}

/// "app@%" as the information schema has it: "'app'@'%'".
fn account(name: &str) -> String {
    let (user, host) = name.rsplit_once('@').unwrap_or((name, ""));
    format!("'{user}'@'{host}'")
}
