//! What the pure stages cost, in time per call, and how that grows from 10 to 100 objects. No I/O but the report.
//!
//! `cargo bench --bench pure`

#[path = "common/numbers.rs"]
#[expect(dead_code, reason = "shared with the benchmarks that measure a whole life")]
mod numbers;
#[path = "common/preview.rs"]
mod preview;

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Duration;

use bivouac::domain::bundle::Bundle;
use bivouac::domain::decision::{Camp, Situation, SourceKind, Want, decide};
use bivouac::domain::file_tree::FileTree;
use bivouac::domain::guard::{GuardPolicy, guard};
use bivouac::domain::id::{InvalidId, PrNumber, RepoName, Revision};
use bivouac::domain::lifetime::By;
use bivouac::domain::naming::{Instance, Label, environment_name, host_label, namespace_name};
use bivouac::domain::policy::Forks;
use bivouac::domain::pull_request::State;
use bivouac::domain::render_inputs::{ClusterFacts, RenderInputs, RenderRules};
use bivouac::render::tools::NoTools;
use bivouac::render::{RenderError, RenderLimits, Rendered};
use chrono::DateTime;
use criterion::{BenchmarkId, Criterion};
use tokio::time::Instant;

/// Without charts and overlays nothing is awaited.
fn render(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
) -> Result<Rendered, RenderError> {
    let tools = NoTools::because("this benchmark renders without tools");
    futures::executor::block_on(bivouac::render::render(tree, inputs, limits, &tools))
}

/// The sizes that are compared.
const FEW: usize = 10;
const MANY: usize = 100;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The best time per call of each stage and size: of all samples the one that other processes disturbed least.
#[derive(Default)]
struct Best(BTreeMap<(&'static str, usize), Duration>);

impl Best {
    /// Measures `work` by criterion, and keeps the best of its samples too.
    fn measure<T>(
        &mut self,
        criterion: &mut Criterion,
        stage: &'static str,
        size: usize,
        mut work: impl FnMut() -> T,
    ) {
        let mut group = criterion.benchmark_group(stage);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|times| {
                let began = Instant::now();
                for _ in 0..times {
                    black_box(work());
                }
                let took = began.elapsed();
                let each = took / u32::try_from(times).unwrap_or(u32::MAX).max(1);
                let best = self.0.entry((stage, size)).or_insert(each);
                *best = each.min(*best);
                took
            });
        });
        group.finish();
    }

    fn report(&self) {
        numbers::say(&format!(
            "{:<28} {:>12} {:>12} {:>8}",
            "best time per call, µs", FEW, MANY, "ratio"
        ));
        let stages: BTreeSet<&str> = self.0.keys().map(|(stage, _)| *stage).collect();
        for stage in stages {
            let at = |size: usize| self.0.get(&(stage, size)).map(|best| best.as_secs_f64() * 1e6);
            if let (Some(few), Some(many)) = (at(FEW), at(MANY)) {
                numbers::say(&format!("{stage:<28} {few:>12.1} {many:>12.1} {:>8.1}", many / few));
            } else {
                numbers::say(&format!("{stage:<28} {:>12.2}", at(1).unwrap_or(f64::NAN)));
            }
        }
    }
}

fn inputs() -> Result<RenderInputs, InvalidId> {
    Ok(RenderInputs {
        revision: Revision::parse("0123456789abcdef0123456789abcdef01234567")?,
        merge: None,
        repository: RepoName::parse("acme", "campfire")?,
        environment: "campfire-pr-7".into(),
        namespace: "camp-campfire-pr-7-01234567".into(),
        host: "campfire-pr-7.preview.example.com".into(),
        url: "https://campfire-pr-7.preview.example.com".into(),
        app_hosts: BTreeMap::new(),
        pull_request: Some(PrNumber(7)),
        branch_slug: "sparks".into(),
        parameters: BTreeMap::new(),
        rules: RenderRules::default(),
        policy: BTreeMap::new(),
        cluster: ClusterFacts::default(),
        redeploy: None,
    })
}

fn tree(files: BTreeMap<String, String>) -> FileTree {
    let mut tree = FileTree::new();
    for (path, text) in files {
        tree.insert(path, text);
    }
    tree
}

/// The same documents with all settings in one template.
fn in_one_file(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (path, text) in files {
        let path =
            if path.contains("/settings-") { "deploy/preview/settings.yaml.hbs" } else { path };
        joined.entry(path.to_owned()).or_default().push_str(text);
    }
    joined
}

