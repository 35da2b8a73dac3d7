//! Stock of some versions may sleep over a signal, for a minute: it comes after the loop has
//! looked for signals, and before it waits for events. Stopped and continued, a process looks
//! again. Ours isn't helped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mworker_kit::{Host, Pid, Signal, procfs};

/// How long a signal may have been slept over.
const INTERVAL: Duration = Duration::from_secs(1);

/// Nudges all processes of a host that run this binary, until it is dropped.
pub struct Nudger {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Nudger {
    pub fn start(host: &Host, binary: &Path) -> Nudger {
        let (host, binary) = (host.clone(), binary.to_owned());
        let (end, ended) = channel();
        let thread = thread::spawn(move || nudge_until(&ended, &host, &binary));
        Nudger { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Nudger {
    fn drop(&mut self) {
        self.end.take();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn nudge_until(ended: &Receiver<()>, host: &Host, binary: &PathBuf) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(INTERVAL) {
        for pid in host.processes() {
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == *binary) {
                nudge(pid);
            }
        }
    }
}

/// One that sleeps; a scenario may have stopped it.
fn nudge(pid: Pid) {
    if procfs::stat(pid).is_ok_and(|stat| stat.state == 'S') {
        let _ = Signal::STOP.try_send(pid);
        let _ = Signal::CONT.try_send(pid);
    }
}
