//! Groups: steps that belong together, each of them a plain step of the plan, and their repetition on one side after the other.

use super::step::Part;
use super::{Check, On};
use crate::scenario::Step;
use crate::scenario::grammar::StepTable;
use crate::scenario::leaf::Text;
use crate::scenario::read::{Either, Found, List, Named};
use crate::scenario::tree::At;

/// Keys that a group has; all others are said in its steps.
const OF_GROUPS: &[&str] = &["name", "each", "steps"];

/// What steps take over from the group that they stand in.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Before their names: "half the fleet / side:a / ".
    prefix: String,
    /// The nodes of those that give none.
    pub on: Option<On>,
}

impl Group {
    pub fn named(&self, step: &str) -> String {
        format!("{}{step}", self.prefix)
    }
}

impl Check<'_> {
    /// The steps of a group, once for each word of its `each`.
    pub(super) fn group(&mut self, group: At<StepTable>, part: Part) -> Vec<Step> {
        let mut raw = group.value;
        for key in raw.found().iter().filter(|key| !OF_GROUPS.contains(&key.value)) {
            let message = format!("`{}` beside a group's `steps`", key.value);
            self.clash(key.at, message, "say it in the steps themselves");
        }
        let steps = raw.steps.take();
        if let Some(steps) = steps.as_ref().filter(|steps| steps.value.is_empty()) {
            self.wrong(steps.at, "an empty list", "at least one step");
        }
        let (Some(steps), Some(name)) = (steps, raw.name.take()) else { return Vec::new() };
        let outer = self.group.clone();
        let prefix = format!("{} / ", outer.named(&name.value.0));
        let plain = match raw.each.take() {
            None => self.steps_in(Group { prefix, on: outer.on.clone() }, steps.value, part),
            Some(each) => self.repeated(&prefix, each, &steps.value, part),
        };
        self.group = outer;
        plain
    }

    fn repeated(
        &mut self,
        prefix: &str,
        each: At<List<Text>>,
        steps: &List<Named<StepTable>>,
        part: Part,
    ) -> Vec<Step> {
        if each.value.is_empty() {
            self.wrong(each.at, "an empty list", "at least one word that `on` takes");
        }
        let mut plain = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for At { value: Text(word), at } in each.value {
            if words.contains(&word) {
                self.clash(at, format!("\"{word}\" is named twice"), "name each but once");
                continue;
            }
            let wrong_before = self.problems.count();
            let on = self.on(At { value: Either::A(Text(word.clone())), at });
            let group = Group { prefix: format!("{prefix}{word} / "), on: Some(on) };
            plain.extend(self.steps_in(group, steps.clone(), part));
            words.push(word);
            // What is wrong with the steps is wrong with them each time.
            if self.problems.count() > wrong_before {
                break;
            }
        }
        plain
    }

    fn steps_in(&mut self, group: Group, steps: List<Named<StepTable>>, part: Part) -> Vec<Step> {
        self.group = group;
        self.steps(steps, part)
    }

    /// Keys of groups in what is none.
    pub(super) fn refuse_group(&mut self, raw: &StepTable, part: Part) {
        if let Some(steps) = &raw.steps {
            let hint = "make each a step of its own";
            self.clash(steps.at, format!("{} cannot be a group", part.name()), hint);
        }
        if let Some(each) = &raw.each {
            self.clash(each.at, "`each` without `steps`", "give the group its `steps`, or name the nodes in `on`");
        }
    }
}
