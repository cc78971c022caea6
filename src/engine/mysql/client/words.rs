//! The words of one statement, outside of comments and texts: what it begins with, and what it could name.

use crate::engine::EngineKind;
use crate::engine::mysql::tokens::{Backslash, Kind, tokens};

/// What a statement's words tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Its bare words in order, in capitals.
    pub bare: Vec<String>,
    /// Whatever could be a name, in order and in small letters: words, and what stands in backquotes or in double quotes.
    pub names: Vec<String>,
    /// What MariaDB's `SET STATEMENT … FOR` sets for the statement that stands behind it; its words are none of the others.
    pub set_for_it: Vec<String>,
}

/// The words of a statement. Comments that the server reads (`/*! … */`) are part of it.
pub fn words(sql: &str, engine: EngineKind) -> Words {
    let mut words = Words::default();
    for (kind, text) in tokens(sql, engine, Backslash::Escapes) {
        match kind {
            Kind::Word => {
                words.names.push(text.to_lowercase());
                words.bare.push(text.to_uppercase());
            }
            // In double quotes it is a name where sql_mode says so, else a text.
            Kind::Quoted => words.names.push(inside(text, '`')),
            Kind::Text if text.starts_with('"') => words.names.push(inside(text, '"')),
            Kind::Text | Kind::Number | Kind::Space | Kind::Comment | Kind::Sign => {}
        }
    }
    words.without_its_settings()
}

impl Words {
    fn without_its_settings(self) -> Words {
        if !self.begin(&["SET", "STATEMENT"]) {
            return self;
        }
        let behind = |of: &[String], word: &str| of.iter().position(|own| own == word).map(|at| at + 1);
        let (Some(bare), Some(names)) = (behind(&self.bare, "FOR"), behind(&self.names, "for")) else { return self };
        Words {
            bare: self.bare[bare..].to_vec(),
            names: self.names[names..].to_vec(),
            set_for_it: self.names[..names].to_vec(),
        }
    }

    /// Whether it begins with these words.
    pub fn begin(&self, with: &[&str]) -> bool {
        self.bare.len() >= with.len() && self.bare.iter().zip(with).all(|(own, word)| own == word)
    }

    /// Whether that is among its bare words.
    pub fn has(&self, word: &str) -> bool {
        self.bare.iter().any(|own| own == word)
    }
}

fn inside(text: &str, quote: char) -> String {
    text.trim_matches(quote).replace(&format!("{quote}{quote}"), &quote.to_string()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_that_the_server_reads() {
        let check = |sql: &str, bare: &str, names: &[&str]| {
            let found = words(sql, EngineKind::Mariadb);
            assert_eq!(found.bare.join(" "), bare, "{sql}");
            assert_eq!(found.names, names, "{sql}");
        };
        check(
            "ALTER TABLE `A B` -- x\n ADD c INT",
            "ALTER TABLE ADD C INT",
            &["alter", "table", "a b", "add", "c", "int"],
        );
        check(
            "UPDATE t SET a = 'it''s \\' b', c=\"d\" # e\n",
            "UPDATE T SET A C",
            &["update", "t", "set", "a", "c", "d"],
        );
        check("/*!40000 ALTER TABLE t */ /* no */ x", "ALTER TABLE T X", &["alter", "table", "t", "x"]);
        check("SELECT 1--1, 'open", "SELECT", &["select"]);
        check("/*M!100100 SET a */; /* open", "SET A", &["set", "a"]);
        let timed = words("SET STATEMENT lock_wait_timeout=5 FOR ALTER TABLE t FORCE", EngineKind::Mariadb);
        assert_eq!(timed.bare.join(" "), "ALTER TABLE T FORCE");
        assert!(timed.set_for_it.contains(&"lock_wait_timeout".to_owned()));
        assert!(words("create  temporary\ntable t", EngineKind::Mysql).begin(&["CREATE", "TEMPORARY"]));
    }
}
