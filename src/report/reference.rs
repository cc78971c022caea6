//! The table of codes for readers: one code explained, and the reference page of all.

use crate::finding::{Code, Severity};
use crate::outcome::words::sentence;

/// What a code means, for a terminal.
pub fn explain(code: Code) -> String {
    let data = code.data();
    format!(
        "{} ({})\n\n  {}.\n\n  Effect   {}\n  Instead  {}\n",
        data.name,
        data.severity.name(),
        sentence(data.condition),
        data.effect,
        data.remedy
    )
}

/// The reference page of all codes, Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Findings\n\n\
         What a rehearsal can find. A run fails on an `error`, or from the severity that `[gate] fail_on` names; \
         `rehearsal explain CODE` says the same on a terminal.\n",
    );
    for severity in [Severity::Error, Severity::Warning, Severity::Info] {
        let codes: Vec<&Code> = Code::ALL.iter().filter(|code| code.data().severity == severity).collect();
        if codes.is_empty() {
            continue;
        }
        page.push_str(&format!("\n## {}\n", sentence(severity.name())));
        for code in codes {
            let data = code.data();
            page.push_str(&format!(
                "\n### `{}`\n\n{}.\n\n- **Effect:** {}\n- **Instead:** {}\n",
                data.name,
                sentence(data.condition),
                data.effect,
                data.remedy
            ));
        }
    }
    page
}
