//! Fetch and reading against real git repositories.

// What follows this mark may use what it likes (`tests/layering.rs`).
#[cfg(test)]
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::*;

/// A repository made by the real git, which users have too.
struct Origin {
    folder: tempfile::TempDir,
}

impl Origin {
    fn new() -> Self {
        let origin = Self { folder: tempfile::tempdir().expect("a folder") };
        origin.git(&["init", "-q", "-b", "main"]);
        // Only `refs/pull/…` and branch tips by hash, as a strict server does.
        origin
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git is there");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text").trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn commit(&self) -> Revision {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
        Revision::parse(&self.git(&["rev-parse", "HEAD"])).expect("a hash")
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    fn request(&self, revision: &Revision) -> SourceRequest {
        SourceRequest {
            api_host: "api.example.com".into(),
            repository_id: 7,
            url: self.url(),
            credential: None,
            revision: revision.clone(),
            pull_request: Some(PrNumber(3)),
            merge_of: None,
            timeout: Duration::from_secs(20),
        }
    }
}

fn cache(folder: &Path, max_bytes: u64) -> SourceCache {
    SourceCache::new(folder.join("cache"), max_bytes)
}

fn k8s(_: &FileTree) -> Wanted {
    Wanted::All(vec!["k8s".into(), "missing".into()])
}

fn conventional(tree: &FileTree) -> Wanted {
    if !tree.is_empty() {
        return Wanted::All(vec![]);
    }
    Wanted::FirstOf(vec!["deploy".into(), "charts/*".into(), "k8s".into()])
}

const FILES: Schemes = Schemes { http: false, file: true };

/// The files alone.
async fn prepare(
    cache: &SourceCache,
    fetch: &dyn Fetch,
    request: &SourceRequest,
    limits: TreeLimits,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<FileTree, SourceError> {
    super::prepare(cache, fetch, request, limits, wanted).await.map(|prepared| prepared.tree)
}

async fn bring(
    cache: &SourceCache,
    request: &SourceRequest,
    limits: TreeLimits,
) -> Result<FileTree, SourceError> {
    prepare(cache, &GixFetch::new(FILES), request, limits, k8s).await
}

#[tokio::test]
async fn the_wanted_files_of_exactly_that_commit_are_read() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write(".bivouac.yaml", "apps: []");
    origin.write("k8s/a.yaml", "one");
    origin.write("src/huge.bin", "not wanted");
    let first = origin.commit();
    origin.write("k8s/a.yaml", "two");
    let second = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    for (revision, text) in [(&second, "two"), (&first, "one"), (&second, "two")] {
        let tree =
            bring(&cache, &origin.request(revision), TreeLimits::default()).await.expect("read");
        let names: Vec<_> = tree.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, [".bivouac.yaml", "k8s/a.yaml"]);
        assert_eq!(tree.get("k8s/a.yaml"), Some(text.as_bytes()));
    }
}

/// Each file names the next one.
fn chain(tree: &FileTree) -> Wanted {
    let named = tree.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    Wanted::All(["a/1".to_owned()].into_iter().chain(named).collect())
}

#[tokio::test]
async fn what_was_read_may_name_more_until_nothing_is_new() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    for (path, next) in [("a/1", "b/2"), ("b/2", "c"), ("c/3", "a/1"), ("d/4", "never")] {
        origin.write(path, next);
    }
    let short = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    let ask = |revision: &Revision| origin.request(revision);
    let fetch = GixFetch::new(FILES);
    let tree = prepare(&cache, &fetch, &ask(&short), TreeLimits::default(), chain).await;
    let tree = tree.expect("read");
    assert_eq!(tree.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a/1", "b/2", "c/3"]);
    for n in 1..100 {
        origin.write(&format!("a/{n}"), &format!("a/{}", n + 1));
    }
    let long = origin.commit();
    let error = prepare(&cache, &fetch, &ask(&long), TreeLimits::default(), chain).await;
    let error = error.expect_err("too deep").to_string();
    assert!(error.starts_with(".: more than 20 overlays over each other"), "{error}");
}

