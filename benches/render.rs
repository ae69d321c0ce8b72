//! What rendering costs: bundles of 20, 200 and 2,000 objects through YAML and Handlebars, and the same objects through
//! `kubectl kustomize` and `helm template` side by side in the same run, as ratios. Reads `/proc`, so it needs Linux.
//!
//! `BIVOUAC_TEST_HELM=helm BIVOUAC_TEST_KUBECTL=kubectl cargo bench --bench render`; a tool that is not named is left out
//! and said so.

#[path = "common/numbers.rs"]
#[expect(dead_code, reason = "shared with the benchmarks that measure a whole life")]
mod numbers;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bivouac::domain::file_tree::FileTree;
use bivouac::domain::id::{PrNumber, RepoName, Revision};
use bivouac::domain::render_inputs::{ClusterFacts, RenderInputs};
use bivouac::render::confined::{ConfinedTools, ToolSettings};
use bivouac::render::tools::NoTools;
use bivouac::render::{RenderLimits, render};
use clap::Parser;
use numbers::{Sample, cores, float, round, say};
use serde_json::json;
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bundles that are measured, by their objects.
const SIZES: [usize; 3] = [20, 200, 2000];
/// Objects of one file: nobody writes 2,000 into one.
const PER_FILE: usize = 20;

#[derive(Parser)]
struct Args {
    /// Runs of each; the median counts
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// `cargo bench` gives it; without it nothing is measured
    #[arg(long, hide = true)]
    bench: bool,
}

/// How the same objects are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Yaml,
    Handlebars,
    Kustomize,
    Helm,
    /// Helm as `bivouac` runs it: in a confined child, its output read and judged.
    ConfinedHelm,
    /// Kustomize likewise.
    ConfinedKustomize,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Yaml => "YAML",
            Self::Handlebars => "Handlebars",
            Self::Kustomize => "kubectl kustomize",
            Self::Helm => "helm template",
            Self::ConfinedHelm => "Helm by bivouac",
            Self::ConfinedKustomize => "Kustomize by bivouac",
        }
    }

    fn file(self, number: usize) -> String {
        match self {
            Self::Yaml | Self::Kustomize | Self::ConfinedKustomize => {
                format!("deploy/part-{number:03}.yaml")
            }
            Self::Handlebars => format!("deploy/part-{number:03}.yaml.hbs"),
            Self::Helm | Self::ConfinedHelm => format!("deploy/templates/part-{number:03}.yaml"),
        }
    }

    /// How a value of the context is written.
    fn value(self, name: &str, fixed: &str) -> String {
        match self {
            Self::Yaml | Self::Kustomize | Self::ConfinedKustomize => fixed.to_owned(),
            Self::Handlebars => format!("{{{{{name}}}}}"),
            Self::Helm | Self::ConfinedHelm => format!("{{{{ .Values.{name} }}}}"),
        }
    }
}

const REVISION: &str = "0123e4567890abcdef0123456789abcdef012345";

