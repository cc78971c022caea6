//! The login that probes use: the application's own account, or one with the rights that an application has. Made on this server alone:
//! nothing of it is in the binary log, so no GTID is used up (chapters "Account Management Statements" of the manuals).

use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::mysql::connect::{DriverError, with};
use crate::engine::mysql::names::{account, literal, quote};
use crate::engine::probing::LoginError;

/// The account made where the application's cannot be used as it is.
const OWN: &str = "rehearsal_probe";

/// What an application may do in its database.
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, EXECUTE, CREATE TEMPORARY TABLES, LOCK TABLES, SHOW VIEW";

const DEADLINE: Duration = Duration::from_secs(10);

/// An account, or a role.
struct Found {
    user: String,
    host: String,
    superuser: bool,
    /// It may not log in, and others act as it.
    role: bool,
}

/// As [`crate::engine::probing::log_in_as`]. `role` is "app", for every account of that name, or "app@host".
///
/// # Errors
/// As there.
pub(in crate::engine) async fn log_in_as(
    superuser: &Endpoint,
    role: Option<&str>,
    password: &str,
) -> Result<Endpoint, LoginError> {
    let engine = superuser.engine;
    let found = with(superuser, DEADLINE, async |connection| {
        connection.query_drop("SET SESSION sql_log_bin = 0").await?;
        let Some(role) = role else {
            return own(connection, superuser, password, None).await.map(|()| Ok(None));
        };
        let found = accounts(connection, engine, role).await?;
        if found.is_empty() {
            return Ok(Err(LoginError::NoRole { engine, role: role.to_owned() }));
        }
        if found.iter().any(|each| each.superuser) {
            return Ok(Err(LoginError::Superuser { role: role.to_owned() }));
        }
        if let [only] = &found[..]
            && only.role
        {
            return own(connection, superuser, password, Some(only)).await.map(|()| Ok(None));
        }
        for each in found.iter().filter(|each| !each.role) {
            let (name, by) = (account(&each.user, &each.host), identified(engine, password));
            // Whatever keeps others out of it.
            let alter = format!("ALTER USER {name} {by} REQUIRE NONE PASSWORD EXPIRE NEVER ACCOUNT UNLOCK");
            connection.query_drop(alter).await?;
        }
        Ok(Ok(Some(found)))
    });
    match found.await.map_err(database)?? {
        None => Ok(superuser.as_user(OWN, password)),
        Some(found) => get_in(superuser, &found, password).await,
    }
}

/// Whether whoever logs in so from here is one of those accounts.
async fn get_in(superuser: &Endpoint, accounts: &[Found], password: &str) -> Result<Endpoint, LoginError> {
    let wanted: Vec<String> = accounts.iter().map(|each| format!("{}@{}", each.user, each.host)).collect();
    let app = superuser.as_user(&accounts[0].user, password);
    let who = async |connection: &mut Conn| connection.query_first::<String, _>("SELECT CURRENT_USER()").await;
    let elsewhere = |what: String| LoginError::Elsewhere { account: wanted.join(", "), what };
    match with(&app, DEADLINE, who).await {
        Ok(Some(who)) if wanted.contains(&who) => Ok(app),
        Ok(who) => Err(elsewhere(format!("one becomes {}", who.unwrap_or_default()))),
        // ER_ACCESS_DENIED_ERROR, ER_DBACCESS_DENIED_ERROR, ER_HOST_NOT_PRIVILEGED
        Err(DriverError::Server(said)) if matches!(said.code, 1044 | 1045 | 1130) => Err(elsewhere(said.message)),
        // MySQL asks whom it does not know for what some other plugin would, so that nobody learns who is there.
        Err(DriverError::Driver(mysql_async::DriverError::UnknownAuthPlugin { .. })) => {
            Err(elsewhere("access denied".to_owned()))
        }
        Err(error) => Err(database(error)),
    }
}

async fn accounts(connection: &mut Conn, engine: EngineKind, role: &str) -> Result<Vec<Found>, DriverError> {
    // What MySQL has for roles are accounts that nobody can log in to.
    let is_role = match engine {
        EngineKind::Mysql => "account_locked = 'Y' AND authentication_string = ''",
        _ => "is_role = 'Y'",
    };
    let asked = format!("SELECT user, host, super_priv = 'Y', {is_role} FROM mysql.user WHERE user = ?");
    let (user, host) = match role.rsplit_once('@') {
        Some((user, host)) => (user, Some(host)),
        None => (role, None),
    };
    let rows: Vec<(String, String, bool, bool)> = connection.exec(asked, (user,)).await?;
    let found = rows.into_iter().map(|(user, host, superuser, role)| Found { user, host, superuser, role });
    Ok(found.filter(|each| host.is_none_or(|host| each.host == host)).collect())
}

/// Makes the tool's own account anew, with an application's rights, or those of a role.
async fn own(
    connection: &mut Conn,
    superuser: &Endpoint,
    password: &str,
    role: Option<&Found>,
) -> Result<(), DriverError> {
    let (name, by) = (account(OWN, "%"), identified(superuser.engine, password));
    connection.query_drop(format!("DROP USER IF EXISTS {name}")).await?;
    connection.query_drop(format!("CREATE USER {name} {by}")).await?;
    let Some(role) = role else {
        return connection.query_drop(format!("GRANT {RIGHTS} ON {}.* TO {name}", quote(&superuser.database))).await;
    };
    let (role, default) = match superuser.engine {
        EngineKind::Mysql => (account(&role.user, &role.host), "TO"),
        _ => (quote(&role.user), "FOR"),
    };
    connection.query_drop(format!("GRANT {role} TO {name}")).await?;
    connection.query_drop(format!("SET DEFAULT ROLE {role} {default} {name}")).await
}

/// By a password, whatever it was before: a lab has neither the other's directory nor its sockets.
pub(in crate::engine) fn identified(engine: EngineKind, password: &str) -> String {
    let password = literal(password);
    match engine {
        EngineKind::Mysql => format!("IDENTIFIED WITH caching_sha2_password BY {password}"),
        _ => format!("IDENTIFIED VIA mysql_native_password USING PASSWORD({password})"),
    }
}

fn database(error: DriverError) -> LoginError {
    LoginError::Database(error.into())
}
