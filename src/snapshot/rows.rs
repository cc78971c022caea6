//! Rows in the text form taken apart into fields and put together again: a tab between fields, a newline after each row, `\N` for NULL,
//! backslash escapes. Manual: "COPY", "Text Format".

use crate::engine::capture::escape;

/// One field; none = NULL.
pub type Field = Option<Vec<u8>>;

/// The rows in a piece of whole ones, without their newlines.
pub fn rows(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    piece.strip_suffix(b"\n").map(|rows| rows.split(|byte| *byte == b'\n')).into_iter().flatten()
}

/// Reads a row's fields over those that were there before, whose memory is used again.
pub fn read(row: &[u8], fields: &mut Vec<Field>) {
    let mut count = 0;
    for text in row.split(|byte| *byte == b'\t') {
        if count == fields.len() {
            fields.push(None);
        }
        if text == b"\\N" {
            fields[count] = None;
        } else {
            let field = fields[count].get_or_insert_default();
            field.clear();
            unescape(text, field);
        }
        count += 1;
    }
    fields.truncate(count);
}

/// Writes a row, its newline included.
pub fn write(fields: &[Field], to: &mut Vec<u8>) {
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            to.push(b'\t');
        }
        match field {
            None => to.extend_from_slice(b"\\N"),
            Some(text) => escape(text, to),
        }
    }
    to.push(b'\n');
}

fn unescape(text: &[u8], to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        to.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let (byte, length) = match after.first() {
            Some(b'b') => (0x08, 1),
            Some(b'f') => (0x0c, 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b't') => (b'\t', 1),
            Some(b'v') => (0x0b, 1),
            Some(other) => (*other, 1),
            None => (b'\\', 0),
        };
        to.push(byte);
        rest = &after[length..];
    }
    to.extend_from_slice(rest);
}

/// How many rows there are in a piece of whole ones: values have no newlines, for those are escaped.
pub fn count(piece: &[u8]) -> u64 {
    // By blocks that a register's lanes can count.
    piece.chunks(192).map(|block| u64::from(block.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were() {
        let check = |text: &[u8], expected: &[Option<&[u8]>]| {
            // What was there before does not show.
            let mut fields = vec![Some(b"before".to_vec()), None, Some(b"x".to_vec())];
            read(text, &mut fields);
            assert_eq!(fields.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
            let mut written = Vec::new();
            write(&fields, &mut written);
            // Escapes that need not be are gone, and what they stood for is not.
            read(&written[..written.len() - 1], &mut fields);
            assert_eq!(fields.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        };
        check(b"", &[Some(b"")]);
        check(b"\\N", &[None]);
        check(b"a\t\\N\t\tb", &[Some(b"a"), None, Some(b""), Some(b"b")]);
        check(b"\\\\N", &[Some(b"\\N")]);
        check(b"\\t\\n\\r\\b\\f\\v\\\\", &[Some(b"\t\n\r\x08\x0c\x0b\\")]);
        check("é\t\\\\xff".as_bytes(), &[Some("é".as_bytes()), Some(b"\\xff")]);
        let all: Vec<u8> = (0..=255).collect();
        let mut written = Vec::new();
        write(&[Some(all.clone()), None], &mut written);
        let mut fields = Vec::new();
        read(&written[..written.len() - 1], &mut fields);
        assert_eq!(fields, [Some(all), None]);
    }

    #[test]
    fn rows_are_counted_by_their_ends() {
        assert_eq!(count(b""), 0);
        assert_eq!(count(&b"a\n".repeat(1000)), 1000);
        assert_eq!(count(&b"\n".repeat(777)), 777);
    }

    #[test]
    fn a_piece_is_taken_apart_into_rows() {
        let check = |piece: &[u8], expected: &[&[u8]]| assert_eq!(rows(piece).collect::<Vec<_>>(), expected);
        check(b"", &[]);
        check(b"\n", &[b""]);
        check(b"a\tb\nc\n", &[b"a\tb", b"c"]);
    }
}