/// A Deployment of the usual length, a ConfigMap, a Service.
fn object(format: Format, number: usize) -> String {
    let sha = format.value("commit.sha", REVISION);
    let host = format.value("env.host", "shop-pr-7.example.com");
    match number % 3 {
        0 => format!(
            "apiVersion: apps/v1
kind: Deployment
metadata:
  name: part-{number}
  labels: {{app: part-{number}, tier: backend}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: part-{number}}}
  template:
    metadata:
      labels: {{app: part-{number}}}
      annotations: {{commit: \"{sha}\"}}
    spec:
      containers:
        - name: app
          image: \"ghcr.io/acme/part:{sha}\"
          ports: [{{name: http, containerPort: 8080}}]
          env:
            - {{name: HOST, value: \"{host}\"}}
            - {{name: LEVEL, value: info}}
          envFrom: [{{configMapRef: {{name: bivouac-env}}}}]
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}}}
          resources:
            requests: {{cpu: 50m, memory: 64Mi}}
            limits: {{memory: 128Mi}}
"
        ),
        1 => format!(
            "apiVersion: v1
kind: ConfigMap
metadata:
  name: part-{number}
data:
  host: \"{host}\"
  commit: \"{sha}\"
  settings.ini: |
    [server]
    port = 8080
    workers = 4
    [log]
    level = info
"
        ),
        _ => format!(
            "apiVersion: v1
kind: Service
metadata:
  name: part-{number}
spec:
  selector: {{app: part-{number}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"
        ),
    }
}

fn tree(format: Format, objects: usize) -> FileTree {
    let mut tree = FileTree::new();
    let mut names = String::new();
    for (file, first) in (0..objects).step_by(PER_FILE).enumerate() {
        let last = (first + PER_FILE).min(objects);
        let parts: Vec<String> = (first..last).map(|number| object(format, number)).collect();
        let path = format.file(file);
        let _ = writeln!(names, "  - {}", path.trim_start_matches("deploy/"));
        tree.insert(path, parts.join("---\n"));
    }
    match format {
        Format::Kustomize | Format::ConfinedKustomize => {
            tree.insert("deploy/kustomization.yaml", format!("resources:\n{names}"));
        }
        Format::Helm | Format::ConfinedHelm => {
            tree.insert("deploy/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
            let values =
                format!("commit: {{sha: \"{REVISION}\"}}\nenv: {{host: shop-pr-7.example.com}}\n");
            tree.insert("deploy/values.yaml", values);
        }
        Format::Yaml | Format::Handlebars => {}
    }
    tree
}

fn inputs() -> Outcome<RenderInputs> {
    Ok(RenderInputs {
        redeploy: None,
        revision: Revision::parse(REVISION)?,
        merge: None,
        repository: RepoName::parse("acme", "shop")?,
        environment: "shop-pr-7".into(),
        namespace: "camp-shop-pr-7-0a1b2c3d".into(),
        host: "shop-pr-7.example.com".into(),
        url: "https://shop-pr-7.example.com".into(),
        pull_request: Some(PrNumber(7)),
        branch_slug: "feature-x".into(),
        cluster: ClusterFacts::default(),
        app_hosts: std::collections::BTreeMap::new(),
        rules: bivouac::domain::render_inputs::RenderRules::default(),
        parameters: std::collections::BTreeMap::new(),
        policy: std::collections::BTreeMap::new(),
    })
}

/// Peak resident memory since the last call, KiB.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    // 5: the kernel forgets the peak (proc_pid_clear_refs(5)).
    let _ = fs::write("/proc/self/clear_refs", "5");
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

struct Figure {
    format: Format,
    objects: usize,
    median: Duration,
    input_bytes: usize,
    peak_kib: Option<u64>,
}

fn median(runs: usize, mut once: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let mut sample = Sample::default();
    once()?;
    for _ in 0..runs {
        let started = Instant::now();
        once()?;
        sample.add(started.elapsed());
    }
    Ok(Duration::from_secs_f64(sample.percentile(50) / 1000.0))
}

/// Our own formats, in process.
fn ours(format: Format, objects: usize, runs: usize) -> Outcome<Figure> {
    let tree = tree(format, objects);
    let inputs = inputs()?;
    let limits =
        RenderLimits { objects: 5000, rendered_bytes: 64 << 20, ..RenderLimits::default() };
    let tools = NoTools::because("this benchmark renders without tools");
    let once = || -> Outcome<()> {
        let rendered = futures::executor::block_on(render(&tree, &inputs, limits, &tools))?;
        let count = rendered.bundle.objects.len();
        if count == objects {
            Ok(())
        } else {
            Err(format!("{count} objects, not {objects}").into())
        }
    };
    peak_kib();
    let median = median(runs, once)?;
    let input_bytes = tree.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Figure { format, objects, median, input_bytes, peak_kib: Some(peak_kib()) })
}

/// The same objects by the tool in a confined child, and through the rest of rendering.
fn confined(format: Format, objects: usize, runs: usize, tool: &OsString) -> Outcome<Figure> {
    let tree = tree(format, objects);
    let inputs = inputs()?;
    let limits =
        RenderLimits { objects: 5000, rendered_bytes: 64 << 20, ..RenderLimits::default() };
    let mut settings = ToolSettings::new(None, std::env::temp_dir());
    settings.own = env!("CARGO_BIN_EXE_bivouac").into();
    match format {
        Format::ConfinedHelm => settings.helm = Some(tool.into()),
        _ => settings.kustomize = Some(tool.into()),
    }
    let tools = ConfinedTools::find(settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let once = || -> Outcome<()> {
        let rendered = runtime.block_on(render(&tree, &inputs, limits, &tools))?;
        let count = rendered.bundle.objects.len();
        if count == objects {
            Ok(())
        } else {
            Err(format!("{count} objects, not {objects}").into())
        }
    };
    let median = median(runs, once)?;
    let input_bytes = tree.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Figure { format, objects, median, input_bytes, peak_kib: None })
}

/// The same objects by the tool, as a person would call it.
fn theirs(format: Format, objects: usize, runs: usize, tool: &OsString) -> Outcome<Figure> {
    let folder = tempfile::tempdir()?;
    let tree = tree(format, objects);
    for (path, bytes) in tree.iter() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        fs::write(path, bytes)?;
    }
    let chart = folder.path().join("deploy");
    let once = || -> Outcome<()> {
        let mut command = Command::new(tool);
        match format {
            Format::Helm => command.args(["template", "shop"]).arg(&chart),
            _ => command.arg("kustomize").arg(&chart),
        };
        let done = command.env("HOME", folder.path()).stderr(Stdio::inherit()).output()?;
        let count = String::from_utf8(done.stdout)?.matches("\nkind: ").count();
        if count == objects {
            Ok(())
        } else {
            Err(format!("{count} objects, not {objects}").into())
        }
    };
    let median = median(runs, once)?;
    let input_bytes = tree.iter().map(|(_, bytes)| bytes.len()).sum();
    Ok(Figure { format, objects, median, input_bytes, peak_kib: None })
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured outside of `cargo bench`");
        return Ok(());
    }
    let mut figures = Vec::new();
    let mut left_out = Vec::new();
    for objects in SIZES {
        for format in [Format::Yaml, Format::Handlebars] {
            figures.push(ours(format, objects, args.runs)?);
        }
        for (format, by_us, name) in [
            (Format::Kustomize, Format::ConfinedKustomize, "BIVOUAC_TEST_KUBECTL"),
            (Format::Helm, Format::ConfinedHelm, "BIVOUAC_TEST_HELM"),
        ] {
            match std::env::var_os(name) {
                Some(tool) => {
                    figures.push(theirs(format, objects, args.runs, &tool)?);
                    figures.push(confined(by_us, objects, args.runs, &tool)?);
                }
                None if objects == SIZES[0] => {
                    left_out.push(format!("{}: {name} names none", format.name()));
                }
                None => {}
            }
        }
    }
    report(&args, &figures, &left_out);
    Ok(())
}

