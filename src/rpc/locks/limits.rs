//! How much callers can make the server hold for locks.

/// Holders and waiters of all resources, at most: bounds what callers that never release can take, far above normal use.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// Holders and waiters of one resource, at most. One call may have to visit all of them.
pub(super) const MAX_OF_ONE: usize = 4096;

/// Memory of all holders and waiters in bytes, at most.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// What a holder or waiter counts as in [`MAX_BYTES`], without its name and its resource's.
pub(super) const ENTRY: usize = 512;

/// Bytes of the name of a resource or an owner, at most.
pub(super) const MAX_NAME: usize = 4096;

/// Processes that own locks, at most. Each takes a descriptor and a small task.
pub(super) const MAX_OWNERS: usize = 1024;

/// A limit was reached: the lock can be neither granted nor waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitReached {
    /// A name is too long.
    #[error("the name of a resource or owner is too long: {0} bytes, limit {MAX_NAME}")]
    Name(usize),
    /// All resources together have too many.
    #[error("limit of {MAX_ENTRIES} locks and waiters reached")]
    Entries,
    /// One resource has too many.
    #[error("limit of {MAX_OF_ONE} locks and waiters of one resource reached")]
    OfOne,
    /// Their names are too long together.
    #[error("limit of {} MB for locks and waiters reached", MAX_BYTES >> 20)]
    Bytes,
}

/// What an entry counts as in bytes.
pub(super) fn size(resource: &str, id: &str) -> usize {
    ENTRY + resource.len() + id.len()
}
