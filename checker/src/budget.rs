//! What a check may cost, said from outside: the checker itself reads no clock.
//!
//! A check that has spent its budget ends with *unknown* and the reason (C5); it never panics and never goes on without
//! bound. Steps are counted by whoever takes them and mean the same on every machine; bytes are what a search keeps, as it
//! reckons them itself; `stop` is for deadlines and for people who press a key.

use std::fmt;
use std::sync::Arc;

/// How often `stop` is asked, in steps.
const STEPS_PER_QUESTION: u64 = 1024;

#[derive(Clone)]
pub struct Budget {
    pub steps_max: u64,
    pub bytes_max: usize,
    /// Asked now and then; true ends the check.
    pub stop: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Default for Budget {
    /// Enough for any honest history; half a minute at most.
    fn default() -> Budget {
        Budget { steps_max: 100_000_000, bytes_max: 2 << 30, stop: None }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { steps_max, bytes_max, stop } = self;
        write!(f, "Budget {{ steps_max: {steps_max}, bytes_max: {bytes_max}, stop: {} }}", stop.is_some())
    }
}

/// Why a check gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    Steps { max: u64 },
    Bytes { max: usize },
    Stopped,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exhausted::Steps { max } => write!(f, "gave up after {max} steps"),
            Exhausted::Bytes { max } => write!(f, "gave up at {max} bytes of memory"),
            Exhausted::Stopped => f.write_str("stopped before it was done"),
        }
    }
}

/// What has been spent of a budget.
#[derive(Clone, Debug)]
pub struct Meter {
    budget: Budget,
    steps: u64,
}

impl Meter {
    pub fn new(budget: &Budget) -> Meter {
        Meter { budget: budget.clone(), steps: 0 }
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Before each step; `bytes` is what is held now.
    pub fn step(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Budget { steps_max, bytes_max, stop } = &self.budget;
        if self.steps >= *steps_max {
            return Err(Exhausted::Steps { max: *steps_max });
        }
        if bytes > *bytes_max {
            return Err(Exhausted::Bytes { max: *bytes_max });
        }
        if self.steps.is_multiple_of(STEPS_PER_QUESTION) && stop.as_ref().is_some_and(|stop| stop()) {
            return Err(Exhausted::Stopped);
        }
        self.steps += 1;
        Ok(())
    }
}
