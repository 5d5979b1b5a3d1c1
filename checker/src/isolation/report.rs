//! What is said of a history: its anomalies, the levels that they rule out, and the verdict at the level that was wanted.

use std::fmt;

use super::anomaly::Anomaly;
use super::level::Level;
use crate::{Finding, Oracle, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    oracle: Oracle,
    level: Level,
    pub transactions: usize,
    /// Gravest first, one of each name and shape.
    pub anomalies: Vec<Anomaly>,
    /// Levels that no anomaly rules out, but of which not all was searched.
    pub undecided: Vec<Level>,
    /// Where a search gave up.
    pub gave_up: Vec<String>,
}

impl Report {
    pub(super) fn new(oracle: Oracle, level: Level, transactions: usize, mut anomalies: Vec<Anomaly>) -> Report {
        // Stable: the first found of equals stays first.
        anomalies.sort_by_key(Anomaly::gravity);
        Report { oracle, level, transactions, anomalies, undecided: Vec::new(), gave_up: Vec::new() }
    }

    /// Nothing is wrong, and all was searched.
    pub(super) fn is_clean(&self) -> bool {
        self.anomalies.is_empty() && self.gave_up.is_empty()
    }

    /// These levels were not searched to the end, for that reason.
    pub(super) fn give_up(&mut self, levels: &[Level], reason: String) {
        let out = self.ruled_out();
        let held = |level: &Level| !out.contains(level) && !levels.contains(level);
        let proven = |level: Level| Level::ALL.iter().any(|other| held(other) && other.is_at_least(level));
        let new = levels.iter().copied().filter(|level| !out.contains(level) && !proven(*level));
        let new: Vec<Level> = new.filter(|level| !self.undecided.contains(level)).collect();
        self.undecided.extend(new);
        self.gave_up.push(reason);
    }

    /// What another search found that knows more of each key, and these levels if it gave up.
    pub(super) fn add_by_keys(&mut self, other: Report, levels: &[Level]) {
        let is_known = |anomaly: &Anomaly| self.anomalies.iter().any(|known| known.gravity() == anomaly.gravity());
        let more: Vec<Anomaly> =
            other.anomalies.into_iter().filter(|anomaly| anomaly.is_by_keys() && !is_known(anomaly)).collect();
        self.anomalies.extend(more);
        self.anomalies.sort_by_key(Anomaly::gravity);
        other.gave_up.into_iter().for_each(|reason| self.give_up(levels, reason));
        let out = self.ruled_out();
        self.undecided.retain(|level| !out.contains(level));
    }

    pub fn ruled_out(&self) -> Vec<Level> {
        let is_out = |level: &Level| self.anomalies.iter().any(|anomaly| anomaly.rules_out(*level));
        Level::ALL.into_iter().filter(is_out).collect()
    }

    /// The weakest levels that are ruled out: all above them are, too.
    pub fn weakest_ruled_out(&self) -> Vec<Level> {
        Level::weakest(&self.ruled_out())
    }

    /// The strongest levels that this history still satisfies, as far as a history can tell.
    pub fn strongest(&self) -> Vec<Level> {
        let out = self.ruled_out();
        let holds = |level: &Level| !out.contains(level) && !self.undecided.contains(level);
        Level::strongest(&Level::ALL.into_iter().filter(holds).collect::<Vec<_>>())
    }

    /// The gravest anomaly that the wanted level forbids.
    pub fn proof(&self) -> Option<&Anomaly> {
        self.anomalies.iter().find(|anomaly| anomaly.rules_out(self.level))
    }

    pub fn finding(&self) -> Finding {
        if let Some(proof) = self.proof() {
            let levels = Levels(self);
            let mut also: Vec<String> =
                self.anomalies.iter().map(Anomaly::name).filter(|name| *name != proof.name()).collect();
            also.dedup();
            let also = if also.is_empty() { String::new() } else { format!("\nalso found: {}", also.join(", ")) };
            Finding::Invalid { explanation: format!("{proof}{also}\n{levels}"), operations: proof.operations() }
        } else if self.undecided.contains(&self.level) {
            Finding::Unknown { reason: self.gave_up.join("; ") }
        } else {
            Finding::Valid
        }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict { oracle: self.oracle, finding: self.finding() }
    }
}

struct Levels<'a>(&'a Report);

impl fmt::Display for Levels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |levels: Vec<Level>| match levels.is_empty() {
            true => "none".to_string(),
            false => levels.into_iter().map(Level::name).collect::<Vec<_>>().join(", "),
        };
        write!(f, "strongest levels not ruled out: {}", names(self.0.strongest()))?;
        let out = self.0.weakest_ruled_out();
        if !out.is_empty() {
            write!(f, "; ruled out, with all above: {}", names(out))?;
        }
        if !self.0.undecided.is_empty() {
            write!(f, "; undecided: {}", names(self.0.undecided.clone()))?;
        }
        Ok(())
    }
}

/// The verdict, then every anomaly that does not prove it, then the levels.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.proof(), self.finding()) {
            (Some(proof), _) => writeln!(f, "INVALID at {}: {proof}", self.level)?,
            (None, Finding::Unknown { reason }) => writeln!(f, "unknown at {}: {reason}", self.level)?,
            (None, _) => writeln!(f, "valid at {}", self.level)?,
        }
        for anomaly in self.anomalies.iter().filter(|anomaly| Some(*anomaly) != self.proof()) {
            writeln!(f, "also: {anomaly}")?;
        }
        write!(f, "{}", Levels(self))
    }
}
