//! Samples of rows for those who send statements of the application's own, and their values as they stand in SQL.

use super::derive::{DeriveError, Request, catalog, open};
use super::dialect::{self, Form};
use super::script::Values;
use super::session::{Failure, Session};
use super::table::{Catalog, Column, Table};
use super::values::ValueKind;
use crate::engine::EngineKind;
use crate::engine::postgres;

/// The application's session, and a superuser's for rows that the application may not read.
pub struct Sampling {
    app: Session,
    superuser: Session,
}

/// Reads the catalogs, and opens what samples are drawn with.
///
/// # Errors
/// When the catalogs cannot be read or the application's role cannot log in.
pub async fn sampling(request: &Request<'_>) -> Result<(Catalog, Sampling), DeriveError> {
    let mut app = open(request.app, request.timeout).await?;
    let catalog = catalog(request, &mut app).await?;
    let mut superuser = open(request.superuser, request.timeout).await?;
    for session in [&mut app, &mut superuser] {
        if let Session::Postgres(session) = session {
            let plain = session.send(postgres::probing::PLAIN_TEXTS).await;
            plain.map_err(|failure| DeriveError::NoSession {
                user: request.app.user.clone(),
                what: failure.error.message,
            })?;
        }
    }
    Ok((catalog, Sampling { app, superuser }))
}

impl Sampling {
    /// A bounded sample of the table's rows, as the application sees them if it does.
    ///
    /// # Errors
    /// What the server said to the superuser.
    pub async fn sample(&mut self, table: &Table) -> Result<Vec<Values>, Failure> {
        if table.columns.iter().all(|column| column.may_select)
            && let Ok(rows) = self.app.sample(table).await
            && !rows.is_empty()
        {
            return Ok(rows);
        }
        self.superuser.sample(table).await
    }

    pub async fn close(self) {
        self.app.close().await;
        self.superuser.close().await;
    }
}

impl Column {
    /// Its name without quotes.
    pub fn plain(&self) -> String {
        let unquoted = |quote: char| {
            let inside = self.quoted.strip_prefix(quote)?.strip_suffix(quote)?;
            Some(inside.replace(&format!("{quote}{quote}"), &quote.to_string()))
        };
        unquoted('"').or_else(|| unquoted('`')).unwrap_or_else(|| self.quoted.clone())
    }

    /// A value of it as an expression: a number as it is, anything else in quotes, read by what stands around it.
    pub fn standing(&self, engine: EngineKind, value: Option<&str>) -> String {
        let Some(value) = value else { return "NULL".to_owned() };
        let is_number = matches!(self.kind, ValueKind::Integer { .. } | ValueKind::Numeric { .. } | ValueKind::Float)
            && matches!(self.form, Form::Quoted | Form::Number)
            && value.parse::<f64>().is_ok_and(f64::is_finite)
            && value.chars().all(|each| each.is_ascii_digit() || "+-.eE".contains(each));
        match is_number {
            // In brackets, lest a minus sign before it make a comment of it.
            true if value.starts_with('-') => format!("({value})"),
            true => value.to_owned(),
            false => dialect::literal(engine, self.form, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::probing::Identity;

    fn column(kind: ValueKind, form: Form, quoted: &str) -> Column {
        Column {
            quoted: quoted.to_owned(),
            kind,
            form,
            variable: false,
            not_null: false,
            default: false,
            identity: Identity::No,
            generated: false,
            sequence: None,
            in_partition_key: false,
            may_select: true,
            may_insert: true,
            may_update: true,
        }
    }

    #[test]
    fn values_cannot_get_out_of_their_place() {
        let check = |engine, kind: ValueKind, form, value: Option<&str>, expected: &str| {
            assert_eq!(column(kind, form, "a").standing(engine, value), expected);
        };
        let text = || ValueKind::Text { max: None };
        let whole = || ValueKind::Integer { max: 10 };
        check(EngineKind::Postgres, whole(), Form::Quoted, Some("17"), "17");
        check(EngineKind::Postgres, whole(), Form::Quoted, Some("-17"), "(-17)");
        check(EngineKind::Postgres, ValueKind::Float, Form::Quoted, Some("NaN"), "'NaN'");
        check(EngineKind::Postgres, whole(), Form::Quoted, Some("1; DROP TABLE t"), "'1; DROP TABLE t'");
        check(EngineKind::Postgres, text(), Form::Quoted, Some("O'Brien"), "'O''Brien'");
        check(EngineKind::Postgres, text(), Form::Quoted, Some(r"a\'b"), r"E'a\\''b'");
        check(EngineKind::Postgres, text(), Form::Quoted, Some("17"), "'17'");
        check(EngineKind::Postgres, text(), Form::Quoted, None, "NULL");
        check(EngineKind::Mariadb, text(), Form::Quoted, Some(r"a\'b"), "_utf8mb4 x'615c2762'");
        check(EngineKind::Mariadb, text(), Form::Hex, Some("00ff"), "x'00ff'");
        check(EngineKind::Mariadb, whole(), Form::Number, Some("-3"), "(-3)");
    }

    #[test]
    fn names_come_without_their_quotes() {
        let check = |quoted: &str, expected: &str| {
            assert_eq!(column(ValueKind::Other, Form::Quoted, quoted).plain(), expected);
        };
        check("id", "id");
        check("\"Order \"\"Id\"\"\"", "Order \"Id\"");
        check("`a``b`", "a`b");
    }
}
