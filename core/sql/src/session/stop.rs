//! Stopping a statement: the client's cancel and `statement_timeout`, at safe points only.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use tenet_seam::{Moment, Seam};
use tokio::sync::Notify;

use crate::analytic::Batches;
use crate::error::SqlError;

/// Stops a session's running statement; one that is not running is not affected. Cheap to clone, from any task.
#[derive(Clone, Debug, Default)]
pub struct CancelHandle(Arc<Cancel>);

#[derive(Debug, Default)]
struct Cancel {
    asked: AtomicBool,
    notify: Notify,
}

impl CancelHandle {
    /// The running statement answers 57014, unless it has come to its commit.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// A new statement begins: what was asked before was about another.
    pub(crate) fn reset(&self) {
        self.0.asked.store(false, Ordering::SeqCst);
    }

    async fn cancelled(&self) {
        loop {
            let mut notified = pin!(self.0.notify.notified());
            // Enlisted before the flag is looked at, so that no cancel falls in between.
            notified.as_mut().enable();
            if self.0.asked.load(Ordering::SeqCst) {
                return;
            }
            notified.await;
        }
    }
}

/// What may stop a statement.
#[derive(Clone)]
pub(crate) struct Stop {
    pub cancel: CancelHandle,
    pub seam: Seam,
    pub deadline: Option<Moment>,
}

impl Stop {
    /// The work's result, or 57014: then the work was dropped where it stood, so it must be work that may be.
    pub(crate) async fn unless<T, E: From<SqlError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let cancellable = async {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => Err(SqlError::canceled().into()),
                result = work => result,
            }
        };
        match self.deadline {
            None => cancellable.await,
            Some(deadline) => {
                let left = deadline.since(self.seam.clock.now());
                let in_time = self.seam.timeout(left, cancellable).await;
                in_time.unwrap_or_else(|_| Err(SqlError::timed_out().into()))
            }
        }
    }

    /// The same for rows that stream; the stream ends after the error.
    pub(crate) fn guard(self, rows: Batches) -> Batches {
        let step = |(stop, rows): (Stop, Option<Batches>)| async move {
            let mut rows = rows?;
            let next = stop.unless(async { rows.next().await.transpose() }).await;
            match next {
                Ok(Some(batch)) => Some((Ok(batch), (stop, Some(rows)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), (stop, None))),
            }
        };
        futures::stream::unfold((self, Some(rows)), step).boxed()
    }
}
