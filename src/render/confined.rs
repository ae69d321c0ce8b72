//! [`Tools`] by confined children: jobs in, documents out. I/O: a scratch folder and one child at a time for each job.
//!
//! `ConfinedTools::find` looks at nothing; the programs and what this machine can confine are looked at with the first
//! job that needs them, and remembered only when they are good, so that what is installed later is found.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::tool_binary::{Program, find, needs};
use super::tools::{HelmJob, KustomizeJob, ToolError, ToolLimits, ToolOutput, Tools};
use super::{helm, kustomize};
use crate::confine::{
    Bounds, Ended, InForce, KernelLimits, Network, Orders, Scratch, ScratchError, Stop, confined,
};
use crate::domain::file_tree::FileTree;

/// A program says its version within this time.
const CHECK_TIME: Duration = Duration::from_secs(20);
/// Memory for saying it; Go programs of this size need some 60 MB.
const CHECK_MEMORY: u64 = 512 << 20;
/// Renderers that run at once at least: one that hangs until its time is up must not hold up the others.
const AT_ONCE: usize = 4;
/// Threads of Go code that run at once in one renderer.
const GO_PROCESSORS: u64 = 2;

/// What is left free where files are written: names and blocks take room too.
const SPARE_BYTES: u64 = 4 << 20;

/// Folders in a scratch folder.
pub(super) const FILES: &str = "files";
pub(super) const VALUES: &str = "values";
const WORK: &str = "work";

/// Where the programs are and what they may use.
#[derive(Clone, Debug)]
pub struct ToolSettings {
    /// This program's own file, started as `bivouac __confine`.
    pub own: PathBuf,
    /// Helm; `None`: `helm` in `search`.
    pub helm: Option<PathBuf>,
    /// Kustomize, or a `kubectl` that has it; `None`: `kustomize`, then `kubectl`, in `search`.
    pub kustomize: Option<PathBuf>,
    /// Folders to search, as in `PATH`.
    pub search: Option<OsString>,
    /// Folders for the files of a commit, the first that can be used; tmpfs before disk.
    pub scratch: Vec<PathBuf>,
    /// Bytes of files that one job may bring.
    pub scratch_bytes: u64,
    /// Renderers that run at once; never fewer than four.
    pub at_once: usize,
    /// Most resident memory of one renderer, whatever its job allows.
    pub memory_bytes: u64,
}

impl ToolSettings {
    /// Tools of the `PATH` `search`, files in memory if there is a tmpfs, else in `temporary`.
    #[must_use]
    pub fn new(search: Option<OsString>, temporary: PathBuf) -> Self {
        Self {
            // Stays right when the file is replaced while we run.
            own: PathBuf::from("/proc/self/exe"),
            helm: None,
            kustomize: None,
            search,
            scratch: vec![PathBuf::from("/dev/shm"), temporary],
            scratch_bytes: 128 << 20,
            at_once: AT_ONCE,
            memory_bytes: 1 << 30,
        }
    }
}

/// Helm and Kustomize as confined child processes.
#[derive(Debug)]
pub struct ConfinedTools {
    settings: ToolSettings,
    places: Semaphore,
    in_force: OnceCell<InForce>,
    helm: OnceCell<Program>,
    kustomize: OnceCell<Program>,
}

impl ConfinedTools {
    /// Cheap: nothing is looked at before the first job.
    #[must_use]
    pub fn find(settings: ToolSettings) -> Self {
        let places = Semaphore::new(settings.at_once.max(AT_ONCE));
        Self {
            settings,
            places,
            in_force: OnceCell::new(),
            helm: OnceCell::new(),
            kustomize: OnceCell::new(),
        }
    }

    /// What is in force in the children on this machine, found by trying it.
    pub async fn in_force(&self) -> Result<InForce, ToolError> {
        let try_it = async {
            for base in &self.settings.scratch {
                Scratch::sweep(base);
            }
            let orders = self.orders(Vec::new(), Vec::new(), None, CHECK_MEMORY, CHECK_TIME);
            let bounds = bounds(CHECK_TIME, 1 << 10, CHECK_MEMORY, None);
            let ended = confined(&self.settings.own, &orders, None, &[], &bounds).await;
            ended.map(|ended| ended.in_force).map_err(|stop| ToolError::Unavailable {
                message: format!("no child process can be confined: {}", chain(&stop)),
            })
        };
        self.in_force.get_or_try_init(|| try_it).await.copied()
    }

    /// The same; an error when that is not enough to run what others wrote.
    pub async fn check_confinement(&self) -> Result<InForce, ToolError> {
        let in_force = self.in_force().await?;
        if in_force.network_refused() {
            return Ok(in_force);
        }
        let message = "this machine has neither seccomp filters nor network namespaces for us, so Helm and \
                       Kustomize are not run: what a pull request brings could reach the network; use a kernel \
                       with CONFIG_SECCOMP_FILTER and a container runtime that allows seccomp(2)";
        Err(ToolError::Unavailable { message: message.into() })
    }

