//! A fetch in a child of its own: the same work as [`GixFetch`](super::GixFetch), in a process that can write nothing
//! but the one repository, and that is killed when its time is over. I/O: starts this program as `bivouac __fetch`.
//!
//! The request travels on the child's stdin, the answer on its stdout, both as JSON: a token is never in an argument or
//! in the environment, where others on the machine could read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::gix_fetch::{GixFetch, Schemes};
use crate::confine::{
    Bounds, ConfineError, InForce, KernelLimits, Network, Orders, Stop, confine, run,
};
use crate::seams::{BoxError, Fetch, FetchError, FetchRequest};

/// Name of the hidden subcommand that does the work.
pub const SUBCOMMAND: &str = "__fetch";
/// An answer is a few lines.
const ANSWER_BYTES: usize = 64 << 10;
/// Resident memory of one fetch. A pack is unpacked in pieces; its index and the largest blob are held.
const MEMORY_BYTES: u64 = 1 << 30;
/// After its time the child is killed; it may say so itself when it is this much faster.
const GRACE: Duration = Duration::from_secs(2);

/// What a fetch reads besides what it is told: names, certificates, libraries of the system.
const READ: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/localtime",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/nix/store",
    "/proc/self",
    "/sys/fs/cgroup",
];
/// Variables that say where certificates and a proxy are; the child gets no other.
const PASSED_ON: &[&str] = &[
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Fetches in a child that is confined by Landlock.
#[derive(Clone, Debug)]
pub struct ConfinedFetch {
    own: PathBuf,
    schemes: Schemes,
    environment: BTreeMap<String, String>,
}

impl ConfinedFetch {
    /// `own` is this program's file; of `environment` (our own) the child gets what says where certificates and a proxy
    /// are.
    #[must_use]
    pub fn new(
        own: PathBuf,
        schemes: Schemes,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let environment = environment
            .into_iter()
            // `git-upload-pack` has to be found for file://.
            .filter(|(name, _)| {
                PASSED_ON.contains(&name.as_str()) || (schemes.file && name == "PATH")
            })
            .collect();
        Self { own, schemes, environment }
    }

    async fn run(&self, request: FetchRequest) -> Result<(), FetchError> {
        let failed = |source: BoxError| FetchError::Failed {
            revision: request.revision.clone(),
            url: request.url.clone(),
            source,
        };
        // The child may write in this folder only, so it can't make it.
        fs::create_dir_all(&request.into).map_err(|e| failed(e.into()))?;
        remove_locks(&request.into, 0);
        let into = fs::canonicalize(&request.into).map_err(|e| failed(e.into()))?;
        let job = Job::of(&request, self, into);
        let text = serde_json::to_vec(&job).map_err(|e| failed(e.into()))?;
        let mut command = Command::new(&self.own);
        command.env_clear().envs(&self.environment).arg(SUBCOMMAND);
        let bounds = Bounds {
            time: request.timeout,
            output_bytes: ANSWER_BYTES,
            memory_bytes: MEMORY_BYTES,
            scratch: None,
            // `git-upload-pack` for file://; nothing else is started.
            alone: !self.schemes.file,
        };
        let ended = match run(command, &text, &bounds).await {
            Ok(ended) => ended,
            Err(Stop::Time(_)) => {
                return Err(FetchError::TimedOut {
                    revision: request.revision,
                    url: request.url,
                    seconds: request.timeout.as_secs(),
                });
            }
            Err(stop) => return Err(failed(stop.into())),
        };
        if let Ok(answer) = serde_json::from_slice::<Answer>(&ended.stdout) {
            return answer.into_result(request);
        }
        let why: String = ended.stderr.chars().take(500).collect();
        Err(failed(format!("the fetch ended with {}: {}", ended.status, why.trim()).into()))
    }
}

impl Fetch for ConfinedFetch {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<(), FetchError>> {
        self.run(request).boxed()
    }
}

/// Removes the locks that a killed child left: nobody else works in this repository now.
fn remove_locks(folder: &Path, depth: usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            let _ = fs::remove_file(&path);
        } else if depth < 8 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_locks(&path, depth + 1);
        }
    }
}

/// A request as it travels to the child.
#[derive(Serialize, Deserialize)]
struct Job {
    url: String,
    token: Option<String>,
    revision: String,
    fallback_ref: Option<String>,
    into: PathBuf,
    seconds: f64,
    max_bytes: u64,
    http: bool,
    file: bool,
    proxy: bool,
    certificates: Vec<PathBuf>,
    parent: u32,
}

