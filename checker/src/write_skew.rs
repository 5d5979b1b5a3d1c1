//! Oracle `write-skew`: of each pair, one side is on in every state that a serial run can reach, because whoever turns one
//! off has seen both on. A look that finds both off proves that two did so unseen by each other.

use tenet_histories::{History, Operation, Outcome, Value, functions};

use crate::shape::{bools, misshapen, stranger, who};
use crate::{CheckError, Oracle, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let operations = history.operations()?;
    for operation in &operations {
        let name = operation.call.function.as_ref();
        if ![functions::READ, functions::TURN_OFF, functions::TURN_ON].contains(&name) {
            return Err(stranger(operation, "read, turn-off or turn-on"));
        }
        if !operation.is_ok() {
            continue;
        }
        let answer = operation.answer();
        let saw = if name == functions::READ { answer } else { saw(operation, answer)? };
        if bools(operation, saw)? == [false, false] {
            return Ok(explain(&operations, operation));
        }
    }
    Ok(Verdict::valid(Oracle::WriteSkew))
}

fn saw<'h>(operation: &Operation<'_>, answer: &'h Value) -> Result<&'h Value, CheckError> {
    answer.field("saw").ok_or_else(|| misshapen(operation, answer, "a map with `saw` and `done`"))
}

/// Names the last to turn off either side before the look.
fn explain(operations: &[Operation<'_>], look: &Operation<'_>) -> Verdict {
    let pair = &look.call.key;
    let mut involved = vec![look.index];
    let mut explanation = format!("{} found both sides of pair {pair} off", who(look));
    for side in 0..2 {
        let last = operations.iter().rev().find(|other| {
            let done = other.outcome() == Outcome::Unknown || other.answer().field("done") == Some(&Value::Bool(true));
            other.call.function == functions::TURN_OFF
                && other.call.key == *pair
                && other.call.value == Value::Int(side)
                && done
                && look.return_event().is_some_and(|end| other.invoke_event < end)
        });
        if let Some(other) = last {
            involved.push(other.index);
            explanation += &format!("; side {side} was last turned off by {}", who(other));
        }
    }
    explanation += "; each of them must have seen the other side on";
    Verdict::invalid(Oracle::WriteSkew, explanation, involved)
}
