//! `\if`, `\elif`, `\else`, `\endif` of one file.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    True,
    /// Not taken, and a later branch may be.
    False,
    /// Not taken, nor will any other be: one was already, or the whole condition lies in a branch that is not taken.
    Ignored,
    ElseTrue,
    ElseFalse,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    branch: Branch,
    /// Length of the statement and depth of its parentheses where the branch began.
    text: (usize, usize),
}

/// The conditions that are open, innermost last.
#[derive(Debug, Default)]
pub struct Conditions {
    levels: Vec<Level>,
}

/// What is to be done after a step.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The statement goes back to this length and depth.
    pub discard: Option<(usize, usize)>,
    /// The command's expression decides the branch; until then it counts as taken.
    pub evaluate: bool,
}

impl Conditions {
    /// Whether statements and commands count.
    pub fn active(&self) -> bool {
        self.levels.last().is_none_or(|level| matches!(level.branch, Branch::True | Branch::ElseTrue))
    }

    pub fn is_open(&self) -> bool {
        !self.levels.is_empty()
    }

    pub fn set(&mut self, branch: Branch) {
        if let Some(level) = self.levels.last_mut() {
            level.branch = branch;
        }
    }

    /// For a check: no branch is left out.
    pub fn take_every_branch(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.branch = match level.branch {
                Branch::ElseTrue | Branch::ElseFalse => Branch::ElseTrue,
                _ => Branch::True,
            };
        }
    }

    /// Carries out the command of that name, with the statement's length and depth as they are now.
    ///
    /// # Errors
    /// psql's own words, if the command does not belong here.
    pub fn step(&mut self, command: &str, text: (usize, usize)) -> Result<Needs, String> {
        let active = self.active();
        if command == "if" {
            self.levels.push(Level { branch: if active { Branch::True } else { Branch::Ignored }, text });
            return Ok(Needs { discard: None, evaluate: active });
        }
        let Some(level) = self.levels.last_mut() else { return Err(format!("\\{command}: no matching \\if")) };
        let taken = matches!(level.branch, Branch::True | Branch::ElseTrue);
        let discard = (!taken).then_some(level.text);
        if command == "endif" {
            self.levels.pop();
            return Ok(Needs { discard, evaluate: false });
        }
        if matches!(level.branch, Branch::ElseTrue | Branch::ElseFalse) {
            return Err(format!("\\{command}: cannot occur after \\else"));
        }
        if taken {
            level.text = text;
        }
        let was = level.branch;
        level.branch = match (command, was) {
            ("elif", Branch::False) => Branch::True,
            ("elif", _) => Branch::Ignored,
            (_, Branch::False) => Branch::ElseTrue,
            (_, _) => Branch::ElseFalse,
        };
        Ok(Needs { discard, evaluate: command == "elif" && was == Branch::False })
    }
}
