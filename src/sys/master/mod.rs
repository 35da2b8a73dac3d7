//! A master: carries out what the lifecycle decides.

use crate::core::cli;
use crate::core::figures::Figures;
use crate::core::generation::Generation;
use crate::core::handover;
use crate::core::lifecycle::{Action, Event, ExecKind, Gone, Hardness, Lifecycle, PACE};
use crate::core::notify::{self, Notice};
use crate::core::process::{Pid, Process, options};
use crate::core::programs::{self, Decision};
use crate::core::record::Record;
use crate::core::reexec::{self, CommandLine};
use crate::core::showproc;
use crate::core::signal::Signal;
use crate::core::table::{OutOfMemory, Table};
use crate::core::texts::{self, Level};
use crate::sys::daemon::Launcher;
use crate::sys::fd::{self, Inherited};
use crate::sys::fork::{Forked, fork};
use crate::sys::limits::OpenFiles;
use crate::sys::shared::{Memory, Page, Reserved};
use crate::sys::signal_safe::Program;
use crate::sys::{clock, environment, exec, load_guard, signals, wait};
use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
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
    /// Leaves the process; may return for those who run the loop.
    fn leave(&self, status: i32);
}

/// What the next image is started with, besides the table.
#[derive(Debug, Default)]
pub struct Boot {
    /// The command line, stripped.
    pub argv: Vec<Vec<u8>>,
    /// The user said `-x /dev/null`.
    pub no_listeners: bool,
    /// The environment to hand on; `None`: the one that is there at the time.
    pub environment: Option<Vec<Vec<u8>>>,
    /// The limit on descriptors to hand on.
    pub open_files: Option<OpenFiles>,
    /// Descriptors that stay open besides the table's and the inherited.
    pub keep: Vec<RawFd>,
}

/// Milliseconds until systemd is tried again, when there was no room.
const TRY_AGAIN: u64 = 100;

/// How much of a start's log is kept for the answer to `reload`.
const START_LOG: usize = 64 * 1024;

