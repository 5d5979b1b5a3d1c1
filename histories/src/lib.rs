//! What clients saw: the operation model, its recording, and its forms: ours and those of others.
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
//!  H4  What is written is read back equal. A file that was cut short loses at most its last event or block, and says so.
//!  H5  A conversion loses nothing that it was not told to lose; what a format cannot say is refused with its place.
//!  H6  A reader holds one event at a time, and its bounds are named: whatever it is given, it answers with an error or a
//!      history.
//!
//! Absent on purpose: streaming to disk while recording, floats in values (an oracle that compares them would be wrong).

mod edn;
mod error;
mod event;
mod format;
mod formats;
mod history;
mod input;
mod jepsen;
mod json;
mod output;
mod recorder;
mod stream;
mod text;
mod value;

pub use error::{HistoryError, Loss};
pub use event::{Alarm, Call, Completion, Event, Extra, Fault, FaultEdge, Outcome, Process, What};
pub use format::{Format, UnknownFormat, recognise};
pub use formats::json_lines::{FORMAT_VERSION, LINE_BYTES_MAX};
pub use history::{Completed, Header, History, Operation, PairingError, Phase, facts, functions, workloads};
pub use recorder::{Counts, Recorder};
pub use stream::{
    Converted, Reading, Sink, Source, WriteOptions, collect, convert, open, read, read_file, source, write, write_as,
    write_file,
};
pub use value::Value;

/// Deeper than any history nests, and far from the stack's end: a bound for every notation that nests.
pub(crate) const DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests;
