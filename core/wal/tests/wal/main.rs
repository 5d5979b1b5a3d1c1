//! The log against an obvious model, on a disk that forgets, tears, fails and rots.

mod crashes;
mod damage;
mod model;
mod surface;
