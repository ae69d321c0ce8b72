//! A command and its bounds in, what it printed out. I/O: one child process with its process group, which is gone when
//! this returns or is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::SUBCOMMAND;
use super::orders::{InForce, Orders};

/// How often resident memory is looked at: a chart can fill some 100 MB in that time, no more.
const WATCH: Duration = Duration::from_millis(50);
/// About as many bytes of stderr are kept. A tool may print more; it is read and thrown away.
const STDERR_BYTES: usize = 64 << 10;

/// What ends a child early.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The child and all of its children end within this time.
    pub time: Duration,
    /// Bytes of stdout.
    pub output_bytes: usize,
    /// Bytes of resident memory of the whole process group, with what lies in `scratch`.
    pub memory_bytes: u64,
    /// A folder the child may write to: on tmpfs its files are memory.
    pub scratch: Option<PathBuf>,
    /// The child can't make processes, so there is one to be watched.
    pub alone: bool,
}

/// How a child ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// All of it.
    pub stdout: Vec<u8>,
    /// The beginning and the end, without the line of [`InForce`].
    pub stderr: String,
    /// What was in force in it; nothing for [`run`].
    pub in_force: InForce,
}

/// Why a child was ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// It did not start.
    #[error("it did not start")]
    Start(#[source] io::Error),
    /// It could not confine itself, so it never became the tool.
    #[error("it could not be confined: {0}")]
    NotConfined(String),
    /// Time was up.
    #[error("it took longer than {} s", .0.as_secs_f64())]
    Time(Duration),
    /// It printed too much.
    #[error("it printed more than {0} bytes")]
    Output(usize),
    /// It needed too much memory.
    #[error("it needed more than {} MiB of memory", .0 >> 20)]
    Memory(u64),
    /// Its pipes broke.
    #[error("what it printed could not be read")]
    Pipe(#[source] io::Error),
}

/// Runs `program` with `arguments`, confined as `orders` say; `own` is this program's own file.
pub async fn confined(
    own: &Path,
    orders: &Orders,
    program: Option<&Path>,
    arguments: &[String],
    bounds: &Bounds,
) -> Result<Ended, Stop> {
    let text = serde_json::to_string(orders).map_err(|e| Stop::NotConfined(e.to_string()))?;
    let mut command = Command::new(own);
    command.env_clear().arg(SUBCOMMAND).arg(text).arg("--");
    if let Some(program) = program {
        command.arg(program).args(arguments);
    }
    let mut ended = run(command, &[], bounds).await?;
    let (first, rest) = ended.stderr.split_once('\n').unwrap_or((&ended.stderr, ""));
    let Some(in_force) = InForce::parse(first) else {
        // The child says why; it is our own program, so its words are shown.
        let why: String = ended.stderr.chars().take(300).collect();
        return Err(Stop::NotConfined(format!("{} ({})", why.trim(), ended.status)));
    };
    ended.in_force = in_force;
    ended.stderr = rest.to_owned();
    Ok(ended)
}

/// Runs `command` in a process group of its own, with `input` as its stdin.
pub async fn run(mut command: Command, input: &[u8], bounds: &Bounds) -> Result<Ended, Stop> {
    command
        .stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(Stop::Start)?;
    let group = Group::of(&child);
    let ended = tokio::select! {
        biased;
        ended = talk(&mut child, &group, input, bounds) => ended,
        () = tokio::time::sleep(bounds.time) => Err(Stop::Time(bounds.time)),
        () = too_big(&group, bounds) => Err(Stop::Memory(bounds.memory_bytes)),
    };
    if ended.is_err() {
        group.kill();
        // Its parent is here: without this it would stay in the table of processes.
        let _ = child.wait().await;
    }
    group.gone();
    ended
}

async fn talk(
    child: &mut Child,
    group: &Group,
    input: &[u8],
    bounds: &Bounds,
) -> Result<Ended, Stop> {
    let missing = || Stop::Start(io::Error::other("a pipe is missing"));
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A child that ends before it has read all says why by its exit code.
            let _ = stdin.write_all(input).await;
        }
        Ok(())
    };
    let wait = async {
        let status = child.wait().await.map_err(Stop::Pipe)?;
        if !bounds.alone {
            // Its children hold the pipes; with them gone the pipes end.
            group.kill();
        }
        Ok(status)
    };
    let (stdout, stderr, status, ()) =
        tokio::try_join!(read_all(stdout, bounds.output_bytes), read_some(stderr), wait, write)?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Ended { status, stdout, stderr, in_force: InForce::default() })
}

