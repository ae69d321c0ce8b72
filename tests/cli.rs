//! `render`, `check` and `schema` as people call them: the program, real git repositories, no network.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const WEB: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: nginx:1.29
";
const ROUTE: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
spec:
  rules:
    - host: \"{{env.host}}\"
      http:
        paths:
          - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: about}
data:
  commit: \"{{commit.sha}}\"
  branch: \"{{branch.slug}}\"
  text: |
    two
    lines: 0755
";
const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {token: hunter2}
";
const PREVIEW: &str = "apps:\n  - name: web\n    path: deploy\n";

/// A git repository of its own, with one identity and one date, so that hashes are the same everywhere.
struct Repo {
    folder: TempDir,
}

impl Repo {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("shop").tempdir().expect("a folder");
        let repo = Self { folder };
        fs::create_dir(repo.path()).expect("made");
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self::new();
        repo.commit(files);
        repo
    }

    fn shop() -> Self {
        Self::with(&[
            (".bivouac.yaml", PREVIEW),
            ("deploy/web.yaml", WEB),
            ("deploy/route.yaml.hbs", ROUTE),
            ("deploy/secret.yaml", SECRET),
        ])
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs([
                ("HOME", "/nonexistent"),
                ("GIT_CONFIG_NOSYSTEM", "1"),
                ("GIT_AUTHOR_NAME", "A"),
                ("GIT_AUTHOR_EMAIL", "a@example.com"),
                ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
                ("GIT_COMMITTER_NAME", "A"),
                ("GIT_COMMITTER_EMAIL", "a@example.com"),
                ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
            ])
            .output()
            .expect("git runs");
        assert!(
            done.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            self.write(path, text);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(command(arguments).current_dir(self.path()).output())
    }
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn fails(self, code: i32, wanted: &str) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(self.err.contains(wanted), "{wanted:?} is not in\n{}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.out
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bivouac"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn ran(output: std::io::Result<Output>) -> Ran {
    let Output { status, stdout, stderr } = output.expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: status.code(), out: text(&stdout), err: text(&stderr) }
}

/// Compares with a golden file; `BIVOUAC_GOLDEN=write` writes it.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli").join(name);
    #[expect(clippy::disallowed_methods, reason = "only this test's switch, not a setting")]
    if std::env::var("BIVOUAC_GOLDEN").is_ok() {
        fs::write(&path, text).expect("written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{}", path.display());
}

#[test]
fn render_prints_what_is_applied_in_each_format() {
    let repo = Repo::shop();
    golden("render.yaml", &repo.run(&["render"]).ok());
    golden("render.json", &repo.run(&["render", "-o", "json"]).ok());
    golden("render.digest", &repo.run(&["render", "-o", "digest"]).ok());
    golden("render-all.yaml", &repo.run(&["render", "--all"]).ok());
    golden("render.stderr", &repo.run(&["render"]).err);
}

#[test]
fn the_digest_is_the_hash_of_the_list_in_canonical_form() {
    let repo = Repo::shop();
    let list: Value =
        serde_json::from_str(&repo.run(&["render", "-o", "json"]).ok()).expect("JSON");
    let mut text = String::new();
    for item in list["items"].as_array().expect("a list") {
        text.push_str(&bivouac::domain::bundle::canonical_json(item));
        text.push('\n');
    }
    let digest = bivouac::domain::bundle::sha256_hex(text.as_bytes());
    assert_eq!(repo.run(&["render", "-o", "digest"]).ok().trim(), digest);
}

#[test]
fn the_commit_decides_and_not_what_lies_on_disk() {
    let repo = Repo::shop();
    let before = repo.run(&["render"]).ok();
    repo.write("deploy/web.yaml", "not even YAML: [");
    repo.write("deploy/new.yaml", "kind: [\n");
    repo.git(&["add", "deploy/new.yaml"]);
    fs::remove_file(repo.path().join("deploy/secret.yaml")).expect("removed");
    fs::remove_file(repo.path().join(".bivouac.yaml")).expect("removed");
    assert_eq!(repo.run(&["render"]).ok(), before);
    repo.run(&["render", "--worktree"]).fails(1, "deploy/new.yaml:2:1: error BR001 yaml: ");
    repo.write("deploy/new.yaml", "");
    repo.write("deploy/web.yaml", WEB);
    let on_disk = repo.run(&["render", "--worktree"]).ok();
    assert!(on_disk.contains("kind: Deployment") && !on_disk.contains("kind: Secret"), "{on_disk}");
}

