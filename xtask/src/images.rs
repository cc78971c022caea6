//! Container images with a database server in them, built from Debian's packages alone: for machines that cannot pull, and for tests.
//!
//! An image is one tar of a Debian suite with the server installed, imported as one layer. The daemon needs no network for it and sees
//! no path of this machine; no command line client of Docker is needed.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bollard::Docker;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::setup;
use crate::terminal::say;

/// What is built: `rehearsal/ENGINE:VERSION` from the suite that carries that version.
struct Recipe {
    engine: Engine,
    version: &'static str,
    suite: &'static str,
    /// Extensions of Postgres, beside the server and its client.
    extensions: &'static [&'static str],
    /// A second major version in the same image, for `pg_upgrade`: `rehearsal/ENGINE:OLDER-VERSION`. Built only by name.
    older: Option<Older>,
}

/// A version that the suite does not carry, and the one that does.
struct Older {
    version: &'static str,
    suite: &'static str,
}

#[derive(Clone, Copy)]
enum Engine {
    Postgres,
    Mariadb,
    Mysql,
}

const RECIPES: &[Recipe] = &[
    Recipe { engine: Engine::Postgres, version: "13", suite: "bullseye", extensions: &[], older: None },
    Recipe {
        engine: Engine::Postgres,
        version: "15",
        suite: "bookworm",
        extensions: &["pgtap", "unit", "pglogical", "wal2json", "repack"],
        older: None,
    },
    Recipe { engine: Engine::Postgres, version: "17", suite: "trixie", extensions: &[], older: None },
    Recipe { engine: Engine::Postgres, version: "18", suite: "sid", extensions: &[], older: None },
    Recipe { engine: Engine::Mariadb, version: "10.5", suite: "bullseye", extensions: &[], older: None },
    Recipe { engine: Engine::Mariadb, version: "10.11", suite: "bookworm", extensions: &[], older: None },
    Recipe { engine: Engine::Mariadb, version: "11.8", suite: "trixie", extensions: &[], older: None },
    Recipe { engine: Engine::Mysql, version: "9.7", suite: "sid", extensions: &[], older: None },
    two_majors(Older { version: "13", suite: "bullseye" }, "15", "bookworm"),
    two_majors(Older { version: "15", suite: "bookworm" }, "17", "trixie"),
    two_majors(Older { version: "17", suite: "trixie" }, "18", "sid"),
];

const fn two_majors(older: Older, version: &'static str, suite: &'static str) -> Recipe {
    Recipe { engine: Engine::Postgres, version, suite, extensions: &[], older: Some(older) }
}

/// Images built at the same time: each needs a core and about a gigabyte of disk.
const AT_ONCE: usize = 2;

/// Long enough for a slow disk to take in half a gigabyte.
const ENGINE_DEADLINE: Duration = Duration::from_secs(900);

/// The label that holds [`Recipe::hash`].
const RECIPE_LABEL: &str = "rehearsal.recipe";

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Build only this one: postgres-15, mariadb-11.8, mysql-9.7; or two majors in one, postgres-15+17
    #[arg(long, value_name = "IMAGE")]
    pub only: Vec<String>,
}

/// Builds what is missing or was built by another recipe.
///
/// # Errors
/// No Docker Engine answers, a tool is missing and cannot be installed, or a build fails.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let recipes = chosen(&args.only)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let docker = engine().await?;
        let mut missing = Vec::new();
        for recipe in recipes {
            if exists(&docker, recipe).await? {
                say(&format!("{} is there", recipe.image()));
            } else {
                missing.push(recipe);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        setup::provide(&[&setup::MMDEBSTRAP])?;
        futures::stream::iter(missing)
            .map(|recipe| build(&docker, recipe))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    })
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Recipe>> {
    for name in only {
        ensure!(
            RECIPES.iter().any(|recipe| recipe.name() == *name),
            "no image {name}; there are {}",
            RECIPES.iter().map(Recipe::name).collect::<Vec<_>>().join(", ")
        );
    }
    let is_wanted = |recipe: &&Recipe| {
        if only.is_empty() { recipe.older.is_none() } else { only.contains(&recipe.name()) }
    };
    Ok(RECIPES.iter().filter(is_wanted).collect())
}

async fn engine() -> anyhow::Result<Docker> {
    let docker = Docker::connect_with_defaults()?.with_timeout(ENGINE_DEADLINE);
    docker.ping().await.context("no Docker Engine answers")?;
    Ok(docker)
}

