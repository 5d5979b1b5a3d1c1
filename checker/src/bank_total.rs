//! Oracle `bank-total`: transfers move money and make none, so every read of all accounts sums to the fact `total`; and
//! nobody owes any, since a transfer looks at the balance before it takes.

use tenet_histories::{History, Operation, Value, functions};

use crate::shape::{int, int_field, misshapen, stranger, who};
use crate::{CheckError, Oracle, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let total = history.header.facts.get("total").and_then(Value::as_int);
    let total = total.ok_or(CheckError::Fact { fact: "total", expected: "all money, an integer" })?;
    for operation in &history.operations()? {
        match operation.call.function.as_ref() {
            functions::READ => {}
            functions::TRANSFER => {
                int_field(operation, &operation.call.value, "from")?;
                int_field(operation, &operation.call.value, "to")?;
                continue;
            }
            _ => return Err(stranger(operation, "read or transfer")),
        }
        if !operation.is_ok() {
            continue;
        }
        let balances = balances(operation)?;
        let sum: i128 = balances.iter().map(|(_, balance)| i128::from(*balance)).sum();
        let seen = operation.answer();
        if sum != i128::from(total) {
            let explanation = format!("{} read {seen}, together {sum}, expected {total}", who(operation));
            return Ok(Verdict::invalid(Oracle::BankTotal, explanation, vec![operation.index]));
        }
        if let Some((account, balance)) = balances.iter().find(|(_, balance)| *balance < 0) {
            let explanation = format!(
                "{} read {seen}: account {account} owes {}, though no transfer takes more than there is",
                who(operation),
                balance.unsigned_abs()
            );
            return Ok(Verdict::invalid(Oracle::BankTotal, explanation, vec![operation.index]));
        }
    }
    Ok(Verdict::valid(Oracle::BankTotal))
}

fn balances(operation: &Operation<'_>) -> Result<Vec<(i64, i64)>, CheckError> {
    const EXPECTED: &str = "[[account, balance], ..], integers";
    let answer = operation.answer();
    let pairs = answer.as_list().ok_or_else(|| misshapen(operation, answer, EXPECTED))?;
    pairs
        .iter()
        .map(|pair| match pair.as_list() {
            Some([account, balance]) => Ok((int(operation, account, EXPECTED)?, int(operation, balance, EXPECTED)?)),
            _ => Err(misshapen(operation, answer, EXPECTED)),
        })
        .collect()
}
