//! What can go wrong between a file and a history.

use std::io;

use crate::Format;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{file}: cannot {action}: {source}")]
    Io { file: String, action: &'static str, source: io::Error },
    #[error("{file}:{line}:{column}: {problem}")]
    Syntax {
        file: String,
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
        /// What was found and what was expected.
        problem: String,
        /// It is the end of the file that is amiss: it may have been cut short.
        cut_short: bool,
    },
    /// In a file that has no lines.
    #[error("{file}: byte {byte}: {problem}")]
    Damaged { file: String, byte: u64, problem: String, cut_short: bool },
    #[error("{file}: history format version {found}, expected at most {known}: read it with the program that wrote it")]
    Version { file: String, found: u64, known: u64 },
    #[error("{file}: {found}, expected a history in one of the formats {}", names(&Format::ALL))]
    Unrecognised { file: String, found: String },
    #[error("{file}: could be any of the formats {}: say which", names(.candidates))]
    Ambiguous { file: String, candidates: Vec<Format> },
    #[error("{}: {what}, which {format} cannot say; `{loss}` would have to be lost", place(.event))]
    Inexpressible {
        format: Format,
        /// Its position among the events, from 0; None: the header.
        event: Option<usize>,
        what: String,
        loss: Loss,
    },
}

impl HistoryError {
    /// Whether it is the file's end that is amiss: what came before it is a history.
    pub fn is_cut_short(&self) -> bool {
        matches!(self, HistoryError::Syntax { cut_short: true, .. } | HistoryError::Damaged { cut_short: true, .. })
    }
}

fn names(formats: &[Format]) -> String {
    formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

fn place(event: &Option<usize>) -> String {
    event.map_or("the header".to_string(), |event| format!("event {event}"))
}

/// What a format may have no place for. A conversion refuses to lose any of them unless it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// The workload and its facts.
    Header,
    /// When it happened; the order remains.
    Time,
    /// Which of two operations of different processes was first.
    Order,
    /// That a process went on after an operation of unknown outcome.
    Processes,
    /// Faults, phases and alarms.
    Faults,
    /// Timestamps and shards.
    Timestamps,
    /// Texts of errors and their SQLSTATE.
    Errors,
    /// Operations that failed, or whose outcome is unknown.
    Failures,
    /// That a compare-and-set which did nothing found another value, and did not only fail.
    Refusals,
    /// Extra keys of events.
    Extra,
    /// Values of a kind that the format lacks: the nearest that it has stands for them.
    Values,
}

impl Loss {
    pub const ALL: [Loss; 11] = [
        Loss::Header,
        Loss::Time,
        Loss::Order,
        Loss::Processes,
        Loss::Faults,
        Loss::Timestamps,
        Loss::Errors,
        Loss::Failures,
        Loss::Refusals,
        Loss::Extra,
        Loss::Values,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Loss::Header => "header",
            Loss::Time => "time",
            Loss::Order => "order",
            Loss::Processes => "processes",
            Loss::Faults => "faults",
            Loss::Timestamps => "timestamps",
            Loss::Errors => "errors",
            Loss::Failures => "failures",
            Loss::Refusals => "refusals",
            Loss::Extra => "extra",
            Loss::Values => "values",
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