impl Job {
    fn of(request: &FetchRequest, fetch: &ConfinedFetch, into: PathBuf) -> Self {
        let FetchRequest { url, credential, revision, fallback_ref, into: _, timeout, max_bytes } =
            request;
        let set = |name: &str| fetch.environment.get(name);
        let certificates = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(|name| set(name));
        Self {
            url: url.clone(),
            token: credential.as_ref().map(|token| token.expose_secret().to_owned()),
            revision: revision.clone(),
            fallback_ref: fallback_ref.clone(),
            into,
            seconds: (*timeout + GRACE).as_secs_f64(),
            max_bytes: *max_bytes,
            http: fetch.schemes.http,
            file: fetch.schemes.file,
            proxy: fetch.environment.keys().any(|name| {
                name.to_ascii_lowercase().ends_with("s_proxy")
                    || name.to_ascii_lowercase().ends_with("p_proxy")
                    || name.eq_ignore_ascii_case("all_proxy")
            }),
            certificates: certificates.map(PathBuf::from).collect(),
            parent: std::process::id(),
        }
    }

    /// What the child may still do.
    fn orders(&self) -> Orders {
        let mut read: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
        read.extend(self.certificates.iter().cloned());
        let mut execute = Vec::new();
        if self.file {
            // For tests and demonstrations: another program reads a repository of this machine.
            execute.extend(["/bin", "/usr", "/lib", "/lib64"].map(PathBuf::from));
            let path = self.url.strip_prefix("file://").unwrap_or_default();
            read.extend([PathBuf::from(path), PathBuf::from("/etc/passwd")]);
        }
        Orders {
            read,
            execute,
            write: vec![self.into.clone()],
            network: if self.proxy {
                Network::Outgoing
            } else {
                Network::Ports(vec![port_of(&self.url)])
            },
            may_fork: self.file,
            limits: KernelLimits {
                cpu_seconds: Duration::from_secs_f64(self.seconds.clamp(1.0, 86_400.0))
                    .as_secs()
                    .saturating_mul(4),
                file_bytes: self.max_bytes.saturating_mul(2),
                open_files: 512,
            },
            environment: BTreeMap::new(),
            directory: None,
            parent: self.parent,
        }
    }
}

/// The port of a URL's authority.
fn port_of(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let named = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    named.unwrap_or(if scheme == "http" { 80 } else { 443 })
}

/// What came of it, as it travels back.
#[derive(Serialize, Deserialize)]
enum Answer {
    Done,
    CommitGone,
    Denied,
    NotAllowed { reason: String },
    TimedOut,
    TooBig { limit: u64 },
    Failed { why: String },
}

impl Answer {
    fn of(result: Result<(), FetchError>) -> Self {
        match result {
            Ok(()) => Self::Done,
            Err(FetchError::CommitGone { .. }) => Self::CommitGone,
            Err(FetchError::Denied { .. }) => Self::Denied,
            Err(FetchError::NotAllowed { reason, .. }) => Self::NotAllowed { reason },
            Err(FetchError::TimedOut { .. }) => Self::TimedOut,
            Err(FetchError::TooBig { limit, .. }) => Self::TooBig { limit },
            Err(FetchError::Failed { source, .. }) => {
                let mut why = source.to_string();
                let mut next = source.source();
                while let Some(cause) = next {
                    why = format!("{why}: {cause}");
                    next = cause.source();
                }
                Self::Failed { why }
            }
        }
    }

    fn into_result(self, request: FetchRequest) -> Result<(), FetchError> {
        let FetchRequest { url, revision, timeout, .. } = request;
        Err(match self {
            Self::Done => return Ok(()),
            Self::CommitGone => FetchError::CommitGone { revision, url },
            Self::Denied => FetchError::Denied { url },
            Self::NotAllowed { reason } => {
                FetchError::NotAllowed { url: without_user(&url), reason }
            }
            Self::TimedOut => FetchError::TimedOut { revision, url, seconds: timeout.as_secs() },
            Self::TooBig { limit } => FetchError::TooBig { url, limit },
            Self::Failed { why } => FetchError::Failed { revision, url, source: why.into() },
        })
    }
}

/// A URL that is not allowed may hold a password.
fn without_user(url: &str) -> String {
    super::gix_fetch::without_user(url)
}

/// A job that was read, and the process confined for it: what is left is to do it.
pub struct ConfinedJob {
    fetch: GixFetch,
    request: FetchRequest,
    /// What is in force now.
    pub in_force: InForce,
}

