//! What the service shows of itself to Prometheus.

use std::collections::BTreeMap;

use bivouac::app::stage::FIRST;
use bivouac::telemetry::metrics::{ALL, Kind};

use crate::apps_at_forge::as_an_app;
use crate::support::{SWEEP, World, one};

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// Series with their values.
async fn shown(world: &World, replica: usize) -> BTreeMap<String, f64> {
    let text = world.stage.metrics_of(replica).await.expect("metrics");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_life_shows_in_the_figures() {
    let (mut world, app) = as_an_app(1).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("it is ready", async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(&head)).then_some(())
        })
        .await;
    let figures = shown(&world, FIRST).await;
    let value = |series: &str| figures.get(series).copied();
    assert_eq!(value("bivouac_leader"), Some(1.0));
    assert_eq!(value("bivouac_environments{phase=\"Ready\"}"), Some(1.0));
    assert_eq!(value("bivouac_render_seconds_count{outcome=\"done\"}"), Some(1.0));
    assert_eq!(value("bivouac_fetch_seconds_count{outcome=\"done\"}"), Some(1.0));
    assert!(value("bivouac_apply_seconds_count{outcome=\"done\"}").is_some_and(|n| n >= 1.0));
    assert!(value("bivouac_reconciles_total{kind=\"environment\",outcome=\"done\"}") > Some(0.0));
    assert!(value("bivouac_reconcile_seconds_count{kind=\"repository\"}") > Some(0.0));
    assert!(value("bivouac_sweeps_total{outcome=\"done\"}") > Some(0.0));
    assert!(value("bivouac_webhook_deliveries_total{outcome=\"recorded\"}") > Some(0.0));
    assert_eq!(value("bivouac_webhook_deliveries_total{outcome=\"ping\"}"), Some(1.0));
    assert!(value("bivouac_webhook_seconds_count") > Some(0.0));
    assert!(value("bivouac_forge_requests_total{method=\"POST\",answer=\"2xx\"}") > Some(0.0));
    // What the forge itself counts.
    let of = |name: &str| {
        let found = figures.iter().find(|(series, _)| {
            series.starts_with(&format!("{name}{{")) && series.contains(" at acme")
        });
        *found.unwrap_or_else(|| panic!("{name}: {figures:#?}")).1
    };
    let (left, limit) = (of("bivouac_forge_points_left"), of("bivouac_forge_points_limit"));
    assert!(left < limit && left > limit - 100.0, "{left} of {limit}");
    assert!(figures.keys().any(|series| {
        series.starts_with("bivouac_forge_writes_left{") && series.contains("window=\"hour\"")
    }));
    // Nothing that a person chose is a label.
    let text = world.stage.metrics_of(FIRST).await.expect("metrics");
    for word in ["sparks", "campfire-pr", "camp-"] {
        assert!(!text.contains(word), "{word}");
    }

    // A forged delivery is counted as what it is.
    let request = http::Request::post("http://bivouac.test/webhook")
        .header("x-github-event", "ping")
        .header("x-github-delivery", "1")
        .header("x-hub-signature-256", "sha256=00")
        .body(bivouac::seams::body("{}"))
        .expect("a request");
    let receiver = world.stage.receiver.clone();
    let answer = tower::ServiceExt::oneshot(receiver, request).await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let figures = shown(&world, FIRST).await;
    let forged = "bivouac_webhook_deliveries_total{outcome=\"Unsigned\"}";
    assert_eq!(figures.get(forged), Some(&1.0));

    // What no webhook told of is repaired by the sweep, and counted as that.
    world.stage.github.set_hook_active(app.hook, false);
    let (lost, _) = world.open("embers", &one("CHANGES.md", "embers"));
    world.within(SWEEP * 2, "it is found", async || world.record(lost).await.map(drop)).await;
    let figures = shown(&world, FIRST).await;
    let found = "bivouac_repaired_total{by=\"sweep\",what=\"record\"}";
    assert_eq!(figures.get(found), Some(&1.0), "{figures:#?}");

    // Another replica does not lead, and says nothing of Environments.
    world.stage.start_replica(1).expect("a replica");
    world.sleep(SWEEP).await;
    let figures = shown(&world, 1).await;
    assert_eq!(figures.get("bivouac_leader"), Some(&0.0));
    assert!(!figures.keys().any(|series| series.starts_with("bivouac_environments")));
}

/// The rows of the table of metrics in docs/operations.md, as name, kind and labels.
fn documented() -> Vec<(String, String, String)> {
    let rows = OPERATIONS.lines().filter_map(|line| line.strip_prefix("| `bivouac_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`');
        (format!("bivouac_{name}"), cells[1].to_owned(), cells[2].replace('`', ""))
    })
    .collect()
}

#[test]
fn the_documentation_lists_each_metric_and_no_other() {
    let known: Vec<(String, String, String)> = ALL
        .iter()
        .map(|of| {
            let kind = match of.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            (of.name.to_owned(), kind.to_owned(), of.labels.join(", "))
        })
        .collect();
    assert_eq!(documented(), known);
}
