use std::convert::Infallible;

use futures::future::BoxFuture;

/// Running things. Called through [`crate::Seam`], which gives closures their results.
pub trait Tasks: Send + Sync {
    /// Starts a task; `name` is for logs and traces. A panic in it ends the node.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task;

    /// Runs `work` where it may last; ready when it has run.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Runs `work` in place; ready when it has run.
    fn brief(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Ends this node; never ready.
    fn halt(&self, reason: String) -> BoxFuture<'static, Infallible>;
}

/// What can be done to a running task.
pub trait TaskControl: Send + Sync {
    /// Drops its future at the next chance. Nothing happens if it has ended.
    fn abort(&self);
}

/// A handle to a task. Dropping it does not end the task.
pub struct Task(Box<dyn TaskControl>);

impl Task {
    pub fn new(control: Box<dyn TaskControl>) -> Task {
        Task(control)
    }

    pub fn abort(&self) {
        self.0.abort();
    }
}
