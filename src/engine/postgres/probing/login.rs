//! The login that probes use: the application's own role, or one that owns what the tables' owners own. Never a superuser, who would not
//! see a lost grant.

use std::time::Duration;

use crate::engine::endpoint::Endpoint;
use crate::engine::postgres::connect::connect;
use crate::engine::postgres::server;

use super::sql::literal;

/// The role made where the application's cannot be used as it is.
const OWN_ROLE: &str = "rehearsal_probe";

const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("there is no role {role}")]
    NoRole { role: String },
    #[error("{role} is a superuser, who would not see a lost grant")]
    Superuser { role: String },
    #[error("the login for the probes could not be made")]
    Database(#[from] tokio_postgres::Error),
}

impl LoginError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LoginError::NoRole { .. } => {
                Some("name the application's role in `[probes] as`, and bring it with `roles = \"roles.sql\"`")
            }
            LoginError::Superuser { .. } => Some("name a role in `[probes] as` that the application logs in with"),
            LoginError::Database(_) => None,
        }
    }
}

/// Makes a login for the probes on a lab's server, with that password, and says where it leads.
///
/// A role that may log in is used as it is; for one that may not, a login is made whose sessions begin as it. Without a role, a login is
/// made that is a member of every owner of a table. Manual: *Role Membership*.
///
/// # Errors
/// When the role does not exist or is a superuser, and the driver's.
pub async fn log_in_as(superuser: &Endpoint, role: Option<&str>, password: &str) -> Result<Endpoint, LoginError> {
    let connection = connect(superuser, DEADLINE).await?;
    let client = &connection.client;
    // Whatever the database's own settings say.
    client.batch_execute("SET default_transaction_read_only = off").await?;
    let Some(role) = role else {
        let owners = client.query(OWNERS, &[]).await?;
        make_own_role(client, password).await?;
        for owner in owners {
            client.batch_execute(&format!("GRANT {} TO {OWN_ROLE}", owner.get::<_, &str>(0))).await?;
        }
        return Ok(superuser.as_user(OWN_ROLE, password));
    };
    let Some(row) = client.query_opt(ROLE, &[&role]).await? else {
        return Err(LoginError::NoRole { role: role.to_owned() });
    };
    if row.get("rolsuper") {
        return Err(LoginError::Superuser { role: role.to_owned() });
    }
    let quoted: &str = row.get("quoted");
    if row.get("rolcanlogin") {
        client.batch_execute(&format!("ALTER ROLE {quoted} {}", server::password_clauses(password))).await?;
        return Ok(superuser.as_user(role, password));
    }
    make_own_role(client, password).await?;
    client
        .batch_execute(&format!("GRANT {quoted} TO {OWN_ROLE}; ALTER ROLE {OWN_ROLE} SET role = {}", literal(role)))
        .await?;
    Ok(superuser.as_user(OWN_ROLE, password))
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
