//! Connection URLs of any engine.

use super::endpoint::Endpoint;
use super::{mysql, postgres};

/// Why a URL names no endpoint. No message repeats the URL: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("not a URL of the form {form}")]
    Malformed { form: &'static str },
    #[error("the URL names no {part}")]
    Missing { part: &'static str },
    #[error("the URL names several hosts, which is not supported yet")]
    SeveralHosts,
    #[error("{what} in a URL is not supported yet")]
    Unsupported { what: &'static str },
}

/// Reads a URL by its scheme: `postgresql://` or `postgres://`, `mysql://`, `mariadb://`.
///
/// # Errors
/// [`UrlError`] where it is malformed, incomplete, or asks for what the connection cannot do.
pub fn endpoint(url: &str) -> Result<Endpoint, UrlError> {
    match url.split("://").next() {
        Some("mysql" | "mariadb") => mysql::url::endpoint(url),
        _ => postgres::url::endpoint(url),
    }
}
