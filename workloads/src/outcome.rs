//! What an error means for the operation it struck: the one place that decides (W2).
//!
//! The SQLSTATE decides where there is one that we know; then whether the connection was lost; anything else is an alarm,
//! an error of the run. What is *unknown* is kept small on purpose: each unknown operation leaves an oracle one more way to
//! call a history valid, and each wrong *fail* lets it call an honest one invalid.
//!
//! A read that errors is a fail at every stage: it has no effect to be unsure of.

use crate::ClientError;

/// Where a statement stood when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It could not make anything durable: a read, a statement within a block, a COMMIT or ROLLBACK of a block that wrote
    /// nothing, an attempt to connect.
    BeforeCommit,
    /// It was to make something durable: COMMIT after a write, or a write in a transaction of its own.
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No effect, ever.
    Fail,
    /// Perhaps.
    Unknown,
    /// Must not happen: the run is invalid, whatever the oracles say.
    Alarm,
}

/// How a SQLSTATE is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The server promises that nothing was proposed, or that what was proposed lost: *fail* at both stages.
    Refused,
    /// The server proposed and does not know: *unknown* at `Commit`.
    Undecided,
    /// The session ends with it and it may stand where a reply to the statement was due: as a lost connection.
    ConnectionEnds,
}

pub struct Rule {
    pub sqlstate: &'static str,
    pub treatment: Treatment,
    pub reason: &'static str,
}

const fn rule(sqlstate: &'static str, treatment: Treatment, reason: &'static str) -> Rule {
    Rule { sqlstate, treatment, reason }
}

/// Every SQLSTATE that a healthy database under faults may send to a workload. All others are alarms, these by intent:
/// 25P02 (a statement after a failed one: the workload never sends any, so the first failure was not reported), XX000
/// (internal error), XX001 (data damaged; a world that damages data has to expect it by itself), 58030 (a node that fails
/// a sync halts and does not answer), 23505 (ids are never used twice), 3D000 and 42P01 (what was created is gone), 0A000
/// and 42601 (the workload does not fit the database), 54000 (the statements are tiny), 40003 (Tenet says 08007).
pub const RULES: &[Rule] = &[
    rule("40001", Treatment::Refused, "validation failed: an entry that loses validation is never applied"),
    rule("40P01", Treatment::Refused, "chosen as the victim of a deadlock and rolled back"),
    rule("55P03", Treatment::Refused, "a lock was not to be had; nothing was proposed"),
    rule("57P03", Treatment::Refused, "no leader, or the node is starting or stopping: refused before proposal"),
    rule("53300", Treatment::Refused, "too many connections: refused before any statement"),
    rule("53000", Treatment::Refused, "more is asked at once than a leader takes: refused before proposal"),
    rule("53200", Treatment::Refused, "over the statement's memory limit, which is before proposal"),
    rule("57014", Treatment::Refused, "cancelled: a cancel that comes after proposal must be ignored, or answer 08007"),
    rule("08001", Treatment::Refused, "could not connect: no statement was sent"),
    rule("08007", Treatment::Undecided, "proposed, and the reply was lost"),
    rule("57P01", Treatment::ConnectionEnds, "shutdown: says nothing of the statement that it cut off"),
    rule("57P02", Treatment::ConnectionEnds, "crash of the server: likewise"),
    rule("57P05", Treatment::ConnectionEnds, "idle for too long: likewise, if it crossed a statement on the way"),
    rule("08003", Treatment::ConnectionEnds, "the connection does not exist any more"),
    rule("08006", Treatment::ConnectionEnds, "the connection failed"),
];

/// What the error means for the operation.
pub fn classify(error: &ClientError, stage: Stage) -> Class {
    let Some(treatment) = treatment(error) else { return Class::Alarm };
    match (treatment, stage) {
        (Treatment::Refused, Stage::BeforeCommit | Stage::Commit) => Class::Fail,
        (Treatment::Undecided, Stage::Commit) => Class::Unknown,
        (Treatment::ConnectionEnds, Stage::Commit) if error.sent => Class::Unknown,
        (Treatment::ConnectionEnds, Stage::Commit) => Class::Fail,
        (Treatment::Undecided | Treatment::ConnectionEnds, Stage::BeforeCommit) => Class::Fail,
    }
}

/// No statement after it can succeed on this connection.
pub fn ends_connection(error: &ClientError) -> bool {
    error.lost || treatment(error) == Some(Treatment::ConnectionEnds)
}

/// None: an alarm.
fn treatment(error: &ClientError) -> Option<Treatment> {
    match &error.sqlstate {
        Some(sqlstate) => RULES.iter().find(|rule| rule.sqlstate == sqlstate).map(|rule| rule.treatment),
        None => error.lost.then_some(Treatment::ConnectionEnds),
    }
}
