//! The way back: a commit of the history that runs in place of the head's, until the next push. No I/O.
//!
//! `spec.pin` holds for the head that it was made for. What is rendered then is the older commit; its bundle is stored,
//! so that neither the forge nor the commit has to be there.

use super::Context;
use super::error::ReconcileError;
use super::record::Record;
use crate::crd::{HistoryEntry, Pin, SourcePhase};
use crate::domain::id::Revision;

/// A pin that holds, with what the history knows of its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pinned {
    /// The commit that is to run.
    pub(super) revision: Revision,
    /// The test merge of it that ran, when that is what was rendered.
    pub(super) merge: Option<Revision>,
    /// Digest of the bundle that ran.
    pub(super) digest: String,
    /// Who asked.
    pub(super) by: String,
}

/// The pin, when it is for the present head.
fn present(record: &Record) -> Option<&Pin> {
    let head = record.status.head.as_ref()?;
    let pin = record.stored().spec.pin.as_ref()?;
    (pin.head == head.revision && head.state == SourcePhase::Open).then_some(pin)
}

fn remembered<'a>(record: &'a Record, pin: &Pin) -> Option<&'a HistoryEntry> {
    record.status.history.iter().find(|entry| entry.revision == pin.revision)
}

/// The pin that holds now; `None` when there is none, or one that can't be followed.
pub(super) fn held(record: &Record) -> Option<Pinned> {
    let pin = present(record)?;
    let entry = remembered(record, pin)?;
    let merge = entry.merge.as_deref().and_then(|merge| Revision::parse(merge).ok());
    Some(Pinned {
        revision: Revision::parse(&pin.revision).ok()?,
        merge,
        digest: entry.digest.clone(),
        by: pin.by.clone(),
    })
}

/// What a pin for the present head means, as a sentence for the decision's trace.
pub(super) fn answer(record: &Record) -> Option<String> {
    let pin = present(record)?;
    let short = |revision: &str| revision.get(..7).unwrap_or_default().to_owned();
    Some(if remembered(record, pin).is_some() {
        format!("{} went back to commit {}; the next push ends it", pin.by, short(&pin.revision))
    } else {
        format!(
            "{} asked for commit {}, which never ran here: the head runs; `status.history` lists what can be gone back to",
            pin.by,
            short(&pin.revision)
        )
    })
}

/// Takes a pin out of the record that another head or the end of the source has made void: a force push back to the old
/// head must not revive it.
pub(super) async fn clear_spent(
    context: &Context,
    record: &mut Record,
) -> Result<(), ReconcileError> {
    let pinned = record.stored().spec.pin.is_some();
    if !pinned || record.is_deleted() || record.status.head.is_none() || present(record).is_some() {
        return Ok(());
    }
    record.clear_pin(context).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(change: impl Fn(&mut Value)) -> Record {
        let (old, head) = ("a".repeat(40), "b".repeat(40));
        let mut value = json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Environment",
            "metadata": {"name": "shop-pr-1"},
            "spec": {
                "repository": "shop",
                "source": {"pullRequest": {"number": 1}},
                "pin": {"revision": old, "head": head, "by": "mia", "at": "2026-03-02T09:00:00Z"},
            },
            "status": {
                "head": {
                    "revision": head, "base": "c".repeat(40), "state": "Open", "branch": "sparks",
                    "baseBranch": "main", "author": "ada", "seenAt": "2026-03-02T09:00:00Z",
                },
                "history": [
                    {"revision": head, "digest": "two", "at": "2026-03-02T09:00:00Z"},
                    {"revision": old, "digest": "one", "at": "2026-03-02T08:00:00Z", "merge": "d".repeat(40)},
                ],
            },
        });
        change(&mut value);
        Record::new(serde_json::from_value(value).expect("a record"))
    }

    #[test]
    fn a_pin_holds_for_its_head_and_for_what_ran() {
        let held_one = held(&record(|_| {})).expect("it holds");
        assert_eq!((held_one.revision.as_str(), &*held_one.digest), (&*"a".repeat(40), "one"));
        assert_eq!(held_one.merge.map(|merge| merge.as_str().to_owned()), Some("d".repeat(40)));

        let pushed = record(|value| value["status"]["head"]["revision"] = "e".repeat(40).into());
        assert_eq!((held(&pushed), answer(&pushed)), (None, None));
        let closed = record(|value| value["status"]["head"]["state"] = "Closed".into());
        assert_eq!((held(&closed), answer(&closed)), (None, None));
        let unknown = record(|value| value["spec"]["pin"]["revision"] = "f".repeat(40).into());
        assert_eq!(held(&unknown), None);
        assert_eq!(
            answer(&unknown).as_deref(),
            Some(
                "mia asked for commit fffffff, which never ran here: the head runs; `status.history` lists what can be gone back to"
            )
        );
    }
}
