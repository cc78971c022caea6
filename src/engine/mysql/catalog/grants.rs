//! Privileges on the database, and on what is in it.

use super::{Fields, printed};
use crate::engine::catalog::{Catalog, Grant};
use crate::engine::mysql::names::literal;
use crate::engine::mysql::reading::Reading;
use crate::engine::reading::ReadError;

/// Accounts that come with a server or with its packages, and this tool's own: "'root'@'localhost'" in `column`.
fn no_system_account(column: &str) -> String {
    let system = ["root", "mysql", "mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "debian-sys-maint"];
    let system = system.map(literal).join(", ");
    // A backslash would be an escape of LIKE, which knows none here.
    format!("{column} NOT IN ({system}) AND {column} NOT LIKE 'rehearsal|_%' ESCAPE '|'")
}

/// The account's name in a GRANTEE of the information schema: "'app'@'%'".
const GRANTED_TO: &str = "TRIM(BOTH '''' FROM SUBSTRING_INDEX(GRANTEE, '@', 1))";

/// The login must be able to read the database `mysql`: without that, a server shows it its own privileges and no others.
pub(super) async fn read(reading: &Reading, catalog: &mut Catalog) -> Result<(), ReadError> {
    on_routines(reading, catalog).await?;
    let (database, theirs) = (literal(reading.database()), no_system_account(GRANTED_TO));
    let select = "SELECT GRANTEE, PRIVILEGE_TYPE, IS_GRANTABLE";
    // Given to a pattern, it holds for all databases that match.
    let sql =
        format!("{select} FROM information_schema.SCHEMA_PRIVILEGES WHERE {database} LIKE TABLE_SCHEMA AND {theirs}");
    for mut row in Fields::all(reading, "privileges on the database", &sql).await? {
        catalog.database.extend(grant(&mut row, None));
    }
    let sql = format!(
        "{select}, TABLE_NAME, NULL FROM information_schema.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = {database} AND {theirs}
         UNION ALL
         {select}, TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMN_PRIVILEGES
         WHERE TABLE_SCHEMA = {database} AND {theirs}"
    );
    for mut row in Fields::all(reading, "privileges on tables", &sql).await? {
        let (table, column) = (printed(&row.text(3)), row.optional(4));
        if let Some(relation) = catalog.relations.get_mut(&table) {
            relation.privileges.extend(grant(&mut row, column));
        } else if let Some(sequence) = catalog.sequences.get_mut(&table) {
            sequence.privileges.extend(grant(&mut row, column));
        }
    }
    Ok(())
}

async fn on_routines(reading: &Reading, catalog: &mut Catalog) -> Result<(), ReadError> {
    let sql = format!(
        "SELECT CONCAT('''', User, '''@''', Host, ''''), Routine_type, Routine_name, Proc_priv
         FROM mysql.procs_priv WHERE Db = {} AND {}",
        literal(reading.database()),
        no_system_account("User")
    );
    for mut row in Fields::all(reading, "privileges on routines", &sql).await? {
        let (account, kind, name, privileges) =
            (account(&row.text(0)), row.text(1), printed(&row.text(2)), row.text(3));
        let routine = match kind.as_str() {
            "FUNCTION" => catalog.functions.get_mut(&name),
            "PROCEDURE" => catalog.procedures.get_mut(&name),
            kind => catalog.procedures.get_mut(&format!("{name} ({})", kind.to_ascii_lowercase())),
        };
        let Some(routine) = routine else { continue };
        let grantable = privileges.split(',').any(|privilege| privilege == "Grant");
        let privileges = privileges.split(',').filter(|privilege| !matches!(*privilege, "Grant" | ""));
        routine.privileges.extend(privileges.map(|privilege| Grant {
            grantee: account.clone(),
            privilege: privilege.to_ascii_uppercase(),
            column: None,
            grantable,
        }));
    }
    Ok(())
}

/// None where all that is granted is to be known there.
fn grant(row: &mut Fields, column: Option<String>) -> Option<Grant> {
    let (grantee, privilege, grantable) = (account(&row.text(0)), row.text(1), row.text(2) == "YES");
    (privilege != "USAGE" || grantable).then_some(Grant { grantee, privilege, column, grantable })
}

/// "app@%"; of a role, which has no host on MariaDB, "role".
fn account(grantee: &str) -> String {
    let bare = grantee.trim_matches('\'');
    match bare.rsplit_once("'@'") {
        Some((user, "")) => user.to_owned(),
        Some((user, host)) => format!("{user}@{host}"),
        None => bare.trim_end_matches("'@").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn accounts_and_roles() {
        assert_eq!(account("'app'@'%'"), "app@%");
        assert_eq!(account("'role'@''"), "role");
        assert_eq!(account("'PUBLIC'@''"), "PUBLIC");
    }
}
