//! What an archive says of its database itself: owner, privileges, settings. pg_restore leaves it out where it does not make the
//! database, and with it the `search_path` or the time zone that every session of production begins with.

use crate::engine::postgres::names::quote;
use crate::engine::postgres::script_stream::{Part, Scanner, Word, placed_words};

/// One statement about the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OfDatabase {
    /// A whole `SET SESSION AUTHORIZATION`, where a privilege is granted by another than the owner.
    pub grantor: Option<String>,
    pub sql: String,
    /// What it is about, without values: "its setting search_path", "the privileges of shop_reader".
    pub about: String,
}

/// The statements about the database in what `pg_restore --create` writes, with `name` for its name.
pub(super) fn statements(script: &[u8], name: &str) -> Vec<OfDatabase> {
    let mut scanner = Scanner::new(script);
    let (mut found, mut grantor) = (Vec::new(), None);
    while let Some(part) = scanner.next_part().expect("a slice can be read") {
        let Part::Statement { text, cut: false, .. } = part else { continue };
        let placed = placed_words(&text);
        let words: Vec<&Word> = placed.iter().map(|(word, _)| word).collect();
        if starts(&words, &["set", "session", "authorization"]) {
            grantor = Some(text);
        } else if starts(&words, &["reset", "session", "authorization"]) {
            grantor = None;
        } else if let Some((at, about)) = of_database(&words) {
            let place = placed[at].1.clone();
            let sql = format!("{}{}{}", &text[..place.start], quote(name), &text[place.end..]);
            found.push(OfDatabase { grantor: grantor.clone(), sql, about });
        }
    }
    found
}

fn starts(words: &[&Word], keywords: &[&str]) -> bool {
    words.len() >= keywords.len() && keywords.iter().zip(words).all(|(keyword, word)| word.is(keyword))
}

/// Where the database's name stands, and what the statement is about. Nothing for other statements.
fn of_database(words: &[&Word]) -> Option<(usize, String)> {
    let name = |at: usize| words.get(at).and_then(|word| word.name()).unwrap_or_default().to_owned();
    if starts(words, &["alter", "database"]) {
        let about = match words.get(3)? {
            word if word.is("set") => format!("its setting {}", name(4)),
            word if word.is("owner") => format!("its owner {}", name(5)),
            word if word.is("is_template") => return None,
            _ => "one of its properties".to_owned(),
        };
        return Some((2, about));
    }
    if starts(words, &["alter", "role"]) && starts(words.get(3..)?, &["in", "database"]) {
        return Some((5, format!("the setting {} of {}", name(7), name(2))));
    }
    if !starts(words, &["grant"]) && !starts(words, &["revoke"]) {
        return None;
    }
    let on = words.windows(2).position(|pair| pair[0].is("on") && pair[1].is("database"))?;
    Some((on + 2, format!("the privileges of {}", name(on + 4))))
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn what_is_about_the_database_is_picked_out_and_renamed() {
        let script = "
            SET default_transaction_read_only = off;
            CREATE DATABASE \"Shop\" WITH TEMPLATE = template0 ENCODING = 'UTF8';
            ALTER DATABASE \"Shop\" OWNER TO shop_owner;
            \\connect \"Shop\"
            COMMENT ON DATABASE \"Shop\" IS 'the shop';
            ALTER DATABASE \"Shop\" IS_TEMPLATE = true;
            ALTER DATABASE \"Shop\" SET search_path TO 'app', 'public';
            ALTER DATABASE \"Shop\" SET \"app.motto\" TO 'on database Shop;';
            ALTER DATABASE \"Shop\" CONNECTION LIMIT = 7;
            ALTER ROLE reader IN DATABASE \"Shop\" SET statement_timeout TO '5s';
            CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ ALTER DATABASE \"Shop\" SET jit TO off; $$;
            ALTER ROLE reader SET jit TO off;
            GRANT SELECT ON TABLE orders TO reader;
            REVOKE CONNECT,TEMPORARY ON DATABASE \"Shop\" FROM PUBLIC;
            SET SESSION AUTHORIZATION shop_owner;
            GRANT CONNECT ON DATABASE \"Shop\" TO reader;
            RESET SESSION AUTHORIZATION;
            GRANT ALL ON DATABASE \"Shop\" TO \"Ann\";";
        let told: Vec<String> = statements(script.as_bytes(), "re\"hearsal")
            .into_iter()
            .map(|found| {
                format!("{}: {}{}", found.about, found.grantor.map_or_else(String::new, |by| by + "; "), found.sql)
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        its owner shop_owner: ALTER DATABASE "re""hearsal" OWNER TO shop_owner
        its setting search_path: ALTER DATABASE "re""hearsal" SET search_path TO 'app', 'public'
        its setting app.motto: ALTER DATABASE "re""hearsal" SET "app.motto" TO 'on database Shop;'
        one of its properties: ALTER DATABASE "re""hearsal" CONNECTION LIMIT = 7
        the setting statement_timeout of reader: ALTER ROLE reader IN DATABASE "re""hearsal" SET statement_timeout TO '5s'
        the privileges of public: REVOKE CONNECT,TEMPORARY ON DATABASE "re""hearsal" FROM PUBLIC
        the privileges of reader: SET SESSION AUTHORIZATION shop_owner; GRANT CONNECT ON DATABASE "re""hearsal" TO reader
        the privileges of Ann: GRANT ALL ON DATABASE "re""hearsal" TO "Ann"
        "#);
    }
}
