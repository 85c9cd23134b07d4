//! A batch of work on some threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, ScopedJoinHandle};

use crate::Error;

/// Threads of our own, because a caller's may be too small for the guest's stack and for the parser. Only pages in use take memory.
const STACK: usize = 64 << 20;

/// `work(0)` to `work(count - 1)`, in this order in the result. The first error ends the batch.
pub(crate) fn in_parallel<T: Send>(workers: usize, count: usize, work: impl Fn(usize) -> Result<T, Error> + Sync) -> Result<Vec<T>, Error> {
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take_turns = || {
        let mut done = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            match work(index) {
                Ok(result) => done.push((index, result)),
                Err(error) => {
                    over.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let named = |name: &str| Builder::new().name(format!("tina-sandbox {name}"));
    let failed = |error: std::io::Error| Error::Worker(error.to_string());
    let parts = std::thread::scope(|scope| {
        let threads: Result<Vec<ScopedJoinHandle<'_, _>>, _> = (0..workers.clamp(1, count.max(1)))
            .map(|index| named(&index.to_string()).stack_size(STACK).spawn_scoped(scope, take_turns).map_err(failed))
            .collect();
        if threads.is_err() {
            over.store(true, Ordering::Relaxed);
        }
        threads.and_then(|threads| threads.into_iter().map(join).collect::<Result<Vec<_>, _>>())
    })?;
    let mut done: Done<T> = parts.into_iter().flatten().collect();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

type Done<T> = Vec<(usize, T)>;

fn join<T>(thread: ScopedJoinHandle<'_, Result<Done<T>, Error>>) -> Result<Done<T>, Error> {
    thread.join().map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Error::Worker(message.unwrap_or_else(|| "it panicked".to_owned()))
    })?
}
