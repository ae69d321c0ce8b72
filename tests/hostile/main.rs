//! Hostile repositories: each is made of real git objects, rendered by the real program, and must end with the recorded
//! words: nothing read outside the commit, no process left behind, in bounded time and memory.
//!
//! The recorded words are in `tests/golden/hostile/`; `BIVOUAC_REGENERATE=1` writes them anew. Cases that need `helm` or
//! `kubectl` run when `BIVOUAC_TEST_HELM` or `BIVOUAC_TEST_KUBECTL` name one, and are listed as not run otherwise.

mod git_objects;
mod helm_charts;
mod manifests;
mod overlays;
mod preview_files;
mod repo;
mod templates;
mod yaml;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gix::ObjectId;
use repo::Repo;
use tokio::time::Instant;

/// A secret of the machine, put where hostile paths point to. It may never be seen in any output.
const CANARY: &str = "CANARY-7f3a9c";
/// No case may take longer: a renderer's own limit is set to less.
const TIME: Duration = Duration::from_secs(30);
/// Peak resident memory of the program itself, KiB. Idle it takes some 15 MiB.
const MEMORY_KIB: u64 = 300 << 10;
/// What a renderer may take, MiB: its watchdog is told so.
const RENDERER_MIB: u64 = 256;
/// Peak resident memory of all children together, KiB. The watchdog looks every few milliseconds, so they get beyond
/// their limit before it sees that.
const CHILDREN_KIB: u64 = (RENDERER_MIB + 200) << 10;
/// Issue 5 asks for so many.
const CASES: usize = 60;
/// What no output may hold: the canary and the one in a hostile file, the machine's users, its devices.
const SECRETS: [&str; 3] = ["CANARY", "root:x:0", "hunter2"];
/// What a program that breaks out is told to write.
const OWNED: &str = "/tmp/owned";

/// What a case needs besides the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// A `helm` binary.
    Helm,
    /// A `kubectl` binary, for Kustomize.
    Kubectl,
}

/// One hostile repository.
pub(crate) struct Case {
    name: &'static str,
    needs: Needs,
    build: Box<dyn Fn(&Repo) -> ObjectId>,
}

/// A case that is made of plain files.
pub(crate) fn files(name: &'static str, files: &[(&str, &str)]) -> Case {
    let files: Vec<(String, String)> =
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    case(name, move |repo| {
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let tree = repo.files(&files, Vec::new());
        repo.commit(tree)
    })
}

/// A case that writes its own objects and answers the commit.
pub(crate) fn case(name: &'static str, build: impl Fn(&Repo) -> ObjectId + 'static) -> Case {
    Case { name, needs: Needs::Nothing, build: Box::new(build) }
}

/// One text of many lines, each made from its number.
pub(crate) fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |text, number| text + &line(number))
}

/// What the program did.
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
    peak: Peak,
    took: Duration,
}

/// Most resident memory that was seen, KiB.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    program: u64,
    children: u64,
}

/// One folder for everything a case has: `repo.git`, the program's scratch folder, and the canary around them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["secret.txt", "secret.yaml", "scratch/secret.txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, format!("{CANARY}\n")).expect("written");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, revision: ObjectId) -> Outcome {
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bivouac"));
        command
            .args(["render", "--revision", &revision.to_string(), "--pr", "7"])
            .args(["--repository"])
            .arg(
                Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/fixtures/hostile-repository.yaml"),
            )
            .args(["-o", "json"])
            .arg(self.path("repo.git"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NO_COLOR", "1")
            .env("HOME", self.path("scratch"))
            .env("BIVOUAC_RENDER_DIR", self.path("scratch"))
            .env("BIVOUAC_RENDER_MEMORY", RENDERER_MIB.to_string())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).expect("made"))
            .stderr(fs::File::create(&err).expect("made"));
        for (from, to) in
            [("BIVOUAC_TEST_HELM", "BIVOUAC_HELM"), ("BIVOUAC_TEST_KUBECTL", "BIVOUAC_KUSTOMIZE")]
        {
            if let Some(tool) = std::env::var_os(from) {
                command.env(to, tool);
            }
        }
        let started = Instant::now();
        let mut child = command.spawn().expect("started");
        let (code, peak) = watch(&mut child, started);
        let read =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned();
        Outcome { code, out: read(&out), err: read(&err), peak, took: started.elapsed() }
    }

    /// Command lines of processes that name this place.
    fn left_behind(&self) -> Vec<String> {
        let mark = self.folder.path().display().to_string();
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            let at = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if words.contains(&mark) || at.starts_with(self.folder.path()) {
                left.push(words);
            }
        }
        left
    }
}

