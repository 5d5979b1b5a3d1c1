//! What clients saw: the operation model, its recording, and its text form.
//!
//! A history is what a judge gets to read: who asked for what and when, what was answered and when, and what was done to
//! the database meanwhile. It knows nothing of the database, of SQL, or of the oracles; it is a list of events in the order
//! in which they happened to the clients.
//!
//! Invariants
//!  H1  Events stand in real order, and `time_ns` never goes back. An event that stands before another happened before it;
//!      oracles go by the order, and read times only for phases and for people.
//!  H2  A process has at most one open operation. It is closed by the next completion of that process, or never.
//!  H3  `Unknown` means exactly: it may have taken effect, or may yet, or never will. `Fail` means: it never takes effect.
//!  H4  What is written is read back equal. A file that was cut short loses at most its last line, and says so.
//!
//! Absent on purpose: streaming to disk while recording, floats in values (an oracle that compares them would be wrong).

mod edn;
mod event;
mod history;
mod json_lines;
mod recorder;
mod value;

pub use event::{Alarm, Call, Completion, Event, Extra, Fault, FaultEdge, Outcome, Process, What};
pub use history::{Completed, Header, History, Operation, PairingError, Phase, functions, workloads};
pub use json_lines::{
    FORMAT_VERSION, HistoryError, LINE_BYTES_MAX, Reader, Reading, read, read_file, write, write_file,
};
pub use recorder::{Counts, Recorder};
pub use value::Value;

#[cfg(test)]
mod tests;
