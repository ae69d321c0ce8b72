//! PURE · the seccomp filter: which system calls fail with `EPERM`, as programs for the kernel.
//!
//! A list of what is refused, not of what is allowed: Go's runtime and C libraries take up new calls with every
//! version, and a chart that no longer renders after an update of Helm helps nobody. What reaches files is Landlock's
//! part; this is the part Landlock does not have.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

/// On `x86_64` the same kernel answers a second table of numbers, told apart by this bit: a filter that forgets it has
/// a hole as wide as itself.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// What the filter is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// No socket but an unconnected one of `AF_UNIX`.
    pub(super) no_network: bool,
    /// No new process, and no signal to another one.
    pub(super) alone: bool,
    /// The process that gets the filter; it may still signal itself, as Go does all the time.
    pub(super) own_pid: u32,
}

/// The programs, to be installed in this order.
pub(super) fn programs(wanted: Wanted) -> Result<Vec<BpfProgram>, BackendError> {
    let build = |rules: Rules, errno: i32| -> Result<BpfProgram, BackendError> {
        let errno = errno.unsigned_abs();
        let arch = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules.0, SeccompAction::Allow, SeccompAction::Errno(errno), arch)?
            .try_into()
    };
    // C libraries take `ENOSYS` as "use the older call"; its flags lie in memory, where no filter can look.
    let mut unknown = Rules::default();
    unknown.never(&[libc::SYS_clone3]);
    Ok(vec![build(unknown, libc::ENOSYS)?, build(refused(wanted)?, libc::EPERM)?])
}

#[derive(Default)]
struct Rules(BTreeMap<i64, Vec<SeccompRule>>);

impl Rules {
    fn never(&mut self, calls: &[i64]) {
        for call in calls {
            // No condition: the call never passes, whatever was said of it before.
            self.0.insert(*call, Vec::new());
            #[cfg(target_arch = "x86_64")]
            self.0.insert(*call | X32, Vec::new());
        }
    }

    fn when(&mut self, call: i64, conditions: Vec<SeccompCondition>) -> Result<(), BackendError> {
        let rule = SeccompRule::new(conditions)?;
        #[cfg(target_arch = "x86_64")]
        self.0.entry(call | X32).or_default().push(rule.clone());
        self.0.entry(call).or_default().push(rule);
        Ok(())
    }
}

fn number(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

fn refused(wanted: Wanted) -> Result<Rules, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{MaskedEq, Ne};
    let is = SeccompCondition::new;
    let mut rules = Rules::default();
    rules.never(ALWAYS);
    #[cfg(target_arch = "x86_64")]
    {
        rules.never(&[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt]);
        // Of these the second table has its own numbers: ptrace, process_vm_readv, process_vm_writev, vmsplice is fine.
        for call in [521, 539, 540] {
            rules.0.insert(X32 | call, Vec::new());
        }
    }
    for flag in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ] {
        rules.when(libc::SYS_clone, vec![is(0, Qword, MaskedEq(number(flag)), number(flag))?])?;
    }
    if wanted.no_network {
        let unix = number(libc::AF_UNIX);
        rules.when(libc::SYS_socket, vec![is(0, Dword, Ne, unix)?])?;
        // Datagrams could be sent to a path without a connection.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW, libc::SOCK_SEQPACKET] {
            rules.when(libc::SYS_socket, vec![is(1, Dword, MaskedEq(0xf), number(kind))?])?;
        }
        // Landlock does not look at sockets that are files: another program's must not be reached either.
        rules.never(&[libc::SYS_connect, libc::SYS_bind, libc::SYS_listen]);
    }
    if wanted.alone {
        rules.never(&[libc::SYS_tkill, libc::SYS_pidfd_send_signal, libc::SYS_setsid]);
        rules.never(&[libc::SYS_setpgid]);
        #[cfg(target_arch = "x86_64")]
        rules.never(&[libc::SYS_fork, libc::SYS_vfork]);
        let thread = number(libc::CLONE_THREAD);
        rules.when(libc::SYS_clone, vec![is(0, Qword, MaskedEq(thread), 0)?])?;
        let own = u64::from(wanted.own_pid);
        for call in [
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
        ] {
            rules.when(call, vec![is(0, Dword, Ne, own)?])?;
        }
        #[cfg(target_arch = "x86_64")]
        for call in [524, 536] {
            rules.0.insert(X32 | call, Vec::new());
        }
        rules.when(libc::SYS_prlimit64, vec![is(0, Dword, Ne, own)?, is(0, Dword, Ne, 0)?])?;
    }
    Ok(rules)
}

/// Ways to look into others, to change the system, to get at files past Landlock, or past this filter.
const ALWAYS: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_are_made_for_each_use() {
        for (no_network, alone) in [(true, true), (true, false), (false, true), (false, false)] {
            let programs = programs(Wanted { no_network, alone, own_pid: 7 }).expect("valid rules");
            assert_eq!(programs.len(), 2);
            assert!(programs.iter().all(|program| program.len() > 4 && program.len() < 4096));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_second_table_of_numbers_is_refused_too() {
        let rules =
            refused(Wanted { no_network: true, alone: true, own_pid: 7 }).expect("valid rules");
        for call in rules.0.keys().filter(|call| **call & X32 == 0) {
            assert!(rules.0.contains_key(&(call | X32)), "{call}");
        }
    }
}