/// Waits for the end and takes the peak memory on the way: the kernel forgets it with the process.
fn watch(child: &mut Child, started: Instant) -> (Option<i32>, Peak) {
    let mut peak = Peak::default();
    loop {
        peak.program = peak.program.max(status_of(child.id(), "VmHWM:"));
        let children = descendants(child.id());
        let together = children.into_iter().map(|id| status_of(id, "VmRSS:")).sum();
        peak.children = peak.children.max(together);
        if let Some(status) = child.try_wait().expect("waited") {
            return (status.code(), peak);
        }
        if started.elapsed() > TIME {
            child.kill().expect("killed");
            child.wait().expect("waited");
            return (None, peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A figure of a process; none when it has ended.
fn status_of(id: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0)
}

/// Children and theirs, whichever thread started them.
fn descendants(id: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { continue };
        for thread in threads.flatten() {
            let ids = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let ids: Vec<u32> = ids.split_whitespace().filter_map(|id| id.parse().ok()).collect();
            open.extend(&ids);
            all.extend(ids);
        }
    }
    all
}

/// The data of few and small objects: what a hostile file got hold of would be in there.
fn short(out: &str) -> String {
    const MOST: usize = 300;
    let list: serde_json::Value = serde_json::from_str(out).unwrap_or_default();
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let text = items.iter().fold(String::new(), |text, item| format!("{text}\n{item}"));
    if text.len() > MOST { format!("\n({} bytes)", text.len()) } else { text }
}

/// How many objects a JSON list has.
fn objects(out: &str) -> usize {
    let list: serde_json::Value = serde_json::from_str(out).unwrap_or_default();
    list["items"].as_array().map_or(0, Vec::len)
}

/// What can command a terminal, or turn the order of what people read.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Runs `cases` and compares what they said with the recorded words.
#[expect(clippy::print_stdout, reason = "what was not run is said where tests say things")]
fn judge(golden: &str, cases: &[Case]) {
    let mut text = String::new();
    let mut harm = Vec::new();
    let mut not_run = Vec::new();
    for case in cases {
        let tool = match case.needs {
            Needs::Nothing => None,
            Needs::Helm => Some("BIVOUAC_TEST_HELM"),
            Needs::Kubectl => Some("BIVOUAC_TEST_KUBECTL"),
        };
        if let Some(tool) = tool.filter(|tool| std::env::var_os(tool).is_none()) {
            not_run.push(format!("{} (needs {tool})", case.name));
            continue;
        }
        let place = Place::new();
        let repo = Repo::new(&place.path("repo.git"));
        let revision = (case.build)(&repo);
        let outcome = place.run(revision);
        let Outcome { code, out, err, peak, took } = outcome;
        let leaks = |secret: &&str| out.contains(secret) || err.contains(secret);
        for (what, wrong) in [
            ("did not end in time", code.is_none()),
            ("took too much memory", peak.program > MEMORY_KIB),
            ("let children take too much memory", peak.children > CHILDREN_KIB),
            ("let a secret out", SECRETS.iter().any(leaks)),
            ("ran something of the repository", Path::new(OWNED).exists()),
            (
                "did not even try",
                err.contains("renderer-unavailable")
                    || (code == Some(2) && !err.contains("names no commit")),
            ),
            ("said nothing", err.is_empty() && code != Some(0)),
            ("printed what it refused", !out.is_empty() && code != Some(0)),
            ("panicked", code == Some(101) || err.contains("panicked")),
            ("wrote control characters", err.chars().any(|c| is_odd(c) && c != '\n')),
        ] {
            if wrong {
                harm.push(format!("{}: {what} ({took:?}, {peak:?} KiB)\n{err}", case.name));
            }
        }
        for process in place.left_behind() {
            harm.push(format!("{}: left a process: {process}", case.name));
        }
        let scratch = fs::read_dir(place.path("scratch")).expect("read").count();
        if scratch != 1 {
            harm.push(format!("{}: left {scratch} files in the scratch folder", case.name));
        }
        let code = code.map_or("none".to_owned(), |code| code.to_string());
        let mark = place.folder.path().display().to_string();
        let err = err.replace(&mark, "PLACE").replace(&revision.to_string(), "REVISION");
        let objects = objects(&out);
        let _ = writeln!(
            text,
            "== {}: exit {code}, {objects} objects\n{}{}\n",
            case.name,
            err.trim_end(),
            short(&out)
        );
        println!("{}: {took:?}, {peak:?} KiB", case.name);
    }
    if !not_run.is_empty() {
        println!("not run:\n  {}", not_run.join("\n  "));
        assert!(harm.is_empty(), "{}", harm.join("\n\n"));
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/hostile").join(golden);
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, &text).expect("written");
    }
    assert!(harm.is_empty(), "{}", harm.join("\n\n"));
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{} differs; BIVOUAC_REGENERATE=1 writes it", path.display());
}

#[test]
fn git_objects_that_no_honest_client_writes() {
    judge("git-objects.txt", &git_objects::cases());
}

#[test]
fn yaml_that_wants_to_break_the_reader() {
    judge("yaml.txt", &yaml::cases());
}

#[test]
fn templates_that_want_to_run_for_ever() {
    judge("templates.txt", &templates::cases());
}

#[test]
fn preview_files_that_want_out() {
    judge("preview-files.txt", &preview_files::cases());
}

#[test]
fn manifests_that_want_the_cluster() {
    judge("manifests.txt", &manifests::cases());
}

#[test]
fn overlays_that_want_the_network_or_the_machine() {
    judge("overlays.txt", &overlays::cases());
}

#[test]
fn charts_that_want_the_network_or_the_machine() {
    judge("charts.txt", &helm_charts::cases());
}

#[test]
fn there_are_enough_of_them_and_each_has_a_name_of_its_own() {
    let groups = [
        git_objects::cases(),
        yaml::cases(),
        templates::cases(),
        preview_files::cases(),
        manifests::cases(),
        overlays::cases(),
        helm_charts::cases(),
    ];
    for group in &groups {
        let names: BTreeSet<&str> = group.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), group.len(), "{names:?}");
    }
    let without_tools = groups.iter().flatten().filter(|case| case.needs == Needs::Nothing).count();
    assert!(without_tools >= CASES, "{without_tools} cases");
}

/// What the cases above must not be able to do: the same checks, on a program that does all of it.
#[test]
fn the_checks_can_fail() {
    let place = Place::new();
    let mut child =
        Command::new("sleep").arg("60").current_dir(place.folder.path()).spawn().expect("started");
    // Between fork and exec it has no words yet.
    while status_of(child.id(), "VmRSS:") == 0 || place.left_behind() == [""] {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(place.left_behind(), ["sleep 60 "]);
    assert!(descendants(std::process::id()).contains(&child.id()));
    assert!(status_of(child.id(), "VmRSS:") > 0);
    child.kill().expect("killed");
    child.wait().expect("waited");
    assert_eq!(place.left_behind(), Vec::<String>::new());
}
