//! PURE · answers kept by address with the forge's tag for them, so that an unchanged one costs nothing of the rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Entries kept at most. An entry is what we made of an answer (a page of pull requests is about 50 KB), not the answer.
const MOST: usize = 1024;

/// What an answer was, and the tag it had.
#[derive(Clone, Debug)]
pub(super) struct Tagged<T> {
    pub(super) tag: String,
    pub(super) value: T,
}

/// The store of one kind of answer.
#[derive(Debug)]
pub(super) struct Etags<T>(Mutex<BTreeMap<String, Tagged<T>>>);

impl<T> Default for Etags<T> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<T: Clone> Etags<T> {
    pub(super) fn get(&self, address: &str) -> Option<Tagged<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned()
    }

    /// Keeps an answer; one without a tag takes away what was kept.
    pub(super) fn put(&self, address: &str, tag: Option<String>, value: &T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tag) = tag else {
            kept.remove(address);
            return;
        };
        if kept.len() >= MOST && !kept.contains_key(address) {
            kept.pop_first();
        }
        kept.insert(address.to_owned(), Tagged { tag, value: value.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_bounded_and_forgets_answers_without_a_tag() {
        let etags = Etags::default();
        for n in 0..MOST + 10 {
            etags.put(&format!("/{n:06}"), Some("t".into()), &n);
        }
        assert_eq!(etags.0.lock().unwrap().len(), MOST);
        let last = format!("/{:06}", MOST + 9);
        assert_eq!(etags.get(&last).map(|t| t.value), Some(MOST + 9));
        etags.put(&last, None, &1);
        assert!(etags.get(&last).is_none());
    }
}
