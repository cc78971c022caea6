//! Names as people write them, and as SQL needs them. A table in `public` is shown without its schema.

/// `order` → `"public"."order"`, `audit.log` → `"audit"."log"`: a shown name, safe inside SQL.
pub fn quoted(shown: &str) -> String {
    let (schema, name) = shown.split_once('.').unwrap_or(("public", shown));
    format!("{}.{}", quote(schema), quote(name))
}

/// One identifier in double quotes.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// `E''` where there is a backslash, so that it means the same under both settings of `standard_conforming_strings`.
pub fn literal(value: &str) -> String {
    postgres_protocol::escape::escape_literal(value).trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_so_that_nothing_gets_out() {
        let check = |value: &str, expected: &str| assert_eq!(literal(value), expected);
        check("it's", "'it''s'");
        check(r"a\b", r"E'a\\b'");
        check("", "''");
    }

    #[test]
    fn shown_names_are_quoted_part_by_part() {
        let check = |shown: &str, expected: &str| assert_eq!(quoted(shown), expected);
        check("orders", r#""public"."orders""#);
        check("audit.Log", r#""audit"."Log""#);
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
        check(r#"say "hi""#, r#""public"."say ""hi""""#);
    }
}
