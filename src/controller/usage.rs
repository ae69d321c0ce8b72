//! When a camp was used last: by a visit, a push, a command or a wake. In: a record; out: a time. No I/O.

use chrono::{DateTime, Utc};

use crate::crd::{Environment, LAST_COMMAND_ANNOTATION, LAST_VISIT_ANNOTATION, Power};

fn annotated(record: &Environment, name: &str) -> Option<DateTime<Utc>> {
    let text = record.metadata.annotations.as_ref()?.get(name)?;
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// When somebody last opened the preview, as the gate noted it.
pub(super) fn last_visit(record: &Environment) -> Option<DateTime<Utc>> {
    annotated(record, LAST_VISIT_ANNOTATION)
}

/// When the camp of a record was used last. What sleeps is used by what wakes it alone: nobody sees it otherwise, and
/// somebody who extends its time does not want it to run.
pub(super) fn used_at(
    record: &Environment,
    wake_on_push: bool,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let Some(status) = &record.status else { return now };
    let power = status.power;
    let asleep = power.is_some_and(|power| power.asleep);
    let mut all = vec![status.camp_since, power.and_then(|power| power.woken_at)];
    // A wish that is not noted yet is as new as this look at it.
    if record.spec.power == Power::Awake {
        let known = power.filter(|power| power.asked == Power::Awake);
        all.push(Some(known.map_or(now.into(), |power| power.asked_at)));
    }
    if wake_on_push || !asleep {
        all.push(status.head.as_ref().map(|head| head.seen_at));
    }
    let mut all: Vec<DateTime<Utc>> = all.into_iter().flatten().map(|at| at.0).collect();
    if !asleep {
        let ready = status.history.first().and_then(|newest| newest.ready_at);
        let woke = power.filter(|power| power.ready_at.is_some()).map(|power| power.since);
        let again = power.and_then(|power| power.ready_at);
        all.extend([ready, woke, again].into_iter().flatten().map(|at| at.0));
        all.extend(last_visit(record));
        all.extend(annotated(record, LAST_COMMAND_ANNOTATION));
    }
    // Another clock may be ahead; nothing was used in the future.
    all.into_iter().max().unwrap_or(now).min(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(asleep: bool) -> Environment {
        let mut record = Environment::new(
            "a",
            crate::crd::EnvironmentSpec {
                repository: "shop".into(),
                source: crate::crd::Source::pull_request(7),
                want: crate::crd::Want::Auto,
                approved: None,
                pin: None,
                parameters: std::collections::BTreeMap::new(),
                lifetime: crate::crd::LifetimeWish::default(),
                power: Power::Auto,
                redeploy: None,
            },
        );
        let annotations = [
            (LAST_VISIT_ANNOTATION, "2026-03-02T12:00:00Z"),
            (LAST_COMMAND_ANNOTATION, "2026-03-02T11:00:00+01:00"),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value.to_owned()));
        record.metadata.annotations = Some(annotations.into());
        let status = json!({
            "campSince": "2026-03-02T08:00:00Z",
            "power": {"asleep": asleep, "since": "2026-03-02T09:00:00Z", "askedAt": "2026-03-02T08:00:00Z"},
        });
        record.status = Some(serde_json::from_value(status).expect("a status"));
        record
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}:00Z").parse().expect("a time")
    }

    #[test]
    fn what_sleeps_is_used_by_what_wakes_it_alone() {
        let now = at("14:00");
        assert_eq!(used_at(&record(false), true, now), at("12:00"));
        assert_eq!(used_at(&record(true), true, now), at("08:00"));
        let mut woken = record(true);
        woken.spec.power = Power::Awake;
        assert_eq!(used_at(&woken, true, now), now);
    }

    #[test]
    fn nothing_is_used_in_the_future_and_no_text_is_believed() {
        let mut odd = record(false);
        for (text, expected) in
            [("2030-01-01T00:00:00Z", at("14:00")), ("tomorrow", at("10:00")), ("", at("10:00"))]
        {
            let annotations = odd.metadata.annotations.get_or_insert_default();
            annotations.insert(LAST_VISIT_ANNOTATION.into(), text.into());
            assert_eq!(used_at(&odd, true, at("14:00")), expected, "{text}");
        }
    }
}