/// Why a child could not begin.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not started by us.
    #[error("failed to read the job")]
    Job(#[source] serde_json::Error),
    /// Nothing is fetched without confinement in a child whose purpose it is.
    #[error("failed to confine the fetch")]
    Confine(#[from] ConfineError),
}

impl ConfinedJob {
    /// Reads a job and confines this process for it. There must be one thread.
    pub fn begin(text: &[u8]) -> Result<Self, JobError> {
        let job: Job = serde_json::from_slice(text).map_err(JobError::Job)?;
        let in_force = confine(&job.orders())?;
        let fetch = GixFetch::new(Schemes { http: job.http, file: job.file });
        let request = FetchRequest {
            url: job.url,
            credential: job.token.map(SecretString::from),
            revision: job.revision,
            fallback_ref: job.fallback_ref,
            into: job.into,
            timeout: Duration::from_secs_f64(job.seconds.clamp(1.0, 86_400.0)),
            max_bytes: job.max_bytes,
        };
        Ok(Self { fetch, request, in_force })
    }

    /// Does it; the answer is for stdout.
    pub async fn answer(self) -> Vec<u8> {
        let Self { fetch, request, in_force: _ } = self;
        let answer = Answer::of(fetch.fetch(request).await);
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> FetchRequest {
        FetchRequest {
            url: "https://git.example.org:8443/o/r".into(),
            credential: Some("hunter2-token".to_owned().into()),
            revision: "0".repeat(40),
            fallback_ref: None,
            into: "/tmp/x".into(),
            timeout: Duration::from_secs(60),
            max_bytes: 1000,
        }
    }

    #[test]
    fn a_job_may_write_one_folder_and_reach_one_port() {
        let variables =
            [("SSL_CERT_FILE", "/ca.pem"), ("GITHUB_TOKEN", "hunter2"), ("HOME", "/root")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let fetch = ConfinedFetch::new("/bivouac".into(), Schemes::default(), variables);
        assert_eq!(fetch.environment.len(), 1);
        let orders = Job::of(&request(), &fetch, "/tmp/x".into()).orders();
        assert_eq!(orders.write, [PathBuf::from("/tmp/x")]);
        assert_eq!(orders.network, Network::Ports(vec![8443]));
        assert!(orders.execute.is_empty() && !orders.may_fork);
        assert!(orders.read.contains(&PathBuf::from("/ca.pem")));
        let proxy = [("HTTPS_PROXY".to_owned(), "http://proxy:3128".to_owned())];
        let fetch = ConfinedFetch::new("/bivouac".into(), Schemes::default(), proxy);
        assert_eq!(
            Job::of(&request(), &fetch, "/tmp/x".into()).orders().network,
            Network::Outgoing
        );
    }

    #[test]
    fn every_answer_comes_back_as_it_went() {
        let text = |result: Result<(), FetchError>| {
            let bytes = serde_json::to_vec(&Answer::of(result)).expect("plain data");
            let answer: Answer = serde_json::from_slice(&bytes).expect("what was written");
            answer
                .into_result(request())
                .map_or_else(|error| format!("{error:?}"), |()| "fine".into())
        };
        let FetchRequest { url, revision, .. } = request();
        assert_eq!(text(Ok(())), "fine");
        for (error, name) in [
            (FetchError::CommitGone { revision: revision.clone(), url: url.clone() }, "CommitGone"),
            (FetchError::Denied { url: url.clone() }, "Denied"),
            (FetchError::NotAllowed { url: url.clone(), reason: "r".into() }, "NotAllowed"),
            (
                FetchError::TimedOut { revision: revision.clone(), url: url.clone(), seconds: 60 },
                "TimedOut",
            ),
            (FetchError::TooBig { url: url.clone(), limit: 7 }, "limit: 7"),
            (FetchError::Failed { revision, url, source: "why".into() }, "why"),
        ] {
            let text = text(Err(error));
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn ports_are_those_of_the_url() {
        for (url, port) in [
            ("https://h/x:9/y", 443),
            ("http://h/x", 80),
            ("https://h:1/x", 1),
            ("https://[::1]:5/x", 5),
        ] {
            assert_eq!(port_of(url), port, "{url}");
        }
    }

    #[test]
    fn locks_of_a_killed_fetch_go() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("refs/bivouac")).expect("a folder");
        for name in ["shallow.lock", "refs/bivouac/a.lock", "refs/bivouac/a"] {
            fs::write(folder.path().join(name), b"").expect("a file");
        }
        remove_locks(folder.path(), 0);
        assert!(!folder.path().join("refs/bivouac/a.lock").exists());
        assert!(!folder.path().join("shallow.lock").exists());
        assert!(folder.path().join("refs/bivouac/a").exists());
    }
}
