//! A master: carries out what the lifecycle decides.

mod children;
mod client;
mod handed_over;
mod next_image;
mod systemd;
mod variables;

pub use children::ProgramToStart;

use crate::core::exec::CommandLine;
use crate::core::figures::Figures;
use crate::core::generation::Generation;
use crate::core::lifecycle::{Action, Event, Gone, Hardness, Lifecycle, Load, Refusal};
use crate::core::messages::{self, Level};
use crate::core::process::{Pid, Process};
use crate::core::settings;
use crate::core::showproc;
use crate::core::signal::Signal;
use crate::core::table::Table;
use crate::sys::daemon::{self, Launcher};
use crate::sys::exec::limits::OpenFiles;
use crate::sys::fd::Inherited;
use crate::sys::shared::Memory;
use crate::sys::signals::Set;
use crate::sys::{clock, signals, wait};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// The proxy around the master.
pub trait Host<Row> {
    /// Tells people.
    fn log(&self, level: Level, text: &str);
    /// The process is about to be replaced. Nothing may be given up for it.
    fn before_exec(&self);
    /// It was not.
    fn after_failed_exec(&self, error: &io::Error);
    /// A row is out of the table: close its descriptors and free it.
    fn release(&self, row: Row, gone: Gone);
    /// A current worker died by itself.
    fn crashed(&self, row: Row);
    /// A worker serves.
    fn in_service(&self, row: Row);
    /// Lets signals through, as soon as that is possible.
    fn unblock(&self);
    /// Leaves the process.
    fn leave(&self, status: i32);
}

/// What the next image is started with, besides the table.
#[derive(Debug, Default)]
pub struct Boot {
    /// The command line, stripped.
    pub argv: Vec<Vec<u8>>,
    /// What `-x` is to name, see `core::exec::Request`.
    pub listeners_from: Option<Vec<u8>>,
    /// The environment to hand on; `None`: the one that is there at the time.
    pub environment: Option<Vec<Vec<u8>>>,
    /// What shows that the program can run, instead of the arguments after its
    /// name: for hosts other than HAProxy.
    pub trial: Option<Vec<Vec<u8>>>,
    /// The limit on descriptors to hand on.
    pub open_files: Option<OpenFiles>,
    /// Its soft part at the first start, where this image got another one.
    pub first_soft_limit: Option<u64>,
    /// Descriptors that stay open besides the table's and the inherited.
    pub keep: Vec<RawFd>,
}

/// Milliseconds until systemd is tried again, when there was no room.
const TRY_AGAIN: u64 = 100;

/// How much of a start's log is kept for the answer to `reload`.
const START_LOG: usize = 64 * 1024;

