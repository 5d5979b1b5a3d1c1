//! Oracle `timestamps`: what the database says of its own order agrees with what its clients saw.
//!
//! Only where a history carries timestamps; an operation without any is passed over. The rules, and the sweep that checks
//! them, are those of [`crate::isolation::stamped`], at strict serializability; where the history says that the order of
//! clients means nothing (the fact `real_time`), at strong session serializability, and all at once.

use tenet_histories::{History, Value, facts};

use crate::isolation::Level;
use crate::isolation::stamped::{Options, check_stamped};
use crate::{CheckError, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    let level = match history.header.facts.get(facts::REAL_TIME) {
        Some(Value::Bool(false)) => Level::StrongSessionSerializable,
        _ => Level::StrictSerializable,
    };
    Ok(check_stamped(history, &Options::at(level))?.verdict(level))
}
