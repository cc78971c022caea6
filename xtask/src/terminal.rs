//! What is said to the person who started a task, and what they are asked.

use std::io::{IsTerminal, Write};

/// A line on standard error: progress.
#[expect(clippy::print_stderr, reason = "progress of a task, for the person who started it")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// A line on standard output: a result.
#[expect(clippy::print_stdout, reason = "the result of a task")]
pub fn tell(line: &str) {
    println!("{line}");
}

/// With `CI=true` nothing is asked, and nothing is skipped.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Asks whoever sits at the terminal; where nobody does, the answer is yes.
///
/// # Errors
/// The terminal went away.
pub fn agreed(question: &str) -> anyhow::Result<bool> {
    let mut terminal = std::io::stderr();
    if ci() || !terminal.is_terminal() || !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    write!(terminal, "{question} [Y/n] ")?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer)?;
    Ok(read > 0 && matches!(answer.trim(), "" | "y" | "Y" | "yes"))
}
