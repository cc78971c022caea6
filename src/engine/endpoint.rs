//! Where a server is reached, and as whom.

use std::fmt;

use crate::scenario::EngineKind;

/// One database of one server, and a login there. The password never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub engine: EngineKind,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: String,
    /// Sets `application_name`; empty = leave it.
    pub application: String,
}

impl Endpoint {
    /// The same place as somebody else.
    #[must_use]
    pub fn as_user(&self, user: &str, password: &str) -> Endpoint {
        Endpoint { user: user.to_owned(), password: password.to_owned(), ..self.clone() }
    }

    /// The same login under another application name.
    #[must_use]
    pub fn named(&self, application: &str) -> Endpoint {
        Endpoint { application: application.to_owned(), ..self.clone() }
    }

    #[must_use]
    pub fn in_database(&self, database: &str) -> Endpoint {
        Endpoint { database: database.to_owned(), ..self.clone() }
    }

    /// `postgresql://user:password@host:port/database`, every part percent-encoded. Holds the password: for a child's environment,
    /// never for a log.
    pub fn url(&self) -> String {
        self.url_of(&format!("{}:{}", encoded(&self.user), encoded(&self.password)))
    }

    /// `postgresql://user@host:port/database`.
    pub fn url_without_password(&self) -> String {
        self.url_of(&encoded(&self.user))
    }

    fn url_of(&self, login: &str) -> String {
        format!("{}://{login}@{}:{}/{}", self.engine.scheme(), self.host, self.port, encoded(&self.database))
    }
}

/// A password as it is, and as it stands in a URL.
pub fn forms_of(password: &str) -> [String; 2] {
    [password.to_owned(), encoded(password)]
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}
