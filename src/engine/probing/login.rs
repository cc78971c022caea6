//! The login that probes use: the application's own account or role, or one of the tool's with the rights that an application has. Never
//! a superuser, who would not see a lost grant.

use crate::engine::endpoint::Endpoint;
use crate::engine::server::BoxError;
use crate::engine::{EngineKind, mysql, postgres};

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("there is no {} {role}", who(*.engine))]
    NoRole { engine: EngineKind, role: String },
    #[error("{role} is a superuser, who would not see a lost grant")]
    Superuser { role: String },
    /// The account may log in from other hosts alone, or another one comes before it.
    #[error("nobody can log in as {account} from here: {what}")]
    Elsewhere { account: String, what: String },
    #[error("the login for the probes could not be made")]
    Database(#[source] BoxError),
}

fn who(engine: EngineKind) -> &'static str {
    if engine == EngineKind::Postgres { "role" } else { "user" }
}

impl LoginError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LoginError::NoRole { engine: EngineKind::Postgres, .. } => {
                Some("name the application's role in `[probes] as`, and bring it with `roles = \"roles.sql\"`")
            }
            LoginError::NoRole { .. } => Some("name the application's user in `[probes] as`, and make it in [[setup]]"),
            LoginError::Superuser { .. } => Some("name a role in `[probes] as` that the application logs in with"),
            LoginError::Elsewhere { .. } => {
                Some("make the account in [[setup]] for any host, as in CREATE USER app@'%', with the same grants")
            }
            LoginError::Database(_) => None,
        }
    }
}

/// Makes a login for the probes on a lab's server, with that password, and says where it leads.
///
/// Who may log in is used as it is; for a role that may not, a login is made that acts as it. Without a role, a login is made with the
/// rights that an application has.
///
/// # Errors
/// When the role does not exist or is a superuser, and the driver's.
pub async fn log_in_as(superuser: &Endpoint, role: Option<&str>, password: &str) -> Result<Endpoint, LoginError> {
    match superuser.engine {
        EngineKind::Postgres => postgres::probing::log_in_as(superuser, role, password).await,
        EngineKind::Mysql | EngineKind::Mariadb => mysql::probing::log_in_as(superuser, role, password).await,
    }
}
