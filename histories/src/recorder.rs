//! Writes a history down while it happens.
//!
//! Time is asked for under the lock, so that the order of the events, the order of their times and the real order are one
//! (H1): an invocation is recorded before anything is sent, a completion after its answer has come.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Alarm, Call, Completion, Event, Fault, Header, History, Outcome, Process, What};

type Clock = dyn Fn() -> u64 + Send + Sync;

/// Shared by all clients of a run; clones record into the same history.
#[derive(Clone)]
pub struct Recorder {
    clock: Arc<Clock>,
    state: Arc<Mutex<State>>,
}

struct State {
    history: History,
    open: BTreeSet<Process>,
    counts: Counts,
}

/// How many operations ended how, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    pub fail: u64,
    pub unknown: u64,
    pub open: u64,
}

impl Recorder {
    /// `clock` gives nanoseconds on a clock that all clients share. One that goes back is taken to stand still.
    pub fn new(header: Header, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Recorder {
        let history = History { header, events: Vec::new() };
        let state = State { history, open: BTreeSet::new(), counts: Counts::default() };
        Recorder { clock: Arc::new(clock), state: Arc::new(Mutex::new(state)) }
    }

    /// To be called before anything is sent. Panics if the process has an open operation (H2).
    pub fn invoke(&self, process: Process, call: Call) {
        let mut state = self.lock();
        let first = state.open.insert(process);
        assert!(first, "{process} invokes {} with an operation open", call.function);
        state.counts.open += 1;
        self.push(&mut state, What::Invoke { process, call });
    }

    /// To be called once the answer is here. Panics if the process has no open operation (H2).
    pub fn complete(&self, process: Process, completion: Completion) {
        let mut state = self.lock();
        assert!(state.open.remove(&process), "{process} completes with no operation open");
        state.counts.open -= 1;
        match completion.outcome {
            Outcome::Ok => state.counts.ok += 1,
            Outcome::Fail => state.counts.fail += 1,
            Outcome::Unknown => state.counts.unknown += 1,
        }
        self.push(&mut state, What::Complete { process, completion });
    }

    pub fn fault(&self, fault: Fault) {
        self.push(&mut self.lock(), What::Fault(fault));
    }

    /// A new phase begins now.
    pub fn phase(&self, name: &str, calm: bool) {
        self.push(&mut self.lock(), What::Phase { name: name.to_string(), calm });
    }

    pub fn alarm(&self, alarm: Alarm) {
        self.push(&mut self.lock(), What::Alarm(alarm));
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// What was recorded so far.
    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    fn push(&self, state: &mut State, what: What) {
        let last = state.history.events.last().map_or(0, |event| event.time_ns);
        let time_ns = (self.clock)().max(last);
        state.history.events.push(Event::new(time_ns, what));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A client that panicked (H2) leaves a history that is still good up to there.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