#[test]
fn a_commit_has_many_names() {
    let repo = Repo::shop();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["tag", "--annotate", "--message=x", "v1"]);
    repo.git(&["switch", "--quiet", "--create", "Fix/Cart"]);
    let second = repo.commit(&[("deploy/web.yaml", &WEB.replace("1.29", "1.30"))]);
    let digest = |arguments: &[&str]| {
        let all = [&["render", "-o", "digest", "--branch", "x"], arguments].concat();
        repo.run(&all).ok()
    };
    let (one, two) = (digest(&["--revision", &first]), digest(&["--revision", &second]));
    assert_ne!(one, two);
    for name in ["v1", "main", "HEAD~1", "refs/heads/main", &first[..7], &first.to_uppercase()] {
        assert_eq!(digest(&["--revision", name]), one, "{name}");
    }
    for name in ["HEAD", "@", "Fix/Cart", "v1^0~0"] {
        let wanted = if name.starts_with("v1") { &one } else { &two };
        assert_eq!(&digest(&["--revision", name]), wanted, "{name}");
    }
    let rendered = repo.run(&["render"]).ok();
    assert!(rendered.contains("branch: fix-cart\n"), "{rendered}");
}

#[test]
fn a_folder_below_the_root_a_bare_repository_and_a_second_work_tree_are_the_same_repository() {
    let repo = Repo::shop();
    let wanted = repo.run(&["render", "-o", "digest"]).ok();
    for path in ["deploy", "deploy/web.yaml", "."] {
        assert_eq!(repo.run(&["render", "-o", "digest", path]).ok(), wanted, "{path}");
    }
    repo.git(&["clone", "--quiet", "--bare", ".", "../bare/shop.git"]);
    let bare = repo.folder.path().join("bare/shop.git").display().to_string();
    assert_eq!(repo.run(&["render", "-o", "digest", &bare]).ok(), wanted);
    repo.run(&["render", "--worktree", &bare]).fails(2, "a bare repository has no work tree");
    repo.run(&["check", &bare]).ok();
    repo.git(&["worktree", "add", "--quiet", "--detach", "../linked/shop"]);
    let linked = repo.folder.path().join("linked/shop").display().to_string();
    assert_eq!(repo.run(&["render", "-o", "digest", "--branch", "main", &linked]).ok(), wanted);
    repo.run(&["check", &linked]).ok();
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    let repo = Repo::shop();
    let outside = tempfile::tempdir().expect("a folder");
    let outside = outside.path().display().to_string();
    for (arguments, wanted) in [
        (&["render", outside.as_str()][..], "is not in a git repository"),
        (&["check", outside.as_str()], "is not in a git repository"),
        (&["render", "/no/such/folder"], "is not in a git repository"),
        (&["render", "--revision", "nope"], "\"nope\" names no commit in"),
        (&["render", "--revision", "HEAD^{tree}"], "names no commit in"),
        (
            &["render", "--revision", "0000000000000000000000000000000000000000"],
            "names no commit in",
        ),
        (&["render", "--diff", "nope"], "\"nope\" names no commit in"),
        (&["check", "--revision", "nope"], "\"nope\" names no commit in"),
        (&["render", "--param", "x"], "write KEY=VALUE"),
        (&["render", "--param", "x=1", "--param", "x=2"], "--param x was given twice"),
        (&["render", "--env", "Not_A_Label"], "--env must be lower-case letters"),
        (&["render", "--pr", "0"], "invalid value '0'"),
        (&["render", "-o", "digest", "--all"], "leave --all and --diff out"),
        (&["render", "--worktree", "--revision", "HEAD"], "cannot be used with"),
        (&["render", "--exit-code"], "--diff"),
        (&["render", "-o", "xml"], "invalid value 'xml'"),
        (&["render", "--repository", "no-such.yaml"], "failed to read no-such.yaml"),
        (
            &["render", "--repository", "deploy/web.yaml"],
            "there is no Repository of bivouac.dev in it",
        ),
        (&["check", "--docs-url", "javascript:x"], "write a URL that begins with https://"),
    ] {
        let out = repo.run(arguments).fails(2, wanted);
        assert_eq!(out, "", "{arguments:?}");
    }
    Repo::new().run(&["render"]).fails(2, "has no commit yet");
}

