//! Each test was seen to fail with the code broken on purpose; which break, and who saw it, is listed at the end of this head.
//!
//! The store is compared with a [`support::Model`]: a map of every version and a list of every meta, built from the same log by
//! obvious code. Crashes are those of `FakeDisk`: a fuse counted in disk calls, then unsynced writes kept, dropped or torn.
mod crash;
mod damage;
mod model;
mod pool;
mod support;
mod transfer;