/// The same documents without templates.
fn filled(files: &BTreeMap<String, String>, inputs: &RenderInputs) -> BTreeMap<String, String> {
    let variables = [
        ("{{commit.sha}}", inputs.revision.as_str()),
        ("{{commit.short}}", inputs.revision.short()),
        ("{{env.url}}", &inputs.url),
        ("{{env.host}}", &inputs.host),
        ("{{env.name}}", &inputs.environment),
        ("{{branch.slug}}", &inputs.branch_slug),
        ("{{pr.number}}", "7"),
    ];
    let filled = files.iter().map(|(path, text)| {
        let text =
            variables.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value));
        (path.trim_end_matches(".hbs").to_owned(), text)
    });
    filled.collect()
}

/// The template that takes longest of those that are allowed: as many bytes and expressions as may be, and the
/// expressions at the end.
fn worst() -> BTreeMap<String, String> {
    let mut text = "# padding\n".repeat(24_000);
    text.push_str("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: worst}\ndata:\n");
    for number in 0..990 {
        text.push_str("  k");
        text.push_str(&number.to_string());
        text.push_str(": {{env.name}}\n");
    }
    BTreeMap::from([("deploy/preview/worst.yaml.hbs".to_owned(), text)])
}

fn policy(inputs: &RenderInputs) -> GuardPolicy {
    GuardPolicy::new(&inputs.namespace, std::slice::from_ref(&inputs.host))
}

fn situation() -> Situation {
    Situation {
        record_deleted: false,
        source: State::Open,
        kind: SourceKind::PullRequest,
        ends_by: By::Ttl,
        room: None,
        want: Want::Auto,
        expires_at: Some(DateTime::UNIX_EPOCH + chrono::Duration::hours(72)),
        expired: false,
        conflict: None,
        pin: None,
        untrusted: Some("its head is in another repository".into()),
        approved: true,
        forks: Forks::Approve,
        selected: Ok(()),
    }
}

fn main() -> Outcome {
    // Enough for ratios; the absolute figures are the machine's.
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut best = Best::default();
    let inputs = inputs()?;
    let policy = policy(&inputs);
    for size in [FEW, MANY] {
        let files = preview::preview(size);
        let forms = [
            ("render, templates", files.clone()),
            ("render, one template", in_one_file(&files)),
            ("render, plain YAML", filled(&files, &inputs)),
        ];
        for (stage, files) in forms {
            let tree = tree(files);
            // A benchmark of something else than it says would go unnoticed.
            let objects = render(&tree, &inputs, RenderLimits::default())?.bundle.objects.len();
            assert_eq!(objects, size, "{stage}: the preview is to render so many objects");
            best.measure(&mut criterion, stage, size, || {
                render(&tree, &inputs, RenderLimits::default())
            });
        }
        let bundle = render(&tree(files), &inputs, RenderLimits::default())?.bundle;
        assert!(guard(&bundle, &policy).is_empty(), "the guard is to find nothing");
        best.measure(&mut criterion, "guard", size, || guard(&bundle, &policy));
        best.measure(&mut criterion, "canonical digest", size, || {
            Bundle::new(bundle.objects.clone(), bundle.inputs_digest.clone())
        });
        best.measure(&mut criterion, "canonical JSON", size, || bundle.canonical());
    }
    let worst = tree(worst());
    render(&worst, &inputs, RenderLimits::default())?;
    best.measure(&mut criterion, "render, worst template", 1, || {
        render(&worst, &inputs, RenderLimits::default())
    });
    let situation = situation();
    best.measure(&mut criterion, "decision", 1, || {
        decide(&situation, Camp::Standing, DateTime::UNIX_EPOCH)
    });
    best.measure(&mut criterion, "inputs digest", 1, || inputs.inputs_digest());
    let instance = Instance {
        name: Label::parse("bivouac").ok_or("the instance's name is a label")?,
        own_namespace: "bivouac-system".into(),
        target: "in-cluster".into(),
        namespace_prefix: "camp-".into(),
    };
    let long = "a-repository-whose-name-is-longer-than-any-label-of-the-domain-name-system-may-be";
    for (stage, repository) in [("names", "campfire"), ("names, hashed", long)] {
        best.measure(&mut criterion, stage, 1, || {
            let environment = environment_name(black_box(repository), PrNumber(7));
            let namespace = namespace_name(&instance, environment.as_str());
            let host = host_label(environment.as_str(), Some("web"));
            (environment, namespace, host)
        });
    }
    criterion.final_summary();
    best.report();
    Ok(())
}