#[test]
fn what_is_refused_is_not_printed() {
    let open = "apiVersion: v1\nkind: Service\nmetadata: {name: open}\nspec:\n  type: NodePort\n";
    let repo = Repo::with(&[(".bivouac.yaml", PREVIEW), ("deploy/open.yaml", open)]);
    for output in ["yaml", "json", "digest"] {
        let out = repo
            .run(&["render", "-o", output])
            .fails(1, "deploy/open.yaml:5:3: error BV005 service-exposure: ");
        assert_eq!(out, "");
    }
    repo.commit(&[("deploy/open.yaml", "kind: [\n")]);
    let out = repo.run(&["render"]).fails(1, "deploy/open.yaml:2:1: error BR001 yaml: ");
    assert_eq!(out, "");
    std::os::unix::fs::symlink("/etc/passwd", repo.path().join("deploy/link.yaml")).expect("made");
    for arguments in [&["render", "--worktree"][..], &["check"]] {
        let ran = repo.run(arguments);
        assert_eq!(ran.code, Some(1));
        let all = ran.out + &ran.err;
        assert!(
            all.contains("deploy/link.yaml: error BR011 source-refused: this is a symbolic link"),
            "{all}"
        );
    }
    repo.commit(&[]);
    repo.run(&["render"])
        .fails(1, "deploy/link.yaml: error BR011 source-refused: this is a symbolic link");
}

#[test]
fn a_repository_manifest_gives_policy_and_names() {
    let repo = Repo::shop();
    let manifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: github}\n---\napiVersion: bivouac.dev/v1alpha1\nkind: Repository\n\
                    metadata: {name: web-shop}\nspec:\n  forge: {github: {owner: acme, name: shop, credentials: {secretName: github}}}\n  \
                    url: {host: preview.example.com}\n  limits: {objects: 2}\n";
    repo.write("repository.yaml", manifest);
    let ran = repo.run(&["render", "--repository", "repository.yaml", "--pr", "7"]);
    ran.fails(1, "error BR007 render-limit: more than 2 objects are rendered");
    repo.write("repository.yaml", &manifest.replace("objects: 2", "objects: 20"));
    let out = repo.run(&["render", "--repository", "repository.yaml", "--pr", "7"]).ok();
    assert!(out.contains("- host: web-shop-pr-7.preview.example.com\n"), "{out}");
    repo.write("repository.yaml", &manifest.replace("objects: 2", "objekts: 2"));
    repo.run(&["render", "--repository", "repository.yaml"])
        .fails(2, "--repository repository.yaml:11: unknown field spec.limits.objekts");
    repo.write("repository.yaml", &manifest.replace("objects: 2", "objects: many"));
    repo.run(&["render", "--repository", "repository.yaml"]).fails(
        2,
        "--repository repository.yaml:11: spec.limits.objects: invalid type: string \"many\", expected i32",
    );
    repo.write(
        "repository.yaml",
        &manifest.replace(
            "objects: 2}",
            "objects: 2}\n  isolation:\n    allowedKinds:\n    - Pod\n    - [x]",
        ),
    );
    repo.run(&["render", "--repository", "repository.yaml"]).fails(
        2,
        "--repository repository.yaml:15: spec.isolation.allowedKinds[1]: invalid type: sequence, expected a string",
    );
    repo.write("repository.yaml", &manifest.replace("host: preview.example.com", "port: 1"));
    repo.run(&["render", "--repository", "repository.yaml"]).fails(2, "missing field `host`");
}

