//! What `rehearsal doctor` found, as a table for a person.

use console::Style;

use crate::commands::doctor::{Diagnosis, DockerEngine, Image, Installed, LabFolder, Missing, Part, Server};
use crate::report::terminal::{Paint, bytes, pad};
use crate::settings::TerminalSettings;

/// The machine, then a line for each version, then how to get what is missing; that last part not where settings ask for quiet.
pub fn text(found: &Diagnosis, settings: &TerminalSettings) -> String {
    let paint = Paint::new(settings);
    let mut out = machine(found, &paint);
    out.push('\n');
    out.push_str(&servers(&found.servers, &paint));
    if !settings.quiet {
        out.push_str(&hints(found, &paint));
    }
    let (runnable, all) = (found.runnable(), found.servers.len());
    out.push_str(&format!("\n{runnable} of {all} versions can be rehearsed on this machine as it is\n"));
    out
}

/// What to do first where nothing can be run.
pub fn first_hint(found: &Diagnosis) -> &str {
    let of_folder = missing(&found.lab_folder).and_then(|missing| missing.hint.as_deref());
    of_folder.unwrap_or("install a server, or start Docker with an image of one")
}

fn machine(found: &Diagnosis, paint: &Paint) -> String {
    let mut rows = vec![("lab folder", shown(&found.lab_folder, folder)), ("Docker", shown(&found.docker, engine))];
    let programs = found.programs.iter();
    rows.extend(programs.map(|program| (program.name, shown(&program.found, |file| file.path.display().to_string()))));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, (here, text)): (&str, (bool, String))| {
        paint.wrapped(&format!("{} {}  ", mark(here, paint), pad(name, width)), &text)
    };
    rows.into_iter().map(line).collect()
}

fn servers(servers: &[Server], paint: &Paint) -> String {
    let rows: Vec<[String; 3]> = servers
        .iter()
        .map(|server| {
            let docker = cell(&server.docker, |Image { image }| image.clone());
            let native =
                cell(&server.native, |Installed { release, programs }| format!("{release} in {}", programs.display()));
            [name(server), docker, native]
        })
        .collect();
    let width = |column: usize, least: usize| {
        rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or_default().max(least)
    };
    let widths = [width(0, 0), width(1, "docker".len())];
    let heading = format!("  {}  {}  native", pad("", widths[0]), pad("docker", widths[1]));
    let mut out = format!("{}\n", paint.bold(&heading));
    for (server, [name, docker, native]) in servers.iter().zip(&rows) {
        let mark = mark(server.is_here(), paint);
        out.push_str(&format!("{mark} {}  {}  {native}\n", pad(name, widths[0]), pad(docker, widths[1])));
    }
    out
}

/// What is missing, with what to do: the machine's own first, then each version's.
fn hints(found: &Diagnosis, paint: &Paint) -> String {
    let mut rows =
        vec![("lab folder".to_owned(), missing(&found.lab_folder)), ("Docker".to_owned(), missing(&found.docker))];
    rows.extend(found.programs.iter().map(|program| (program.name.to_owned(), missing(&program.found))));
    for server in &found.servers {
        // Without an engine, that is what is missing, and it was said.
        let image = missing(&server.docker).filter(|_| found.docker.is_here());
        rows.push((format!("{} docker", name(server)), image));
        rows.push((format!("{} native", name(server)), missing(&server.native)));
    }
    let rows: Vec<(String, &str)> =
        rows.into_iter().filter_map(|(what, missing)| Some((what, missing?.hint.as_deref()?))).collect();
    let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or_default();
    let mut out = String::new();
    for (what, hint) in &rows {
        out.push_str(&paint.wrapped(&format!("  {}  ", pad(what, width)), hint));
    }
    if out.is_empty() { out } else { format!("\n{}\n{out}", paint.bold("how to get the rest")) }
}

fn folder(folder: &LabFolder) -> String {
    let mut text = format!("{}, {} free", folder.path.display(), bytes(folder.free_bytes));
    if !folder.exists {
        text.push_str(", made by the first run");
    }
    if folder.in_memory {
        text.push_str(", in memory: faster than any disk");
    }
    text
}

fn engine(engine: &DockerEngine) -> String {
    let version = engine.version.as_deref().unwrap_or("of a version that it does not say");
    format!("{version}, at {}", engine.socket)
}

fn name(server: &Server) -> String {
    format!("{} {}", server.engine, server.version)
}

fn shown<T>(part: &Part<T>, here: impl FnOnce(&T) -> String) -> (bool, String) {
    match part {
        Part::Here(found) => (true, here(found)),
        Part::Missing(missing) => (false, missing.why.clone()),
    }
}

fn cell<T>(part: &Part<T>, here: impl FnOnce(&T) -> String) -> String {
    match part {
        Part::Here(found) => here(found),
        Part::Missing(_) => "–".to_owned(),
    }
}

fn missing<T>(part: &Part<T>) -> Option<&Missing> {
    match part {
        Part::Here(_) => None,
        Part::Missing(missing) => Some(missing),
    }
}

fn mark(here: bool, paint: &Paint) -> String {
    if here { paint.with(Style::new().green(), "✓") } else { paint.with(Style::new().red(), "✗") }
}

#[cfg(test)]
mod tests;
