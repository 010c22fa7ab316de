//! The thread that all connections live on.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread::{self, Builder, ThreadId};

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};

/// How often the tasks may go on when the thread is to end, so that connections can say goodbye to the server.
const LAST_TURNS: usize = 32;

/// A thread with a runtime of its own. It ends when the last clone is dropped, together with the tasks on it.
///
/// A caller may itself be on another runtime, which [`run`](Self::run) would block otherwise.
#[derive(Clone, Debug)]
pub struct Background {
    handle: Handle,
    thread: ThreadId,
    /// The thread ends when this is dropped.
    _alive: Arc<oneshot::Sender<()>>,
}

impl Background {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no more threads or files.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, mut ended) = oneshot::channel();
        let thread = Builder::new().name("postgres".to_owned()).spawn(move || {
            runtime.block_on(async {
                // The sender is dropped, never used.
                let _dropped: Result<(), _> = (&mut ended).await;
                for _ in 0..LAST_TURNS {
                    yield_now().await;
                }
            });
        })?;
        Ok(Self { handle, thread: thread.thread().id(), _alive: Arc::new(alive) })
    }

    /// Runs a future on the thread, and blocks this one until it is done.
    ///
    /// # Panics
    /// When the future panics, or when it is called from a task on the thread, which would wait for itself.
    pub fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        assert!(thread::current().id() != self.thread, "a task on the background thread waits for itself");
        let (done, output) = mpsc::sync_channel(1);
        let task = self.handle.spawn(future);
        drop(self.handle.spawn(async move { done.send(task.await) }));
        match output.recv().expect("the thread runs as long as this handle exists") {
            Ok(output) => output,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Starts a task on the thread. It must not hold a clone of this, or the thread never ends.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn blocks_until_a_future_is_done_whatever_thread_calls() {
        let background = Background::start().unwrap();
        let sum = |a: u32, b: u32| async move {
            sleep(Duration::from_millis(1)).await;
            a + b
        };
        assert_eq!(background.run(sum(1, 2)), 3);
        let inside = runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(inside.block_on(async { background.run(sum(3, 4)) }), 7);
        inside.block_on(async move { drop(background) });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_thread_goes_on() {
        let background = Background::start().unwrap();
        let panicked = catch_unwind(AssertUnwindSafe(|| background.run(async { panic!("a bug") })));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"a bug"));
        assert_eq!(background.run(async { 1 }), 1);
    }

    #[test]
    fn tasks_end_with_the_last_clone() {
        let background = Background::start().unwrap();
        let clone = background.clone();
        let (held, released) = mpsc::channel::<()>();
        drop(background.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        drop(background);
        assert_eq!(clone.run(async { 1 }), 1);
        drop(clone);
        assert_eq!(released.recv(), Err(mpsc::RecvError));
    }
}
