//! Metrics of one service, kept in memory; out: `OpenMetrics` text. No I/O, no clock.
//!
//! Each is described once, in [`ALL`]; what is not described can't be counted. Labels come from variants of enums and from
//! the few logins that the service has, never from the names of objects. A clone counts into the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric as _};
use prometheus_client::registry::Registry;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; its name ends with `_total`.
    Counter,
    /// Read when it is asked for.
    Gauge,
    /// Seconds, in buckets; its name ends with `_seconds`.
    Histogram,
}

/// What a metric is.
#[derive(Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name as it is shown.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! described {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Described = Described {
                name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
            };
        )*
        /// All of them, by name.
        pub static ALL: &[&Described] = &[$(&$constant),*];
    };
}

described! {
    APPLIES = Histogram "bivouac_apply_seconds" ["outcome"]
        "Time from a bundle to the end of its run in the cluster: done, paused (a wave is awaited) or failed.";
    BUILD = Gauge "bivouac_build_info" ["version"]
        "Always 1; which version runs.";
    ENVIRONMENTS = Gauge "bivouac_environments" ["phase"]
        "Environments by phase; from the leader only.";
    FETCHES = Histogram "bivouac_fetch_seconds" ["outcome"]
        "Time to bring a commit from the forge or from the disk: done or failed.";
    FORGE_BLOCKED = Gauge "bivouac_forge_blocked_seconds" ["login"]
        "For so long the forge wants no request of this login.";
    FORGE_LIMIT = Gauge "bivouac_forge_points_limit" ["login"]
        "Requests that the forge allows this login in an hour.";
    FORGE_LEFT = Gauge "bivouac_forge_points_left" ["login"]
        "Requests that are left to this login in this hour, as the forge says.";
    FORGE_REQUESTS = Counter "bivouac_forge_requests_total" ["method", "answer"]
        "Requests to forges by method and class of the answer: 2xx, 304, 3xx, 4xx, 5xx or none.";
    FORGE_WRITES = Gauge "bivouac_forge_writes_left" ["login", "window"]
        "Writes of content that are left to this login in this minute and in this hour.";
    GATE = Counter "bivouac_gate_requests_total" ["outcome"]
        "Requests at the gate: passed, waiting (its page or line), kept (not let in), own (below its path), unknown (host), silent (app), full or bad.";
    LEADER = Gauge "bivouac_leader" []
        "1 on the replica that holds the Lease, 0 on all others.";
    NOTICES = Counter "bivouac_notices_total" ["kind", "outcome"]
        "Notices to chats and webhooks: sent, refused, failed or dropped.";
    RECONCILES = Counter "bivouac_reconciles_total" ["kind", "outcome"]
        "Runs over Environments and Repositories: done, or the category of the error.";
    RECONCILE_TIME = Histogram "bivouac_reconcile_seconds" ["kind"]
        "Time of one run.";
    RENDERS = Histogram "bivouac_render_seconds" ["outcome"]
        "Time to render a commit: done or failed.";
    REPAIRED = Counter "bivouac_repaired_total" ["by", "what"]
        "What nobody had told of: records and hints made by the sweep, deliveries asked for again by the healer.";
    SWEEPS = Counter "bivouac_sweeps_total" ["outcome"]
        "Looks at a whole repository: done, halted, or the category of the error.";
    WEBHOOKS = Counter "bivouac_webhook_deliveries_total" ["outcome"]
        "Deliveries by what was answered: recorded, ignored, ping, or the refusal.";
    WEBHOOK_TIME = Histogram "bivouac_webhook_seconds" []
        "Time from a delivery's headers to its answer.";
}

/// Upper ends of the buckets, in seconds: from a webhook's answer to a chart that hangs.
const BUCKETS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0, 600.0];

/// A gauge, read now.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Which.
    pub of: &'static Described,
    /// Values of its labels.
    pub labels: Vec<String>,
    /// Its value.
    pub value: f64,
}

impl Reading {
    /// One without labels, or with those.
    #[must_use]
    pub fn new(of: &'static Described, labels: &[&str], value: f64) -> Self {
        let labels = labels.iter().map(|value| (*value).to_owned()).collect();
        Self { of, labels, value }
    }
}

/// Reads gauges when somebody asks for them.
type Look = Arc<dyn Fn() -> Vec<Reading> + Send + Sync>;

/// The metrics of one service.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    counters: Mutex<BTreeMap<Series, u64>>,
    timings: Mutex<BTreeMap<Series, Histogram>>,
    looks: Mutex<BTreeMap<&'static str, Look>>,
}

/// Name and values of the labels.
type Series = (&'static str, Vec<String>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn series(of: &'static Described, labels: &[&str]) -> Series {
    debug_assert_eq!(of.labels.len(), labels.len(), "{}", of.name);
    (of.name, labels.iter().map(|value| (*value).to_owned()).collect())
}

impl Metrics {
    /// Counts one more.
    pub fn count(&self, of: &'static Described, labels: &[&str]) {
        self.count_more(of, labels, 1);
    }

    /// Counts so many more.
    pub fn count_more(&self, of: &'static Described, labels: &[&str], more: u64) {
        debug_assert_eq!(of.kind, Kind::Counter, "{}", of.name);
        *lock(&self.0.counters).entry(series(of, labels)).or_default() += more;
    }

