//! Tasks on the tokio runtime, and the ways in which this process ends itself.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use tenet_seam::{Task, TaskControl, Tasks};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Exit code after [`Tasks::halt`]: going on could have broken a promise. A supervisor may start the node again.
pub const EXIT_HALT: i32 = 70;

/// Exit code after a panic in a task, the one that Rust uses for a panic in `main`.
pub const EXIT_PANIC: i32 = 101;

pub struct TokioTasks {
    runtime: Handle,
    /// Told when the node halts: paths in the reason are relative to it.
    data: PathBuf,
}

impl TokioTasks {
    /// On the runtime that calls.
    pub fn new(data: &Path) -> TokioTasks {
        TokioTasks { runtime: Handle::current(), data: data.to_owned() }
    }
}

impl Tasks for TokioTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let guarded = async move {
            if AssertUnwindSafe(future).catch_unwind().await.is_err() {
                // The panic hook has said what and where.
                tracing::error!(task = name, "a task panicked, so this node ends");
                std::process::exit(EXIT_PANIC);
            }
        };
        Task::new(Box::new(Control(self.runtime.spawn(guarded).abort_handle())))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let running = self.runtime.spawn_blocking(work);
        Box::pin(async move {
            if let Err(error) = running.await {
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is being shut down and the work never ran: neither may what waits for it.
                    Err(_cancelled) => std::future::pending().await,
                }
            }
        })
    }

    fn brief(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }

    fn halt(&self, reason: String) -> BoxFuture<'static, Infallible> {
        let data = self.data.display().to_string();
        Box::pin(async move {
            tracing::error!(data, reason, "this node halts");
            std::process::exit(EXIT_HALT)
        })
    }
}

struct Control(AbortHandle);

impl TaskControl for Control {
    fn abort(&self) {
        self.0.abort();
    }
}