async fn exists(docker: &Docker, recipe: &Recipe) -> anyhow::Result<bool> {
    let filters = HashMap::from([
        ("reference", vec![recipe.image()]),
        ("label", vec![format!("{RECIPE_LABEL}={}", recipe.hash())]),
    ]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    Ok(!docker.list_images(Some(options)).await?.is_empty())
}

/// Packs the suite into a file first: a stream that broke off would be imported as if it were whole.
async fn build(docker: &Docker, recipe: &Recipe) -> anyhow::Result<()> {
    let image = recipe.image();
    let began = Instant::now();
    say(&format!("{image}: installing Debian {} with {}", recipe.suite, recipe.packages().join(" ")));
    let folder = tempfile::Builder::new().prefix("rehearsal-image-").tempdir()?;
    let tar = folder.path().join("root.tar");
    pack(recipe, &tar).await.with_context(|| format!("could not build {image}"))?;

    let body = ReaderStream::with_capacity(tokio::fs::File::open(&tar).await?, 1 << 20);
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(recipe.repository())
        .tag(&recipe.tag())
        .changes(recipe.changes())
        .build();
    docker
        .create_image(Some(options), Some(bollard::body_try_stream(body)), None)
        .try_for_each(|_| async { Ok(()) })
        .await
        .with_context(|| format!("could not import {image}"))?;
    ensure!(exists(docker, recipe).await?, "the engine took {image} in but does not list it");
    say(&format!("{image}: built in {:.0} s", began.elapsed().as_secs_f64()));
    Ok(())
}

async fn pack(recipe: &Recipe, tar: &Path) -> anyhow::Result<()> {
    let output = tokio::process::Command::new("mmdebstrap")
        .args(recipe.arguments())
        .arg(tar)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("could not run mmdebstrap")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(15).collect();
        bail!("mmdebstrap: {}\n{}", output.status, last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

impl Older {
    /// Adds the suite's own sources under the older one's name, for what the suite does not have: below its own 500, and above what is not
    /// installed by itself. Before the lists are fetched.
    fn hook(&self, suite: &str) -> String {
        let older = self.suite;
        format!(
            "--setup-hook=sed 's/\\b{suite}\\b/{older}/g' \"$1/etc/apt/sources.list\" >\"$1/etc/apt/sources.list.d/{older}.list\" \
             && printf 'Package: *\\nPin: release n={older}*\\nPin-Priority: 100\\n' >\"$1/etc/apt/preferences.d/{older}\""
        )
    }
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::Mariadb => "mariadb",
            Engine::Mysql => "mysql",
        }
    }
}

impl Recipe {
    fn name(&self) -> String {
        let older = self.older.as_ref().map_or(String::new(), |older| format!("{}+", older.version));
        format!("{}-{older}{}", self.engine.name(), self.version)
    }

    fn tag(&self) -> String {
        let older = self.older.as_ref().map_or(String::new(), |older| format!("{}-", older.version));
        format!("{older}{}", self.version)
    }

    fn repository(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "rehearsal/postgres",
            Engine::Mariadb => "rehearsal/mariadb",
            Engine::Mysql => "rehearsal/mysql",
        }
    }

    fn image(&self) -> String {
        format!("{}:{}", self.repository(), self.tag())
    }

    fn packages(&self) -> Vec<String> {
        match self.engine {
            Engine::Postgres => {
                let server = format!("postgresql-{}", self.version);
                let extensions = self.extensions.iter().map(|name| format!("{server}-{name}"));
                let older = self.older.iter().map(|older| format!("postgresql-{}", older.version));
                std::iter::once(server.clone()).chain(extensions).chain(older).collect()
            }
            Engine::Mariadb => vec!["mariadb-server".to_owned()],
            Engine::Mysql => vec!["mysql-server".to_owned(), "mysql-client".to_owned()],
        }
    }

    /// The packages would make a server of their own, which nothing here uses. Files of a fresh one are made instead, as the library would
    /// make them: MySQL takes seconds for that.
    fn hook(&self) -> String {
        match self.engine {
            Engine::Postgres => "--essential-hook=mkdir -p \"$1/etc/postgresql-common\" \
                 && echo 'create_main_cluster = false' >\"$1/etc/postgresql-common/createcluster.conf\""
                .to_owned(),
            Engine::Mariadb | Engine::Mysql => {
                let files = format!("/var/lib/rehearsal/{}", self.name());
                let make = match self.engine {
                    Engine::Mysql => "mysqld --no-defaults --initialize-insecure --skip-log-bin",
                    _ => {
                        "mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db \
                         --skip-name-resolve --force"
                    }
                };
                format!(
                    "--customize-hook=find \"$1/var/lib/mysql\" -mindepth 1 -delete \
                     && mkdir -p \"$1/var/lib/rehearsal\" && chroot \"$1\" chown mysql /var/lib/rehearsal \
                     && chroot \"$1\" {make} --user=mysql --datadir={files} && rm -f \"$1{files}/auto.cnf\""
                )
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--quiet".to_owned(),
            "--variant=minbase".to_owned(),
            format!("--include={}", self.packages().join(",")),
            self.hook(),
        ];
        arguments.extend(self.older.as_ref().map(|older| older.hook(self.suite)));
        for path in ["doc", "man", "info", "locale"] {
            arguments.push(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
        }
        if self.suite == "sid" {
            // A snapshot of unstable is out of date by its own account within a week.
            arguments.push("--aptopt=Acquire::Check-Valid-Until \"false\"".to_owned());
        }
        arguments.push(self.suite.to_owned());
        arguments
    }

    fn settings(&self) -> Vec<String> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let path = match self.engine {
            Engine::Postgres => format!("ENV PATH={path}:/usr/lib/postgresql/{}/bin", self.version),
            Engine::Mariadb | Engine::Mysql => format!("ENV PATH={path}"),
        };
        vec![path, "ENV LANG=C.UTF-8".to_owned()]
    }

    fn changes(&self) -> Vec<String> {
        let mut changes = self.settings();
        changes.push(format!("LABEL {RECIPE_LABEL}={}", self.hash()));
        changes
    }

    /// Of everything that decides what is in the image, but for the packages' versions of the day.
    fn hash(&self) -> String {
        let text = [self.arguments(), self.settings()].concat().join("\n");
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