async fn read_all(mut pipe: impl AsyncRead + Unpin, limit: usize) -> Result<Vec<u8>, Stop> {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match pipe.read(&mut piece).await.map_err(Stop::Pipe)? {
            0 => return Ok(all),
            read if all.len() + read > limit => return Err(Stop::Output(limit)),
            read => all.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// The beginning and the end: the first line is ours, and of a long chain of reasons the last one matters.
async fn read_some(mut pipe: impl AsyncRead + Unpin) -> Result<Vec<u8>, Stop> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut left_out = false;
    let mut piece = vec![0; 8 << 10];
    loop {
        let read = pipe.read(&mut piece).await.map_err(Stop::Pipe)?;
        if read == 0 {
            break;
        }
        let (first, rest) = piece
            .get(..read)
            .unwrap_or_default()
            .split_at((STDERR_BYTES / 2).saturating_sub(head.len()).min(read));
        head.extend_from_slice(first);
        tail.extend_from_slice(rest);
        if tail.len() > STDERR_BYTES {
            tail.drain(..tail.len() - STDERR_BYTES / 2);
            left_out = true;
        }
    }
    if left_out {
        head.extend_from_slice(b" ... ");
    }
    head.append(&mut tail);
    Ok(head)
}

/// Ends when the group holds too much.
async fn too_big(group: &Group, bounds: &Bounds) {
    let mut watch = tokio::time::interval(WATCH);
    loop {
        watch.tick().await;
        let files = bounds.scratch.as_deref().map_or(0, bytes_below);
        if group.resident(bounds.alone).saturating_add(files) > bounds.memory_bytes {
            return;
        }
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The child's process group, killed when this goes before [`Group::gone`] was said.
struct Group {
    leader: Option<Pid>,
    live: AtomicBool,
}

impl Group {
    fn of(child: &Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { leader, live: AtomicBool::new(true) }
    }

    fn kill(&self) {
        if let Some(leader) = self.leader
            && self.live.load(Ordering::Relaxed)
        {
            // No such group: it has ended by itself.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// Its number may belong to somebody else from now on.
    fn gone(&self) {
        self.live.store(false, Ordering::Relaxed);
    }

    /// Bytes of resident memory, all processes of the group together; what they share counts for each.
    fn resident(&self, alone: bool) -> u64 {
        let Some(leader) = self.leader else { return 0 };
        let leader = leader.as_raw_nonzero().get();
        if alone {
            return resident_of(Path::new("/proc").join(leader.to_string()).as_path());
        }
        let Ok(processes) = fs::read_dir("/proc") else { return 0 };
        processes
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()))
            .filter(|entry| group_of(&entry.path()) == Some(leader))
            .map(|entry| resident_of(&entry.path()))
            .sum()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Memory that is its own, on tmpfs too. Pages of mapped files are not: the kernel takes them back when it needs to.
fn resident_of(process: &Path) -> u64 {
    let Ok(status) = fs::read_to_string(process.join("status")) else { return 0 };
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    kilobytes("RssAnon:").saturating_add(kilobytes("RssShmem:")).saturating_mul(1024)
}

/// Fifth word of `stat`; the second is a name in brackets that may hold anything.
fn group_of(process: &Path) -> Option<i32> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            time: Duration::from_secs(20),
            output_bytes: 1 << 20,
            memory_bytes: 1 << 30,
            scratch: None,
            alone: false,
        }
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    /// Whether a process of this number runs; one that nobody has waited for yet is gone all the same.
    fn runs(pid: &str) -> bool {
        let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.is_ok_and(|text| {
            text.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
        })
    }

    async fn ends(pid: &str) {
        for _ in 0..200 {
            if !runs(pid) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} still runs");
    }

    #[tokio::test]
    async fn what_is_printed_comes_back_with_the_exit_code() {
        let ended = run(sh("cat; echo bad >&2; exit 3"), b"hello", &bounds()).await.expect("ends");
        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_str()), (&b"hello"[..], "bad\n"));
        assert_eq!(ended.status.code(), Some(3));
    }

    #[tokio::test]
    async fn time_is_up_for_children_of_children_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let short = Bounds { time: Duration::from_millis(500), ..bounds() };
        let stop = run(sh(&script), &[], &short).await.expect_err("it never ends");
        assert!(matches!(stop, Stop::Time(_)), "{stop}");
        ends(&fs::read_to_string(&file).expect("it began")).await;
    }

    #[tokio::test]
    async fn who_is_dropped_leaves_no_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let bounds = bounds();
        let ends_never = run(sh(&script), &[], &bounds);
        assert!(tokio::time::timeout(Duration::from_millis(500), ends_never).await.is_err());
        ends(&fs::read_to_string(&file).expect("it began")).await;
    }

    #[tokio::test]
    async fn a_child_that_leaves_others_behind_does_not_hold_the_answer() {
        let ended = run(sh("sleep 1000 & echo $!"), &[], &bounds()).await.expect("ends");
        ends(&String::from_utf8_lossy(&ended.stdout)).await;
    }

    #[tokio::test]
    async fn endless_output_is_stopped_on_either_pipe() {
        let stop = run(sh("yes"), &[], &bounds()).await.expect_err("too much");
        assert!(matches!(stop, Stop::Output(_)), "{stop}");
        let short = Bounds { time: Duration::from_millis(500), ..bounds() };
        let stop = run(sh("yes >&2"), &[], &short).await.expect_err("too long");
        assert!(matches!(stop, Stop::Time(_)), "{stop}");
    }

    #[tokio::test]
    async fn of_a_long_complaint_the_beginning_and_the_end_are_kept() {
        let script = "echo first >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; echo last >&2";
        let ended = run(sh(script), &[], &bounds()).await.expect("ends");
        assert!(ended.stderr.starts_with("first\n") && ended.stderr.ends_with("xlast\n"));
        assert!(ended.stderr.len() <= 2 * STDERR_BYTES && ended.stderr.contains(" ... "));
    }

    #[tokio::test]
    async fn memory_of_the_whole_group_counts() {
        let hog = "x=$(head -c 40000000 /dev/zero | tr '\\0' x); sleep 1000";
        let small = Bounds { memory_bytes: 30 << 20, ..bounds() };
        let stop = run(sh(&format!("({hog}) & wait")), &[], &small).await.expect_err("too big");
        assert!(matches!(stop, Stop::Memory(_)), "{stop}");
    }

    #[tokio::test]
    async fn files_on_tmpfs_count_as_memory() {
        let folder = tempfile::tempdir().expect("a folder");
        let script =
            format!("head -c 40000000 /dev/zero > {}/x; sleep 1000", folder.path().display());
        let small =
            Bounds { memory_bytes: 30 << 20, scratch: Some(folder.path().to_owned()), ..bounds() };
        let stop = run(sh(&script), &[], &small).await.expect_err("too big");
        assert!(matches!(stop, Stop::Memory(_)), "{stop}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_said() {
        let stop = run(Command::new("/no/such/tool"), &[], &bounds()).await.expect_err("nothing");
        assert!(matches!(stop, Stop::Start(_)), "{stop}");
    }
}
