//! The shape of a serialised text: its punctuation, keys and tags, without its values. Two texts of one shape are read by the same code.

/// Brackets that are opened in one another, at most, before everything inside looks alike.
const DEPTH: usize = 4;

/// `{"a": 1, "b": "x"}` is `{"a":9,"b":""}`, `--- !ruby/hash:Foo` is `---!ruby/hash:a`, `a:1:{s:3:"key"` is `a:9:{s:9:""`. Elements of a list
/// that are alike count once. Words and numbers of a plain text are `a` and `9`, those that follow one another once.
pub(super) fn shape(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut shape = Shape { out: Vec::new(), depth: 0 };
    let mut rest = text.as_ref();
    while let Some(first) = rest.chars().next() {
        rest = shape.take(first, rest);
    }
    shape.out
}

struct Shape {
    out: Vec<u8>,
    depth: usize,
}

impl Shape {
    /// Takes what the text begins with, and gives what is left.
    fn take<'t>(&mut self, first: char, text: &'t str) -> &'t str {
        match first {
            '"' => return self.quoted(text),
            '!' => {
                let end = text.find(|letter: char| letter.is_whitespace() || letter == '{').unwrap_or(text.len());
                self.put(&text.as_bytes()[..end]);
                return &text[end..];
            }
            _ if first.is_ascii_digit() => return self.number(text),
            _ if first.is_alphanumeric() || first == '_' => {
                let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
                // One letter before a colon is a type's, as in PHP's own form.
                let rest = &text[end..];
                let word = if end == 1 && rest.starts_with(':') { &text.as_bytes()[..1] } else { b"a" };
                self.put_once(word);
                return rest;
            }
            '{' | '[' | '(' | '<' => {
                self.depth += 1;
                self.put(first.to_string().as_bytes());
            }
            '}' | ']' | ')' | '>' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth < DEPTH {
                    self.put(first.to_string().as_bytes());
                }
            }
            _ if first.is_whitespace() => {}
            ',' if self.repeats() => {}
            _ if first == '.' && self.out.ends_with(b"a") => {}
            _ => self.put(first.to_string().as_bytes()),
        }
        &text[first.len_utf8()..]
    }

    /// A key stays as it is, and another text is as good as an empty one.
    fn quoted<'t>(&mut self, text: &'t str) -> &'t str {
        let mut is_escaped = false;
        let end = text[1..].find(|letter: char| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        let (inside, rest) = match end {
            Some(end) => (&text[1..=end], &text[end + 2..]),
            None => (&text[1..], ""),
        };
        if rest.trim_start().starts_with(':') && end.is_some() {
            self.put(format!("\"{inside}\"").as_bytes());
        } else {
            self.put_once(b"\"\"");
        }
        rest
    }

    fn number<'t>(&mut self, text: &'t str) -> &'t str {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        self.put_once(b"9");
        &text[end..]
    }

    fn put(&mut self, what: &[u8]) {
        if self.depth <= DEPTH {
            self.out.extend_from_slice(what);
        }
    }

    fn put_once(&mut self, what: &[u8]) {
        if !self.out.ends_with(what) {
            self.put(what);
        }
    }

    /// A list's elements so far are alike.
    fn repeats(&self) -> bool {
        [b"[9".as_slice(), b"[\"\"", b"[a"].iter().any(|begun| self.out.ends_with(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn values_go_and_keys_and_tags_stay() {
        let check =
            |text: &str, expected: &str| assert_eq!(String::from_utf8(shape(text.as_bytes())).unwrap(), expected);
        check("", "");
        check("a plain text of 7 words.", "a9a");
        check(r#"{"a": 1, "b": "x\"y"}"#, r#"{"a":9,"b":""}"#);
        check(r#"{"a": 22, "b": "z"}"#, r#"{"a":9,"b":""}"#);
        check(r#"{"b": "z"}"#, r#"{"b":""}"#);
        check("[1, 2, 3]", "[9]");
        check("[]", "[]");
        check(r#"["x", "y"]"#, r#"[""]"#);
        check("--- !ruby/hash:Foo\nname: Ann\n", "---!ruby/hash:Fooa:a");
        check(r#"a:1:{s:3:"key";i:5;}"#, r#"a:9:{s:9:"";i:9;}"#);
        check(r#"{"cut": "off"#, r#"{"cut":"""#);
        check("ünï-cödé 12", "a-a9");
    }
}