    /// Which Helm would be used, as `helm v4.3.1 (/usr/bin/helm)`.
    pub async fn check_helm(&self) -> Result<String, ToolError> {
        self.helm_program().await.map(Program::describe)
    }

    /// Which Kustomize would be used.
    pub async fn check_kustomize(&self) -> Result<String, ToolError> {
        self.kustomize_program().await.map(Program::describe)
    }

    pub(super) async fn helm_program(&self) -> Result<&Program, ToolError> {
        let found = self.helm.get_or_try_init(|| async {
            let path =
                find(&["helm"], self.settings.helm.as_deref(), self.settings.search.as_ref())
                    .map_err(|why| ToolError::Unavailable {
                        message: format!("{why}; {}", helm::HOW_TO_GET),
                    })?;
            let arguments = ["version", "--template", "{{.Version}}"];
            self.version(path, "helm", &arguments, helm::supported).await
        });
        found.await
    }

    pub(super) async fn kustomize_program(&self) -> Result<&Program, ToolError> {
        let found = self.kustomize.get_or_try_init(|| async {
            let path = find(
                &["kustomize", "kubectl"],
                self.settings.kustomize.as_deref(),
                self.settings.search.as_ref(),
            )
            .map_err(|why| ToolError::Unavailable {
                message: format!("{why}; {}", kustomize::HOW_TO_GET),
            })?;
            let arguments: &[&str] = if kustomize::is_kubectl(&path) {
                &["version", "--client", "--output=json"]
            } else {
                &["version"]
            };
            self.version(path, "kustomize", arguments, kustomize::supported).await
        });
        found.await
    }

    /// Asks a program for its version; `supported` takes that out of what it prints.
    async fn version(
        &self,
        path: PathBuf,
        tool: &'static str,
        arguments: &[&str],
        supported: fn(&str) -> Result<String, String>,
    ) -> Result<Program, ToolError> {
        self.check_confinement().await?;
        let unavailable = |message: String| ToolError::Unavailable { message };
        let execute = needs(&path).map_err(unavailable)?;
        let mut program = Program { tool, path, execute, version: String::new() };
        let scratch = self.scratch(tool, 0)?;
        let limits =
            ToolLimits { time: CHECK_TIME, output_bytes: 64 << 10, memory_bytes: CHECK_MEMORY };
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let ended = self.start(&program, &scratch, &arguments, limits, CHECK_TIME).await?;
        let printed = String::from_utf8_lossy(&ended.stdout);
        let path = program.path.display().to_string();
        if !ended.status.success() {
            return Err(unavailable(format!("{path} did not say its version ({})", ended.status)));
        }
        program.version =
            supported(printed.trim()).map_err(|why| unavailable(format!("{path}: {why}")))?;
        Ok(program)
    }

