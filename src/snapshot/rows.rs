//! Rows in the text form taken apart into fields and put together again: a tab between fields, a newline after each row, `\N` for NULL,
//! backslash escapes. Manual: "COPY", "Text Format".

use crate::engine::capture::escape;

/// One field; none = NULL.
pub type Field = Option<Vec<u8>>;

/// The rows in a piece of whole ones, without their newlines.
pub fn rows(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', piece).map(move |end| {
        let row = &piece[begin..end];
        begin = end + 1;
        row
    })
}

/// A row of which only some fields are taken apart.
#[derive(Default)]
pub struct Partly {
    /// The others are none.
    pub fields: Vec<Field>,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Partly {
    /// Reads the fields that are wanted, over those of the row before.
    pub fn read(&mut self, row: &[u8], wanted: &[bool]) {
        self.ends.clear();
        self.ends.extend(memchr::memchr_iter(b'\t', row));
        self.ends.push(row.len());
        self.fields.resize_with(self.ends.len(), || None);
        let mut begin = 0;
        for (at, end) in self.ends.iter().enumerate() {
            if wanted.get(at).copied().unwrap_or(true) {
                read_field(&row[begin..*end], &mut self.fields[at]);
            } else {
                self.fields[at] = None;
            }
            begin = end + 1;
        }
    }

    /// Writes the row, those fields that were not wanted as they stand in it.
    pub fn write(&self, row: &[u8], wanted: &[bool], to: &mut Vec<u8>) {
        let mut begin = 0;
        for (at, (end, field)) in self.ends.iter().zip(&self.fields).enumerate() {
            if at > 0 {
                to.push(b'\t');
            }
            if wanted.get(at).copied().unwrap_or(true) {
                write_field(field.as_deref(), to);
            } else {
                to.extend_from_slice(&row[begin..*end]);
            }
            begin = end + 1;
        }
        to.push(b'\n');
    }
}

/// Reads a row's fields over those that were there before, whose memory is used again.
pub fn read(row: &[u8], fields: &mut Vec<Field>) {
    let mut count = 0;
    for text in row.split(|byte| *byte == b'\t') {
        if count == fields.len() {
            fields.push(None);
        }
        read_field(text, &mut fields[count]);
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
        write_field(field.as_deref(), to);
    }
    to.push(b'\n');
}

fn read_field(text: &[u8], field: &mut Field) {
    if text == b"\\N" {
        *field = None;
    } else {
        let field = field.get_or_insert_default();
        field.clear();
        unescape(text, field);
    }
}

fn write_field(field: Option<&[u8]>, to: &mut Vec<u8>) {
    match field {
        None => to.extend_from_slice(b"\\N"),
        Some(text) => escape(text, to),
    }
}

fn unescape(text: &[u8], to: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
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
    fn what_is_not_wanted_stays_as_it_stands() {
        let check = |text: &[u8], wanted: &[bool], expected: &[u8]| {
            let mut partly = Partly::default();
            // What was there before does not show.
            partly.read(b"a\tb\tc\td", &[true; 4]);
            partly.read(text, wanted);
            for field in partly.fields.iter_mut().flatten() {
                field.push(b'!');
            }
            let mut written = Vec::new();
            partly.write(text, wanted, &mut written);
            assert_eq!(written, expected);
        };
        check(b"a\t\\N\t\\x\tb\\tc", &[true, true, false, true], b"a!\t\\N\t\\x\tb\\tc!\n");
        check(b"", &[false], b"\n");
        check(b"", &[true], b"!\n");
        check(b"\\N", &[false], b"\\N\n");
        check(b"a\tb", &[], b"a!\tb!\n");
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
