//! When one probe was down: from the first bad operation's intended start to the answer, or to the next good one's start.

use std::time::{Duration, Instant};

use crate::event::{DownCause, Session, SqlError};
use crate::rehearsal::current::Running;

/// How one operation went.
#[derive(Debug, Clone, PartialEq)]
pub enum Went {
    Good,
    /// Answered, later than `down_after`.
    Late,
    /// Not answered within the timeout; it was tried again at once.
    GaveUp,
    Failed(SqlError),
}

/// One operation, over.
#[derive(Debug, Clone)]
pub struct Ended {
    pub intended: Instant,
    pub answered: Instant,
    pub went: Went,
    /// What the plan ran when it was sent.
    pub during: Option<Running>,
    /// Sessions that were seen in its way.
    pub blocked_by: Vec<Session>,
}

/// A window that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub started: Instant,
    pub elapsed: Duration,
    pub cause: DownCause,
    pub error: Option<SqlError>,
    /// When the first error was answered.
    pub refused: Option<Instant>,
    pub bad: u64,
    pub to_the_end: bool,
    pub during: Option<Running>,
    pub blocked_by: Vec<Session>,
}

/// The windows of one probe: at most one is open.
#[derive(Debug, Default)]
pub struct Windows {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    window: Window,
    /// Where it ends if the next operation is good; after an error that is not known before.
    ends: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// With the answer that came late.
    At(Instant),
    /// With the next good operation's answer: it began when the one before was given up, so it may have waited as well.
    NextAnswer,
    /// With the next good operation's intended start.
    NextStart,
}

impl Windows {
    /// An operation under way is older than `down_after`. Whether a window began with it.
    pub fn late_so_far(&mut self, intended: Instant, during: Option<Running>) -> bool {
        if self.open.is_some() {
            return false;
        }
        self.begin(intended, DownCause::Late, during, End::NextAnswer);
        true
    }

    /// An operation is over: the window that ended before it, and the cause of the window that began with it.
    ///
    /// Bad after bad is one window, unless one was seen behind a lock and the other was only slow: a stall that nobody can explain
    /// must not count as the lock wait that happened to follow it.
    pub fn ended(&mut self, ended: &Ended) -> (Option<Window>, Option<DownCause>) {
        let (cause, ends, error) = match &ended.went {
            Went::Good => {
                self.blocked_by(&ended.blocked_by);
                return (self.close(ended), None);
            }
            Went::Late => (DownCause::Late, End::At(ended.answered), None),
            Went::GaveUp => (DownCause::Late, End::NextAnswer, None),
            Went::Failed(error) => (DownCause::Error, End::NextStart, Some(error)),
        };
        let over = if self.is_another(ended) { self.close(ended) } else { None };
        let began = self.open.is_none();
        if began {
            self.begin(ended.intended, cause, ended.during, ends);
        }
        self.blocked_by(&ended.blocked_by);
        let open = self.open.as_mut().expect("one was begun if there was none");
        open.window.bad += 1;
        open.ends = ends;
        if let (None, Some(error)) = (&open.window.error, error) {
            open.window.error = Some(error.clone());
            open.window.refused = Some(ended.answered);
        }
        (over, began.then_some(cause))
    }

    /// Whether one late answer waited for a lock, and the one before did not.
    fn is_another(&self, ended: &Ended) -> bool {
        let Some(Open { window, ends: End::At(_) }) = &self.open else { return false };
        let refused = window.error.is_some() || matches!(ended.went, Went::Failed(_));
        !refused && window.blocked_by.is_empty() != ended.blocked_by.is_empty()
    }

    /// Adds sessions that were seen in the way.
    pub fn blocked_by(&mut self, sessions: &[Session]) {
        let Some(open) = &mut self.open else { return };
        for session in sessions {
            if !open.window.blocked_by.iter().any(|seen| seen.pid == session.pid) {
                open.window.blocked_by.push(session.clone());
            }
        }
    }

