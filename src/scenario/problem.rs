//! What is wrong with a scenario file: every problem at once, each with its place, the form expected, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;
use thiserror::Error;

use super::tree::Place;

/// What a scenario file that is not there is called.
pub(super) const SCENARIO_FILE: &str = "scenario file";

/// One thing wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mistake {
    #[error("not valid TOML: {message}")]
    Syntax { message: String },
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("unknown key `{key}` in {table}")]
    UnknownKey {
        key: String,
        table: &'static str,
        /// The keys that can be used.
        built: Vec<&'static str>,
        /// Those that are of the grammar, and not built yet.
        later: Vec<&'static str>,
    },
    #[error("`{key}` is missing in {table}")]
    MissingKey { key: &'static str, table: &'static str, form: String },
    #[error("{what} is not supported yet")]
    NotSupportedYet { what: String },
    /// A value of another form than its key takes.
    #[error("found {found}")]
    WrongForm { found: String, form: String, hint: Option<String> },
    #[error("no {what} is called \"{name}\"")]
    UnknownName { what: &'static str, name: String, known: Vec<String> },
    #[error("two {what} are called \"{name}\"; the first stands on line {first}")]
    Duplicate { what: &'static str, name: String, first: usize },
    #[error("there is no {what} at {path}")]
    NotFound { what: &'static str, path: String },
    #[error("{message}")]
    NoAction { message: &'static str, known: Vec<&'static str> },
    #[error("one step, one action; found {}", ticked(.found))]
    SeveralActions { found: Vec<&'static str> },
    #[error("a secret stands in the file")]
    Secret { form: String },
    #[error("`extends` goes round in a circle: {chain}")]
    ExtendsCycle { chain: String },
    /// Parts that are right each by itself, and do not go together.
    #[error("{message}")]
    Clash { message: String, hint: Option<String> },
}

impl Mistake {
    /// The mistake's kind for programs, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Mistake::Syntax { .. } => "syntax",
            Mistake::Unreadable { .. } => "unreadable",
            Mistake::UnknownKey { .. } => "unknown-key",
            Mistake::MissingKey { .. } => "missing-key",
            Mistake::NotSupportedYet { .. } => "not-supported-yet",
            Mistake::WrongForm { .. } => "wrong-form",
            Mistake::UnknownName { .. } => "unknown-name",
            Mistake::Duplicate { .. } => "duplicate",
            Mistake::NotFound { .. } => "not-found",
            Mistake::NoAction { .. } => "no-action",
            Mistake::SeveralActions { .. } => "several-actions",
            Mistake::Secret { .. } => "secret",
            Mistake::ExtendsCycle { .. } => "extends-cycle",
            Mistake::Clash { .. } => "clash",
        }
    }

    /// The form that was expected: "a duration such as \"20ms\" or \"1h30m\"".
    pub fn expected(&self) -> Option<String> {
        match self {
            Mistake::UnknownKey { key, built, later, .. } if nearest_key(key, built, later).is_none() => {
                Some(one_of(built))
            }
            Mistake::UnknownName { known, .. } if known.is_empty() => None,
            Mistake::UnknownName { name, known, .. } if nearest(name, known).is_none() => Some(one_of(known)),
            Mistake::MissingKey { form, .. } | Mistake::WrongForm { form, .. } | Mistake::Secret { form } => {
                Some(form.clone())
            }
            Mistake::NoAction { known, .. } => Some(one_of(known)),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Mistake::UnknownKey { key, built, later, .. } => did_you_mean(nearest_key(key, built, later)),
            Mistake::UnknownName { name, known, .. } => did_you_mean(nearest(name, known)),
            Mistake::WrongForm { hint, .. } | Mistake::Clash { hint, .. } => hint.clone(),
            Mistake::Duplicate { .. } => Some("reports and answers go by the name: give each its own".into()),
            Mistake::NotFound { what: SCENARIO_FILE, .. } => {
                Some("give the scenario file, or the folder that holds its scenario.toml".into())
            }
            Mistake::NotFound { .. } => {
                Some("relative paths are taken from the folder of the file they stand in".into())
            }
            Mistake::SeveralActions { .. } => Some("make a step of each".into()),
            Mistake::Secret { .. } => {
                Some("put it into an environment variable, and give only the variable's name".into())
            }
            _ => None,
        }
    }
}

fn one_of<S: AsRef<str>>(known: &[S]) -> String {
    match known {
        [only] => format!("`{}`", only.as_ref()),
        _ => format!("one of {}", ticked(known)),
    }
}

fn ticked<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

/// The known name nearest to the given one, if it is near enough to be a slip of the keyboard.
fn nearest<'k, S: AsRef<str>>(name: &str, known: &'k [S]) -> Option<&'k str> {
    let slips_max = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| (strsim::osa_distance(name, known.as_ref()), known.as_ref()))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, known)| known)
}

fn nearest_key<'k>(key: &str, built: &[&'k str], later: &[&'k str]) -> Option<&'k str> {
    let known: Vec<_> = [built, later].concat();
    nearest(key, &known).and_then(|near| known.iter().copied().find(|key| *key == near))
}

fn did_you_mean(name: Option<&str>) -> Option<String> {
    name.map(|name| format!("did you mean `{name}`?"))
}

/// A [`Mistake`] and its place, as plain data and as a diagnostic with the lines of the file around it.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// [`Mistake::code`].
    pub code: &'static str,
    /// The scenario file, or a base of its.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// The form that was expected.
    pub expected: Option<String>,
    pub hint: Option<String>,
    #[serde(skip)]
    pub mistake: Mistake,
    /// Bytes of the file, never past the end of a line.
    #[serde(skip)]
    span: Range<usize>,
    /// None where the file could not be read.
    #[serde(skip)]
    source: Option<NamedSource<Arc<str>>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = self.expected.as_ref().map(|expected| format!("expected {expected}"));
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, self.span.clone()))))
    }
}

