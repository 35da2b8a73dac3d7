//! An exec that fails: stock is never the same again, ours is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mworker_kit::{PATIENCE, Refusal, Signal, Traces, procfs, traces, try_wait_for, wait_until};

use crate::compare::{OURS, STOCK, binary};
use crate::faults::answering;
use crate::run::Run;

/// A HAProxy that can be taken away.
pub struct Movable {
    pub run: Run,
    pub path: PathBuf,
}

impl Movable {
    /// Not started yet.
    pub fn new(variable: &str) -> Movable {
        let run = Run::new(&binary(variable));
        let path = run.host.path("haproxy");
        symlink(run.binary(), &path).expect("a link in the host's folder");
        run.write_usual_config();
        Movable { run, path }
    }

    fn serving(variable: &str) -> Movable {
        let Movable { mut run, path } = Movable::new(variable);
        let launch = run.launch_program(&path, &["-Ws", "-S", &run.master_socket()]);
        run.start_as(launch);
        Movable { run, path }
    }

    /// The path leads there from now on.
    pub fn replace_by(&self, program: &Path) {
        let new = self.path.with_extension("new");
        symlink(program, &new).expect("a link in the host's folder");
        fs::rename(new, &self.path).expect("rename the program");
    }

    pub fn take_away(&self) {
        self.replace_by(Path::new("/nonexistent/haproxy"));
    }

    pub fn put_back(&self) {
        self.replace_by(self.run.binary());
    }
}

/// After each failure the worker serves, and the failure is counted.
#[track_caller]
pub fn fails(run: &mut Run, over_the_cli: bool, why: &str) {
    let ready = run.notify.count("READY", "1");
    if over_the_cli {
        let answer = run.cli().ask("reload");
        let told = answer.starts_with("Success=0\n--\n") && answer.contains(why);
        assert!(told, "'{why}' is not told: {answer}");
    } else {
        Signal::USR2.send(run.master());
    }
    run.notify.wait_for("READY after the failure", |messages| {
        messages.iter().filter(|message| message.has("READY", "1")).count() > ready
    });
}

/// A hundred in a row, asked for in either way, leave nothing behind: no descriptor or mark on
/// one, no signal held back, no limit, no variable, and no memory that grows.
#[test]
fn a_hundred_failures_leave_nothing() {
    let mut movable = Movable::serving(OURS);
    let master = movable.run.master();
    let environment = handed_on(master);
    let worker = movable.run.worker();
    let mut held = movable.run.hold();
    movable.take_away();
    let (mut before, mut memory) = (None, 0);
    for failed in 1..=100 {
        fails(&mut movable.run, failed % 2 == 0, "No such file or directory");
        if failed % 10 == 0 {
            movable.run.wait_cli_idle();
            let now = Traces::of(master);
            assert_eq!(*before.get_or_insert_with(|| now.clone()), now, "after {failed}");
        }
        if failed == 20 {
            memory = traces::memory_kb(master);
        }
    }
    let more = traces::memory_kb(master).saturating_sub(memory);
    assert!(more < 1024, "{more} kB more");
    movable.run.assert_failed(100);
    assert_eq!((movable.run.worker(), answering(&movable.run)), (worker, Some(worker)));
    movable.put_back();
    movable.run.reload(Signal::USR2);
    assert_eq!(handed_on(master), environment);
    assert!(held.works(), "the old connection is dead");
    movable.run.assert_failed(0);
    drop(held);
    movable.run.wait_old_workers(0);
    movable.run.proxy().signal(Signal::TERM);
    movable.run.note_exit();
}

/// The variables of a master's image, without those that masters tell each other.
fn handed_on(master: i32) -> Vec<(String, String)> {
    let mut all = procfs::environ(master).expect("a living master");
    all.retain(|(name, _)| !name.starts_with("HAPROXY_") && name != "MWORKER_STATE");
    all
}

/// Out of memory, too long a list of arguments: the same.
#[test]
fn for_any_reason() {
    let mut run = Run::new(&binary(OURS));
    let refusal = Refusal::new(&run.host);
    run.write_usual_config();
    let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
    run.start_as(refusal.launch(launch));
    let worker = run.worker();
    for errno in [libc::ENOMEM, libc::E2BIG, libc::EACCES] {
        let why = refusal.refuse(errno);
        fails(&mut run, true, &why);
        assert_eq!(answering(&run), Some(worker), "{why}");
    }
    refusal.allow();
    run.reload(Signal::USR2);
    assert_ne!(run.worker(), worker, "a reload works again");
}

/// Stock's CLI is gone, by whatever way the reload was asked for.
#[test]
fn stock_goes_deaf() {
    for over_the_cli in [false, true] {
        let movable = Movable::serving(STOCK);
        let run = &movable.run;
        movable.take_away();
        if over_the_cli {
            let mut session = run.cli().session().expect("a master CLI");
            session.send("reload\n").expect("a master CLI that reads");
        } else {
            Signal::USR2.send(run.master());
        }
        // A reload that works makes it fail for a moment only.
        let cli = run.cli().within(Duration::from_millis(500));
        wait_until(PATIENCE, "stock's CLI to fail", || cli.try_ask("show proc").is_err());
        let answer = try_wait_for(Duration::from_secs(2), || cli.try_ask("show proc").ok());
        assert_eq!(answer, None, "stock's CLI came back");
    }
}
