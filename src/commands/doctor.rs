//! `rehearsal doctor`: what can this machine run, and how to get the rest? Starts and makes nothing.

use std::path::PathBuf;

use serde::Serialize;

use super::with_causes;
use crate::engine::client_programs::{self, ClientProgram};
use crate::engine::server;
use crate::engine::software::Software;
use crate::lab::survey::{Engine, Found, Ground};
use crate::lab::{self, LabError};
use crate::scenario::EngineKind;

/// What was found on this machine.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    pub lab_folder: Part<LabFolder>,
    /// The engine itself; the images are with the servers.
    pub docker: Part<DockerEngine>,
    /// Every version that the tool knows, oldest first.
    pub servers: Vec<Server>,
    pub programs: Vec<Program>,
}

impl Diagnosis {
    /// How many of the versions can be rehearsed on now, in one lab at least.
    pub fn runnable(&self) -> usize {
        let labs_can_be = self.lab_folder.is_here();
        self.servers.iter().filter(|server| labs_can_be && server.is_here()).count()
    }

    /// 0 when something can be rehearsed on this machine, else 3.
    pub fn exit_code(&self) -> i32 {
        if self.runnable() > 0 { 0 } else { 3 }
    }
}

/// Something that is here, or that is not and could be got.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Part<T> {
    Here(T),
    Missing(Missing),
}

impl<T> Part<T> {
    pub fn is_here(&self) -> bool {
        matches!(self, Part::Here(_))
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    pub why: String,
    /// How to get it.
    pub hint: Option<String>,
}

/// The folder in which labs are made.
#[derive(Debug, Serialize)]
pub struct LabFolder {
    pub path: PathBuf,
    /// False where the first run makes it.
    pub exists: bool,
    pub free_bytes: u64,
    /// Nothing there waits for a disk.
    pub in_memory: bool,
}

#[derive(Debug, Serialize)]
pub struct DockerEngine {
    pub socket: String,
    pub version: Option<String>,
}

/// One version of an engine, and what each lab has of it.
#[derive(Debug, Serialize)]
pub struct Server {
    pub engine: &'static str,
    pub version: String,
    pub docker: Part<Image>,
    pub native: Part<Installed>,
}

impl Server {
    /// Whether either lab has it.
    pub fn is_here(&self) -> bool {
        self.docker.is_here() || self.native.is_here()
    }
}

#[derive(Debug, Serialize)]
pub struct Image {
    pub image: String,
}

#[derive(Debug, Serialize)]
pub struct Installed {
    /// "15.8".
    pub release: String,
    /// The folder with its programs.
    pub programs: PathBuf,
}

/// A client program.
#[derive(Debug, Serialize)]
pub struct Program {
    pub name: &'static str,
    pub purpose: &'static str,
    pub found: Part<ProgramFile>,
}

#[derive(Debug, Serialize)]
pub struct ProgramFile {
    pub path: PathBuf,
}

/// Looks at this machine.
pub async fn run() -> Diagnosis {
    let engines = [EngineKind::Postgres, EngineKind::Mariadb, EngineKind::Mysql];
    let wanted: Vec<Software> = engines
        .into_iter()
        .flat_map(|engine| engine.versions().iter().map(move |version| server::software(engine, version)))
        .collect();
    let survey = lab::survey(&wanted).await;
    let docker = Part::of(survey.docker, |Engine { socket, version }| DockerEngine { socket, version });
    let servers = wanted.iter().zip(survey.servers).map(|(software, found)| of_server(software, found, &docker));
    Diagnosis {
        servers: servers.collect(),
        lab_folder: Part::of(survey.base, |Ground { path, exists, free_bytes, in_memory }| LabFolder {
            path,
            exists,
            free_bytes,
            in_memory,
        }),
        docker,
        programs: client_programs::all().into_iter().map(of_program).collect(),
    }
}

impl<T> Part<T> {
    fn of<F>(found: Result<F, LabError>, here: impl FnOnce(F) -> T) -> Part<T> {
        match found {
            Ok(found) => Part::Here(here(found)),
            Err(error) => Part::Missing(Missing { why: with_causes(&error), hint: error.remedy() }),
        }
    }
}

fn of_server(software: &Software, found: Found, docker: &Part<DockerEngine>) -> Server {
    let image = match (found.image, docker) {
        (Some(image), _) => Part::Here(Image { image }),
        // Which images it has is not known then.
        (None, Part::Missing(missing)) => Part::Missing(missing.clone()),
        (None, Part::Here(_)) => Part::Missing(Missing {
            why: format!("no image with it: {} not here", software.images.join(", ")),
            hint: Some(software.image_hint()),
        }),
    };
    Server {
        engine: software.engine.name(),
        version: software.version.clone(),
        docker: image,
        native: Part::of(found.native, |found| Installed { release: found.release, programs: found.programs }),
    }
}

fn of_program(ClientProgram { name, purpose, hint, path }: ClientProgram) -> Program {
    let found = match path {
        Some(path) => Part::Here(ProgramFile { path }),
        None => {
            Part::Missing(Missing { why: format!("no {name} on this machine, {purpose}"), hint: Some(hint.to_owned()) })
        }
    };
    Program { name, purpose, found }
}
