//! `mark!` and `unexpected!`: how code says "this place matters" and "this cannot be, but I would survive it".
//!
//! A mark counts that a rare path was reached; tests and swarms ask which were. An `unexpected!` is for strange bytes from
//! a peer, a disk or a client: it panics where [`be_strict`] was said (the simulator), and is counted where it was not.
//! Counters are process-wide and nothing ever decides by them, so that they cannot disturb a replay.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static STRICT: AtomicBool = AtomicBool::new(false);
static REACHED: Mutex<BTreeMap<&'static str, &'static AtomicU64>> = Mutex::new(BTreeMap::new());

/// From now on `unexpected!` panics in this process.
pub fn be_strict() {
    STRICT.store(true, Ordering::Relaxed);
}

/// How often each mark, and each `unexpected!`, was reached so far; those never reached are absent.
pub fn marks() -> BTreeMap<&'static str, u64> {
    let reached = REACHED.lock().expect("no holder panics");
    reached.iter().map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}

#[doc(hidden)]
pub fn reach(name: &'static str, count: &'static AtomicU64) {
    if count.fetch_add(1, Ordering::Relaxed) == 0 {
        REACHED.lock().expect("no holder panics").insert(name, count);
    }
}

#[doc(hidden)]
pub fn meet_unexpected(name: &'static str, count: &'static AtomicU64) {
    reach(name, count);
    assert!(!STRICT.load(Ordering::Relaxed), "unexpected: {name}");
}

/// Counts that this place was reached. The name is a literal, unique in the code: `mark!("raft: vote refused, log behind")`.
#[macro_export]
macro_rules! mark {
    ($name:literal) => {{
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        $crate::reach($name, &COUNT);
    }};
}

/// Something that no honest peer, disk or client does. Fatal in simulation, counted in production; the caller then goes on.
#[macro_export]
macro_rules! unexpected {
    ($name:literal) => {{
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        $crate::meet_unexpected($name, &COUNT);
    }};
}