#[test]
fn diff_tells_what_changed_and_no_secret() {
    let repo = Repo::shop();
    repo.git(&["tag", "before"]);
    repo.commit(&[
        ("deploy/web.yaml", &WEB.replace("replicas: 1", "replicas: 2").replace("1.29", "1.30")),
        ("deploy/secret.yaml", &SECRET.replace("hunter2", "hunter3")),
        (
            "deploy/more.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
        ),
    ]);
    let diff = &["render", "--diff", "before", "--branch", "x"];
    golden("diff.txt", &repo.run(diff).ok());
    let json = repo.run(&[&diff[..], &["-o", "json"]].concat()).ok();
    golden("diff.json", &json);
    assert!(!json.contains("hunter"), "{json}");
    assert_eq!(repo.run(&[&diff[..], &["--exit-code"]].concat()).code, Some(3));
    let same = repo.run(&["render", "--diff", "HEAD", "--exit-code"]).ok();
    assert_eq!(same, "0 added, 0 changed, 0 removed, 5 unchanged\n");
    repo.write("deploy/secret.yaml", SECRET);
    let disk = repo.run(&["render", "--diff", "HEAD", "--worktree"]).ok();
    let wanted = "~ Secret/key  (deploy/secret.yaml:1)\n    /stringData/token: (hidden) → (hidden)\n0 added, 1 changed, 0 removed, 4 unchanged\n";
    assert_eq!(disk, wanted);
}

#[test]
fn diff_with_a_commit_before_there_was_a_preview() {
    let repo = Repo::with(&[("README.md", "x")]);
    repo.git(&["tag", "before"]);
    repo.commit(&[(".bivouac.yaml", PREVIEW), ("deploy/web.yaml", WEB)]);
    let ran = repo.run(&["render", "--diff", "before"]);
    assert!(ran.err.contains("(before) has no preview\n"), "{}", ran.err);
    assert_eq!(
        ran.ok(),
        "+ Deployment/web  (deploy/web.yaml:1)\n1 added, 0 changed, 0 removed, 0 unchanged\n"
    );
}

fn wrong() -> Repo {
    Repo::with(&[
        (".bivouac.yaml", "apps:\n  - name: web\n    path: deploy\nlifetme: {ttl: 1h}\n"),
        (
            "deploy/a.yaml",
            "kind: ConfigMap\n---\napiVersion: v1\nkind: Service\nmetadata: {name: open}\nspec: {selector: {app: web}, type: NodePort}\n",
        ),
        ("deploy/b, c.yaml.hbs", "a: {{pr.titel}}\n"),
    ])
}

#[test]
fn check_tells_everything_in_each_format() {
    let repo = wrong();
    for (output, name) in [
        ("text", "check.txt"),
        ("json", "check.json"),
        ("github", "check.github"),
        ("sarif", "check.sarif"),
    ] {
        let ran = repo.run(&[
            "check",
            "-o",
            output,
            "--revision",
            "HEAD",
            "--docs-url",
            "https://docs.example.com",
        ]);
        assert_eq!(ran.code, Some(1), "{}", ran.err);
        golden(name, &ran.out);
    }
    let said = repo.run(&["check"]).err;
    assert!(
        said.ends_with("4 errors, 0 warnings in the work tree; 1 object that could be rendered\n"),
        "{said}"
    );
}

#[test]
fn check_ends_with_0_when_there_are_warnings_only() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: {{branch.slug}}}\n";
    let repo = Repo::with(&[(".bivouac.yaml", PREVIEW), ("deploy/a.yaml.hbs", map)]);
    let ran = repo.run(&["check"]);
    assert!(ran.err.ends_with("0 errors, 1 warning in the work tree; 1 object\n"), "{}", ran.err);
    let out = ran.ok();
    assert!(out.starts_with("deploy/a.yaml.hbs:4:11: warning BR101 unquoted-value: "), "{out}");
    repo.commit(&[("deploy/a.yaml.hbs", &map.replace("{{branch.slug}}", "\"{{branch.slug}}\""))]);
    assert_eq!(repo.run(&["check"]).ok(), "");
}

#[test]
fn check_looks_at_the_disk_unless_told_otherwise() {
    let repo = Repo::shop();
    repo.write("deploy/web.yaml", "kind: [");
    repo.run(&["check"]).fails(1, "1 error");
    repo.run(&["check", "--revision", "HEAD"]).ok();
    let fresh = Repo::new();
    fresh.write("deploy/web.yaml", WEB);
    fresh.run(&["check"]).ok();
}

