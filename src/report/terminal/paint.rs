//! Colours and line breaks on a terminal.

use console::Style;

use crate::finding::Severity;
use crate::outcome::{StepState, Verdict};
use crate::settings::TerminalSettings;

/// Paints, or leaves as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colour: bool,
    /// Width that text is broken at, in columns.
    pub columns: usize,
}

impl Paint {
    pub fn new(settings: &TerminalSettings) -> Paint {
        // Lines of more than about a hundred letters are hard to read, however wide the terminal.
        let columns = match usize::from(settings.columns) {
            0 => 100,
            columns => columns.clamp(40, 110),
        };
        Paint { colour: settings.colour, columns }
    }

    pub fn with(&self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    pub fn bold(&self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub fn dim(&self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    pub fn severity(&self, severity: Severity, text: &str) -> String {
        let style = match severity {
            Severity::Error => Style::new().red().bold(),
            Severity::Warning => Style::new().yellow().bold(),
            Severity::Info => Style::new().cyan(),
        };
        self.with(style, text)
    }

    pub fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let style = match verdict {
            Verdict::Passed => Style::new().green(),
            Verdict::PassedInPart | Verdict::Interrupted | Verdict::Inconclusive => Style::new().yellow(),
            Verdict::Failed => Style::new().red(),
        };
        self.with(style.bold(), text)
    }

    pub fn step(&self, state: StepState) -> String {
        match state {
            StepState::Done => self.with(Style::new().green(), "✓"),
            StepState::Failed | StepState::TimedOut => self.with(Style::new().red(), "✗"),
            StepState::Interrupted | StepState::Unfinished => self.with(Style::new().yellow(), "!"),
            StepState::Skipped | StepState::NotReached => self.dim("–"),
        }
    }

    /// Text broken into lines, the first begun with `first` and the others with blanks of the same width.
    pub fn wrapped(&self, first: &str, text: &str) -> String {
        let indent = " ".repeat(console::measure_text_width(first));
        let width = self.columns.saturating_sub(indent.len()).max(20);
        let lines = textwrap::wrap(text, textwrap::Options::new(width).break_words(false));
        let mut out = String::new();
        for (index, line) in lines.iter().enumerate() {
            out.push_str(if index == 0 { first } else { &indent });
            out.push_str(line);
            out.push('\n');
        }
        out
    }
}

/// Text padded with blanks to a width in columns, colours not counted.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(console::measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// As [`pad`], to the right.
pub fn pad_left(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(console::measure_text_width(text));
    format!("{}{text}", " ".repeat(missing))
}
