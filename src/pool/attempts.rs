//! How often a request is run again because its worker did not handle it.

use super::Error;
use super::core::WorkerId;

/// So many workers that were started since a request was first refused may refuse it, too. Those that were there before may have had other
/// reasons; these had nothing but this request.
const NEW_WORKERS: usize = 3;

/// The workers that did not handle a request.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The newest worker of the pool at the first refusal.
    newest: Option<WorkerId>,
    refused_by_new: usize,
}

impl Attempts {
    /// Notes that `worker` did not handle the request; `newest` is the newest worker of the pool.
    ///
    /// # Errors
    /// When the request is not to be run again.
    pub(super) fn refused(&mut self, worker: WorkerId, newest: WorkerId) -> Result<(), Error> {
        if worker > *self.newest.get_or_insert(newest) {
            self.refused_by_new += 1;
        }
        if self.refused_by_new < NEW_WORKERS { Ok(()) } else { Err(Error::Refused { workers: NEW_WORKERS }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_workers_may_all_refuse_a_request_but_only_a_few_new_ones() {
        let mut attempts = Attempts::default();
        for worker in 1..=8 {
            assert_eq!(attempts.refused(worker, 8), Ok(()));
        }
        assert_eq!(attempts.refused(9, 9), Ok(()));
        assert_eq!(attempts.refused(10, 10), Ok(()));
        assert_eq!(attempts.refused(11, 11), Err(Error::Refused { workers: 3 }));
    }
}
