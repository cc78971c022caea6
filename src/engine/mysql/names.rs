//! Names and texts as they stand in SQL (chapters "Schema Object Names" and "String Literals" of the manuals).

/// An identifier in backquotes, whatever `sql_mode` says.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in single quotes, for a session whose `sql_mode` leaves the backslash its meaning, as it does by default.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// An account: `'app'@'%'`.
pub fn account(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(literal(r"it's a \"), r"'it''s a \\'");
        assert_eq!(account("app", "%"), "'app'@'%'");
    }
}