/// Everything that is wrong with a scenario; at least one problem, in the order of the files.
#[derive(Debug, Clone, Error)]
#[error("{}: {}", .file.display(), counted(.problems.len()))]
pub struct ScenarioErrors {
    file: PathBuf,
    problems: Vec<Problem>,
}

impl ScenarioErrors {
    /// At least one: those of the scenario file first, then those of its bases, each from top to bottom.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Diagnostic for ScenarioErrors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

fn counted(problems: usize) -> String {
    match problems {
        1 => "one problem".to_owned(),
        _ => format!("{problems} problems"),
    }
}

/// The files read so far, and what was found wrong with them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    files: Vec<File>,
    raised: Vec<(Place, Mistake)>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
}

impl Problems {
    /// The file's number, for [`Place::file`].
    pub fn add_file(&mut self, path: PathBuf, text: String) -> usize {
        self.files.push(File { path, text });
        self.files.len() - 1
    }

    pub fn raise(&mut self, at: Place, mistake: Mistake) {
        self.raised.push((at, mistake));
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.raised.len()
    }

    /// Drops what was said about missing keys: a base that could not be read may have them.
    pub fn forget_missing_keys(&mut self) {
        self.raised.retain(|(_, mistake)| !matches!(mistake, Mistake::MissingKey { .. }));
    }

    /// The folder from which relative paths that stand there are taken.
    pub fn folder(&self, at: Place) -> &Path {
        match self.files[at.file].path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// The text of the file at that place, as it was written there.
    pub fn written(&self, at: Place) -> &str {
        &self.files[at.file].text[at.start..at.end]
    }

    /// Keeps what stands there out of every message.
    pub fn black_out(&mut self, at: Place) {
        // Byte for byte, so that spans hold; lines stay lines.
        let hidden: String = self.written(at).bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
        self.files[at.file].text.replace_range(at.start..at.end, &hidden);
    }

    /// From 1.
    pub fn line(&self, at: Place) -> usize {
        self.files[at.file].text[..at.start].matches('\n').count() + 1
    }

    /// None if nothing was found wrong.
    pub fn into_errors(mut self) -> Option<ScenarioErrors> {
        if self.raised.is_empty() {
            return None;
        }
        self.raised.sort_by_key(|(at, _)| (at.file, at.start));
        let sources: Vec<_> = self.files.iter().map(File::source).collect();
        let problems = self.raised.iter().map(|(at, mistake)| self.problem(*at, mistake, &sources)).collect();
        Some(ScenarioErrors { file: self.files[0].path.clone(), problems })
    }

    fn problem(&self, at: Place, mistake: &Mistake, sources: &[Option<NamedSource<Arc<str>>>]) -> Problem {
        let text = &self.files[at.file].text;
        let line_start = text[..at.start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[at.start..].find(['\r', '\n']).map_or(text.len(), |length| at.start + length);
        Problem {
            code: mistake.code(),
            file: self.files[at.file].path.clone(),
            line: self.line(at),
            column: text[line_start..at.start].chars().count() + 1,
            message: mistake.to_string(),
            expected: mistake.expected(),
            hint: mistake.hint(),
            mistake: mistake.clone(),
            span: at.start..at.end.min(line_end),
            source: sources[at.file].clone(),
        }
    }
}

impl File {
    /// Its text with the passwords blacked out; nothing for an empty or unread file, of which there is no line to show.
    fn source(&self) -> Option<NamedSource<Arc<str>>> {
        if self.text.is_empty() {
            return None;
        }
        let mut text = self.text.clone();
        for password in passwords(&self.text) {
            // Byte for byte, so that spans hold.
            text.replace_range(password.clone(), &"*".repeat(password.len()));
        }
        if !text.ends_with('\n') {
            // A place at the very end is shown only on a line that ends.
            text.push('\n');
        }
        Some(NamedSource::new(self.path.display().to_string(), Arc::from(text)))
    }
}

/// Where passwords stand in a text, `scheme://user:PASSWORD@host` and `password=PASSWORD`: a message about one line shows its
/// neighbours too.
fn passwords(text: &str) -> Vec<Range<usize>> {
    let of_parameter = text.match_indices("password=").map(|(index, mark)| {
        let start = index + mark.len();
        start..start + word(&text[start..]).split('&').next().map_or(0, str::len)
    });
    url_passwords(text).chain(of_parameter).collect()
}

/// Where passwords stand in the URLs of a text.
pub(super) fn url_passwords(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(index, mark)| {
        let start = index + mark.len();
        let (user, _) = word(&text[start..]).split('/').next()?.rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let start = start + name.len() + 1;
        Some(start..start + password.len())
    })
}

/// The text up to a space or quote.
fn word(text: &str) -> &str {
    let ends = |c: char| c.is_whitespace() || "\"'`".contains(c);
    &text[..text.find(ends).unwrap_or(text.len())]
}
