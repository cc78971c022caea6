//! Connection URLs, as many clients of MySQL and MariaDB take them.

use mysql_async::Opts;

use crate::engine::EngineKind;
use crate::engine::endpoint::Endpoint;
use crate::engine::url::UrlError;

const FORM: &str = "mysql://user@host:port/database or mariadb://user@host:port/database";

/// Reads `mysql://user:password@host:port/database`, or the same with `mariadb://`. The port is 3306 where it is left out.
///
/// # Errors
/// [`UrlError`] where it is malformed, incomplete, or has options.
pub fn endpoint(url: &str) -> Result<Endpoint, UrlError> {
    let malformed = || UrlError::Malformed { form: FORM };
    let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
    let engine = match scheme {
        "mysql" => EngineKind::Mysql,
        "mariadb" => EngineKind::Mariadb,
        _ => return Err(malformed()),
    };
    if rest.contains('?') {
        return Err(UrlError::Unsupported { what: "an option" });
    }
    let options = Opts::from_url(&format!("mysql://{rest}")).map_err(|_| malformed())?;
    let missing = |part| UrlError::Missing { part };
    let host = options.ip_or_hostname();
    Ok(Endpoint {
        engine,
        host: (!host.is_empty()).then(|| host.to_owned()).ok_or(missing("host"))?,
        port: options.tcp_port(),
        database: options.db_name().filter(|name| !name.is_empty()).ok_or(missing("database"))?.to_owned(),
        user: options.user().filter(|user| !user.is_empty()).ok_or(missing("user"))?.to_owned(),
        password: options.pass().unwrap_or_default().to_owned(),
        application: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    fn check(url: &str, expected: &str) {
        let shown = match endpoint(url) {
            Ok(endpoint) => format!("{} {endpoint:?} {}", endpoint.engine.name(), endpoint.password),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{url}");
    }

    #[test]
    fn whole_urls_and_their_defaults() {
        check("mysql://ann:s%40fe@db.example:3307/shop", "mysql ann@db.example:3307/shop s@fe");
        check("mariadb://ann@localhost/shop", "mariadb ann@localhost:3306/shop ");
        check("mysql://ann@[::1]:3307/sh%2Fop", "mysql ann@[::1]:3307/sh/op ");
    }

    #[test]
    fn what_is_refused() {
        let form = "not a URL of the form mysql://user@host:port/database or mariadb://user@host:port/database";
        check("mysql//ann@h/shop", form);
        check("mysql://ann:secret@h:port/shop", form);
        check("mysql://ann@h", "the URL names no database");
        check("mysql://h/shop", "the URL names no user");
        check("mysql://ann@h/shop?ssl-mode=REQUIRED", "an option in a URL is not supported yet");
    }
}
