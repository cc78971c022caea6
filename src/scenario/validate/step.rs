//! The plan: steps, what they do, and what takes them back.

use std::time::Duration;

use super::expect::texts;
use super::{Check, On};
use crate::scenario::grammar::{AnalyzeTable, CheckTable, CompareTable, RetryTable, StepTable, WaitTable};
use crate::scenario::leaf::{Cell, CompareWhat, Positive, Text};
use crate::scenario::problem::Mistake;
use crate::scenario::read::{Either, Found, List, Named};
use crate::scenario::tree::{At, Place};
use crate::scenario::{Action, EngineKind, Retry, Step, WhenFailed};

/// The actions that are built.
pub(in crate::scenario) const BUILT: &[&str] =
    &["sql", "file", "command", "analyze", "restart", "wait", "check", "compare", "take_out", "put_back", "route"];

/// The actions that are not, and groups of steps at once; all of them are refused by name.
pub(in crate::scenario) const NOT_BUILT: &[&str] = &[
    "migrations",
    "upgrade",
    "read_only",
    "fast_downtime",
    "refuse_connections",
    "readmit",
    "promote",
    "rebuild",
    "stop",
    "start",
    "confirm",
    "parallel",
];

const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where a step stands, which decides what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Plan,
    Setup,
    Undo,
}

impl Part {
    /// Keys that have no meaning there.
    fn meaningless(self) -> &'static [&'static str] {
        match self {
            Part::Plan => &[],
            Part::Setup => &[
                "budget",
                "limits",
                "undo",
                "retry",
                "takes",
                "outside_window",
                "point_of_no_return",
                "sign_off",
                "when_failed",
                "take_out",
                "put_back",
                "route",
            ],
            Part::Undo => &["undo", "takes", "outside_window", "point_of_no_return", "when_failed"],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Part::Plan => "a step",
            Part::Setup => "setup",
            Part::Undo => "an undo",
        }
    }
}

/// What an undo of one action takes over from its step.
struct Inherited {
    on: On,
    at_once: usize,
    replicated: bool,
    run_as: Option<String>,
}

