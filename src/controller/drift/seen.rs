//! What a watch showed of one kind: a mark for each object, and no more. No I/O.

use std::collections::BTreeMap;

use crate::apply::Mark;

type Objects = BTreeMap<(String, String), Option<Mark>>;

/// Objects of one kind, by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Seen {
    objects: Objects,
    /// A list that is being read; it takes the place of the other when it is whole.
    listed: Option<Objects>,
    /// A list was whole once: what is not in it is not there.
    whole: bool,
}

impl Seen {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listed = Some(Objects::new());
    }

    /// Part of the list.
    pub(super) fn list(&mut self, namespace: String, name: String, mark: Option<Mark>) {
        self.listed.get_or_insert_default().insert((namespace, name), mark);
    }

    /// The list is whole.
    pub(super) fn end(&mut self) {
        self.objects = self.listed.take().unwrap_or_default();
        self.whole = true;
    }

    /// One was made or changed. `false`: what is ours of it did not change.
    pub(super) fn put(&mut self, namespace: &str, name: &str, mark: Option<Mark>) -> bool {
        let key = (namespace.to_owned(), name.to_owned());
        let same = self.objects.get(&key) == Some(&mark);
        self.objects.insert(key, mark);
        !same
    }

    /// One is gone.
    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        self.objects.remove(&(namespace.to_owned(), name.to_owned()));
    }

    /// Whether an object is another than it was applied. Of one that was never marked only its absence counts.
    pub(super) fn differs(&self, namespace: &str, name: &str, recorded: Option<&str>) -> bool {
        match self.objects.get(&(namespace.to_owned(), name.to_owned())) {
            None => self.whole,
            Some(mark) => {
                recorded.is_some_and(|recorded| mark.as_ref().map(Mark::as_str) != Some(recorded))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missed_before_a_list_was_whole() {
        let mark = || Some(Mark::recorded("a"));
        let mut seen = Seen::default();
        assert!(!seen.differs("camp", "page", Some("a")));
        seen.begin();
        seen.list("camp".into(), "page".into(), mark());
        assert!(!seen.differs("camp", "page", Some("b")), "half a list says nothing");
        seen.end();
        assert!(!seen.differs("camp", "page", Some("a")));
        assert!(seen.differs("camp", "page", Some("b")));
        assert!(!seen.differs("camp", "page", None));
        assert!(seen.differs("camp", "other", None));
        assert!(!seen.put("camp", "page", mark()));
        assert!(seen.put("camp", "page", None));
        assert!(seen.differs("camp", "page", Some("a")));
        // While it is listed anew, what was known holds.
        seen.begin();
        assert!(seen.differs("camp", "page", Some("a")));
        seen.end();
        assert!(seen.differs("camp", "page", None));
    }
}