    /// Room for one more renderer, within its own time.
    pub(super) async fn place(
        &self,
        tool: &'static str,
        limits: ToolLimits,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, ToolError> {
        let failed = |message: String| ToolError::Failed { tool, message };
        match tokio::time::timeout(limits.time, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(failed("the service is ending".into())),
            Err(_) => {
                let running = self.settings.at_once.max(AT_ONCE);
                let seconds = limits.time.as_secs();
                Err(failed(format!(
                    "{running} others were being rendered for {seconds} s and none ended"
                )))
            }
        }
    }

    /// An empty scratch folder with what the tool may write to, where `bytes` of files have room.
    pub(super) fn scratch(&self, tool: &'static str, bytes: u64) -> Result<Scratch, ToolError> {
        let mut why = String::from("no folder for files is set");
        for base in &self.settings.scratch {
            if Scratch::room(base).is_some_and(|room| room < bytes.saturating_add(SPARE_BYTES)) {
                why = format!("{} has no room for {bytes} bytes of files", base.display());
                continue;
            }
            let made = Scratch::new(base, self.settings.scratch_bytes).and_then(|scratch| {
                for folder in [FILES, VALUES, WORK] {
                    scratch.folder(folder)?;
                }
                Ok(scratch)
            });
            match made {
                Ok(scratch) => return Ok(scratch),
                Err(error) => why = chain(&error),
            }
        }
        Err(ToolError::Failed { tool, message: why })
    }

    /// Runs a program on what lies in `scratch`; its time is what is left until `left` is over.
    pub(super) async fn start(
        &self,
        program: &Program,
        scratch: &Scratch,
        arguments: &[String],
        limits: ToolLimits,
        left: Duration,
    ) -> Result<Ended, ToolError> {
        let tool = program.tool;
        let memory = limits.memory_bytes.min(self.settings.memory_bytes);
        let work = scratch.path().join(WORK);
        let read = vec![scratch.path().join(FILES), scratch.path().join(VALUES)];
        let orders = self.orders(
            read,
            program.execute.clone(),
            Some(&work),
            limits.memory_bytes,
            limits.time,
        );
        let bounds = bounds(left, limits.output_bytes, memory, Some(work));
        let ended =
            confined(&self.settings.own, &orders, Some(&program.path), arguments, &bounds).await;
        let ended = ended.map_err(|stop| match &stop {
            Stop::Time(_) => {
                let seconds = limits.time.as_secs_f64();
                let message = format!("{tool} took longer than {seconds} s (limits.renderTime)");
                ToolError::TooMuch { message }
            }
            Stop::Output(_) | Stop::Memory(_) => {
                let stop_text = stop.to_string();
                let what = stop_text.trim_start_matches("it ");
                let setting = match stop {
                    Stop::Output(_) => " (limits.renderedBytes)",
                    _ if memory < limits.memory_bytes => " (BIVOUAC_RENDER_MEMORY)",
                    _ => "",
                };
                ToolError::TooMuch { message: format!("{tool} {what}{setting}") }
            }
            Stop::NotConfined(_) => ToolError::Unavailable { message: format!("{tool}: {stop}") },
            Stop::Start(_) | Stop::Pipe(_) => ToolError::Failed { tool, message: chain(&stop) },
        })?;
        if !ended.in_force.network_refused() {
            let message = format!("{tool} ran without confinement; its output is thrown away");
            return Err(ToolError::Unavailable { message });
        }
        match ended.status.signal() {
            None => Ok(ended),
            Some(libc::SIGXCPU) => Err(ToolError::TooMuch {
                message: format!(
                    "{tool} took more processor time than its time limit allows (limits.renderTime)"
                ),
            }),
            Some(libc::SIGXFSZ) => {
                Err(ToolError::TooMuch { message: format!("{tool} wrote a file that is too big") })
            }
            Some(signal) => Err(ToolError::Failed {
                tool,
                message: format!(
                    "it was ended by signal {signal} (out of memory on this machine?)"
                ),
            }),
        }
    }

    fn orders(
        &self,
        read: Vec<PathBuf>,
        execute: Vec<PathBuf>,
        work: Option<&Path>,
        memory: u64,
        time: Duration,
    ) -> Orders {
        Orders {
            read,
            execute,
            write: work.into_iter().map(Path::to_owned).collect(),
            network: Network::Refused,
            may_fork: false,
            limits: KernelLimits {
                cpu_seconds: time.as_secs().saturating_add(1).saturating_mul(GO_PROCESSORS),
                file_bytes: self.settings.scratch_bytes,
                open_files: 256,
            },
            environment: work.map(|work| environment(work, memory)).unwrap_or_default(),
            directory: work.map(Path::to_owned),
            parent: std::process::id(),
        }
    }
}

fn bounds(time: Duration, output: usize, memory: u64, scratch: Option<PathBuf>) -> Bounds {
    Bounds { time, output_bytes: output, memory_bytes: memory, scratch, alone: true }
}

/// The whole environment of a tool: nothing of ours, nothing that differs between machines.
fn environment(work: &Path, memory: u64) -> BTreeMap<String, String> {
    let below = |name: &str| work.join(name).display().to_string();
    // Go tries harder to free memory before the watchdog ends it.
    let go_memory = memory.saturating_div(4).saturating_mul(3);
    [
        ("HOME", below("home")),
        ("TMPDIR", below("tmp")),
        ("HELM_CACHE_HOME", below("helm/cache")),
        ("HELM_CONFIG_HOME", below("helm/config")),
        ("HELM_DATA_HOME", below("helm/data")),
        ("HELM_PLUGINS", below("helm/plugins")),
        ("XDG_CONFIG_HOME", below("home/config")),
        ("KUSTOMIZE_PLUGIN_HOME", below("home/plugins")),
        ("KUBECONFIG", below("home/none")),
        ("KUBECTL_KUBERC", "false".into()),
        ("GOMEMLIMIT", format!("{go_memory}B")),
        // A tool lives for a moment: it collects garbage late, and sooner only near the limit.
        ("GOGC", "400".into()),
        ("GOMAXPROCS", GO_PROCESSORS.to_string()),
        ("GOTRACEBACK", "none".into()),
        ("TZ", "UTC".into()),
        ("LC_ALL", "C".into()),
        ("PATH", "/nonexistent".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A scratch folder that can't take the files.
pub(super) fn scratch_error(tool: &'static str, error: &ScratchError) -> ToolError {
    match error {
        ScratchError::Name { path } => ToolError::Input {
            file: Some(path.clone()),
            line: None,
            message: "a file of this name is not rendered; rename it".into(),
        },
        ScratchError::TooBig { limit } => ToolError::TooMuch {
            message: format!("{tool} would read more than {limit} bytes of files"),
        },
        ScratchError::Disk { .. } => ToolError::Failed { tool, message: chain(error) },
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Bytes of all files together.
pub(super) fn bytes_of(files: &FileTree) -> u64 {
    files.iter().map(|(_, bytes)| u64::try_from(bytes.len()).unwrap_or(u64::MAX)).sum()
}

/// What is left of a job's time.
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(super) fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Tools for ConfinedTools {
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        helm::template(self, job).boxed()
    }

    fn kustomize(&self, job: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        kustomize::build(self, job).boxed()
    }
}

/// Does blocking work of a job away from the runtime's threads: a big chart has thousands of files.
pub(super) async fn blocking<T: Send + 'static>(
    tool: &'static str,
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(ToolError::Failed { tool, message: error.to_string() }),
    }
}