    /// When the open window began.
    pub fn open_since(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.window.started)
    }

    /// The probes end. `waiting`: an operation is under way that is late already.
    pub fn finish(&mut self, now: Instant, waiting: bool) -> Option<Window> {
        let Open { mut window, ends } = self.open.take()?;
        let (end, to_the_end) = match ends {
            End::At(answered) if !waiting => (answered, false),
            _ => (now, true),
        };
        window.bad += u64::from(waiting);
        window.elapsed = end.saturating_duration_since(window.started);
        window.to_the_end = to_the_end;
        Some(window)
    }

    fn begin(&mut self, started: Instant, cause: DownCause, during: Option<Running>, ends: End) {
        let window = Window {
            started,
            elapsed: Duration::ZERO,
            cause,
            error: None,
            refused: None,
            bad: 0,
            to_the_end: false,
            during,
            blocked_by: Vec::new(),
        };
        self.open = Some(Open { window, ends });
    }

    fn close(&mut self, good: &Ended) -> Option<Window> {
        let Open { mut window, ends } = self.open.take()?;
        let end = match ends {
            End::At(answered) => answered,
            End::NextAnswer => good.answered,
            End::NextStart => good.intended,
        };
        window.elapsed = end.saturating_duration_since(window.started);
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Owner;

    fn refused() -> SqlError {
        SqlError {
            code: "23502".into(),
            message: "null".into(),
            table: None,
            column: None,
            constraint: None,
            position: None,
        }
    }

    /// Operations as (intended, answered, went) in milliseconds; windows as (started, elapsed, cause, bad).
    fn check(operations: &[(u64, u64, Went)], expected: &[(u64, u64, DownCause, u64)]) {
        let free: Vec<_> = operations.iter().map(|(from, to, went)| (*from, *to, went.clone(), false)).collect();
        check_blocked(&free, expected);
    }

    /// The same, and whether the operation was seen behind somebody's lock.
    fn check_blocked(operations: &[(u64, u64, Went, bool)], expected: &[(u64, u64, DownCause, u64)]) {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let session = Session { pid: 7, owner: Owner::Reader { table: "orders".into() }, sql: None };
        let mut windows = Windows::default();
        let closed: Vec<_> = operations
            .iter()
            .filter_map(|(intended, answered, went, blocked)| {
                let blocked_by = if *blocked { vec![session.clone()] } else { Vec::new() };
                let (intended, answered) = (at(*intended), at(*answered));
                windows.ended(&Ended { intended, answered, went: went.clone(), during: None, blocked_by }).0
            })
            .map(|window| {
                let started = window.started.duration_since(zero).as_millis() as u64;
                (started, window.elapsed.as_millis() as u64, window.cause, window.bad)
            })
            .collect();
        assert_eq!(closed, expected, "{operations:?}");
        assert!(windows.open_since().is_none());
    }

    #[test]
    fn a_window_ends_with_the_late_answer() {
        check(
            &[(0, 1, Went::Good), (20, 3020, Went::Late), (3040, 3041, Went::Good)],
            &[(20, 3000, DownCause::Late, 1)],
        );
    }

    #[test]
    fn a_window_of_errors_ends_with_the_next_good_start() {
        check(
            &[(0, 1, Went::Failed(refused())), (20, 21, Went::Failed(refused())), (40, 60, Went::Good)],
            &[(0, 40, DownCause::Error, 2)],
        );
    }

    #[test]
    fn what_was_given_up_goes_on_until_an_answer() {
        check(
            &[(0, 5000, Went::GaveUp), (5000, 7000, Went::Late), (7020, 7021, Went::Good)],
            &[(0, 7000, DownCause::Late, 2)],
        );
        check(&[(0, 5000, Went::GaveUp), (5000, 5040, Went::Good)], &[(0, 5040, DownCause::Late, 1)]);
    }

    #[test]
    fn bad_after_bad_is_one_window_and_good_between_makes_two() {
        check(
            &[
                (0, 200, Went::Late),
                (220, 221, Went::Failed(refused())),
                (240, 241, Went::Good),
                (260, 400, Went::Late),
                (420, 421, Went::Good),
            ],
            &[(0, 240, DownCause::Late, 2), (260, 140, DownCause::Late, 1)],
        );
    }

    #[test]
    fn an_unexplained_stall_is_no_part_of_a_lock_wait() {
        check_blocked(
            &[
                (0, 150, Went::Late, false),
                (160, 2160, Went::Late, true),
                (2180, 2300, Went::Late, true),
                (2320, 2450, Went::Late, false),
                (2460, 2461, Went::Good, false),
            ],
            &[(0, 150, DownCause::Late, 1), (160, 2140, DownCause::Late, 2), (2320, 130, DownCause::Late, 1)],
        );
        check_blocked(
            &[(0, 5000, Went::GaveUp, true), (5000, 5150, Went::Late, false), (5160, 5161, Went::Good, false)],
            &[(0, 5150, DownCause::Late, 2)],
        );
    }

    #[test]
    fn a_window_open_at_the_end_lasts_to_the_end() {
        let zero = Instant::now();
        let mut windows = Windows::default();
        assert!(windows.late_so_far(zero, None));
        assert!(!windows.late_so_far(zero, None));
        let window = windows.finish(zero + Duration::from_secs(2), true).expect("it was open");
        assert_eq!((window.elapsed, window.to_the_end, window.bad), (Duration::from_secs(2), true, 1));
        assert_eq!(windows.finish(zero, false), None);
    }
}