#[tokio::test]
async fn the_first_conventional_path_is_taken_and_nothing_else_is_judged() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("charts/b/x.yaml", "b");
    origin.write("charts/a/x.yaml", "a");
    std::os::unix::fs::symlink("/etc/passwd", origin.folder.path().join("link")).expect("linked");
    let revision = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    let tree = prepare(
        &cache,
        &GixFetch::new(FILES),
        &origin.request(&revision),
        TreeLimits::default(),
        conventional,
    )
    .await
    .expect("read");
    assert_eq!(tree.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["charts/a/x.yaml"]);
}

#[tokio::test]
async fn links_submodules_and_lfs_pointers_below_a_wanted_path_are_named() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "one");
    let clean = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    let mut said = Vec::new();

    std::os::unix::fs::symlink("/etc/passwd", origin.folder.path().join("k8s/link"))
        .expect("linked");
    let link = origin.commit();
    origin.git(&["rm", "-q", "k8s/link"]);
    let entry = format!("160000,{clean},k8s/module");
    origin.git(&["update-index", "--add", "--cacheinfo", &entry]);
    origin.git(&["commit", "-q", "-m", "x"]);
    let module = Revision::parse(&origin.git(&["rev-parse", "HEAD"])).expect("a hash");
    origin.git(&["reset", "-q", "--hard", clean.as_str()]);
    origin.write("k8s/big.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    let lfs = origin.commit();
    origin.git(&["reset", "-q", "--hard", clean.as_str()]);
    origin.git(&["rm", "-rq", "k8s"]);
    std::os::unix::fs::symlink("/etc", origin.folder.path().join("k8s")).expect("linked");
    let root_link = origin.commit();
    for revision in [&link, &module, &lfs, &root_link] {
        origin.git(&["branch", "-f", &format!("keep-{revision}"), revision.as_str()]);
        let error = bring(&cache, &origin.request(revision), TreeLimits::default()).await;
        said.push(error.expect_err("refused").to_string());
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    k8s/link: this is a symbolic link, which is not followed; commit the file itself or move the link out of the rendered path
    k8s/module: this is a submodule, which is not fetched; commit the files themselves or move the submodule out of the rendered path
    k8s/big.yaml: this is a Git LFS pointer; commit the file itself; Git LFS is not fetched
    k8s: this is a symbolic link, which is not followed; commit the file itself or move the link out of the rendered path
    ");
}

#[tokio::test]
async fn limits_name_the_path() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "12345");
    origin.write("k8s/b/c/d.yaml", "12345");
    let revision = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    let normal = TreeLimits::default();
    let mut said = Vec::new();
    for limits in [
        TreeLimits { files: 1, ..normal },
        TreeLimits { file_bytes: 4, ..normal },
        TreeLimits { tree_bytes: 9, ..normal },
        TreeLimits { depth: 2, ..normal },
    ] {
        let error = bring(&cache, &origin.request(&revision), limits).await;
        said.push(error.expect_err("too big").to_string());
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    k8s/b/c/d.yaml: more than 1 files (limits.files); render less, or ask the platform team to raise the limit
    k8s/a.yaml: more than 4 bytes in one file (limits.fileBytes); render less, or ask the platform team to raise the limit
    k8s/b/c/d.yaml: more than 9 bytes in all files (limits.treeBytes); render less, or ask the platform team to raise the limit
    k8s/b/c: more than 2 directories within each other; render less; this limit is the same for everybody
    ");
}

