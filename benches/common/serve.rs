//! A stage in, `bivouac serve` beside it as a process of its own out, with what `/proc` says about it. Reads `/proc`, so it
//! needs Linux. I/O: one child process.

use std::path::Path;
use std::time::Duration;

use bivouac::app::stage::{BOT, NAMESPACE, Stage};
use bivouac::seams::BoxError;
use tokio::process::{Child, Command};

/// `bivouac serve`, as its own service account. `arguments` are put behind those that every stage needs.
pub(crate) fn start(stage: &Stage, folder: &Path, arguments: &[&str]) -> Result<Child, BoxError> {
    let Some(at) = &stage.addresses else { return Err("the stage has no addresses".into()) };
    let groups = ["system:serviceaccounts", "system:serviceaccounts:bivouac-system"];
    let token = stage.cluster.user_token(&service_account(), &groups);
    start_with(stage, folder, &stage.cluster.kubeconfig(&at.cluster.to_string(), &token), arguments)
}

/// The same with a kubeconfig of its own.
pub(crate) fn start_with(
    stage: &Stage,
    folder: &Path,
    kubeconfig_text: &str,
    arguments: &[&str],
) -> Result<Child, BoxError> {
    let Some(at) = &stage.addresses else { return Err("the stage has no addresses".into()) };
    let kubeconfig = folder.join("serve.kubeconfig");
    std::fs::write(&kubeconfig, kubeconfig_text)?;
    let child = Command::new(env!("CARGO_BIN_EXE_bivouac"))
        .args(["serve", "--instance", "demo", "--allow-http"])
        .args(["--listen", &at.service.to_string()])
        .arg("--cache-dir")
        .arg(folder.join("cache"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(folder.join("serve.log"))?)
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// The name by which the cluster knows the service.
pub(crate) fn service_account() -> String {
    format!("system:serviceaccount:{NAMESPACE}:bivouac")
}

/// Whether it takes webhooks and has looked at the forge.
pub(crate) async fn is_served(stage: &Stage) -> Option<()> {
    let at = stage.addresses.as_ref()?;
    let answer = reqwest::get(format!("http://{}/readyz", at.service)).await.ok()?;
    let forge_was_asked =
        stage.github.requests().iter().any(|request| request.user.as_deref() == Some(BOT));
    (answer.status() == 200 && forge_was_asked).then_some(())
}

/// The last lines of its log: why it did not do what was measured.
pub(crate) fn end_of_log(folder: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
    let mut end: Vec<String> = log.lines().rev().take(20).map(str::to_owned).collect();
    end.reverse();
    end
}

/// `VmRSS` and `VmHWM`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) now_kib: u64,
    /// Since its start.
    pub(crate) peak_kib: u64,
}

impl Memory {
    /// Of a process that runs.
    pub(crate) fn of(serve: &Child) -> Result<Self, BoxError> {
        let id = serve.id().ok_or("serve has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let value = |name: &str| -> Result<u64, BoxError> {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .ok_or("no such line in /proc/…/status")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self { now_kib: value("VmRSS")?, peak_kib: value("VmHWM")? })
    }
}

/// Time on the processor since its start.
pub(crate) fn processor(serve: &Child) -> Result<Duration, BoxError> {
    let id = serve.id().ok_or("serve has ended")?;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold blanks and brackets; what follows its last bracket may not. utime and stime are 14 and 15.
    let (_, rest) = stat.rsplit_once(") ").ok_or("no name in /proc/…/stat")?;
    let ticks: u64 =
        rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux tells times to user space in hundredths of a second on every architecture.
    Ok(Duration::from_millis(ticks * 10))
}
