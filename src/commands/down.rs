//! `rehearsal down [LAB]`: takes a lab down that was left running.

use std::path::Path;

use super::run::no_lab;
use super::{Error, clean};
use crate::lab::lease::{Base, LabInfo, LabState};
use crate::lab::reap::{self, Reaped};

/// Takes down the lab of this name, run or folder, or the only one that is kept. Gives what was removed; none if nothing is kept.
///
/// # Errors
/// No such lab, several and none was named, one whose run is going on, or one that could not be removed.
pub async fn run(wanted: Option<&str>) -> Result<Option<Vec<Reaped>>, Error> {
    let labs = clean::list()?;
    let lab = match wanted {
        Some(wanted) => named(&labs, wanted)?,
        None => match only(&labs)? {
            Some(lab) => lab,
            None => return Ok(None),
        },
    };
    let base = Base::open().map_err(no_lab)?;
    let removed = reap::remove(&base, &lab.id).await.map_err(no_lab)?;
    if clean::list()?.iter().any(|left| left.id == lab.id) {
        return Err(Error::Inconclusive {
            what: format!("the lab of {} could not be taken down", run_of(lab)),
            hint: Some(format!("`rehearsal down -v {}` tries it again and says why", lab.id)),
            source: None,
        });
    }
    Ok(Some(removed))
}

fn named<'a>(labs: &'a [LabInfo], wanted: &str) -> Result<&'a LabInfo, Error> {
    let folder = Path::new(wanted).canonicalize().ok();
    let is_it = |lab: &&LabInfo| {
        lab.id == wanted
            || lab.lease.as_ref().is_some_and(|lease| lease.run == wanted)
            || (folder.is_some() && lab.folder.canonicalize().ok() == folder)
    };
    match labs.iter().find(is_it) {
        None => Err(Error::usage(format!("no lab {wanted} is up here"), "`rehearsal ls` lists them")),
        Some(lab) if lab.state == LabState::Live => Err(Error::usage(
            format!("the run {} is still going on", run_of(lab)),
            "end it where it runs, with Ctrl-C: it takes its lab down itself",
        )),
        Some(lab) => Ok(lab),
    }
}

/// The only kept lab, if any is.
fn only(labs: &[LabInfo]) -> Result<Option<&LabInfo>, Error> {
    let kept: Vec<&LabInfo> = labs.iter().filter(|lab| lab.state == LabState::Kept).collect();
    match kept[..] {
        [] => Ok(None),
        [lab] => Ok(Some(lab)),
        [first, ..] => {
            let list: String = kept.iter().map(|lab| format!("\n  {}  {}", run_of(lab), lab.id)).collect();
            let hint = format!("name one, as in `rehearsal down {}`", run_of(first));
            Err(Error::usage(format!("{} labs are up:{list}", kept.len()), hint))
        }
    }
}

/// The run's id, or where a kill cut the lease short, the lab's.
fn run_of(lab: &LabInfo) -> &str {
    lab.lease.as_ref().map_or(&lab.id, |lease| &lease.run)
}
