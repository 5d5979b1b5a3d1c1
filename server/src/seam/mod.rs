//! The seam over tokio and the operating system: what production gives to the code that the simulator also runs.
//!
//! One small file for each trait. Nothing here knows of raft, SQL or tenants.
//!
//! Invariants
//!  P1  A returned [`tenet_seam::File::sync`] means that the kernel was told to put the bytes and the length on the device
//!      (`fdatasync`, which writes the length too whenever it changed), and said that it did.
//!  P2  One process per data folder: the folder's lock is held until the process ends, however it ends.
//!  P3  A panic in a task, and a halt, end the process with a code of their own; nothing runs on beside a broken part.
//!
//! Not here: retries (a failed disk or network call is the caller's to judge), and any buffer between core and kernel.

mod clock;
mod disk;
mod entropy;
mod net;
mod tasks;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use tenet_seam::Seam;

pub use disk::{DataFolder, FolderError};
pub use tasks::{EXIT_HALT, EXIT_PANIC};

/// The seam of this process, over the data folder at `data` (made if absent). Call it inside a tokio runtime.
pub fn open(data: &Path) -> Result<Seam, FolderError> {
    Ok(Seam {
        clock: Arc::new(clock::SystemClock::new()),
        entropy: Arc::new(entropy::SystemEntropy::new().map_err(FolderError::Entropy)?),
        tasks: Arc::new(tasks::TokioTasks::new(data)),
        net: Arc::new(net::TcpNet),
        disk: Arc::new(DataFolder::open(data)?),
    })
}
