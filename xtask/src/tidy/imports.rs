//! What a source file names: modules of its own crate, other crates, and macros that print. Code for tests alone is left out.

use std::path::Path;

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Line numbers from 1, and what was named there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// First segments below the crate's root; `*` where everything is imported.
    pub rooms: Vec<(usize, String)>,
    pub crates: Vec<(usize, String)>,
    pub prints: Vec<(usize, String)>,
}

const PRINTS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// The module that a file of `src` is: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`. Empty for the crate's root, and for files that
/// hold nothing but tests.
pub fn module(path: &Path) -> Vec<String> {
    let inner = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut module: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.iter().any(|part| part == "tests") || module == ["lib"] {
        return Vec::new();
    }
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// # Errors
/// The file is not Rust.
pub fn read(module: &[String], content: &str) -> syn::Result<Seen> {
    let file = syn::parse_file(content)?;
    let mut reader = Reader { module: module.to_vec(), seen: Seen::default() };
    reader.visit_file(&file);
    Ok(reader.seen)
}

struct Reader {
    module: Vec<String>,
    seen: Seen,
}

impl Reader {
    fn path(&mut self, segments: &[String], span: Span) {
        let line = span.start().line;
        let Some((first, rest)) = segments.split_first() else { return };
        match first.as_str() {
            "crate" => self.room(line, rest.first()),
            // The binary sees the library as a crate; its own name is the library's root.
            "rehearsal" if self.module == ["main"] => self.room(line, rest.first()),
            "self" | "super" => {
                let resolved = self.resolve(segments);
                self.room(line, resolved.first());
            }
            _ => self.seen.crates.push((line, first.clone())),
        }
    }

    fn room(&mut self, line: usize, name: Option<&String>) {
        self.seen.rooms.push((line, name.map_or("*", String::as_str).to_owned()));
    }

    fn resolve(&self, segments: &[String]) -> Vec<String> {
        let mut resolved = self.module.clone();
        for segment in segments {
            match segment.as_str() {
                "self" => {}
                "super" => drop(resolved.pop()),
                name => resolved.push(name.to_owned()),
            }
        }
        resolved
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let joined = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&joined(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.path(&joined(&name.ident), name.ident.span()),
            syn::UseTree::Rename(rename) => self.path(&joined(&rename.ident), rename.ident.span()),
            syn::UseTree::Glob(glob) => self.path(before, glob.star_token.spans[0]),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(before, item)),
        }
    }

    /// Paths within a macro's arguments or an attribute, which syn leaves as tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.finish(&mut path, start);
                    start = ident.span();
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons = if colons == 1 || punct.spacing() == Spacing::Joint { colons + 1 } else { 0 };
                    continue;
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                // `#[serde(with = "crate::…")]`
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    if let Some(inner) = text.trim_matches('"').strip_prefix("crate::") {
                        let room = inner.split("::").next().map(str::to_owned);
                        self.room(literal.span().start().line, room.as_ref());
                    }
                }
                TokenTree::Punct(_) => self.finish(&mut path, start),
            }
            colons = 0;
        }
        self.finish(&mut path, start);
    }

    fn finish(&mut self, path: &mut Vec<String>, start: Span) {
        if path.len() > 1 {
            self.path(path, start);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !attributes(item).iter().any(only_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (Some(first), true) = (path.segments.first(), path.segments.len() > 1) {
            let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.path(&segments, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        if let Some(last) = invoked.path.segments.last()
            && PRINTS.iter().any(|print| last.ident == print)
        {
            self.seen.prints.push((last.ident.span().start().line, last.ident.to_string()));
        }
        self.tokens(invoked.tokens.clone());
        visit::visit_macro(self, invoked);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn only_for_tests(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}
