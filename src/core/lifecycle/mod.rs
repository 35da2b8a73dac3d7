//! The master's life: what it does about each thing that happens.
//!
//! [`Lifecycle::step`] takes an event and the time and appends actions, in the
//! order in which they are to be carried out. It decides for every host:
//! HAProxy of any generation, or a proxy of another kind.

mod children;
mod event;
mod reload;
mod restart;
mod status;
mod time;
mod watchdog;

pub use event::{Action, Event, ExecKind, Gone, Hardness, Now};
pub use reload::keep_in_service;
pub use time::{PACE, Pace};

use super::generation::Generation;
use super::notify::Notice;
use super::process::{Pid, Process, options};
use super::record::Record;
use super::signal::{Ending, Meaning, Signal};
use super::table::Table;
use super::texts::{self, Level};

/// What the operator chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// A current worker that dies takes the service with it.
    pub exit_on_failure: bool,
    /// Reloads that a worker may live through; `None`: any number.
    pub max_reloads: Option<u32>,
    /// How long a worker may take to be READY, in microseconds; `None`: any time.
    pub start_timeout: Option<u64>,
    /// How many new workers in a row are started for one that died; `None`: the
    /// service ends, unless [`Self::exit_on_failure`] is off.
    pub restart: Option<u32>,
    /// systemd is told how the service is.
    pub systemd: bool,
    /// How often systemd wants a sign of life, in microseconds.
    pub watchdog: Option<u64>,
}

/// Long enough for a configuration with very many certificates.
const START_TIMEOUT: u64 = 300_000_000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            exit_on_failure: true,
            max_reloads: None,
            start_timeout: Some(START_TIMEOUT),
            restart: None,
            systemd: false,
            watchdog: None,
        }
    }
}

/// Why a reload can't be begun now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The last one isn't done. It will be done after that one.
    InProgress,
    /// The master is leaving.
    Leaving,
}

/// The state of a master, apart from its process table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    generation: Generation,
    product: String,
    /// See [`Policy`]; hosts may learn it late, from their configuration.
    pub policy: Policy,
    /// What goes to the next image besides the table.
    pub record: Record,
    own_pid: i32,
    old_pids: Vec<i32>,
    old_pids_hardness: Hardness,
    leaving: bool,
    stops_softly: bool,
    left: bool,
    exit_code: Option<i32>,
    pending: Option<Hardness>,
    loaded: Option<bool>,
    /// The former image is of those that leave it to the next one to tell READY.
    pub ready_is_left: bool,
    times: time::Times,
}

impl Lifecycle {
    /// A master of `product` (the name that texts use), with PID `own_pid`.
    pub fn new(generation: Generation, product: &str, own_pid: i32) -> Self {
        Self {
            generation,
            product: product.to_owned(),
            policy: Policy::default(),
            record: Record::default(),
            own_pid,
            old_pids: Vec::new(),
            old_pids_hardness: Hardness::Soft,
            leaving: false,
            stops_softly: false,
            left: false,
            exit_code: None,
            pending: None,
            loaded: None,
            ready_is_left: false,
            times: time::Times::default(),
        }
    }

    /// Processes to replace once the new worker is READY (`-sf`, `-st`).
    pub fn replaces(&mut self, pids: Vec<i32>, hardness: Hardness) {
        self.old_pids = pids;
        self.old_pids_hardness = hardness;
    }

    /// The PID has changed: the master went into the background.
    pub fn set_own_pid(&mut self, pid: i32) {
        self.own_pid = pid;
    }

    /// Its HAProxy generation.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether the last load succeeded; `None` while it isn't known.
    pub fn load_status(&self) -> Option<bool> {
        self.loaded
    }

