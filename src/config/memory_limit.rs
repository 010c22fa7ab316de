//! How much memory the process can have, and how much it has used.
//!
//! The files are read here because only a default depends on them. Crates for this read hundreds of other figures, and
//! see only the limits of the root cgroup, or none if one file can't be read.

use std::fs;
use std::path::Path;

/// Where one version of cgroups is mounted, from the root, and which files of a group limit its memory. Version 2 stops
/// a process at `memory.max`, and slows it down to a crawl at `memory.high`.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    mount: &'static str,
    limits: &'static [&'static str],
}

const V1: Version = Version { mount: "sys/fs/cgroup/memory", limits: &["memory.limit_in_bytes"] };
const V2: Version = Version { mount: "sys/fs/cgroup", limits: &["memory.max", "memory.high"] };

/// The bytes of memory that this process can have: the machine's, or what a cgroup that it is in may use, if that is
/// less. `None` where the system does not tell, as Linux does, in files below `root`.
pub(super) fn memory(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = kilobytes(&read("proc/meminfo")?, "MemTotal:")?;
    let groups = read("proc/self/cgroup").unwrap_or_default();
    Some(cgroups(&groups).filter_map(|(version, group)| limit(root, version, group)).fold(machine, u64::min))
}

/// The most bytes of memory that this process has had at a time. `None` where the system does not tell, as Linux does.
pub fn peak_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// What a line of `/proc/meminfo` or `/proc/PID/status` says, in bytes.
fn kilobytes(text: &str, label: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(label))?;
    number.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// The groups that may limit a process's memory, as paths below the mount, by the text of `/proc/self/cgroup`.
fn cgroups(text: &str) -> impl Iterator<Item = (&'static Version, &Path)> {
    text.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let version = match controllers {
            "" => &V2,
            _ if controllers.split(',').any(|controller| controller == "memory") => &V1,
            _ => return None,
        };
        Some((version, Path::new(path.trim_start_matches('/'))))
    })
}

/// The least that a group and those above it may use. Whatever is not there limits nothing: a container without a
/// namespace of its own is told the path that its group has outside, but finds that group at the mount.
fn limit(root: &Path, version: &Version, group: &Path) -> Option<u64> {
    let mount = root.join(version.mount);
    let files = group.ancestors().flat_map(|group| version.limits.iter().map(move |file| group.join(file)));
    files.filter_map(|file| bytes(&fs::read_to_string(mount.join(file)).ok()?)).min()
}

/// A limit as its file has it; `max` is none.
fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const MEMINFO: &str = "MemTotal:       24684092 kB\nMemFree:        20000000 kB\n";

    /// What a system with these files has.
    fn with_files(files: &[(&str, &str)]) -> Option<u64> {
        let root = TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory(root.path())
    }

    #[test]
    fn the_machines_memory_is_what_there_is_without_a_limit() {
        let machine = Some(24_684_092 * 1024);
        assert_eq!(with_files(&[("proc/meminfo", MEMINFO)]), machine);
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/\n0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(with_files(&unlimited), machine);
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_holds() {
        let nested = |inner, middle, outer| {
            with_files(&[
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", "0::/system.slice/sync.service/job\n"),
                ("sys/fs/cgroup/system.slice/sync.service/job/memory.max", inner),
                ("sys/fs/cgroup/system.slice/sync.service/memory.high", middle),
                ("sys/fs/cgroup/system.slice/memory.max", outer),
            ])
        };
        assert_eq!(nested("max\n", "max\n", "4000000000\n"), Some(4_000_000_000));
        assert_eq!(nested("max\n", "3000000000\n", "4000000000\n"), Some(3_000_000_000));
        assert_eq!(nested("2000000000\n", "3000000000\n", "4000000000\n"), Some(2_000_000_000));
    }

    #[test]
    fn a_container_finds_its_limit_with_and_without_a_namespace() {
        for group in ["0::/\n", "0::/docker/3f7a\n", "0::/../../docker/3f7a\n"] {
            let limit = ("sys/fs/cgroup/memory.max", "1073741824\n");
            let files = [("proc/meminfo", MEMINFO), ("proc/self/cgroup", group), limit];
            assert_eq!(with_files(&files), Some(1 << 30), "{group}");
        }
    }

    #[test]
    fn the_first_version_has_its_limits_at_a_mount_of_their_own() {
        let groups = "9:name=systemd:/\n4:memory:/docker/3f7a\n1:cpu,cpuacct:/\n0::/\n";
        for limit in ["docker/3f7a/memory.limit_in_bytes", "memory.limit_in_bytes"] {
            let limit = format!("sys/fs/cgroup/memory/{limit}");
            let files =
                [("proc/meminfo", MEMINFO), ("proc/self/cgroup", groups), (limit.as_str(), "536870912\n")];
            assert_eq!(with_files(&files), Some(512 << 20), "{limit}");
        }
    }

    #[test]
    fn a_group_is_read_with_the_version_that_limits_it() {
        let text = "12:pids:/a\n4:cpu,memory:/b/c\n0::/d:e\nnonsense\n";
        let groups: Vec<_> = cgroups(text).collect();
        assert_eq!(groups, [(&V1, Path::new("b/c")), (&V2, Path::new("d:e"))]);
    }

    #[test]
    fn a_process_takes_what_its_status_says() {
        let status = "Name:\tattrsync\nVmPeak:\t  300000 kB\nVmHWM:\t    1632 kB\nVmRSS:\t    1600 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), Some(1632 * 1024));
    }

    #[test]
    fn what_cannot_be_understood_is_unknown() {
        for text in [
            "",
            "MemFree: 1 kB\n",
            "MemTotal: many kB\n",
            "MemTotal: 1 MB\n",
            "MemTotal: 18446744073709551615 kB\n",
        ] {
            assert_eq!(kilobytes(text, "MemTotal:"), None, "{text}");
        }
        assert_eq!(with_files(&[]), None);
    }
}