#[test]
fn the_schema_in_docs_is_the_one_of_this_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/preview-file.schema.json");
    let now = ran(command(&["schema"]).output()).ok();
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        fs::write(&path, &now).expect("docs can be written");
    }
    let then = fs::read_to_string(&path).unwrap_or_default();
    assert!(now == then, "docs/preview-file.schema.json is stale: run `just regenerate`");
    let schema: Value = serde_json::from_str(&now).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn the_same_commit_has_the_same_digest_wherever_it_is_rendered() {
    let repo = Repo::shop();
    let wanted = repo.run(&["render", "-o", "digest"]).ok();
    let text = repo.run(&["render"]).ok();
    let environments: [&[(&str, &str)]; 7] = [
        &[("LC_ALL", "C"), ("TZ", "UTC")],
        &[("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8"), ("TZ", "Pacific/Kiritimati")],
        &[
            ("HOME", "/nonexistent"),
            ("XDG_CONFIG_HOME", "/nonexistent"),
            ("TZ", "America/St_Johns"),
        ],
        &[("TOKIO_WORKER_THREADS", "1"), ("RAYON_NUM_THREADS", "1")],
        &[("TOKIO_WORKER_THREADS", "16"), ("RAYON_NUM_THREADS", "16")],
        &[
            ("GIT_DIR", "/nonexistent"),
            ("GIT_WORK_TREE", "/nonexistent"),
            ("GIT_CEILING_DIRECTORIES", "/"),
        ],
        &[
            ("NO_COLOR", "1"),
            ("TERM", "xterm-256color"),
            ("CLICOLOR_FORCE", "1"),
            ("COLUMNS", "20"),
        ],
    ];
    for variables in environments {
        let run = |arguments: &[&str]| {
            let mut command = command(arguments);
            ran(command.envs(variables.iter().copied()).current_dir(repo.path()).output()).ok()
        };
        assert_eq!(run(&["render", "-o", "digest"]), wanted, "{variables:?}");
        assert_eq!(run(&["render"]), text, "{variables:?}");
    }
    // Other umasks, one processor, another place on disk, packed objects.
    let program = env!("CARGO_BIN_EXE_bivouac");
    for line in [
        format!("umask 077; exec {program} render -o digest"),
        format!("umask 000; exec {program} render -o digest"),
        format!(
            "command -v taskset >/dev/null && exec taskset -c 0 {program} render -o digest; exec {program} render -o digest"
        ),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(repo.path());
        assert_eq!(ran(shell.output()).ok(), wanted, "{line}");
    }
    repo.git(&["gc", "--quiet"]);
    assert_eq!(repo.run(&["render", "-o", "digest"]).ok(), wanted);
    repo.git(&["clone", "--quiet", ".", "../elsewhere/shop"]);
    let clone = repo.folder.path().join("elsewhere/shop").display().to_string();
    for _ in 0..5 {
        assert_eq!(repo.run(&["render", "-o", "digest", &clone]).ok(), wanted);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    use std::os::fd::OwnedFd;
    let repo = Repo::shop();
    for arguments in [&["render"][..], &["check", "-o", "json"], &["schema"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let out = Stdio::from(OwnedFd::from(writer));
        let done =
            command(arguments).current_dir(repo.path()).stdout(out).stderr(Stdio::piped()).output();
        let ran = ran(done);
        assert!(ran.code == Some(0) && !ran.err.contains("panicked"), "{:?} {}", ran.code, ran.err);
    }
}

#[test]
fn help_teaches_and_names_the_exit_codes() {
    for name in ["render", "check", "schema"] {
        let help = ran(command(&[name, "--help"]).output()).ok();
        assert!(help.contains("Exit codes:") && help.contains("Example"), "{help}");
        assert!(!help.contains("no-color-variable"), "{help}");
    }
}

#[test]
fn doctor_and_setup_say_what_is_wrong_with_a_call() {
    let hook = "https://bivouac.example.com/webhook";
    let file = "no/such/folder/app.json";
    let long = "x".repeat(35);
    for (arguments, wanted) in [
        (vec!["doctor"], "--instance"),
        (vec!["doctor", "--instance", "A b"], "write a DNS label"),
        (vec!["doctor", "--instance", "main", "orphans"], "cannot be used"),
        (vec!["github"], "setup"),
        (vec!["github", "setup"], "--webhook-url"),
        (vec!["github", "setup", "--webhook-url", "http://x/webhook"], "https://HOST/webhook"),
        (vec!["github", "setup", "--webhook-url", "https://x/hooks"], "listens at /webhook"),
        (vec!["github", "setup", "--webhook-url", hook, "--name", &long], "1 to 34 characters"),
        (vec!["github", "setup", "--webhook-url", hook, "--organization", "a/b"], "--organization"),
        (vec!["github", "setup", "--webhook-url", hook, "--api-url", "x"], "API"),
        (vec!["github", "setup", "--webhook-url", hook, "--file", "Cargo.toml"], "a file already"),
        (
            vec!["github", "setup", "--webhook-url", hook, "--file", file, "--timeout", "5"],
            "s, m or h",
        ),
    ] {
        ran(command(&arguments).env_remove("BIVOUAC_INSTANCE").output()).fails(2, wanted);
    }
    for name in [vec!["doctor", "--help"], vec!["github", "setup", "--help"]] {
        let help = ran(command(&name).output()).ok();
        assert!(help.contains("Exit codes:"), "{help}");
    }
}

/// Text of an attribute, as it was before it was escaped.
fn attribute(text: &str, begin: &str) -> String {
    let (_, rest) = text.split_once(begin).expect("an attribute");
    let (value, _) = rest.split_once('"').expect("its end");
    let marks = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    marks.iter().fold(value.to_owned(), |text, (mark, plain)| text.replace(mark, plain))
}

#[tokio::test]
async fn setup_makes_an_app_over_sockets_and_writes_its_secret_for_its_owner_alone() {
    use std::io::BufRead as _;
    use std::os::unix::fs::PermissionsExt as _;

    use bivouac::sandbox::github::GitHub;
    use bivouac::seams::{Clock, Rng};

    let folder = TempDir::new().expect("a folder");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let root = folder.path().join("github");
    let github = GitHub::new(root, &url, Clock::system(), Rng::seeded(1));
    github.create_user("ada").expect("a person");
    let served = github.clone();
    tokio::spawn(async move { served.serve(listener).await });

    let file = folder.path().join("app.json");
    let shown = file.display().to_string();
    let (api, hook) = (format!("{url}/api/v3"), format!("{url}/webhook"));
    let mut child = command(&[
        "github",
        "setup",
        "--webhook-url",
        &hook,
        "--file",
        &shown,
        "--api-url",
        &api,
        "--allow-http",
        "--no-browser",
        "--timeout",
        "60s",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program");
    let mut lines = std::io::BufReader::new(child.stderr.take().expect("stderr")).lines();
    let address = loop {
        let line = lines.next().expect("an address is printed").expect("a line");
        if let Some(at) = line.find("http://127.0.0.1:") {
            break line[at..].trim().to_owned();
        }
    };
    // A second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let form = |pairs: &[(&str, &str)]| {
        let encode = |text: &str| {
            text.bytes().fold(String::new(), |mut out, b| {
                write!(out, "%{b:02X}").expect("a text can be written to");
                out
            })
        };
        let pairs: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        pairs.join("&")
    };
    let text = browser.get(&address).send().await.expect("a page").text().await.expect("a text");
    let manifest = attribute(&text, "name=\"manifest\" value=\"");
    let action = attribute(&text, "action=\"");
    let (_, state) = action.split_once("state=").expect("a state");
    let answer = browser.post(&action).body(form(&[("manifest", &manifest)])).send().await;
    assert!(answer.expect("GitHub's page").status().is_success());
    let made =
        form(&[("manifest", &manifest), ("state", state), ("owner", "ada"), ("name", "camps")]);
    let answer = browser.post(format!("{url}/settings/apps")).body(made).send().await;
    let answer = answer.expect("the way back");
    let back = answer.headers()["location"].to_str().expect("an address").to_owned();
    let done = browser.get(&back).send().await.expect("a page");
    assert!(done.status().is_success(), "{}", done.text().await.expect("a text"));

    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8(output.stdout).expect("a text");
    assert!(output.status.success() && said.contains("the App camps"), "{said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret: Value = serde_json::from_slice(&fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(secret["kind"], "Secret");
    let key = secret["stringData"]["privateKey"].as_str().expect("a key");
    assert!(key.contains("PRIVATE KEY") && secret["stringData"]["webhookSecret"].is_string());
}

/// The repository that `docs/cli.md` describes, with the branches that its examples name.
fn documented(page: &str) -> Repo {
    let files = page.split("<!-- files -->").nth(1).and_then(|rest| rest.split("\n## ").next());
    let repo = Repo::new();
    for block in files.unwrap_or_default().split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let (path, text) = text.split_once('\n').expect("the first line names the file");
        repo.write(path.trim_start_matches("# "), text);
    }
    repo.commit(&[]);
    let web = fs::read_to_string(repo.path().join("deploy/web.yaml")).expect("it is in the page");
    let about =
        fs::read_to_string(repo.path().join("deploy/about.yaml.hbs")).expect("it is in the page");
    let branches: [(&str, &[(&str, String)]); 3] = [
        (
            "next",
            &[
                ("deploy/web.yaml", web.replace("port: 80", "port: 8080")),
                ("deploy/key.yaml", SECRET.to_owned()),
            ],
        ),
        ("open", &[("deploy/web.yaml", web.replace("selector", "type: NodePort\n  selector"))]),
        (
            "wrong",
            &[
                (".bivouac.yaml", PREVIEW.to_owned() + "lifetme: {ttl: 24h}\n"),
                ("deploy/about.yaml.hbs", about.replace("env.host", "env.hots")),
                (
                    "deploy/web.yaml",
                    web.replace("name: web", "name: Web")
                        + "---\n"
                        + &web.replace("selector", "type: NodePort\n  selector"),
                ),
            ],
        ),
    ];
    for (branch, files) in branches {
        repo.git(&["switch", "--quiet", "--create", branch, "main"]);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        repo.commit(&files);
    }
    repo.git(&["switch", "--quiet", "main"]);
    repo
}

/// `page` with what its examples print now.
fn with_examples_run(page: &str) -> String {
    let repo = documented(page);
    let mut out = String::new();
    for (index, part) in page.split("```console\n").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        let (block, rest) = part.split_once("```\n").expect("the block ends");
        out.push_str("```console\n");
        for line in block.lines().filter(|line| line.starts_with("$ bivouac ")) {
            let words: Vec<&str> = line.split(' ').skip(2).filter(|word| *word != "2>&1").collect();
            let ran = repo.run(&words);
            out.push_str(line);
            out.push('\n');
            out.push_str(&ran.out);
            if line.ends_with("2>&1") {
                out.push_str(&ran.err);
            } else {
                assert_eq!(ran.code, Some(0), "{line}: {}", ran.err);
            }
        }
        out.push_str("```\n");
        out.push_str(rest);
    }
    out
}

/// `page` with the table of rules of this program.
fn with_rules(page: &str) -> String {
    let (before, _) =
        page.split_once("<!-- rules -->\n").expect("the page has a place for the rules");
    let mut out = format!("{before}<!-- rules -->\n");
    for rule in bivouac::domain::finding::BuildRule::ALL {
        let (id, name, word) = (rule.id(), rule.name(), rule.severity().word());
        let (about, hint) = (rule.about(), rule.hint());
        let _ = write!(out, "\n### {id} {name}\n\n*What ({word}):* {about}.\n*Mend:* {hint}.\n");
    }
    out
}

#[test]
fn the_page_shows_what_the_commands_print() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    let then = fs::read_to_string(&path).expect("the page is there");
    let now = with_rules(&with_examples_run(&then));
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        fs::write(&path, &now).expect("docs can be written");
        return;
    }
    for (now, then) in now.lines().zip(then.lines()) {
        assert_eq!(now, then, "docs/cli.md is stale: run `just regenerate`");
    }
    assert_eq!(now.len(), then.len(), "docs/cli.md is stale: run `just regenerate`");
}
