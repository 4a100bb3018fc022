//! Idle workspaces, kept so that each is allocated once.
//! Several computations may run at once on threads; each takes a workspace of its own.

use std::sync::{Mutex, PoisonError};

/// Workspaces that no computation is using.
pub struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Pool<T> {
    /// An idle workspace, or a new one.
    pub fn take(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a workspace for the next computation.
    pub fn put_back(&self, used: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }
}
