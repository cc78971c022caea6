//! Connection URLs, as psql takes them.

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::url::UrlError;

const FORM: &str = "postgresql://user@host:port/database";

/// Reads `postgresql://user:password@host:port/database`. The port is 5432 and the database the user's name where they are left out; a
/// host that begins with `/` (percent-encoded) is a socket's folder.
///
/// # Errors
/// [`UrlError`] where it is malformed, incomplete, or asks for what the connection cannot do: TLS and `options`.
pub fn endpoint(url: &str) -> Result<Endpoint, UrlError> {
    let malformed = || UrlError::Malformed { form: FORM };
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err(malformed());
    }
    let config: Config = url.parse().map_err(|_| malformed())?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err(UrlError::Unsupported { what: "sslmode=require" });
    }
    if config.get_options().is_some() {
        return Err(UrlError::Unsupported { what: "options" });
    }
    let host = match config.get_hosts() {
        [] => return Err(UrlError::Missing { part: "host" }),
        [Host::Tcp(host)] => host.clone(),
        #[cfg(unix)]
        [Host::Unix(folder)] => folder.to_str().ok_or_else(malformed)?.to_owned(),
        _ => return Err(UrlError::SeveralHosts),
    };
    let user = config.get_user().ok_or(UrlError::Missing { part: "user" })?.to_owned();
    let password = String::from_utf8(config.get_password().unwrap_or_default().to_vec());
    Ok(Endpoint {
        engine: EngineKind::Postgres,
        host,
        port: config.get_ports().first().copied().unwrap_or(5432),
        database: config.get_dbname().unwrap_or(&user).to_owned(),
        user,
        password: password.map_err(|_| malformed())?,
        application: config.get_application_name().unwrap_or("rehearsal").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    fn check(url: &str, expected: &str) {
        let shown = match endpoint(url) {
            Ok(endpoint) => format!("{endpoint:?} {}", endpoint.password),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{url}");
    }

    #[test]
    fn whole_urls_and_their_defaults() {
        check("postgresql://ann:s%40fe@db.example:6543/shop", "ann@db.example:6543/shop s@fe");
        check("postgres://ann@localhost", "ann@localhost:5432/ann ");
        check("postgresql://ann@%2Frun%2Fpg/shop", "ann@/run/pg:5432/shop ");
        check("postgresql://ann@h/shop?sslmode=disable", "ann@h:5432/shop ");
    }

    #[test]
    fn what_is_refused() {
        check("mysql://ann@h/shop", "not a URL of the form postgresql://user@host:port/database");
        check("postgresql://ann:secret@h:port/shop", "not a URL of the form postgresql://user@host:port/database");
        check("postgresql://ann@/shop", "the URL names no host");
        check("postgresql://h/shop", "the URL names no user");
        check("postgresql://ann@h1,h2/shop", "the URL names several hosts, which is not supported yet");
        check("postgresql://ann@h/shop?sslmode=require", "sslmode=require in a URL is not supported yet");
    }
}
