//! All metrics: the application's collectors by the names under which it declared them, and the figures of the bridge's own parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::bounds::MAX_COLLECTORS;
use super::budget::{self, Budget};
use super::collect::{Collect, Figures};
use super::collector::{Collector, Write};
use super::error::{DeclareError, WriteError};
use super::exposition::{Page, legacy};
use super::family::Family;

/// Prefixes of the bridge's own metrics.
const OWN: [&str; 3] = ["rr_centrifugo_", "causeway_", "process_"];

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Registry {
    families: RwLock<Families>,
    budget: Arc<Budget>,
    parts: RwLock<Vec<Arc<dyn Collect>>>,
}

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Arc<Family>>,
    /// Their names on the page.
    written: BTreeSet<String>,
}

impl Registry {
    /// Declares a collector of the application. One that is declared already stays as it is.
    ///
    /// # Errors
    /// See [`DeclareError`]; then nothing has changed.
    pub fn declare(&self, name: &str, collector: &Collector) -> Result<(), DeclareError> {
        if self.read().by_name.contains_key(name) {
            return Ok(());
        }
        budget::check(name, collector)?;
        let family = Family::new(name, collector, &self.budget)?;
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if families.by_name.contains_key(name) {
            return Ok(());
        }
        let written = legacy(&family.name);
        if families.written.contains(&written) || OWN.iter().any(|own| written.starts_with(own)) {
            return Err(DeclareError::Duplicate);
        }
        if families.by_name.len() >= MAX_COLLECTORS {
            return Err(DeclareError::TooMany);
        }
        families.written.insert(written);
        families.by_name.insert(name.to_owned(), Arc::new(family));
        Ok(())
    }

    /// Writes to a collector. `labels` are the values of its labels, in the order of their declaration.
    ///
    /// # Errors
    /// See [`WriteError`]; then nothing has changed.
    pub fn write(&self, write: Write, name: &str, labels: Vec<String>, value: f64) -> Result<(), WriteError> {
        // The lock is held meanwhile, so that no writer is left with the last reference to a collector, which may be long to drop.
        self.read().by_name.get(name).ok_or(WriteError::Undefined)?.write(write, labels, value)
    }

    /// Removes a collector with its values, which takes a while if these are many. Returns false if there is none.
    pub fn unregister(&self, name: &str) -> bool {
        let removed = {
            let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
            let removed = families.by_name.remove(name);
            if let Some(family) = &removed {
                families.written.remove(&legacy(&family.name));
            }
            removed
        };
        removed.is_some()
    }

    /// Adds a part of the bridge to the page.
    pub(crate) fn register(&self, part: Arc<dyn Collect>) {
        self.parts.write().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// Reads the figures of all parts; those of the application are read while the page is written.
    pub(crate) async fn collect(self: Arc<Self>) -> Figures {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut figures = Vec::with_capacity(parts.len());
        for part in parts {
            figures.push(part.collect().await);
        }
        Box::new(move |page| {
            self.write_to(page);
            for write in figures {
                write(page);
            }
        })
    }

    /// Writes the application's collectors.
    pub(super) fn write_to(&self, page: &mut Page) {
        let families: Vec<Arc<Family>> = self.read().by_name.values().cloned().collect();
        for family in families {
            page.add(family.text());
        }
    }

    /// About how many bytes the application's collectors take on the page.
    pub(crate) fn size(&self) -> usize {
        self.budget.bytes()
    }

    fn read(&self) -> RwLockReadGuard<'_, Families> {
        self.families.read().unwrap_or_else(PoisonError::into_inner)
    }
}
