//! The fingerprint of a run: every seam event and its result, folded into one blake3 state.
//!
//! Two runs of a seed are the same run exactly if their fingerprints are equal. An event carries what happened, on which machine
//! and boot, to which object, with which bytes or offset, how it ended, and the virtual nanosecond. Because the scheduler
//! advances time by a random step at each poll, the nanoseconds fingerprint the schedule too: two polls that change places
//! change the digest even if neither does anything.
//!
//! Invariants
//!  D1  Nothing from outside the simulation enters: no addresses of memory, no real time, no order of a hash table.
//!  D2  A prefix digest is kept every [`PREFIX_EVENTS`] events, so that two differing runs are narrowed to one window
//!      without keeping their events; only that window is then run again with a trace ([`crate::replay`]).
//!
//! Not here: what a poll does between two seam events. It shows up at the next event, or it did not matter.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;

use madsim::time::TimeHandle;
use serde::{Deserialize, Serialize};

/// Events between two prefix digests.
pub const PREFIX_EVENTS: u64 = 4096;

/// Bytes gathered before they are hashed: blake3 is several times faster on large pieces.
const BUFFER_BYTES: usize = 32 * 1024;

/// Bytes of an event's payload that a trace line shows.
const TRACE_BYTES_SHOWN: usize = 24;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Now,
    Wall,
    Sleep,
    Draw,
    OpenStream,
    Spawn,
    Abort,
    WorkBegin,
    WorkEnd,
    Brief,
    Halt,
    Boot,
    Death,
    Listen,
    Connect,
    Accept,
    Send,
    Receive,
    Shutdown,
    Close,
    DiskOpen,
    DiskList,
    DiskRead,
    DiskWrite,
    DiskLen,
    DiskSetLen,
    DiskSync,
    DiskName,
    DiskSyncDir,
    DiskCrash,
    Fault,
    Note,
}

/// Whose event it is. Machine 0 is the world itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    pub machine: u16,
    pub boot: u16,
}

impl Who {
    pub const WORLD: Who = Who { machine: 0, boot: 0 };
}

/// How it ended, as a number: 0 is well, anything else is the kind of error or a count.
pub(crate) fn outcome<T>(result: &std::io::Result<T>) -> u64 {
    match result {
        Ok(_) => 0,
        Err(error) => 1 + error.kind() as u64,
    }
}

/// Everything by which two runs are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Hexadecimal blake3 of all events.
    pub digest: String,
    pub events: u64,
    /// Virtual time at the end.
    pub nanos: u64,
    /// First eight bytes of the state after each [`PREFIX_EVENTS`] events.
    pub prefixes: Vec<u64>,
}

impl Fingerprint {
    /// The window of events that holds the first difference; `None` if the runs are the same.
    pub fn first_difference(&self, other: &Fingerprint) -> Option<Range<u64>> {
        let equal = self.prefixes.iter().zip(&other.prefixes).take_while(|(a, b)| a == b).count() as u64;
        (self != other).then(|| equal * PREFIX_EVENTS..(equal + 1) * PREFIX_EVENTS)
    }
}

/// Folds events. One per simulation.
pub struct Digest {
    time: TimeHandle,
    state: Mutex<State>,
}

struct State {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    events: u64,
    prefixes: Vec<u64>,
    window: Range<u64>,
    trace: Vec<String>,
    last: Option<(Kind, Who, u64)>,
}

impl Digest {
    /// `window` is the range of events whose text is kept; usually empty.
    pub(crate) fn new(time: TimeHandle, window: Range<u64>) -> Digest {
        let state = State {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES * 2),
            events: 0,
            prefixes: Vec::new(),
            window,
            trace: Vec::new(),
            last: None,
        };
        Digest { time, state: Mutex::new(state) }
    }

    /// Folds one event. `object` says to what (a file, a connection, a stream), `number` where or how much, `result` how it ended.
    /// Returns its index.
    pub fn event(&self, kind: Kind, who: Who, object: u64, number: u64, result: u64, bytes: &[u8]) -> u64 {
        let nanos = self.time.elapsed().as_nanos() as u64;
        let mut state = self.state.lock().expect("no holder panics");
        let mut head = [0u8; 41];
        head[0] = kind as u8;
        head[1..3].copy_from_slice(&who.machine.to_le_bytes());
        head[3..5].copy_from_slice(&who.boot.to_le_bytes());
        head[5..13].copy_from_slice(&nanos.to_le_bytes());
        head[13..21].copy_from_slice(&object.to_le_bytes());
        head[21..29].copy_from_slice(&number.to_le_bytes());
        head[29..37].copy_from_slice(&result.to_le_bytes());
        head[37..41].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        state.buffer.extend_from_slice(&head);
        if bytes.len() < BUFFER_BYTES {
            state.buffer.extend_from_slice(bytes);
        } else {
            state.flush();
            state.hasher.update(bytes);
        }
        if state.buffer.len() >= BUFFER_BYTES {
            state.flush();
        }
        if state.window.contains(&state.events) {
            let line = describe(state.events, nanos, kind, who, [object, number, result], bytes);
            state.trace.push(line);
        }
        state.last = Some((kind, who, object));
        state.events += 1;
        if state.events.is_multiple_of(PREFIX_EVENTS) {
            state.flush();
            let prefix = first_eight(&state.hasher.finalize());
            state.prefixes.push(prefix);
        }
        state.events - 1
    }

    /// The newest event, in words: where a run stands that does not go on.
    pub(crate) fn last(&self) -> String {
        match self.state.lock().expect("no holder panics").last {
            Some((kind, who, object)) => {
                format!("{kind:?} of object {object} on machine {} boot {}", who.machine, who.boot)
            }
            None => "never".to_string(),
        }
    }

    /// How many events there were so far.
    pub fn events(&self) -> u64 {
        self.state.lock().expect("no holder panics").events
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut state = self.state.lock().expect("no holder panics");
        state.flush();
        Fingerprint {
            digest: state.hasher.finalize().to_hex().to_string(),
            events: state.events,
            nanos: self.time.elapsed().as_nanos() as u64,
            prefixes: state.prefixes.clone(),
        }
    }

    /// The text of the events in the window, so far.
    pub fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no holder panics").trace)
    }
}

impl State {
    fn flush(&mut self) {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
    }
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let bytes = hash.as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("a hash has 32 bytes"))
}

fn describe(index: u64, nanos: u64, kind: Kind, who: Who, numbers: [u64; 3], bytes: &[u8]) -> String {
    let [object, number, result] = numbers;
    let mut line = format!(
        "event {index} at {}.{:09} s: machine {} boot {} {kind:?} object {object:x} number {number} result {result}",
        nanos / 1_000_000_000,
        nanos % 1_000_000_000,
        who.machine,
        who.boot,
    );
    if !bytes.is_empty() {
        let shown = &bytes[..bytes.len().min(TRACE_BYTES_SHOWN)];
        let more = if shown.len() < bytes.len() { "…" } else { "" };
        write!(line, " bytes {} \"{}{more}\"", bytes.len(), shown.escape_ascii()).expect("a string takes all");
    }
    line
}
