//! Oracle `predicate-skew`: a group has at most one row in every state that a serial run can reach, because whoever adds one
//! has counted none. Two rows prove that two added theirs unseen by each other.

use tenet_histories::{History, Operation, Outcome, Value, functions};

use crate::shape::{int, int_field, stranger, who};
use crate::{CheckError, Oracle, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let operations = history.operations()?;
    for operation in &operations {
        let name = operation.call.function.as_ref();
        if ![functions::READ, functions::CLAIM, functions::RELEASE].contains(&name) {
            return Err(stranger(operation, "read, claim or release"));
        }
        if !operation.is_ok() {
            continue;
        }
        let count = match name {
            functions::READ => int(operation, operation.answer(), "a count, an integer")?,
            _ => int_field(operation, operation.answer(), "saw")?,
        };
        if count > 1 {
            return Ok(explain(&operations, operation, count));
        }
    }
    Ok(Verdict::valid(Oracle::PredicateSkew))
}

/// Names the last claims of the group before the look.
fn explain(operations: &[Operation<'_>], look: &Operation<'_>, count: i64) -> Verdict {
    let group = &look.call.key;
    let claims = operations.iter().rev().filter(|other| {
        let done = other.outcome() == Outcome::Unknown || other.answer().field("done") == Some(&Value::Bool(true));
        other.call.function == functions::CLAIM
            && other.call.key == *group
            && done
            && look.return_event().is_some_and(|end| other.invoke_event < end)
    });
    let last: Vec<&Operation<'_>> = claims.take(2).collect();
    let names = last.iter().map(|claim| who(claim)).collect::<Vec<_>>().join(" and ");
    let explanation = format!(
        "{} found {count} rows in group {group}, which may have one; the last rows were added by {names}, each after \
         it had counted none",
        who(look)
    );
    let involved = [look.index].into_iter().chain(last.iter().map(|claim| claim.index)).collect();
    Verdict::invalid(Oracle::PredicateSkew, explanation, involved)
}