impl Check<'_> {
    pub(super) fn plan(&mut self, steps: At<List<Named<StepTable>>>) -> Vec<Step> {
        if steps.value.is_empty() {
            self.wrong(steps.at, "a plan without steps", "at least one `[[step]]`");
        }
        self.steps(steps.value, Part::Plan)
    }

    pub(super) fn setup(&mut self, steps: List<StepTable>) -> Vec<Step> {
        let numbered = |(index, step): (usize, At<StepTable>)| (format!("setup {}", index + 1), step);
        let steps: Vec<_> = steps.into_iter().enumerate().map(numbered).collect();
        steps.into_iter().filter_map(|(name, step)| self.step(step, Part::Setup, Some(name), None)).collect()
    }

    /// Plain steps, those of groups one by one.
    pub(super) fn steps(&mut self, steps: List<Named<StepTable>>, part: Part) -> Vec<Step> {
        let mut plain = Vec::new();
        for At { value: Named(step), at } in steps {
            let step = At { value: step, at };
            if step.value.gives("steps") {
                plain.extend(self.group(step, part));
            } else {
                plain.extend(self.step(step, part, None, None));
            }
        }
        plain
    }

    /// `name` is for a step that gives none.
    fn step(
        &mut self,
        step: At<StepTable>,
        part: Part,
        name: Option<String>,
        inherited: Option<&Inherited>,
    ) -> Option<Step> {
        let At { value: mut raw, at } = step;
        let name = self.step_name(raw.name.take(), name, at);
        self.refuse_meaningless(&raw, part);
        self.refuse_group(&raw, part);
        let limits = raw.limits.take().map(|limits| {
            if let Some(window) = &limits.value.window {
                self.clash(window.at, "`window` is a limit of the whole plan", "give the step a `budget`");
            }
            self.limits(limits.value)
        });
        let on = self.places(&mut raw, part, inherited);
        let at_once = match raw.at_once.take().map(|at_once| at_once.value) {
            Some(Either::A(count)) => usize::try_from(count.0).unwrap_or(usize::MAX),
            Some(Either::B(_)) => on.nodes.len(),
            None => inherited.map_or(1, |step| step.at_once),
        };
        let replicated = self.replicated(&raw, inherited);
        let own_role = raw.r#as.as_ref().map(|role| role.value.0.clone());
        let run_as = own_role.or(inherited.and_then(|step| step.run_as.clone()));
        let retry = self.retry(&mut raw);
        let when_failed = self.when_failed(&raw);
        let undo = match (raw.undo.take(), part) {
            (Some(undo), Part::Plan) => {
                let inherited = Inherited { on: on.clone(), at_once, replicated, run_as: run_as.clone() };
                self.undo(undo, name.as_deref(), &inherited)
            }
            // Refused as meaningless.
            _ => Vec::new(),
        };
        let role = raw.r#as.as_ref().map(|role| role.at);
        let (action, on) = self.action(&mut raw, at, part, &on)?;
        if part == Part::Plan {
            self.reroute(&action, &undo, at);
        }
        let is_of_pair = matches!(action, Action::WaitCaughtUp { .. } | Action::Compare { .. });
        if self.engine == EngineKind::Postgres && part == Part::Setup && is_of_pair {
            self.before_they_are_joined(&action, at);
        }
        let (replicas, subscribers) = (&self.nodes, self.nodes.subscribers());
        let is_other = |node: &&String| replicas.is_replica(node) || subscribers.contains(node);
        if let Some(other) = on.nodes.iter().find(is_other).cloned() {
            let what = if subscribers.contains(&other) { "subscriber" } else { "replica" };
            if matches!(action, Action::Command(_)) {
                self.not_yet(at, format!("`command` on a {what}, as on \"{other}\""));
            } else if run_as.is_some() {
                self.not_yet(role.unwrap_or(at), format!("`as` on a {what}, as on \"{other}\""));
            }
        }
        Some(Step {
            name: name?,
            line: self.problems.line(at),
            on: on.nodes,
            routed: on.routed,
            at_once,
            replicated,
            run_as,
            budget: raw.budget.map(|time| time.value.0),
            timeout: raw.timeout.map(|time| time.value.0),
            limits,
            undo,
            retry,
            takes: raw.takes.map(|time| time.value.0),
            outside_window: raw.outside_window.is_some_and(|outside| outside.value),
            point_of_no_return: raw.point_of_no_return.is_some_and(|point| point.value),
            sign_off: raw.sign_off.map(|who| who.value.0),
            when_failed,
            action,
        })
    }

    /// Setup is done before rows go from node to node by logical replication.
    fn before_they_are_joined(&mut self, action: &Action, at: Place) {
        if !self.nodes.pairs().is_empty() {
            let message = format!("`{}` in setup of a pair of Postgres", action.name());
            self.clash(at, message, "make it a step of the plan: the two are joined once setup is done on both");
        } else if !self.nodes.subscribers().is_empty() {
            let message = format!("`{}` in setup where a node subscribes", action.name());
            self.clash(at, message, "make it a step of the plan: a node subscribes once setup is done");
        }
    }

    /// Where a step runs: where its `on` or its action says, where the step does that it takes back, or its group.
    fn places(&mut self, raw: &mut StepTable, part: Part, inherited: Option<&Inherited>) -> On {
        if let Some(named) = self.named_nodes(raw) {
            return named;
        }
        match (raw.on.take(), inherited) {
            (Some(on), _) => self.on(on),
            (None, Some(inherited)) => inherited.on.clone(),
            (None, None) => self.group.on.clone().unwrap_or_else(|| self.usual_nodes(part)),
        }
    }

    /// Where a step without an `on` runs: on the writer of each shard; setup on both of a pair whose logs carry no DDL.
    fn usual_nodes(&self, part: Part) -> On {
        let pairs = self.nodes.pairs();
        if part == Part::Setup && self.engine == EngineKind::Postgres && !pairs.is_empty() {
            return On { nodes: pairs, routed: false };
        }
        On { nodes: self.routing.writers().map(str::to_owned).collect(), routed: part != Part::Setup }
    }

    /// Whether the step's statements go into the binary log.
    fn replicated(&mut self, raw: &StepTable, inherited: Option<&Inherited>) -> bool {
        let is_script = raw.gives("sql") || raw.gives("file");
        let Some(given) = &raw.replicated else { return !is_script || inherited.is_none_or(|step| step.replicated) };
        if !is_script {
            let hint = "say it of steps whose statements are known beforehand";
            self.clash(given.at, "`replicated` goes with `sql` or `file`", hint);
        } else if self.engine == EngineKind::Postgres {
            let message = "a session of Postgres cannot keep what it writes out of the log";
            self.clash(given.at, message, "leave it out: DDL does not replicate between the nodes of a pair anyway");
        }
        given.value
    }

    fn step_name(&mut self, given: Option<At<Text>>, otherwise: Option<String>, at: Place) -> Option<String> {
        let (name, at) = match given {
            Some(name) => (self.group.named(&name.value.0), name.at),
            None => (otherwise?, at),
        };
        match self.names.iter().find(|(other, _)| *other == name) {
            Some((_, first)) => {
                let first = *first;
                self.problems.raise(at, Mistake::Duplicate { what: "steps", name: name.clone(), first });
            }
            None => self.names.push((name.clone(), self.problems.line(at))),
        }
        Some(name)
    }

    fn refuse_meaningless(&mut self, raw: &StepTable, part: Part) {
        for key in raw.found().iter().filter(|key| part.meaningless().contains(&key.value)) {
            let message = format!("`{}` has no meaning in {}", key.value, part.name());
            let hint = match part {
                Part::Setup => "setup is neither timed nor judged: make it a step of the plan",
                _ => "leave it out",
            };
            self.clash(key.at, message, hint);
        }
    }

    fn retry(&mut self, raw: &mut StepTable) -> Option<Retry> {
        let At { value: RetryTable { lock_timeout, times, pause, .. }, at } = raw.retry.take()?;
        if !raw.gives("sql") && !raw.gives("file") {
            self.clash(at, "`retry` goes with `sql` or `file`", "let the program itself retry");
        }
        let times = times?;
        let Ok(attempts) = u32::try_from(times.value.0) else {
            self.wrong(times.at, times.value.0.to_string(), "a number of attempts below four billion");
            return None;
        };
        let lock_timeout = lock_timeout?;
        if self.engine != EngineKind::Postgres && lock_timeout.value.0.subsec_nanos() != 0 {
            let form = format!("whole seconds: {} knows no shorter timeouts of locks", self.engine.name());
            self.wrong(lock_timeout.at, format!("{:?}", lock_timeout.value.0), form);
        }
        Some(Retry {
            lock_timeout: lock_timeout.value.0,
            times: attempts,
            pause: pause.map_or(RETRY_PAUSE, |pause| pause.value.0),
        })
    }

    fn when_failed(&mut self, raw: &StepTable) -> WhenFailed {
        let Some(word) = &raw.when_failed else { return WhenFailed::default() };
        if word.value.0 == WhenFailed::Undo && !raw.gives("undo") {
            self.clash(word.at, "the step has no undo", "give it `undo = { … }`, or another `when_failed`");
        }
        word.value.0
    }

    fn undo(&mut self, undo: At<Box<StepTable>>, step: Option<&str>, inherited: &Inherited) -> Vec<Step> {
        let At { value: mut raw, at } = undo;
        let Some(steps) = raw.steps.take() else {
            let name = step.map(|step| format!("undo of {step}"));
            return self.step(At { value: *raw, at }, Part::Undo, name, Some(inherited)).into_iter().collect();
        };
        if let Some(other) = raw.found().iter().find(|key| key.value != "steps") {
            let message = format!("`{}` beside an undo's `steps`", other.value);
            self.clash(other.at, message, "say it in the steps themselves");
        }
        if steps.value.is_empty() {
            self.wrong(steps.at, "an empty list", "at least one step");
        }
        self.steps(steps.value, Part::Undo)
    }

    /// The action, and the nodes it is on.
    fn action(&mut self, raw: &mut StepTable, at: Place, part: Part, on: &On) -> Option<(Action, On)> {
        let is_action = |key: &str| BUILT.contains(&key) || NOT_BUILT.contains(&key);
        let found: Vec<_> = raw.found().iter().map(|key| key.value).filter(|key| is_action(key)).collect();
        match found[..] {
            [] => {
                let message = match part {
                    Part::Plan => "a step without an action",
                    Part::Setup => "a step of setup without an action",
                    Part::Undo => "an undo without an action",
                };
                self.problems.raise(at, Mistake::NoAction { message, known: BUILT.to_vec() });
                return None;
            }
            [_] => {}
            _ => self.problems.raise(at, Mistake::SeveralActions { found }),
        }
        if let Some(restart) = raw.restart.take() {
            return Some((Action::Restart, self.restarted(restart, on)?));
        }
        if let Some(compare) = raw.compare.take() {
            if let Some(on) = raw.found().iter().find(|key| key.value == "on") {
                self.clash(on.at, "`on` beside `compare`", "leave it out: `compare` names its nodes");
            }
            let (action, first) = self.compare(compare.value)?;
            return Some((action, On { nodes: vec![first], routed: false }));
        }
        if ["take_out", "put_back", "route"].iter().any(|key| raw.gives(key)) {
            return self.routing_action(raw, &on.nodes);
        }
        Some((self.built_action(raw)?, on.clone()))
    }

    fn built_action(&mut self, raw: &mut StepTable) -> Option<Action> {
        // Taken all, so that the problems of each are recorded where there are several.
        let sql = raw.sql.take().map(|sql| Some(Action::Sql { text: self.text(sql) }));
        let file = raw.file.take().map(|file| Some(Action::File { path: self.file(&file, "file")? }));
        let command = raw.command.take().map(|command| Some(Action::Command(self.command(command)?)));
        let analyze = raw.analyze.take().map(|analyze| self.analyze(analyze));
        let wait = raw.wait.take().map(|wait| self.wait(wait));
        let check = raw.check.take().map(|check| self.check(check.value));
        sql.or(file).or(command).or(analyze).or(wait).or(check).flatten()
    }

    fn restarted(&mut self, restart: At<Either<bool, Text>>, on: &On) -> Option<On> {
        match restart.value {
            Either::A(true) => Some(on.clone()),
            Either::A(false) => {
                self.wrong(restart.at, "`false`", "`true`, or a node's name");
                None
            }
            Either::B(Text(name)) => Some(On { nodes: vec![self.node(name, restart.at)], routed: false }),
        }
    }

    fn analyze(&mut self, analyze: At<Either<bool, AnalyzeTable>>) -> Option<Action> {
        match analyze.value {
            Either::A(true) => Some(Action::Analyze { tables: Vec::new(), stages: false }),
            Either::A(false) => {
                self.wrong(analyze.at, "`false`", "`true`, or `{ tables = […], stages = true }`");
                None
            }
            Either::B(AnalyzeTable { stages: Some(stages), .. })
                if stages.value && self.engine != EngineKind::Postgres =>
            {
                let message = format!("{} gathers statistics in one go", self.engine.name());
                self.clash(stages.at, message, "leave `stages` out");
                None
            }
            Either::B(table) => Some(Action::Analyze {
                tables: table.tables.map(|tables| texts(tables.value)).unwrap_or_default(),
                stages: table.stages.is_some_and(|stages| stages.value),
            }),
        }
    }

    fn wait(&mut self, wait: At<Either<Positive, WaitTable>>) -> Option<Action> {
        let table = match wait.value {
            Either::A(Positive(time)) => return Some(Action::WaitFor { time }),
            Either::B(table) => table,
        };
        let deadline = table.deadline.map(|deadline| deadline.value.0);
        let sql = table.sql.map(|sql| self.text(sql));
        match (sql, table.r#for) {
            (Some(_), Some(condition)) => {
                self.clash(
                    condition.at,
                    "`for` beside `sql`",
                    "wait for one of them, and for the other in a step of its own",
                );
                None
            }
            (None, None) => {
                let form = "a query to wait for, or `for = \"caught_up\"`".to_owned();
                self.problems.raise(wait.at, Mistake::MissingKey { key: "sql", table: "`wait`", form });
                None
            }
            (Some(sql), None) => Some(Action::WaitUntil { sql, deadline: deadline? }),
            (None, Some(condition)) if self.nodes.are_single() => {
                self.no_replica(condition.at);
                None
            }
            (None, Some(_)) => Some(Action::WaitCaughtUp { deadline: deadline? }),
        }
    }

    /// The comparison, and the first of its nodes.
    fn compare(&mut self, table: CompareTable) -> Option<(Action, String)> {
        let At { value: named, at } = table.nodes?;
        let mut nodes: Vec<String> = Vec::new();
        for At { value: Text(name), at } in named {
            if nodes.contains(&name) {
                self.clash(at, format!("node \"{name}\" is named twice"), "name each node once");
            }
            nodes.push(self.node(name, at));
        }
        if nodes.len() < 2 {
            self.wrong(at, "less than two nodes", "at least two nodes");
        }
        let what = table.what.map_or(CompareWhat::Both, |what| what.value.0);
        let first = nodes.first()?.clone();
        let (schema, data) = (what != CompareWhat::Data, what != CompareWhat::Schema);
        Some((Action::Compare { nodes, schema, data }, first))
    }

    fn check(&mut self, table: CheckTable) -> Option<Action> {
        let sql = table.sql.map(|sql| self.text(sql));
        let rows = table.rows?.value;
        let columns = rows.first().map_or(0, |row| row.value.len());
        if let Some(other) = rows.iter().find(|row| row.value.len() != columns) {
            let found = format!("a row of {}", other.value.len());
            self.wrong(other.at, found, format!("as many columns as in the first row, {columns}"));
        }
        let cells = |row: At<List<Cell>>| row.value.into_iter().map(|cell| cell.value.0).collect();
        Some(Action::Check { sql: sql?, rows: rows.into_iter().map(cells).collect() })
    }
}
