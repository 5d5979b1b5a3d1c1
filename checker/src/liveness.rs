//! Oracle `liveness`: once nothing is done to the database any more, every client soon succeeds.

use std::collections::BTreeSet;
use std::time::Duration;

use tenet_histories::{History, Process};

use crate::verdict::time;
use crate::{CheckError, Oracle, Verdict};

/// Each of `processes` has an operation invoked at or after `healed_ns` that is ok at most `within` after it. The clients
/// must have been at work for all of that time.
pub fn check(
    history: &History,
    processes: impl IntoIterator<Item = Process>,
    healed_ns: u64,
    within: Duration,
) -> Result<Verdict, CheckError> {
    let end_ns = healed_ns.saturating_add(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX));
    let operations = history.operations()?;
    let alive: BTreeSet<Process> = operations
        .iter()
        .filter(|operation| operation.is_ok() && operation.invoke_ns >= healed_ns)
        .filter(|operation| operation.completed.is_some_and(|completed| completed.time_ns <= end_ns))
        .map(|operation| operation.process)
        .collect();
    let mut stuck = processes.into_iter().filter(|process| !alive.contains(process));
    let Some(process) = stuck.next() else { return Ok(Verdict::valid(Oracle::Liveness)) };
    let others = match stuck.count() {
        0 => String::new(),
        count => format!(" (nor did {count} others)"),
    };
    let mut of_process = operations.iter().filter(|operation| operation.process == process);
    let last = of_process.rfind(|operation| operation.invoke_ns <= end_ns);
    let did = match last {
        None => "it began nothing".to_string(),
        Some(operation) => match operation.completed {
            None => format!("operation {} is open since {}", operation.index, time(operation.invoke_ns)),
            Some(completed) => {
                let error = completed.completion.error.as_deref().unwrap_or("no error");
                format!("its last operation, {}, ended at {} with: {error}", operation.index, time(completed.time_ns))
            }
        },
    };
    let explanation = format!(
        "{process} did not succeed within {} s after all was healed at {}{others}; {did}",
        within.as_secs_f64(),
        time(healed_ns)
    );
    Ok(Verdict::invalid(Oracle::Liveness, explanation, last.map(|operation| operation.index).into_iter().collect()))
}
