//! The login that probes use: the application's own role, or one that owns what the tables' owners own. Never a superuser, who would not
//! see a lost grant.

use std::time::Duration;

use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::{DriverError, connect};
use crate::engine::postgres::names::literal;
use crate::engine::postgres::server;
use crate::engine::probing::LoginError;

/// The role made where the application's cannot be used as it is.
const OWN_ROLE: &str = "rehearsal_probe";

const DEADLINE: Duration = Duration::from_secs(10);

/// Makes a login for the probes on a lab's server, with that password, and says where it leads.
///
/// A role that may log in is used as it is; for one that may not, a login is made whose sessions begin as it. Without a role, a login is
/// made that is a member of every owner of a table. Manual: *Role Membership*.
///
/// # Errors
/// When the role does not exist or is a superuser, and the driver's.
pub(in crate::engine) async fn log_in_as(
    superuser: &Endpoint,
    role: Option<&str>,
    password: &str,
) -> Result<Endpoint, LoginError> {
    let connection = connect(superuser, DEADLINE).await.map_err(database)?;
    let client = &connection.client;
    // Whatever the database's own settings say.
    client.batch_execute("SET default_transaction_read_only = off").await.map_err(database)?;
    let Some(role) = role else {
        let owners = client.query(OWNERS, &[]).await.map_err(database)?;
        make_own_role(client, password).await.map_err(database)?;
        for owner in owners {
            client
                .batch_execute(&format!("GRANT {} TO {OWN_ROLE}", owner.get::<_, &str>(0)))
                .await
                .map_err(database)?;
        }
        return Ok(superuser.as_user(OWN_ROLE, password));
    };
    let Some(row) = client.query_opt(ROLE, &[&role]).await.map_err(database)? else {
        return Err(LoginError::NoRole { engine: superuser.engine, role: role.to_owned() });
    };
    if row.get("rolsuper") {
        return Err(LoginError::Superuser { role: role.to_owned() });
    }
    let quoted: &str = row.get("quoted");
    if row.get("rolcanlogin") {
        client
            .batch_execute(&format!("ALTER ROLE {quoted} {}", server::password_clauses(password)))
            .await
            .map_err(database)?;
        return Ok(superuser.as_user(role, password));
    }
    make_own_role(client, password).await.map_err(database)?;
    client
        .batch_execute(&format!("GRANT {quoted} TO {OWN_ROLE}; ALTER ROLE {OWN_ROLE} SET role = {}", literal(role)))
        .await
        .map_err(database)?;
    Ok(superuser.as_user(OWN_ROLE, password))
}

fn database(error: DriverError) -> LoginError {
    LoginError::Database(error.into())
}

async fn make_own_role(client: &tokio_postgres::Client, password: &str) -> Result<(), tokio_postgres::Error> {
    let exists = client.query_opt(ROLE, &[&OWN_ROLE]).await?.is_some();
    let verb = if exists { "ALTER" } else { "CREATE" };
    client
        .batch_execute(&format!(
            "{verb} ROLE {OWN_ROLE} LOGIN INHERIT NOSUPERUSER {}; ALTER ROLE {OWN_ROLE} RESET ALL",
            server::password_clauses(password)
        ))
        .await
}

const ROLE: &str = "
SELECT rolsuper, rolcanlogin, pg_catalog.quote_ident(rolname) AS quoted FROM pg_catalog.pg_roles WHERE rolname = $1";

/// Owners of tables and of what their writes call on, and of the schemas they are in.
const OWNERS: &str = "
SELECT DISTINCT pg_catalog.quote_ident(r.rolname)
FROM (
    SELECT c.relowner AS owner, c.relnamespace AS schema FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL SELECT n.nspowner, n.oid FROM pg_catalog.pg_namespace n
    UNION ALL SELECT p.proowner, p.pronamespace FROM pg_catalog.pg_proc p) AS owned
JOIN pg_catalog.pg_namespace n ON n.oid = owned.schema
JOIN pg_catalog.pg_roles r ON r.oid = owned.owner
WHERE n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
    -- Not membership, but a predefined role that stands for the database's owner, who cannot have members.
    AND r.rolname <> 'pg_database_owner'";
