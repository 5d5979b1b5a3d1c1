//! Tests of the raft machine from outside: golden scripts (`scripts/`), and a randomised tester that breaks everything which
//! may break and checks everything which must hold. Both drive the same in-memory hosts under the same judge.

mod cluster;
mod draw;
mod host;
mod judge;
mod prng;
mod random;
mod script;
