//! The fetch in a child of its own, against real repositories and against a server that never answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bivouac::domain::file_tree::{FileTree, Wanted};
use bivouac::domain::id::Revision;
use bivouac::seams::{Fetch as _, FetchError, FetchRequest};
use bivouac::source::{ConfinedFetch, Schemes, TreeLimits, read_tree};
use tokio::time::Instant;

fn git(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is there");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text").trim().to_owned()
}

fn fetch(schemes: Schemes) -> ConfinedFetch {
    // `PATH` is for `git-upload-pack` and goes on for file:// alone.
    ConfinedFetch::new(super::own().to_owned(), schemes, std::env::vars())
}

fn request(url: String, revision: &str, into: &Path) -> FetchRequest {
    FetchRequest {
        url,
        credential: Some("hunter2-token".to_owned().into()),
        revision: revision.to_owned(),
        fallback_ref: None,
        into: into.to_owned(),
        timeout: Duration::from_secs(20),
        max_bytes: 1 << 30,
    }
}

/// Command line and environment of each of our children that fetches.
fn fetching() -> Vec<(u32, String)> {
    let me = std::process::id().to_string();
    let of = |entry: std::fs::DirEntry| {
        let folder = entry.path();
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let mut words = stat.rsplit_once(") ")?.1.split(' ');
        let (state, parent) = (words.next()?, words.next()?);
        if state == "Z" || parent != me {
            return None;
        }
        let text = |name| std::fs::read(folder.join(name)).unwrap_or_default();
        let text = [text("cmdline"), text("environ")].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let id = folder.file_name()?.to_str()?.parse().ok()?;
        text.contains("__fetch").then_some((id, text))
    };
    std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(of).collect()
}

fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z")))
}

#[tokio::test]
async fn a_commit_is_brought_and_a_missing_one_is_told() {
    let (origin, here) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    git(origin.path(), &["init", "-q", "-b", "main"]);
    std::fs::create_dir(origin.path().join("k8s")).expect("a folder");
    std::fs::write(origin.path().join("k8s/a.yaml"), "one").expect("a file");
    git(origin.path(), &["add", "-A"]);
    git(origin.path(), &["commit", "-q", "-m", "x"]);
    let head = git(origin.path(), &["rev-parse", "HEAD"]);
    let url = format!("file://{}", origin.path().display());
    let into = here.path().join("cache/repository.git");
    let fetch = fetch(Schemes { http: false, file: true });
    for _ in 0..2 {
        fetch.fetch(request(url.clone(), &head, &into)).await.expect("it is there");
        let revision = Revision::parse(&head).expect("a hash");
        let wanted = |_: &FileTree| Wanted::All(vec!["k8s".into()]);
        let tree = read_tree(&into, &revision, TreeLimits::default(), wanted).expect("read");
        assert_eq!(tree.get("k8s/a.yaml"), Some(&b"one"[..]));
    }
    let gone = "1".repeat(40);
    let error = fetch.fetch(request(url, &gone, &into)).await.expect_err("never was");
    assert!(matches!(error, FetchError::CommitGone { .. }), "{error}");
    let error = fetch.fetch(request("ftp://x/y".into(), &gone, &into)).await.expect_err("ftp");
    assert!(matches!(error, FetchError::NotAllowed { .. }), "{error}");
}

#[tokio::test]
async fn the_token_goes_to_its_host_and_into_no_command_line() {
    let here = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut piece).expect("a request");
            assert!(read > 0, "the connection ended early");
            head.extend_from_slice(&piece[..read]);
        }
        let seen = fetching();
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .expect("an answer");
        (String::from_utf8_lossy(&head).to_ascii_lowercase(), seen)
    });
    let fetch = fetch(Schemes { http: true, file: false });
    let url = format!("http://127.0.0.1:{port}/o/r");
    let error = fetch.fetch(request(url, &"1".repeat(40), &here.path().join("x"))).await;
    assert!(matches!(error, Err(FetchError::Denied { .. })), "{error:?}");
    let (head, seen) = server.await.expect("it ends");
    assert!(head.contains("authorization: basic "), "{head}");
    assert!(!seen.is_empty(), "the child was not seen");
    for (_, text) in seen {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_when_time_is_up() {
    let here = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/o/r", listener.local_addr().expect("an address"));
    let fetch = fetch(Schemes { http: true, file: false });
    let revision = "1".repeat(40);
    let hangs = || request(url.clone(), &revision, &here.path().join("x"));
    let begun = Instant::now();
    let short = FetchRequest { timeout: Duration::from_secs(2), ..hangs() };
    let watch = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fetching().into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let (error, ids) = tokio::join!(fetch.fetch(short), watch);
    assert!(matches!(error, Err(FetchError::TimedOut { seconds: 2, .. })), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(!ids.is_empty(), "the child was not seen");
    assert!(!ids.iter().any(|id| runs(*id)), "a child still runs");
    // And so it is when nobody waits any more.
    let dropped = tokio::time::timeout(Duration::from_secs(1), fetch.fetch(hangs()));
    assert!(dropped.await.is_err());
    let mut left = 0;
    for _ in 0..100 {
        left = fetching().iter().filter(|(_, text)| text.contains("__fetch")).count();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_child_that_can_not_be_started_is_a_failure_worth_another_try() {
    let here = tempfile::tempdir().expect("a folder");
    for own in ["/no/such/bivouac", "/bin/true"] {
        let fetch = ConfinedFetch::new(own.into(), Schemes::default(), []);
        let error = fetch
            .fetch(request("https://x/y".into(), &"1".repeat(40), &here.path().join("x")))
            .await
            .expect_err("no child");
        assert!(matches!(error, FetchError::Failed { .. }), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
