//! The same for many things, on all processors.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Fewer are not worth a thread.
const MANY: usize = 8;

/// What `each` makes of every one of `all`, in their order.
pub(crate) fn map<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let helpers = if all.len() < MANY { 0 } else { (processors - 1).min(all.len()) };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { return done };
            done.push((index, each(one)));
        }
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work);
        // A thread that cannot be had is one less.
        let helpers: Vec<_> = (0..helpers).filter_map(|number| spawn(number).ok()).collect();
        let own = work();
        let joined = helpers.into_iter().map(|helper| helper.join());
        let theirs = joined.flat_map(|done| done.unwrap_or_else(|panic| resume_unwind(panic)));
        own.into_iter().chain(theirs).collect()
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, one)| one).collect()
}
