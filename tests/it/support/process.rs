//! What the operating system knows of this process: threads and sockets (Linux).

use std::collections::BTreeSet;
use std::fs;

/// Ids of the threads that the calling test started, with its own, and of every thread of a runtime's pool.
///
/// A thread without a name of its own has that of the thread that started it, and a test's thread has the test's. What
/// tests beside this one do is not counted; none of them has a pool either.
pub(crate) fn threads_of_this_test() -> BTreeSet<String> {
    let own = fs::read_to_string("/proc/thread-self/comm").unwrap_or_default();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let ours = name == own || name.starts_with("tokio") || name.starts_with("gix");
        ours.then(|| format!("{} {}", task.file_name().to_string_lossy(), name.trim()))
    });
    named.collect()
}

/// TCP and UDP sockets of this process, as lines of `/proc/self/net`.
pub(crate) fn internet_sockets() -> Vec<String> {
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let ours: BTreeSet<String> = descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
        let lines = text.lines().skip(1);
        found.extend(
            lines
                .filter(|line| {
                    line.split_whitespace().nth(9).is_some_and(|inode| ours.contains(inode))
                })
                .map(|line| format!("{table}: {line}")),
        );
    }
    found
}