fn report(args: &Args, figures: &[Figure], left_out: &[String]) {
    let times = |figure: &Figure| {
        let of = |format| {
            figures.iter().find(|other| other.format == format && other.objects == figure.objects)
        };
        let ratio = |other: &Figure| other.median.as_secs_f64() / figure.median.as_secs_f64();
        (of(Format::Kustomize).map(ratio), of(Format::Helm).map(ratio))
    };
    if args.json {
        let rows: Vec<_> = figures
            .iter()
            .map(|figure| {
                let (kustomize, helm) = times(figure);
                json!({
                    "format": figure.format.name(),
                    "objects": figure.objects,
                    "medianMs": round(figure.median.as_secs_f64() * 1000.0),
                    "peakKiB": figure.peak_kib,
                    "kustomizeTakesTimes": kustomize.map(round),
                    "helmTakesTimes": helm.map(round),
                })
            })
            .collect();
        say(&json!({"runs": args.runs, "cores": cores(), "rows": rows, "leftOut": left_out})
            .to_string());
        return;
    }
    say(&format!("{} runs of each, {} cores; medians", args.runs, cores()));
    say("| objects | as | ms | objects/s | MB/s | peak MiB | kustomize takes | helm takes |");
    say("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for figure in figures {
        let seconds = figure.median.as_secs_f64();
        let (kustomize, helm) = times(figure);
        let factor =
            |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.1} ×"));
        let peak = figure.peak_kib.map_or("–".to_owned(), |kib| (kib / 1024).to_string());
        say(&format!(
            "| {} | {} | {:.2} | {:.0} | {:.1} | {peak} | {} | {} |",
            figure.objects,
            figure.format.name(),
            seconds * 1000.0,
            float(figure.objects) / seconds,
            float(figure.input_bytes) / seconds / 1e6,
            factor(kustomize),
            factor(helm),
        ));
    }
    for line in left_out {
        say(&format!("left out: {line}"));
    }
}