    /// Notes how long something took.
    pub fn took(&self, of: &'static Described, labels: &[&str], time: Duration) {
        debug_assert_eq!(of.kind, Kind::Histogram, "{}", of.name);
        let mut timings = lock(&self.0.timings);
        let timing = timings.entry(series(of, labels)).or_insert_with(|| Histogram::new(BUCKETS));
        timing.observe(time.as_secs_f64());
    }

    /// From now on `look` is asked for gauges, in the place of an earlier one of that name.
    pub fn look(
        &self,
        name: &'static str,
        look: impl Fn() -> Vec<Reading> + Send + Sync + 'static,
    ) {
        lock(&self.0.looks).insert(name, Arc::new(look));
    }

    /// Nothing is to be read under that name any more.
    pub fn look_no_more(&self, name: &'static str) {
        lock(&self.0.looks).remove(name);
    }

    /// All of it as `OpenMetrics` text: sorted, so that the same numbers are the same text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // A text can be written to.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }

    fn readings(&self) -> BTreeMap<Series, f64> {
        // Not under the lock: whoever is asked may count.
        let looks: Vec<Look> = lock(&self.0.looks).values().cloned().collect();
        let all = looks.iter().flat_map(|look| look());
        all.map(|Reading { of, labels, value }| ((of.name, labels), value)).collect()
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = lock(&self.0.counters).clone();
        let timings = lock(&self.0.timings).clone();
        let readings = self.readings();
        for of in ALL {
            match of.kind {
                Kind::Counter => {
                    let write = |value: &u64, encoder: MetricEncoder<'_>| {
                        ConstCounter::new(*value).encode(encoder)
                    };
                    all_of(of, &counters, MetricType::Counter, &mut encoder, write)?;
                }
                Kind::Gauge => {
                    let write = |value: &f64, encoder: MetricEncoder<'_>| {
                        ConstGauge::new(*value).encode(encoder)
                    };
                    all_of(of, &readings, MetricType::Gauge, &mut encoder, write)?;
                }
                Kind::Histogram => {
                    let write =
                        |value: &Histogram, encoder: MetricEncoder<'_>| value.encode(encoder);
                    all_of(of, &timings, Histogram::TYPE, &mut encoder, write)?;
                }
            }
        }
        Ok(())
    }
}

/// All series of one metric.
fn all_of<T>(
    of: &'static Described,
    all: &BTreeMap<Series, T>,
    kind: MetricType,
    encoder: &mut DescriptorEncoder<'_>,
    write: impl Fn(&T, MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let first = (of.name, Vec::new());
    let mut found = all.range(first..).take_while(|((name, _), _)| *name == of.name).peekable();
    if found.peek().is_none() {
        return Ok(());
    }
    // The library puts a counter's ending there itself.
    let name = of.name.strip_suffix("_total").unwrap_or(of.name);
    let mut encoder = encoder.encode_descriptor(name, of.help, None, kind)?;
    for ((_, values), value) in found {
        let labels: Vec<(&str, &str)> =
            of.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        if labels.is_empty() {
            // There is no other series then.
            return write(value, encoder);
        }
        write(value, encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_sorted_and_in_the_standard_form() {
        let metrics = Metrics::default();
        metrics.count(&SWEEPS, &["done"]);
        metrics.count_more(&SWEEPS, &["NotFound"], 3);
        metrics.count(&SWEEPS, &["done"]);
        metrics.look("leader", || vec![Reading::new(&LEADER, &[], 1.0)]);
        metrics.look("gone", || vec![Reading::new(&FORGE_LEFT, &["a \"b\"\n"], 7.0)]);
        assert_eq!(
            metrics.text(),
            "# HELP bivouac_forge_points_left Requests that are left to this login in this hour, as the forge says.\n\
             # TYPE bivouac_forge_points_left gauge\n\
             bivouac_forge_points_left{login=\"a \\\"b\\\"\\n\"} 7.0\n\
             # HELP bivouac_leader 1 on the replica that holds the Lease, 0 on all others.\n\
             # TYPE bivouac_leader gauge\n\
             bivouac_leader 1.0\n\
             # HELP bivouac_sweeps Looks at a whole repository: done, halted, or the category of the error.\n\
             # TYPE bivouac_sweeps counter\n\
             bivouac_sweeps_total{outcome=\"NotFound\"} 3\n\
             bivouac_sweeps_total{outcome=\"done\"} 2\n\
             # EOF\n"
        );
        metrics.look_no_more("gone");
        assert!(!metrics.text().contains("points_left"));
    }

    #[test]
    fn times_are_in_buckets() {
        let metrics = Metrics::default();
        for milliseconds in [3, 40, 4000] {
            metrics.took(&WEBHOOK_TIME, &[], Duration::from_millis(milliseconds));
        }
        let text = metrics.text();
        for line in [
            "bivouac_webhook_seconds_count 3",
            "bivouac_webhook_seconds_bucket{le=\"0.005\"} 1",
            "bivouac_webhook_seconds_bucket{le=\"0.05\"} 2",
            "bivouac_webhook_seconds_bucket{le=\"+Inf\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn each_has_a_name_of_its_own_that_says_its_kind() {
        let mut names: Vec<&str> = ALL.iter().map(|of| of.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for of in ALL {
            assert!(of.name.starts_with("bivouac_"), "{}", of.name);
            assert_eq!(of.name.ends_with("_total"), of.kind == Kind::Counter, "{}", of.name);
            assert!(of.kind != Kind::Histogram || of.name.ends_with("_seconds"), "{}", of.name);
            assert!(of.help.ends_with('.'), "{}", of.name);
        }
    }
}
