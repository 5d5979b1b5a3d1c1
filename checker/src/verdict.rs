//! What an oracle says.

use std::fmt;

use tenet_histories::PairingError;

/// The oracles, by the names under which failures are reported and expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    Linearizable,
    BankTotal,
    Lists,
    Registers,
    WriteSkew,
    PredicateSkew,
    Timestamps,
    StateHash,
    ReplicaRows,
    Leaders,
    Promises,
    Vacuity,
    Liveness,
    Alarm,
    Session,
    Causal,
    Convergence,
    Staleness,
    Queue,
    Log,
    Set,
    Counter,
    UniqueIds,
    Leases,
}

impl Oracle {
    pub const ALL: [Oracle; 24] = [
        Oracle::Linearizable,
        Oracle::BankTotal,
        Oracle::Lists,
        Oracle::Registers,
        Oracle::WriteSkew,
        Oracle::PredicateSkew,
        Oracle::Timestamps,
        Oracle::StateHash,
        Oracle::ReplicaRows,
        Oracle::Leaders,
        Oracle::Promises,
        Oracle::Vacuity,
        Oracle::Liveness,
        Oracle::Alarm,
        Oracle::Session,
        Oracle::Causal,
        Oracle::Convergence,
        Oracle::Staleness,
        Oracle::Queue,
        Oracle::Log,
        Oracle::Set,
        Oracle::Counter,
        Oracle::UniqueIds,
        Oracle::Leases,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Oracle::Linearizable => "linearizable",
            Oracle::BankTotal => "bank-total",
            Oracle::Lists => "lists",
            Oracle::Registers => "registers",
            Oracle::WriteSkew => "write-skew",
            Oracle::PredicateSkew => "predicate-skew",
            Oracle::Timestamps => "timestamps",
            Oracle::StateHash => "state-hash",
            Oracle::ReplicaRows => "replica-rows",
            Oracle::Leaders => "leaders",
            Oracle::Promises => "promises",
            Oracle::Vacuity => "vacuity",
            Oracle::Liveness => "liveness",
            Oracle::Alarm => "alarm",
            Oracle::Session => "session",
            Oracle::Causal => "causal",
            Oracle::Convergence => "convergence",
            Oracle::Staleness => "staleness",
            Oracle::Queue => "total-queue",
            Oracle::Log => "partition-log",
            Oracle::Set => "set-full",
            Oracle::Counter => "counter-bounds",
            Oracle::UniqueIds => "unique-ids",
            Oracle::Leases => "leases",
        }
    }
}

impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One oracle's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub oracle: Oracle,
    pub finding: Finding,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    Valid,
    /// `operations` are numbers in the order of invocation, as the explanation names them.
    Invalid {
        explanation: String,
        operations: Vec<usize>,
    },
    /// It gave up (C5).
    Unknown {
        reason: String,
    },
}

impl Verdict {
    pub fn valid(oracle: Oracle) -> Verdict {
        Verdict { oracle, finding: Finding::Valid }
    }

    pub fn invalid(oracle: Oracle, explanation: impl Into<String>, operations: Vec<usize>) -> Verdict {
        Verdict { oracle, finding: Finding::Invalid { explanation: explanation.into(), operations } }
    }

    /// Invalid if there is a contradiction, of which no client's operation is part.
    pub(crate) fn of(oracle: Oracle, contradiction: Option<String>) -> Verdict {
        match contradiction {
            Some(explanation) => Verdict::invalid(oracle, explanation, Vec::new()),
            None => Verdict::valid(oracle),
        }
    }

    pub fn unknown(oracle: Oracle, reason: impl Into<String>) -> Verdict {
        Verdict { oracle, finding: Finding::Unknown { reason: reason.into() } }
    }

    /// `Unknown` is not valid: what was not shown was not shown.
    pub fn is_valid(&self) -> bool {
        self.finding == Finding::Valid
    }
}

/// `linearizable: valid`, `lists: INVALID: ..`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Finding::Valid => write!(f, "{}: valid", self.oracle),
            Finding::Invalid { explanation, .. } => write!(f, "{}: INVALID: {explanation}", self.oracle),
            Finding::Unknown { reason } => write!(f, "{}: unknown: {reason}", self.oracle),
        }
    }
}

/// All that was said of one history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    pub verdicts: Vec<Verdict>,
}

impl Judgement {
    pub fn is_valid(&self) -> bool {
        self.verdicts.iter().all(Verdict::is_valid)
    }

    /// Those that are not valid, in the order in which they were asked.
    pub fn failures(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.is_valid())
    }

    /// Whether that oracle found the history invalid.
    pub fn is_invalid_by(&self, oracle: Oracle) -> bool {
        let found = |verdict: &&Verdict| matches!(verdict.finding, Finding::Invalid { .. });
        self.verdicts.iter().filter(found).any(|verdict| verdict.oracle == oracle)
    }

    pub fn push(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }
}

/// A line per verdict.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, verdict) in self.verdicts.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{verdict}")?;
        }
        Ok(())
    }
}

/// The history is not one that an oracle can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Pairing(#[from] PairingError),
    #[error(
        "workload `{workload}`, expected register, bank, list-append, write-skew, predicate-skew, tenants or the name of a model"
    )]
    Workload { workload: String },
    #[error("operation {operation} ({function}): {found}, expected {expected}")]
    Shape { operation: usize, function: String, found: String, expected: &'static str },
    #[error("fact {name}: {found}, expected {expected}")]
    Fact { name: String, found: String, expected: &'static str },
    #[error(
        "{what} needs the order of operations in real time, which this history does not have (its fact real_time is false): judge it by {instead}"
    )]
    NoRealTime { what: String, instead: String },
    #[error("more than {max} {what}, which is all that this checker can number")]
    TooMany { what: &'static str, max: usize },
}

/// For explanations: `12.345678 s`, and nine digits where microseconds do not tell all.
pub(crate) fn time(time_ns: u64) -> String {
    let (seconds, rest) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    match rest % 1000 {
        0 => format!("{seconds}.{:06} s", rest / 1000),
        _ => format!("{seconds}.{rest:09} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_tell_nanoseconds_where_there_are_any() {
        assert_eq!(time(1_500_000_000), "1.500000 s");
        assert_eq!(time(2_000_001_000), "2.000001 s");
        assert_eq!(time(20), "0.000000020 s");
    }
}
