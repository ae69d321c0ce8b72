//! Where a tool is and what it needs to run. I/O: looks at files.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What a program that is not linked statically reads before it begins.
const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/nix/store",
];
/// Segment type of an ELF file that names its loader.
const PT_INTERP: u32 = 3;

/// A program that was found and has a version we know.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// `helm` or `kustomize`.
    pub(super) tool: &'static str,
    /// The file itself, no link.
    pub(super) path: PathBuf,
    /// What it has to read and execute.
    pub(super) execute: Vec<PathBuf>,
    /// As it says.
    pub(super) version: String,
}

impl Program {
    pub(super) fn describe(&self) -> String {
        format!("{} {} ({})", self.tool, self.version, self.path.display())
    }
}

/// The file set for a tool, or the first of `names` in `search`; the error says where it was looked for.
pub(super) fn find(
    names: &[&str],
    set: Option<&Path>,
    search: Option<&OsString>,
) -> Result<PathBuf, String> {
    if let Some(path) = set {
        return usable(path).ok_or_else(|| format!("{} is no program", path.display()));
    }
    let folders: Vec<PathBuf> =
        search.map(|search| std::env::split_paths(search).collect()).unwrap_or_default();
    for name in names {
        let found = folders
            .iter()
            // A relative one would depend on where we were started.
            .filter(|folder| folder.is_absolute())
            .find_map(|folder| usable(&folder.join(name)));
        if let Some(path) = found {
            return Ok(path);
        }
    }
    Err(format!("{} is not in PATH", names.join(" or ")))
}

fn usable(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.permissions().mode() & 0o111 != 0).then_some(path)
}

/// What `program` has to read: itself, and libraries unless it is linked statically.
pub(super) fn needs(program: &Path) -> Result<Vec<PathBuf>, String> {
    let mut head = Vec::new();
    fs::File::open(program)
        .and_then(|file| file.take(4096).read_to_end(&mut head))
        .map_err(|e| format!("{} can't be read: {e}", program.display()))?;
    if !head.starts_with(b"\x7fELF") {
        return Err(format!(
            "{} is a script or link to one, which can't be confined; set the path of the program itself",
            program.display()
        ));
    }
    let mut needs = vec![program.to_owned()];
    if !is_static(&head).unwrap_or(false) {
        needs.extend(LIBRARIES.iter().map(PathBuf::from));
    }
    Ok(needs)
}

/// Whether no loader is named; `None` for headers that are not there or not of 64 bits.
fn is_static(head: &[u8]) -> Option<bool> {
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(bytes)?)?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    // Class 2: 64 bits; data 1: little endian.
    if head.get(4..6)? != [2, 1] {
        return None;
    }
    let first = usize::try_from(number(32, 8)?).ok()?;
    let size = usize::try_from(number(54, 2)?).ok()?;
    let count = usize::try_from(number(56, 2)?).ok()?;
    for index in 0..count {
        if number(first.checked_add(index.checked_mul(size)?)?, 4)? == u64::from(PT_INTERP) {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_setting_or_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("helm");
        let search = Some(OsString::from(format!("relative:{}", folder.path().display())));
        let missing = find(&["helm"], None, search.as_ref()).expect_err("nothing there");
        assert_eq!(missing, "helm is not in PATH");
        fs::write(&file, b"x").expect("a file");
        assert!(find(&["helm"], None, search.as_ref()).is_err(), "it may not be executed");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
        let found = find(&["kustomize", "helm"], None, search.as_ref()).expect("it is there");
        assert_eq!(found, fs::canonicalize(&file).expect("it is there"));
        assert!(find(&["helm"], Some(&folder.path().join("other")), search.as_ref()).is_err());
        assert!(needs(&file).expect_err("no program").contains("script"));
    }

    #[test]
    fn libraries_are_read_only_by_programs_that_load_them() {
        let own = std::env::current_exe().expect("this runs");
        assert!(needs(&own).expect("a program").len() > 1, "tests are linked dynamically");
        let mut head = vec![0_u8; 64 + 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head[64] = 1;
        assert_eq!(is_static(&head), Some(true));
        head[64] = 3;
        assert_eq!(is_static(&head), Some(false));
        assert_eq!(is_static(&head[..60]), None);
    }
}
