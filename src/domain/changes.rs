//! PURE · what a new bundle changed in a camp, as people are told of it: two bundles in, names of objects out.

use super::bundle_diff::{BundleDiff, Changed, Entry};

/// Objects that are named of each kind of change; the others are counted.
pub const NAMED: usize = 20;

/// What differs, by `Kind/name`, in apply order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Not there before.
    pub added: Named,
    /// There before, and otherwise.
    pub changed: Named,
    /// Not there any more.
    pub removed: Named,
}

/// The first objects of a list, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// [`NAMED`] at most.
    pub named: Vec<String>,
    /// All of them.
    pub count: usize,
}

impl Changes {
    /// What a diff says.
    #[must_use]
    pub fn of(diff: &BundleDiff) -> Self {
        Self {
            added: Named::of(&diff.added, |entry| entry),
            changed: Named::of(&diff.changed, |changed: &Changed| &changed.entry),
            removed: Named::of(&diff.removed, |entry| entry),
        }
    }
}

impl Named {
    fn of<T>(all: &[T], entry: impl Fn(&T) -> &Entry) -> Self {
        let named = all.iter().take(NAMED).map(|one| entry(one).object.to_string()).collect();
        Self { named, count: all.len() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::bundle::{Bundle, BundleObject, Origin, Wave};
    use crate::domain::positions::Positions;

    fn bundle(maps: impl IntoIterator<Item = (String, Value)>) -> Bundle {
        let objects = maps.into_iter().map(|(name, data)| BundleObject {
            json: json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
            }),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "app".into(),
            wave: Wave::Config,
            positions: Positions::default(),
        });
        Bundle::new(objects.collect(), "inputs".into())
    }

    #[test]
    fn objects_are_named_and_those_beyond_are_counted() {
        let same = |number: usize| (format!("map-{number:02}"), json!({"a": "b"}));
        let old = bundle([("gone".to_owned(), json!({})), ("kept".to_owned(), json!({"a": "1"}))]);
        let new = bundle((0..30).map(same).chain([("kept".to_owned(), json!({"a": "2"}))]));
        let Changes { added, changed, removed } = Changes::of(&BundleDiff::between(&old, &new));
        assert_eq!((added.count, added.named.len()), (30, NAMED));
        assert_eq!(added.named.first().map(String::as_str), Some("ConfigMap/map-00"));
        assert_eq!(changed, Named { named: vec!["ConfigMap/kept".into()], count: 1 });
        assert_eq!(removed, Named { named: vec!["ConfigMap/gone".into()], count: 1 });
    }
}