#[tokio::test]
async fn a_commit_that_is_gone_is_told_from_a_repository_that_is_gone() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "1");
    let revision = origin.commit();
    let cache = cache(here.path(), 1 << 30);
    let never = Revision::parse(&"ab".repeat(20)).expect("a hash");
    let error = bring(&cache, &origin.request(&never), TreeLimits::default()).await;
    assert!(matches!(error, Err(SourceError::Fetch(FetchError::CommitGone { .. }))), "{error:?}");

    origin.git(&["update-ref", "refs/pull/3/head", revision.as_str()]);
    let error = bring(&cache, &origin.request(&never), TreeLimits::default()).await;
    assert!(matches!(error, Err(SourceError::Fetch(FetchError::CommitGone { .. }))), "{error:?}");

    let mut request = origin.request(&revision);
    request.url = "file:///nowhere/at/all".into();
    let error = bring(&cache, &request, TreeLimits::default()).await;
    assert!(
        matches!(
            error,
            Err(SourceError::Fetch(FetchError::Denied { .. } | FetchError::Failed { .. }))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn schemes_and_passwords_in_urls_are_refused_before_anything_is_touched() {
    let here = tempfile::tempdir().expect("a folder");
    let revision = Revision::parse(&"ab".repeat(20)).expect("a hash");
    let mut said = Vec::new();
    for url in [
        "http://example.com/a.git",
        "file:///etc",
        "ssh://git@example.com/a.git",
        "git@example.com:a.git",
        "ext::sh -c id",
        "/etc",
        "https://user:hunter2@example.com/a.git",
        "https://example.com/a\nb",
    ] {
        let request = FetchRequest {
            url: url.into(),
            credential: None,
            revision: revision.to_string(),
            fallback_ref: None,
            into: here.path().join("repo.git"),
            timeout: Duration::from_secs(5),
            max_bytes: 1 << 20,
        };
        let error =
            GixFetch::new(Schemes::default()).fetch(request).await.expect_err(url).to_string();
        assert!(!error.contains("hunter2"), "{error}");
        said.push(error);
    }
    assert!(!here.path().join("repo.git").exists());
    insta::assert_snapshot!(said.join("\n"), @r"
    http://example.com/a.git: http:// is refused unless the service allows it
    file:///etc: file:// is refused unless the service allows it
    ssh://example.com/a.git: only https:// is fetched
    git@example.com:a.git: only https:// is fetched
    ext::sh -c id: only https:// is fetched
    /etc: only https:// is fetched
    https://example.com/a.git: a URL may not hold a user or password
    https://example.com/ab: a URL may not hold blanks or control characters
    ");
}

#[tokio::test]
async fn a_cache_that_grew_too_big_or_broke_is_thrown_away_whole() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "1");
    let revision = origin.commit();
    let cache = cache(here.path(), 200_000);
    let request = origin.request(&revision);
    bring(&cache, &request, TreeLimits::default()).await.expect("read");
    let path = cache.path_of("API.example.com", 7);
    let junk = path.join("objects/pack/junk");
    fs::write(&junk, vec![0; 300_000]).expect("written");
    bring(&cache, &request, TreeLimits::default()).await.expect("read again");
    assert!(!junk.exists());

    fs::write(path.join("config"), "[[[").expect("written");
    bring(&cache, &request, TreeLimits::default()).await.expect("made anew");

    // Random bytes do not compress: this commit alone is over the limit.
    let noise: String =
        (0..40_000_u64).map(|n| crate::domain::bundle::sha256_hex(&n.to_be_bytes())).collect();
    origin.write("k8s/noise", &noise);
    let big = origin.commit();
    let error = bring(&cache, &origin.request(&big), TreeLimits::default()).await;
    assert!(matches!(error, Err(SourceError::Fetch(FetchError::TooBig { .. }))), "{error:?}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_server_that_never_answers_costs_no_more_than_the_time_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let here = tempfile::tempdir().expect("a folder");
    let request = FetchRequest {
        url: format!("http://{address}/a.git"),
        credential: Some(SecretString::from("hunter2")),
        revision: "ab".repeat(20),
        fallback_ref: None,
        into: here.path().join("repo.git"),
        timeout: Duration::from_millis(300),
        max_bytes: 1 << 20,
    };
    let begin = tokio::time::Instant::now();
    let fetch = GixFetch::new(Schemes { http: true, file: false });
    let error = fetch.fetch(request).await.expect_err("no answer");
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(3));
    drop(listener);
}

/// `git http-backend` behind a real socket, with what it was asked.
struct Server {
    url: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

/// Serves `root`; a request below `/moved` is sent on to another path, one without the token gets a 401.
async fn serve(root: &Path) -> Server {
    use axum::body::{Bytes, to_bytes};
    use axum::http::{Request, Response};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (root, log) = (root.to_owned(), std::sync::Arc::clone(&seen));
    let app = axum::Router::new().fallback(move |request: Request<axum::body::Body>| {
        let (root, log) = (root.clone(), std::sync::Arc::clone(&log));
        async move {
            let (parts, body) = request.into_parts();
            let header = |name: &str| {
                parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
            };
            let path = parts.uri.path().to_owned();
            log.lock().expect("a log").push(format!("{path} {}", header("authorization")));
            let plain = |status: u16, location: &str| {
                Response::builder()
                    .status(status)
                    .header("location", location)
                    .body(axum::body::Body::empty())
                    .expect("an answer")
            };
            if let Some(rest) = path.strip_prefix("/moved") {
                return plain(
                    302,
                    &format!("/repo{rest}?{}", parts.uri.query().unwrap_or_default()),
                );
            }
            // x-access-token:hunter2
            if header("authorization") != "Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg==" {
                return plain(401, "/");
            }
            if path.starts_with("/gone") {
                return plain(404, "/");
            }
            let body: Bytes = to_bytes(body, 1 << 24).await.expect("a body");
            let wants = String::from_utf8_lossy(&body).contains("command=fetch");
            let first = !log.lock().expect("a log").iter().any(|line| line == "refused");
            if path.starts_with("/strict") && wants && first {
                log.lock().expect("a log").push("refused".into());
                let error = "ERR upload-pack: not our ref";
                let line = format!("{:04x}{error}", error.len() + 4);
                return Response::builder()
                    .header("content-type", "application/x-git-upload-pack-result")
                    .body(axum::body::Body::from(line))
                    .expect("an answer");
            }
            let path = path.trim_start_matches("/strict").trim_start_matches("/repo");
            let mut child = tokio::process::Command::new("git")
                .arg("http-backend")
                .env("GIT_PROJECT_ROOT", &root)
                .env("GIT_HTTP_EXPORT_ALL", "1")
                .env("GIT_PROTOCOL", header("git-protocol"))
                .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
                .env("PATH_INFO", path)
                .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
                .env("REQUEST_METHOD", parts.method.as_str())
                .env("CONTENT_TYPE", header("content-type"))
                .env("CONTENT_LENGTH", body.len().to_string())
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("git http-backend");
            let mut stdin = child.stdin.take().expect("stdin");
            tokio::io::AsyncWriteExt::write_all(&mut stdin, &body).await.expect("written");
            drop(stdin);
            let out = child.wait_with_output().await.expect("output").stdout;
            let cut = out.windows(4).position(|w| w == b"\r\n\r\n").expect("headers");
            let mut answer = Response::builder();
            for line in String::from_utf8_lossy(&out[..cut]).lines() {
                let (name, value) = line.split_once(": ").expect("a header");
                answer = if name == "Status" {
                    answer.status(value[..3].parse::<u16>().expect("a status"))
                } else {
                    answer.header(name, value)
                };
            }
            answer.body(axum::body::Body::from(out[cut + 4..].to_vec())).expect("an answer")
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { url, seen }
}

#[tokio::test]
async fn over_http_the_token_goes_to_its_host_only_and_redirects_are_not_followed() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "old");
    let old = origin.commit();
    origin.write("k8s/a.yaml", "new");
    let new = origin.commit();
    let server = serve(&origin.folder.path().join(".git")).await;
    let cache = cache(here.path(), 1 << 30);
    let fetch = GixFetch::new(Schemes { http: true, file: false });
    let ask = |path: &str, revision: &Revision, token: &str| SourceRequest {
        url: format!("{}{path}", server.url),
        credential: Some(SecretString::from(token.to_owned())),
        ..origin.request(revision)
    };
    let limits = TreeLimits::default();
    let tree = prepare(&cache, &fetch, &ask("/repo", &new, "hunter2"), limits, k8s).await;
    assert_eq!(tree.expect("read").get("k8s/a.yaml"), Some(b"new".as_slice()));
    // Git's protocol 2 gives every object it has by its hash, as GitHub does.
    let tree = prepare(&cache, &fetch, &ask("/repo", &old, "hunter2"), limits, k8s).await;
    assert_eq!(tree.expect("read").get("k8s/a.yaml"), Some(b"old".as_slice()));

    let never = Revision::parse(&"ab".repeat(20)).expect("a hash");
    for (path, token, wanted) in [
        ("/gone", "hunter2", "is not there or may not be read"),
        ("/repo", "wrong", "is not there or may not be read"),
        ("/repo", "hunter2", "is not in"),
        ("/moved", "hunter2", "failed to fetch"),
    ] {
        let error = prepare(&cache, &fetch, &ask(path, &never, token), limits, k8s).await;
        let error = error.expect_err(path);
        assert!(error.to_string().contains(wanted), "{path} {token}: {error:?}");
        let all = format!("{error:?}");
        assert!(!all.contains("hunter2") && !all.contains("aHVudGVy"), "{all}");
    }
    let seen = server.seen.lock().expect("a log").clone();
    let after = seen.iter().skip_while(|line| !line.starts_with("/moved")).collect::<Vec<_>>();
    assert!(!after.is_empty() && after.iter().all(|line| line.starts_with("/moved")), "{after:?}");
}

#[tokio::test]
async fn a_server_that_gives_no_commit_by_its_hash_is_asked_for_the_pull_request() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/a.yaml", "head");
    let head = origin.commit();
    origin.write("k8s/a.yaml", "pushed");
    let pushed = origin.commit();
    origin.git(&["update-ref", "refs/pull/3/head", head.as_str()]);
    let fetch = GixFetch::new(Schemes { http: true, file: false });
    for (revision, found) in [(&head, true), (&pushed, false)] {
        let server = serve(&origin.folder.path().join(".git")).await;
        let cache = cache(&here.path().join(revision.short()), 1 << 30);
        let request = SourceRequest {
            url: format!("{}/strict", server.url),
            credential: Some(SecretString::from("hunter2")),
            ..origin.request(revision)
        };
        let tree = prepare(&cache, &fetch, &request, TreeLimits::default(), k8s).await;
        assert!(server.seen.lock().expect("a log").iter().any(|line| line == "refused"));
        match tree {
            Ok(tree) => {
                assert!(found, "the pull request has moved on");
                assert_eq!(tree.get("k8s/a.yaml"), Some(b"head".as_slice()));
            }
            Err(SourceError::Fetch(FetchError::CommitGone { .. })) => assert!(!found),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_test_merge_is_asked_for_by_its_own_reference_and_must_be_of_the_head() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    origin.write("k8s/base.yaml", "base");
    let start = origin.commit();
    origin.git(&["checkout", "-q", "-b", "blue"]);
    origin.write("k8s/head.yaml", "head");
    let head = origin.commit();
    origin.git(&["checkout", "-q", "-b", "trial", start.as_str()]);
    origin.write("k8s/base.yaml", "newer base");
    let base = origin.commit();
    origin.git(&["merge", "-q", "--no-ff", "-m", "Merge", "blue"]);
    let merge = Revision::parse(&origin.git(&["rev-parse", "HEAD"])).expect("a hash");
    origin.git(&["update-ref", "refs/pull/3/head", head.as_str()]);
    origin.git(&["update-ref", "refs/pull/3/merge", merge.as_str()]);
    // No branch shows it, so that a strict server gives it by the pull request only.
    origin.git(&["checkout", "-q", "blue"]);
    origin.git(&["branch", "-q", "-D", "trial"]);

    let server = serve(&origin.folder.path().join(".git")).await;
    let cache = cache(here.path(), 1 << 30);
    let fetch = GixFetch::new(Schemes { http: true, file: false });
    let limits = TreeLimits::default();
    let ask = |merge_of: &Revision| SourceRequest {
        url: format!("{}/strict", server.url),
        credential: Some(SecretString::from("hunter2")),
        merge_of: Some(merge_of.clone()),
        ..origin.request(&merge)
    };
    let other = prepare(&cache, &fetch, &ask(&base), limits, k8s).await;
    assert!(matches!(other, Err(SourceError::NotTheMerge { .. })), "{other:?}");
    let Prepared { tree, base: merged_with } =
        super::prepare(&cache, &fetch, &ask(&head), limits, k8s).await.expect("read");
    assert_eq!(tree.get("k8s/base.yaml"), Some(b"newer base".as_slice()));
    assert_eq!(tree.get("k8s/head.yaml"), Some(b"head".as_slice()));
    assert_eq!(merged_with, Some(base));
}

/// Fetches that wait until they are let go; each says into which folder.
struct Slow {
    begun: tokio::sync::mpsc::UnboundedSender<(PathBuf, u64)>,
    go: tokio::sync::Semaphore,
    inner: GixFetch,
}

impl Fetch for Slow {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<(), FetchError>> {
        async move {
            self.begun.send((request.into.clone(), request.max_bytes)).expect("heard");
            let _go = self.go.acquire().await.expect("open");
            self.inner.fetch(request).await
        }
        .boxed()
    }
}

#[tokio::test]
async fn fetches_of_one_repository_go_on_side_by_side_and_one_that_hangs_holds_up_no_other() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    let revisions: Vec<_> = (0..6)
        .map(|n| {
            origin.write("k8s/a.yaml", &n.to_string());
            origin.commit()
        })
        .collect();
    let cache = cache(here.path(), 1 << 30);
    let (begun, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let fetch = Slow { begun, go: tokio::sync::Semaphore::new(0), inner: GixFetch::new(FILES) };
    let asked: Vec<_> = revisions.iter().map(|revision| origin.request(revision)).collect();
    let reads = asked.iter().map(|request| bring_by(&cache, &fetch, request));
    let all = futures::future::join_all(reads);
    let steps = async {
        let mut folders = Vec::new();
        for _ in 0..4 {
            folders.push(heard.recv().await.expect("a fetch").0);
        }
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), 4, "each in a folder of its own");
        assert!(heard.try_recv().is_err(), "the fifth waits");
        // One of the four ends: another begins, and so on, while three hang.
        fetch.go.add_permits(1);
        heard.recv().await.expect("the fifth");
        heard.recv().await.expect("the sixth");
        fetch.go.add_permits(10);
    };
    let (trees, ()) = futures::future::join(all, steps).await;
    for (n, tree) in trees.into_iter().enumerate() {
        let tree = tree.expect("read");
        assert_eq!(tree.get("k8s/a.yaml"), Some(n.to_string().as_bytes()));
    }
    // Without a burst: the lane that has the commit, or the first.
    for revision in &revisions {
        bring_by(&cache, &fetch, &origin.request(revision)).await.expect("read");
        let (folder, _) = heard.recv().await.expect("a fetch");
        assert!(folder.join("refs/bivouac").join(revision.as_str()).exists());
    }
    origin.write("k8s/a.yaml", "new");
    bring_by(&cache, &fetch, &origin.request(&origin.commit())).await.expect("read");
    assert_eq!(
        heard.recv().await.expect("a fetch"),
        (cache.path_of("API.example.com", 7), 1 << 30)
    );
}

async fn bring_by(
    cache: &SourceCache,
    fetch: &Slow,
    request: &SourceRequest,
) -> Result<FileTree, SourceError> {
    prepare(cache, fetch, request, TreeLimits::default(), k8s).await
}

#[tokio::test]
async fn what_is_too_big_for_a_lane_beside_goes_into_the_first() {
    let (origin, here) = (Origin::new(), tempfile::tempdir().expect("a folder"));
    let noise: String =
        (0..8_000_u64).map(|n| crate::domain::bundle::sha256_hex(&n.to_be_bytes())).collect();
    origin.write("k8s/a.yaml", "1");
    origin.write("k8s/noise", &noise);
    let revision = origin.commit();
    let cache = cache(here.path(), 1_000_000);
    let first = cache.first_lane("API.example.com", 7).await;
    let (begun, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let fetch = Slow { begun, go: tokio::sync::Semaphore::new(9), inner: GixFetch::new(FILES) };
    let request = origin.request(&revision);
    let steps = async {
        assert_eq!(heard.recv().await.expect("a fetch").1, 250_000);
        drop(first);
        heard.recv().await.expect("again")
    };
    let (tree, (folder, _)) =
        futures::future::join(bring_by(&cache, &fetch, &request), steps).await;
    assert!(tree.expect("read").get("k8s/noise").is_some());
    assert_eq!(folder, cache.path_of("API.example.com", 7));
}
