//! What a test leaves behind when its runner is killed or aborts: HAProxys and other programs,
//! which would go on, take the processor and keep the ports that other tests want.
//!
//! They are known by the TMPDIR that they were started with, which is a folder of ours.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Whether a process with this environment was started from `work`.
fn is_ours(environment: &[u8], work: &Path) -> bool {
    let mut entries = environment.split(|byte| *byte == 0);
    entries.any(|entry| {
        let folder = entry.strip_prefix(b"TMPDIR=").map(String::from_utf8_lossy);
        folder.is_some_and(|folder| Path::new(&*folder).starts_with(work))
    })
}

fn find(work: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        // One that is gone meanwhile, or isn't a process at all, has none.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.parse::<u32>().is_ok() && is_ours(&environment, work) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Kills all that was started from `work` and still runs.
pub fn end(work: &Path) -> io::Result<()> {
    // Again, as one may have forked meanwhile; what can't be killed is left in the end.
    for _ in 0..50 {
        let pids = find(work)?;
        if pids.is_empty() {
            break;
        }
        // Fails when one of them ends by itself.
        let _ = Command::new("kill").arg("-KILL").args(pids).output()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_their_folder() {
        let work = Path::new("/tmp/r1");
        assert!(is_ours(b"A=b\0TMPDIR=/tmp/r1/haregtests-x\0", work));
        assert!(is_ours(b"TMPDIR=/tmp/r1\0A=b\0", work));
        for other in [&b"TMPDIR=/tmp/r12\0"[..], b"TMPDIR=/tmp\0", b"OLDTMPDIR=/tmp/r1\0", b""] {
            assert!(!is_ours(other, work));
        }
    }

    #[test]
    fn they_end() {
        let work = std::env::temp_dir().join(format!("leftovers-{}", std::process::id()));
        let mut child = Command::new("sleep")
            .arg("1000")
            .env("TMPDIR", work.join("below"))
            .spawn()
            .expect("sleep");
        assert_eq!(find(&work).expect("proc"), [child.id().to_string()]);
        end(&work).expect("end");
        let status = child.wait().expect("wait");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }
}
