//! `${node.primary.host}`: how SQL and commands speak of the nodes, whose addresses are known only once they run.

use std::ops::Range;

const OPEN: &str = "${node.";

/// What of a node can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeField {
    Host,
    Port,
    Url,
}

impl NodeField {
    pub const NAMES: [&'static str; 3] = ["host", "port", "url"];

    fn parse(name: &str) -> Option<NodeField> {
        match name {
            "host" => Some(NodeField::Host),
            "port" => Some(NodeField::Port),
            "url" => Some(NodeField::Url),
            _ => None,
        }
    }
}

/// Puts `value(node, field)` in place of every `${node.NODE.FIELD}`. Everything else stays as it is, a shell's own `${…}` included.
pub fn substitute(text: &str, mut value: impl FnMut(&str, NodeField) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut done = 0;
    for reference in references(text) {
        if let Some(field) = reference.field() {
            replaced.push_str(&text[done..reference.range.start]);
            replaced.push_str(&value(reference.node, field));
            done = reference.range.end;
        }
    }
    replaced.push_str(&text[done..]);
    replaced
}

/// One `${node.…}`, whether or not it makes sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    pub range: Range<usize>,
    pub node: &'t str,
    pub field: &'t str,
    pub closed: bool,
}

impl Reference<'_> {
    pub fn field(&self) -> Option<NodeField> {
        self.closed.then(|| NodeField::parse(self.field)).flatten()
    }
}

pub(super) fn references(text: &str) -> impl Iterator<Item = Reference<'_>> {
    text.match_indices(OPEN).map(|(start, _)| {
        let body = &text[start + OPEN.len()..];
        let of_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        let length = body.find(|c| !of_name(c)).unwrap_or(body.len());
        let closed = body[length..].starts_with('}');
        // A node of a sharded topology has a dot in its own name: `a.1`.
        let (node, field) = body[..length].rsplit_once('.').unwrap_or((&body[..length], ""));
        let end = start + OPEN.len() + length + usize::from(closed);
        Reference { range: start..end, node, field, closed }
    })
}