/// A master process.
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
    /// Waits for a worker to serve.
    pub launcher: Option<Launcher>,
    inherited: Inherited,
    version: String,
    /// Workers tell how they are.
    shares: bool,
    memory: Option<Memory>,
    /// systemd doesn't read, and that has been logged.
    #[cfg(feature = "USE_SYSTEMD")]
    waits: bool,
    start_log: String,
    exec_error: Option<io::Error>,
    exit_status: Option<i32>,
}

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// A master of `product`, which is `version`.
    pub fn new(
        host: H,
        table: T,
        generation: Generation,
        product: &str,
        version: &str,
        inherited: Inherited,
    ) -> Self {
        let boot = Boot { open_files: OpenFiles::get().ok(), ..Boot::default() };
        Self {
            host,
            table,
            life: Lifecycle::new(generation, product, own_pid()),
            boot,
            pidfile: None,
            launcher: None,
            inherited,
            version: version.to_owned(),
            shares: generation.is_native(),
            memory: None,
            #[cfg(feature = "USE_SYSTEMD")]
            waits: false,
            start_log: String::new(),
            exec_error: None,
            exit_status: None,
        }
    }

    /// Its HAProxy generation.
    pub fn generation(&self) -> Generation {
        self.life.generation()
    }

    /// The version of the proxy.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Tells systemd from now on.
    pub fn use_systemd(&mut self, watchdog: Option<u64>) {
        self.shares = true;
        self.life.policy.systemd = true;
        self.life.policy.watchdog = watchdog;
    }

    /// Takes what the former image knew. The process table, where it was too long
    /// for the environment: gives it.
    ///
    /// # Safety
    /// The descriptors in it are the record's own, if they are open.
    pub unsafe fn take_record(&mut self, record: Record, fresh: bool) -> Option<Vec<u8>> {
        self.life.record = record;
        let mut table = None;
        if let Some(fd) = self.life.record.table.take() {
            self.inherited.forget(&[fd]);
            // SAFETY: by the caller's promise.
            match unsafe { fd::unsealed(fd) } {
                Ok(text) => table = Some(text).filter(|_| fresh),
                Err(error) => {
                    let why = super::describe(&error);
                    let text = format!("The whole process table (descriptor {fd}): {why}.");
                    self.host.log(Level::Warning, &text);
                }
            }
        }
        let Some(fd) = self.life.record.memory.take() else { return table };
        self.inherited.forget(&[fd]);
        // SAFETY: by the caller's promise.
        match unsafe { Memory::adopt(fd) } {
            Ok(memory) => self.memory = Some(memory),
            Err(error) => {
                let why = super::describe(&error);
                let text = format!("The memory shared with workers (descriptor {fd}): {why}.");
                self.host.log(Level::Warning, &text);
            }
        }
        table
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
        self.boot.no_listeners = line.listeners_from.as_deref() == Some(reexec::NO_LISTENERS);
        self.boot.argv = line.argv;
        self.life.replaces(line.old_pids, hardness);
    }

    /// Reads the table that a former master handed over in `text`, and says
    /// which rows were left out. The master's row may be missing: see
    /// [`Self::ensure_master`]. Gives how many descriptors the rows have.
    ///
    /// # Errors
    /// Out of memory.
    pub fn take_over(&mut self, text: &[u8]) -> Result<usize, OutOfMemory> {
        let report = handover::read(text, self.generation(), &mut self.table)?;
        for bad in &report.bad {
            self.log(Level::Warning, &bad.to_string());
        }
        self.life.taken_over(&mut self.table);
        self.mend_descriptors();
        let forked = self.table.rows().filter(|(_, p)| p.pid > 0);
        let fds: Vec<RawFd> = forked.flat_map(|(_, p)| p.ipc_fd).filter(|fd| *fd >= 0).collect();
        self.inherited.forget(&fds);
        if let Some(memory) = &self.memory {
            let alive: HashSet<i32> = self.table.rows().map(|(_, p)| p.pid).collect();
            memory.release(|pid| !alive.contains(&pid));
        }
        Ok(fds.len())
    }

    /// Descriptors that were handed over by number only are taken out of the
    /// table. A worker without one gets one that leads nowhere: its host would
    /// stumble over -1, and it still has to be told to leave and be reaped.
    fn mend_descriptors(&mut self) {
        let mut at = self.table.first();
        while let Some(row) = at {
            at = self.table.next(row);
            let mut process = self.table.load(row);
            if process.pid <= 0 {
                continue;
            }
            for fd in process.ipc_fd.iter_mut().filter(|fd| **fd >= 0 && !fd::is_open(**fd)) {
                let text =
                    format!("Process {}: descriptor {fd} of its row is not open.", process.pid);
                self.host.log(Level::Warning, &text);
                *fd = -1;
            }
            let unreachable = process.is(options::WORKER) && process.ipc_fd[0] < 0;
            if let Some((end, _)) = unreachable.then(fd::stream_pair).and_then(Result::ok) {
                let pid = process.pid;
                let text = format!("Worker {pid} can't be reached: its row has no descriptor.");
                self.host.log(Level::Warning, &text);
                process.ipc_fd[0] = end.into_raw_fd();
            }
            self.table.store(row, process);
        }
    }

    /// Makes the master's row up where it is missing, unless this generation
    /// can't do without.
    ///
    /// # Errors
    /// It can't, or out of memory.
    pub fn ensure_master(&mut self, after_reload: bool) -> Result<T::Row, handover::Error> {
        if let Some(row) = self.table.master() {
            return Ok(row);
        }
        let mut timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
        if after_reload {
            if !self.generation().makes_up_master() {
                self.log(Level::Alert, texts::MASTER_MISSING);
                return Err(handover::Error::NoMaster);
            }
            self.log(Level::Warning, texts::MASTER_MADE_UP);
            timestamp = 0;
        }
        let process =
            Process { pid: own_pid(), options: options::MASTER, timestamp, ..Process::default() };
        Ok(self.table.append(process, b"", self.version.as_bytes())?)
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

    /// Something happened.
    pub fn handle(&mut self, event: Event<'_>) {
        let mut actions = Vec::new();
        // A daemon's changes after the start.
        self.life.set_own_pid(own_pid());
        self.life.step(&mut self.table, event, clock::now(), &mut actions);
        let mut todo: VecDeque<Action<T::Row>> = actions.into();
        while let Some(action) = todo.pop_front() {
            // What follows from an action comes before the next one.
            self.carry_out(action).into_iter().rev().for_each(|then| todo.push_front(then));
        }
    }

    /// Does one thing; gives what follows from it.
    fn carry_out(&mut self, action: Action<T::Row>) -> Vec<Action<T::Row>> {
        let mut then = Vec::new();
        match action {
            Action::Log(level, text) => self.log(level, &text),
            Action::Notify(notice) => self.notify(&notice),
            Action::Kill { pid, signal } => self.kill(pid, signal),
            Action::Exec(kind) => {
                // Only returns when it failed.
                let error = self.exec(kind);
                let why = super::describe(&error);
                self.exec_error = Some(error);
                let event = Event::ExecFailed { kind, why: &why };
                self.life.step(&mut self.table, event, clock::now(), &mut then);
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
            Action::Unblock => self.host.unblock(),
            Action::Exit(status) => {
                self.exit_status = Some(status);
                self.host.leave(status);
            }
        }
        then
    }

    /// A child that hasn't been reaped still has its PID. One of the table that
    /// isn't a child any more, whoever has reaped it, may be anybody by now.
    fn kill(&mut self, pid: Pid, signal: Signal) {
        let listed = self.table.find(|p| p.is_child() && p.pid == pid.get()).is_some();
        if listed && !wait::is_child(pid) {
            let text = format!(
                "Process {pid} is no child of this master any more: it isn't sent signal {}.",
                signals::number(signal)
            );
            return self.log(Level::Warning, &text);
        }
        // SAFETY: the PID is above 0, and a child's or one that the user gave.
        // Fails when it is gone, which the reaping will tell.
        unsafe { libc::kill(pid.get(), signals::number(signal)) };
    }

    /// The client of a reload waits in the master's own pair, over the exec. It
    /// stays there until it is answered; HAProxy does so itself.
    ///
    /// # Errors
    /// The system's.
    pub fn park(&self, client: BorrowedFd<'_>) -> io::Result<()> {
        match self.parking(0) {
            Some(to) => fd::send(to, b"C", Some(client)),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    }

    fn parking(&self, end: usize) -> Option<BorrowedFd<'_>> {
        let row = self.table.master()?;
        let number = *self.table.load(row).ipc_fd.get(end)?;
        // SAFETY: the row owns it for as long as it is in the table.
        unsafe { fd::borrow_raw(number) }
    }

    /// Tells whoever asked for a reload how it ended, and what was logged.
    fn answer(&mut self, success: bool) {
        if !self.generation().is_native() {
            return;
        }
        let text = cli::reload_answer(success, &std::mem::take(&mut self.start_log));
        let Some(from) = self.parking(1) else { return };
        while let Ok((_, Some(client))) = fd::receive(from, 16, false) {
            let mut client = UnixStream::from(client);
            // A client that is gone, or reads nothing of what it asked for, is
            // not waited for.
            let _ = client.set_nonblocking(true).and_then(|()| client.write_all(text.as_bytes()));
        }
    }

    /// A worker serves: only now the world is told.
    fn in_service(&mut self, row: T::Row) {
        let written = self.pidfile.as_ref().map(|path| {
            let why = |error| {
                format!(
                    "The pidfile {} can't be written: {}.",
                    path.display(),
                    super::describe(&error)
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
            self.handle(Event::Signal(signal));
        }
    }

    /// Reaps every child that has ended.
    pub fn reap(&mut self) {
        while self.exit_status.is_none() {
            match wait::next() {
                wait::Reaped::Child { pid, end } => {
                    self.handle(Event::ChildExited { pid, end: &end });
                }
                wait::Reaped::Running => return,
                wait::Reaped::NoChild => {
                    self.handle(Event::NoChildLeft);
                    return;
                }
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        #[cfg(feature = "USE_SYSTEMD")]
        let _ = self.send_missed();
        let figures = self.figures();
        self.handle(Event::Tick { figures: &figures });
    }

    /// When [`Self::tick`] is due, in milliseconds from now; -1: not at all.
    pub fn timeout(&self) -> libc::c_int {
        let now = clock::now().monotonic_usec;
        let due = self.life.deadline().map(|due| due.saturating_sub(now).div_ceil(1_000));
        let again = (!self.life.record.missed.is_empty()).then_some(TRY_AGAIN);
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

    /// Tells systemd, if it is there.
    #[cfg(feature = "USE_SYSTEMD")]
    pub fn notify(&mut self, notice: &Notice) {
        if self.life.policy.systemd {
            // SAFETY: a master has one thread.
            let sent = unsafe { self.send(notice.datagram(self.generation())) };
            match sent {
                // Once is enough.
                Err(error) if error.nobody_reads() && std::mem::replace(&mut self.waits, true) => {}
                Err(error) => {
                    self.log(Level::Warning, &format!("systemd can't be told: {error}"));
                }
                Ok(_) => self.waits = false,
            }
        }
    }

    /// Sends a message to systemd. `Ok(false)`: not started by systemd.
    ///
    /// # Errors
    /// Why not. If nobody reads it is sent when there is room again, after
    /// those that wait already.
    ///
    /// # Safety
    /// No other thread changes the environment meanwhile.
    #[cfg(feature = "USE_SYSTEMD")]
    pub unsafe fn send(&mut self, message: String) -> Result<bool, super::notify::Error> {
        let sent = match self.send_missed() {
            Err(error) => Err(error),
            // SAFETY: by the caller's promise.
            Ok(()) => unsafe { super::notify::send(message.as_bytes()) },
        };
        if sent.as_ref().is_err_and(super::notify::Error::nobody_reads) {
            self.life.record.missed.push(message);
        }
        sent
    }

    /// Sends what there was no room for, if there is now.
    #[cfg(feature = "USE_SYSTEMD")]
    fn send_missed(&mut self) -> Result<(), super::notify::Error> {
        let missed = &mut self.life.record.missed;
        while let Some(message) = missed.next() {
            // SAFETY: a master has one thread.
            match unsafe { super::notify::send(message.as_bytes()) } {
                Err(error) if error.nobody_reads() => return Err(error),
                // Sent, or never to be: it was told why then.
                _ => missed.sent(),
            }
        }
        Ok(())
    }

    /// Nobody to tell in this build.
    #[cfg(not(feature = "USE_SYSTEMD"))]
    pub fn notify(&mut self, _notice: &Notice) {}

    /// Looks after the load of a configuration that the master itself does
    /// (HAProxy up to 3.0), from now on: one that takes too long has failed. With
    /// the process table of the `former` image, at a reload.
    ///
    /// # Errors
    /// The system's, or out of memory.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn guard_load(&mut self, former: Option<&[u8]>) -> io::Result<()> {
        let Some(timeout) = self.life.policy.start_timeout else { return Ok(()) };
        let memory_full = |OutOfMemory| io::Error::from(io::ErrorKind::OutOfMemory);
        let generation = self.generation();
        let failed = match former {
            Some(text) => {
                let (record, now) = (&self.life.record, clock::now().wall);
                reexec::overdue_load(text, record, generation, timeout, now).map_err(memory_full)?
            }
            None => None,
        };
        let mut plan = None;
        let mut own = Vec::new();
        if let Some((table, mut record)) = failed {
            record.memory = self.memory.as_ref().map(Memory::fd);
            // For as long as this image: it can't be said when the load ends.
            record.table = whole_table(&table, generation)?.map(IntoRawFd::into_raw_fd);
            own = record.memory.iter().chain(&record.table).copied().collect();
            // SAFETY: by the caller's promise.
            let environment = unsafe { environment::all() };
            let request = reexec::Request {
                argv: &self.boot.argv,
                no_listeners: self.boot.no_listeners,
                environment: &environment,
                kind: ExecKind::Wait,
                load_status: Some(false),
                record: &record,
            };
            plan = Some(reexec::plan(&table, generation, &request).map_err(memory_full)?);
        }
        let kept = self.boot.keep.iter().copied().chain(own);
        load_guard::begin(&load_guard::Request {
            timeout,
            pace: PACE,
            messages: self.life.policy.systemd.then(|| datagrams(generation)).flatten(),
            log: &format!("[ALERT]    ({}) : {}\n", own_pid(), texts::load_overdue(timeout)),
            plan: plan.as_ref(),
            keep: self.inherited.still_open().chain(kept).collect(),
            limit: self.boot.open_files,
        })
    }

    fn exec(&mut self, kind: ExecKind) -> io::Error {
        load_guard::end();
        // Closed again where the exec fails.
        let whole = match whole_table(&self.table, self.generation()) {
            Ok(whole) => whole,
            Err(error) => return error,
        };
        self.life.record.table = whole.as_ref().map(AsRawFd::as_raw_fd);
        self.life.record.memory = self.memory.as_ref().map(Memory::fd);
        // SAFETY: a master has one thread.
        let now = || unsafe { environment::all() };
        let environment = self.boot.environment.clone().unwrap_or_else(now);
        let request = reexec::Request {
            argv: &self.boot.argv,
            no_listeners: self.boot.no_listeners,
            environment: &environment,
            kind,
            load_status: self.life.load_status(),
            record: &self.life.record,
        };
        let plan = match reexec::plan(&self.table, self.generation(), &request) {
            Ok(plan) => plan,
            Err(OutOfMemory) => return io::Error::from(io::ErrorKind::OutOfMemory),
        };
        let record = &self.life.record;
        let kept = self.boot.keep.iter().copied().chain(record.memory).chain(record.table);
        let keep: Vec<RawFd> = self.inherited.still_open().chain(kept).collect();
        self.host.before_exec();
        let error = exec::execute(&plan, &keep, self.boot.open_files);
        self.host.after_failed_exec(&error);
        error
    }

    /// Forks the programs that the configuration named, but not those that go on
    /// over a reload. `program` makes of a row what is to be executed.
    ///
    /// # Errors
    /// The first fork's that failed; it has been logged.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn start_programs(
        &mut self,
        after_reload: bool,
        program: impl Fn(T::Row) -> io::Result<Program>,
    ) -> io::Result<()> {
        for row in programs::configured(&self.table) {
            if programs::decide(&mut self.table, row, after_reload) == Decision::KeepOld {
                self.table.unlink(row);
                self.host.release(row, Gone::Unborn);
                continue;
            }
            let name = String::from_utf8_lossy(self.table.id(row)).into_owned();
            // SAFETY: by the caller's promise.
            let started = program(row).and_then(|program| unsafe { self.start_program(&program) });
            match started {
                Ok(pid) => {
                    let mut process = self.table.load(row);
                    process.pid = pid.get();
                    process.timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
                    self.table.store(row, process);
                    self.log(Level::Notice, &texts::program_forked(&name, pid));
                }
                Err(error) => {
                    let why = super::describe(&error);
                    self.log(Level::Alert, &texts::program_fork_failed(&name, &why));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// The process has one thread.
    unsafe fn start_program(&self, program: &Program) -> io::Result<Pid> {
        // A program gets what was inherited, and nothing that is the master's.
        let keep: Vec<RawFd> = self.inherited.still_open().collect();
        let _marked = fd::close_others_on_exec(&keep);
        let prepared = program.prepared();
        // SAFETY: by the caller's promise; the child only becomes the program.
        unsafe {
            fork(|side| match side {
                Forked::Parent(pid) => pid,
                Forked::Child => prepared.become_program(),
            })
        }
    }

    /// Forks the process of the row that has none yet. `child` runs in it.
    ///
    /// # Errors
    /// The system's; the row is still there.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn fork_worker<R>(
        &mut self,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        // SAFETY: by the caller's promise.
        unsafe {
            self.fork_process(|master, side| match side {
                Ok(pid) => {
                    master.handle(Event::Forked { pid });
                    None
                }
                Err(page) => Some(child(master, page)),
            })
        }
    }

    /// Forks a worker whose row is the caller's matter. `then` runs in both: with
    /// the new one's PID, or with its page.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn fork_process<R>(
        &mut self,
        then: impl FnOnce(&mut Self, Result<Pid, Option<&'static Page>>) -> R,
    ) -> io::Result<R> {
        load_guard::end();
        let page = self.reserve_page();
        // SAFETY: by the caller's promise.
        unsafe {
            fork(|side| match side {
                Forked::Parent(pid) => {
                    if let (Some(memory), Some(page)) = (&self.memory, &page) {
                        memory.assign(page, pid.get());
                    }
                    then(self, Ok(pid))
                }
                Forked::Child => {
                    // It has its page, and nothing to do with the others.
                    drop(self.memory.take());
                    for name in notify::FOR_MASTERS {
                        environment::remove(name);
                    }
                    then(self, Err(page.map(Reserved::into_page)))
                }
            })
        }
    }

    /// Where the next worker tells how it is. It can do without.
    fn reserve_page(&mut self) -> Option<Reserved> {
        if !self.shares {
            return None;
        }
        let reserved = match &self.memory {
            Some(memory) => memory.reserve(),
            None => Memory::new().and_then(|new| self.memory.insert(new).reserve()),
        };
        match reserved {
            Ok(page) => Some(page),
            Err(error) => {
                let why = super::describe(&error);
                self.log(Level::Warning, &format!("No memory to share with the worker: {why}."));
                None
            }
        }
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

/// The process table, where it is too long for the environment.
fn whole_table<T: Table>(table: &T, generation: Generation) -> io::Result<Option<OwnedFd>> {
    let text = handover::write(table, generation)
        .map_err(|OutOfMemory| io::Error::from(io::ErrorKind::OutOfMemory))?;
    (text.len() > handover::LONGEST).then(|| fd::sealed(&text)).transpose()
}

/// What systemd hears of a load: that it goes on, and that it has failed.
#[cfg(feature = "USE_SYSTEMD")]
fn datagrams(generation: Generation) -> Option<[String; 2]> {
    let notices = [Notice::Extend { usec: PACE.by }, Notice::ReloadFailed];
    Some(notices.map(|notice| notice.datagram(generation)))
}

#[cfg(not(feature = "USE_SYSTEMD"))]
fn datagrams(_generation: Generation) -> Option<[String; 2]> {
    None
}

/// This process.
pub fn own_pid() -> i32 {
    // getpid() never is above what a pid_t holds.
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}
