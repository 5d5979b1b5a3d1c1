//! Isolation: the clever checkers against slow obvious ones on histories of a handful of transactions, their proofs against
//! a verifier that knows nothing of graphs, and what must not change a verdict.

mod adya;
mod brute_force;
mod generated;
mod lists;
mod registers;
mod small;
mod stamped;
mod verify;
