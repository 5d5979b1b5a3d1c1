//! Oracle `timestamps`: what the database says of its own order agrees with what its clients saw.
//!
//! Only where a history carries timestamps; an operation without any is passed over. The rules, and the sweep that checks
//! them, are those of [`crate::isolation::stamped`], at strict serializability.

use tenet_histories::History;

use crate::isolation::Level;
use crate::isolation::stamped::{Options, check_stamped};
use crate::{CheckError, Verdict};

pub fn check(history: &History) -> Result<Verdict, CheckError> {
    Ok(check_stamped(history, &Options::default())?.verdict(Level::StrictSerializable))
}