/// A master process, which has one thread.
pub struct Master<T: Table, H> {
    /// The proxy.
    pub host: H,
    /// Its processes.
    pub table: T,
    /// What is decided.
    pub life: Lifecycle,
    /// For the next image.
    pub boot: Boot,
    /// Gets the master's PID once a worker serves.
    pub pidfile: Option<PathBuf>,
    /// Where leaving is reported by results, instead of [`Host::leave`].
    pub returns: bool,
    /// Waits for a worker to serve.
    launcher: Option<Launcher>,
    /// The client that asked for the reload at hand.
    asking: Option<OwnedFd>,
    /// The master's end of the pair with the worker to ask for listeners.
    listeners_from: Option<RawFd>,
    /// What was blocked before this library blocked anything.
    original_mask: Set,
    inherited: Inherited,
    version: String,
    former: handed_over::Former,
    /// Forked: this is no master any more.
    is_worker: bool,
    /// Workers tell how they are.
    shares: bool,
    memory: Option<Memory>,
    /// systemd doesn't read, and that has been logged.
    #[cfg(feature = "USE_SYSTEMD")]
    waits: bool,
    start_log: String,
    /// Children of this image, in the order of their forks.
    forked: Vec<Pid>,
    exec_error: Option<io::Error>,
    exit_status: Option<i32>,
}

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// A master of `product`, which is `version`. To be made before anything is opened: what is
    /// open counts as inherited.
    ///
    /// # Safety
    /// The process has one thread for as long as the master is used, and only a former image
    /// hands over descriptors by variables.
    pub unsafe fn new(
        host: H,
        table: T,
        generation: Generation,
        product: &str,
        version: &str,
    ) -> Self {
        let boot = Boot { open_files: OpenFiles::get().ok(), ..Boot::default() };
        let mut master = Self {
            host,
            table,
            life: Lifecycle::new(generation, product, own_pid()),
            boot,
            pidfile: None,
            returns: false,
            launcher: None,
            asking: None,
            listeners_from: None,
            original_mask: Set::none(),
            inherited: Inherited::default(),
            version: version.to_owned(),
            former: handed_over::Former::default(),
            is_worker: false,
            shares: generation.native,
            memory: None,
            #[cfg(feature = "USE_SYSTEMD")]
            waits: false,
            start_log: String::new(),
            forked: Vec::new(),
            exec_error: None,
            exit_status: None,
        };
        master.find_former();
        master
    }

    /// Its HAProxy generation.
    pub fn generation(&self) -> Generation {
        self.life.generation()
    }

    /// The version of the proxy.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Notifies systemd from now on.
    pub fn use_systemd(&mut self) {
        let (usec, whom) = (variables::get("WATCHDOG_USEC"), variables::get("WATCHDOG_PID"));
        self.shares = true;
        self.life.policy.systemd = true;
        self.life.policy.watchdog = settings::watchdog(usec.as_deref(), whom.as_deref(), own_pid());
    }

    /// Reads what an operator has set in the environment. What makes no sense is logged.
    pub fn read_settings(&mut self) {
        for name in settings::ALL {
            let Some(value) = variables::get(name) else { continue };
            if let Err(why) = settings::apply(&mut self.life.policy, name, &value) {
                self.log(Level::Warning, &why);
            }
        }
    }

    /// Goes into the background, but not after a reload.
    ///
    /// # Errors
    /// The system's.
    pub fn daemonize(&mut self) -> io::Result<()> {
        if self.is_after_reload() {
            return Ok(());
        }
        // SAFETY: a master has one thread.
        self.launcher = Some(unsafe { daemon::go_into_background() }?);
        if let Some(row) = self.table.master() {
            let process = self.table.load(row);
            self.table.store(row, Process { pid: own_pid(), ..process });
            self.life.set_own_pid(own_pid());
        }
        Ok(())
    }

    /// The status to leave with, once the master has to.
    pub fn exit_status(&self) -> Option<i32> {
        self.exit_status
    }

    /// Why the last exec failed.
    pub fn take_exec_error(&mut self) -> Option<io::Error> {
        self.exec_error.take()
    }

    /// Takes the command line over: what a former master added goes out.
    pub fn set_command_line(&mut self, line: CommandLine) {
        let hardness = if line.hard { Hardness::Hard } else { Hardness::Soft };
        self.listeners_from = line.listeners_from.as_deref().and_then(socketpair_of);
        self.boot.listeners_from = line.listeners_from;
        self.boot.argv = line.argv;
        self.life.replaces(line.old_pids, hardness);
    }

    /// Sets the limit of descriptors of the next image. What this one got on top of the first
    /// start's doesn't count.
    pub fn set_open_files(&mut self, limit: OpenFiles) {
        let soft = self.boot.first_soft_limit.unwrap_or(limit.soft);
        self.boot.open_files = Some(OpenFiles { soft, ..limit });
    }

    /// Keeps `fd` open over reloads.
    pub fn keep_fd(&mut self, fd: RawFd) {
        if !self.boot.keep.contains(&fd) {
            self.boot.keep.push(fd);
        }
    }

    /// Tells people, and remembers it for the answer to `reload`.
    pub fn log(&mut self, level: Level, text: &str) {
        self.remember(text);
        self.host.log(level, text);
    }

    /// Remembers a line for the answer to `reload`.
    pub fn remember(&mut self, line: &str) {
        if self.start_log.len() + line.len() < START_LOG {
            self.start_log.push_str(line);
            self.start_log.push('\n');
        }
    }

    /// The load of the configuration ended. Returns whether there is something to go on with.
    pub fn load_ended(&mut self, result: Load, why: &str) -> bool {
        // Embedders other than HAProxy are in the middle of their own start, and leave.
        let returns = self.returns;
        self.returns |= self.generation().native;
        self.happens(Event::LoadEnded { result, why });
        self.returns = returns;
        self.exit_status.is_none()
    }

    /// Something happened.
    ///
    /// # Errors
    /// Why a reload that was asked for doesn't begin now.
    pub fn handle(&mut self, event: Event<'_>) -> Result<(), Refusal> {
        let mut actions = Vec::new();
        let answer = self.life.step(&mut self.table, event, clock::now(), &mut actions);
        let mut todo: VecDeque<Action<T::Row>> = actions.into();
        while let Some(action) = todo.pop_front() {
            // What follows from an action comes before the next one.
            self.carry_out(action).into_iter().rev().for_each(|then| todo.push_front(then));
        }
        answer
    }

    /// Something happened that doesn't ask for a reload.
    pub fn happens(&mut self, event: Event<'_>) {
        let _ = self.handle(event);
    }

    /// Does one thing; gives what follows from it.
    fn carry_out(&mut self, action: Action<T::Row>) -> Vec<Action<T::Row>> {
        let mut then = Vec::new();
        match action {
            Action::Log(level, text) => self.log(level, &text),
            Action::Notify(notice) => self.notify(&notice),
            Action::Kill { pid, signal } => self.kill(pid, signal),
            Action::KillStranger { pid, signal } => send_signal(pid, signal),
            Action::Exec(kind) => {
                // Only returns when it failed.
                let error = self.exec(kind);
                let why = crate::sys::describe(&error);
                self.exec_error = Some(error);
                let event = Event::ExecFailed { kind, why: &why };
                // No reload was asked for.
                let _ = self.life.step(&mut self.table, event, clock::now(), &mut then);
            }
            Action::Crashed(row) => self.host.crashed(row),
            Action::Release(row, gone) => {
                let pid = self.table.load(row).pid;
                if let Some(memory) = self.memory.as_ref().filter(|_| pid > 0) {
                    memory.release(|owner| owner == pid);
                }
                self.host.release(row, gone);
            }
            Action::InService(row) => self.in_service(row),
            Action::Answer { success } => self.answer(success),
            Action::Unblock if self.generation().unblocks_signals => self.host.unblock(),
            Action::Unblock => {}
            Action::Exit(status) => {
                self.exit_status = Some(status);
                if !self.returns {
                    self.host.leave(status);
                }
            }
        }
        then
    }

    /// A child that hasn't been reaped still has its PID. One of the table that
    /// isn't a child any more, whoever has reaped it, may be anybody by now.
    fn kill(&mut self, pid: Pid, signal: Signal) {
        if wait::is_child(pid) {
            return send_signal(pid, signal);
        }
        self.log(Level::Warning, &messages::stranger(pid, signals::number(signal)));
    }

    /// kill() for the host's own code, which may also mean processes that the user
    /// named, and in a worker those that the master had.
    ///
    /// # Errors
    /// The system's; ESRCH for a process of the table that is no child any more.
    pub fn kill_for_host(&mut self, number: i32, signal: libc::c_int) -> io::Result<()> {
        let child = Pid::new(number).filter(|_| !self.is_worker);
        if let Some(pid) = child.filter(|pid| !wait::is_child(*pid)) {
            if self.table.find(|p| p.target() == Some(pid)).is_some() {
                self.log(Level::Warning, &messages::stranger(pid, signal));
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        // SAFETY: kill() touches no memory.
        crate::sys::check(unsafe { libc::kill(number, signal) }).map(drop)
    }

    /// A worker serves: only now the world is told.
    fn in_service(&mut self, row: T::Row) {
        let written = self.pidfile.as_ref().map(|path| {
            let why = |error| {
                format!(
                    "The pidfile {} can't be written: {}.",
                    path.display(),
                    crate::sys::describe(&error)
                )
            };
            std::fs::write(path, format!("{}\n", own_pid())).map_err(why)
        });
        if let Some(Err(text)) = written {
            self.log(Level::Alert, &text);
        }
        if let Some(launcher) = self.launcher.take() {
            launcher.release();
        }
        self.host.in_service(row);
    }

    /// A signal came.
    pub fn signal(&mut self, signal: Signal) {
        if signal == Signal::Chld {
            self.reap();
        } else {
            // A refused reload is logged, or done later.
            let _ = self.handle(Event::Signal(signal));
        }
    }

    /// Reaps every child that has ended.
    pub fn reap(&mut self) {
        while self.exit_status.is_none() {
            match wait::next() {
                wait::Reaped::Child { pid, end } => {
                    self.happens(Event::ChildExited { pid, end: &end });
                }
                wait::Reaped::Running => return,
                wait::Reaped::NoChild => {
                    return self.happens(Event::NoChildLeft);
                }
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        #[cfg(feature = "USE_SYSTEMD")]
        let _ = self.send_missed();
        let figures = self.figures();
        self.happens(Event::Tick { figures: &figures });
    }

    /// When [`Self::tick`] is due, in milliseconds from now; -1: not at all.
    pub fn timeout(&self) -> libc::c_int {
        let now = clock::now().monotonic_usec;
        let due = self.life.deadline().map(|due| due.saturating_sub(now).div_ceil(1_000));
        let again = (!self.life.state.missed.is_empty()).then_some(TRY_AGAIN);
        let soonest = [due, again].into_iter().flatten().min();
        soonest.map_or(-1, |ms| libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX))
    }

    /// What workers tell of themselves.
    pub fn figures(&self) -> Figures {
        Figures(self.memory.as_ref().map(Memory::figures).unwrap_or_default())
    }

    /// How the service is, in one line.
    pub fn status(&self) -> String {
        self.life.status(&self.table, &self.figures(), clock::now())
    }

    /// The text of `show proc`.
    pub fn show_proc(&self, debug: bool) -> String {
        let request = showproc::Request {
            now: clock::now().wall,
            own_pid: own_pid(),
            version: &self.version,
            debug,
        };
        showproc::text(&self.table, self.generation(), &request)
    }
}

/// The descriptor in `sockpair@<fd>`.
fn socketpair_of(address: &[u8]) -> Option<RawFd> {
    std::str::from_utf8(address).ok()?.strip_prefix("sockpair@")?.parse().ok().filter(|fd| *fd >= 0)
}

fn send_signal(pid: Pid, signal: Signal) {
    // SAFETY: the PID is above 0. Fails when it is gone, which the reaping of a
    // child will tell.
    unsafe { libc::kill(pid.get(), signals::number(signal)) };
}

/// This process.
pub fn own_pid() -> i32 {
    // getpid() never is above what a pid_t holds.
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}
