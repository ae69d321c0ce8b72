//! Orders in, a process with less. I/O: changes the calling thread and what it starts later; call it while there is one
//! thread only. There is no way back.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, Signal, getppid, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::filter::{Wanted, programs};
use super::orders::{ConfineError, InForce, Network, Orders};

/// Takes away what `orders` do not leave. An old kernel may lack Landlock or the filter: the answer says what is in
/// force, and who started the child decides whether that is enough.
pub fn confine(orders: &Orders) -> Result<InForce, ConfineError> {
    die_with(orders.parent)?;
    close_fds::set_fds_cloexec(3, &[]);
    limit(orders)?;
    let no_network = orders.network == Network::Refused;
    let namespace = no_network && own_network();
    let landlock = landlock(orders).map_err(|e| failed("set up Landlock", e))?;
    if no_network {
        drop_capabilities()?;
    }
    rustix::thread::set_no_new_privs(true).map_err(|e| failed("set no_new_privs", e))?;
    let filter = filter(orders, no_network)?;
    Ok(InForce { landlock, filter, namespace })
}

/// Confines itself, says so on stderr, and becomes the program; with no program there is nothing more to do.
/// Comes back only when that failed.
pub fn become_program(orders: &Orders, program: &[OsString]) -> Result<(), ConfineError> {
    use std::io::Write as _;
    let in_force = confine(orders)?;
    // One write, before anything of the tool can be there.
    io::stderr()
        .write_all(in_force.line().as_bytes())
        .map_err(|e| failed("say what is in force", e))?;
    let [path, arguments @ ..] = program else { return Ok(()) };
    let mut command = Command::new(path);
    command.args(arguments).env_clear().envs(&orders.environment);
    if let Some(directory) = &orders.directory {
        command.current_dir(directory);
    }
    Err(failed("start the tool", command.exec()))
}

fn failed(step: &'static str, why: impl Display) -> ConfineError {
    ConfineError::Step { step, why: why.to_string() }
}

/// A service that is killed, and a person who presses Ctrl-C, leave no child behind.
fn die_with(parent: u32) -> Result<(), ConfineError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| failed("follow its parent", e))?;
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    // 0: the parent lives in another process namespace and can't be told apart.
    if now == parent || now == 0 { Ok(()) } else { Err(ConfineError::Orphan) }
}

fn limit(orders: &Orders) -> Result<(), ConfineError> {
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Cpu, orders.limits.cpu_seconds),
        (Resource::Fsize, orders.limits.file_bytes),
        (Resource::Nofile, orders.limits.open_files),
    ] {
        // Never more than it was: raising needs a right.
        let old = rustix::process::getrlimit(resource);
        let most = old.maximum.map_or(most, |maximum| maximum.min(most));
        // A second more until it is killed: first comes a signal that says why.
        let hard = if resource == Resource::Cpu { most.saturating_add(1) } else { most };
        let hard = old.maximum.map_or(hard, |maximum| maximum.min(hard));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(hard) })
            .map_err(|e| failed("limit itself", e))?;
    }
    Ok(())
}

/// A network with nothing in it; needs a right that a restricted pod lacks, so it may fail.
#[expect(
    deprecated,
    reason = "there is one thread, and a network of its own takes no memory from under it"
)]
fn own_network() -> bool {
    use rustix::thread::{UnshareFlags, unshare};
    unshare(UnshareFlags::NEWNET).is_ok()
}

/// The level in force.
fn landlock(orders: &Orders) -> Result<u32, RulesetError> {
    let newest = ABI::V9;
    let files = AccessFs::from_all(newest);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(files)?
        .scope(Scope::from_all(newest))?
        .handle_access(AccessNet::BindTcp)?;
    if orders.network != Network::Outgoing {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut rules = rules.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = [PathBuf::from("/dev/null")];
    rules = allow(rules, &devices, AccessFs::ReadFile | AccessFs::WriteFile)?;
    rules = allow(rules, &[PathBuf::from("/dev/urandom")], AccessFs::ReadFile.into())?;
    rules = allow(rules, &orders.read, read)?;
    rules = allow(rules, &orders.execute, read | AccessFs::Execute)?;
    rules = allow(rules, &orders.write, writing())?;
    if let Network::Ports(ports) = &orders.network {
        // 53: a name server asked for a long answer.
        for port in ports.iter().chain([&53]) {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    let status = rules.restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    })
}

fn allow(
    rules: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let paths =
        paths.iter().map(PathBuf::as_path).filter(|path: &&Path| !path.as_os_str().is_empty());
    let found = path_beneath_rules(paths, access);
    rules.add_rules(found.map(|rule: Result<PathBeneath<PathFd>, RulesetError>| rule))
}

/// Plain files and folders: no link, no device, no pipe, nothing executed.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}

/// A root user's child is a plain user's child too. Restricted pods have nothing to drop.
fn drop_capabilities() -> Result<(), ConfineError> {
    let say = |e: rustix::io::Errno| failed("drop its capabilities", e);
    let have = rustix::thread::capabilities(None).map_err(say)?;
    if have.permitted.is_empty() && have.inheritable.is_empty() {
        return Ok(());
    }
    if have.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().iter() {
            // Older kernels do not know the newest ones.
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets).map_err(say)
}

/// Whether the filter is in force; a kernel without seccomp is no error here.
fn filter(orders: &Orders, no_network: bool) -> Result<bool, ConfineError> {
    let wanted = Wanted { no_network, alone: !orders.may_fork, own_pid: std::process::id() };
    let programs = match programs(wanted) {
        Ok(programs) => programs,
        // An architecture that the filter is not written for.
        Err(seccompiler::BackendError::InvalidTargetArch(_)) => return Ok(false),
        Err(error) => return Err(failed("make the filter", error)),
    };
    for program in &programs {
        match seccompiler::apply_filter(program) {
            Ok(()) => {}
            Err(seccompiler::Error::Prctl(e) | seccompiler::Error::Seccomp(e))
                if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(failed("install the filter", error)),
        }
    }
    Ok(true)
}