    /// Whether it has been told to leave.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether a reload could begin now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_reload<T: Table>(&self, table: &T) -> Result<(), Refusal> {
        if self.leaving || self.left {
            Err(Refusal::Leaving)
        } else if table.starting().is_some() {
            Err(Refusal::InProgress)
        } else {
            Ok(())
        }
    }

    /// Decides what `event` asks for.
    pub fn step<T: Table>(
        &mut self,
        table: &mut T,
        event: Event<'_>,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        if self.left {
            return;
        }
        self.times.restart_looked = false;
        match event {
            Event::Signal(signal) => match signal.meaning() {
                Meaning::Stop => self.stop(table, signal, now, out),
                Meaning::Reload => self.ask_reload(table, Hardness::Soft, now, out),
                // One that starts may not listen to it yet, and would be stopped.
                Meaning::Broadcast => kill_where(table, |p| !p.is_starting(), signal, out),
                Meaning::Reap | Meaning::None => {}
            },
            Event::Reload(hardness) => self.ask_reload(table, hardness, now, out),
            Event::Forked { pid } => self.forked(table, pid, now, out),
            Event::StartFailed { why } => self.start_failed(table, why, now, out),
            Event::Ready { pid } => self.ready(table, pid, now, out),
            Event::ReadyTakenByHost => self.succeeded(table, now, out),
            Event::RefusalTakenByHost => self.nothing_new_serves(table, texts::REFUSED, now),
            Event::ProgramsStarted(hardness) => self.replace_programs(table, hardness, out),
            Event::UnbornDropped => reload::drop_unborn(table, out),
            Event::Waits => self.waits(out),
            Event::EnforceMaxReloads => {
                kill_where(
                    table,
                    |p| p.is(options::WORKER) && self.exceeds_reloads(p),
                    Signal::Term,
                    out,
                );
            }
            Event::ExecFailed { kind, why } => self.exec_failed(table, kind, why, now, out),
            Event::ChildExited { pid, end } => self.child_exited(table, pid, end, now, out),
            Event::NoChildLeft if self.awaits_restart() => {}
            Event::NoChildLeft => self.leave_if_alone(out),
            Event::Tick { figures } => self.tick(table, figures, now, out),
        }
    }

    /// Images that wait tell READY up to 2.6; later ones find it told, unless the
    /// binary was replaced during the load, and that was of those.
    fn waits<R>(&self, out: &mut Vec<Action<R>>) {
        if self.generation.notifies_when_waiting || self.ready_is_left {
            if let Some(pid) = Pid::new(self.own_pid) {
                out.push(Action::Notify(Notice::Ready { pid }));
            }
        }
    }

    /// The image that is to wait is of another binary, so it may be of those that find
    /// READY told. Told twice does no harm.
    pub fn tells_before(&self, next: ExecKind) -> Option<Notice> {
        let waits = next == ExecKind::Wait && self.generation.notifies_when_waiting;
        Pid::new(self.own_pid).filter(|_| waits).map(|pid| Notice::Ready { pid })
    }

    /// It lived through more reloads than a worker may.
    fn exceeds_reloads(&self, process: &Process) -> bool {
        self.policy.max_reloads.is_some_and(|max| i64::from(process.reloads) > i64::from(max))
    }

    fn stop<T: Table>(
        &mut self,
        table: &mut T,
        signal: Signal,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        self.leaving = true;
        self.pending = None;
        self.stops_softly = signal == Signal::Usr1;
        self.times.restart = None;
        if self.stops_softly {
            self.soft_stop_begins(now);
        }
        out.push(Action::Notify(Notice::Stopping));
        out.push(Action::Log(Level::Warning, texts::LEAVING.into()));
        kill_children(table, signal, out);
        // With a restart to come there may be no child, whose end would be told.
        if self.record.restarts > 0 && !table.rows().any(|(_, p)| p.target().is_some()) {
            self.leave_if_alone(out);
        }
    }

    /// The system says that no child is left, which is surer than any list.
    fn leave_if_alone<R>(&mut self, out: &mut Vec<Action<R>>) {
        let status = self.exit_code.unwrap_or(0);
        out.push(Action::Log(
            Level::Warning,
            texts::all_left(status, self.generation.words).into(),
        ));
        self.exit(status, out);
    }

    fn exit<R>(&mut self, status: i32, out: &mut Vec<Action<R>>) {
        self.left = true;
        out.push(Action::Exit(status));
    }

    /// Whether no reload has ever been asked for.
    fn is_before_reloads<T: Table>(&self, table: &T) -> bool {
        table.master().is_none_or(|row| table.load(row).reloads == 0)
    }

    /// Whether this is the first start: then no worker is there, as it is of a
    /// master that was replaced when it had forked one.
    fn is_first_start<T: Table>(&self, table: &T) -> bool {
        self.is_before_reloads(table) && table.find(reload::is_up).is_none()
    }
}

fn kill_children<T: Table>(table: &T, signal: Signal, out: &mut Vec<Action<T::Row>>) {
    kill_where(table, |_| true, signal, out);
}

fn kill_where<T: Table>(
    table: &T,
    wanted: impl Fn(&Process) -> bool,
    signal: Signal,
    out: &mut Vec<Action<T::Row>>,
) {
    for (_, process) in table.rows() {
        if let Some(pid) = process.target().filter(|_| wanted(&process)) {
            out.push(Action::Kill { pid, signal });
        }
    }
}
