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
mod step;
mod time;
mod watchdog;

pub use event::{Action, Event, ExecKind, Gone, Hardness, Load, Now};
pub use reload::keep_in_service;
pub use time::{PACE, Pace};

use super::exec::handover_state::HandoverState;
use super::generation::Generation;
use super::messages::{self, Level};
use super::notify::Notice;
use super::process::{Pid, Process, options};
use super::signal::{Ending, Meaning, Signal};
use super::table::Table;
use step::Step;

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

/// How this image came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// No reload has ever been asked for.
    First,
    /// By a reload.
    Reload,
    /// By a reload in place of a worker that died: nobody serves.
    Restart,
}

/// Why a reload can't be begun now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The last one isn't done.
    InProgress,
    /// The master is leaving.
    Leaving,
}

impl Refusal {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::InProgress => messages::RELOAD_IN_PROGRESS,
            Self::Leaving => messages::RELOAD_WHILE_LEAVING,
        }
    }
}

/// The state of a master, apart from its process table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    generation: Generation,
    product: String,
    start: Start,
    /// See [`Policy`]; hosts may learn it late, from their configuration.
    pub policy: Policy,
    /// What goes to the next image besides the table.
    pub state: HandoverState,
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
            start: Start::First,
            policy: Policy::default(),
            state: HandoverState::default(),
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
    ///
    /// # Errors
    /// Why a reload that was asked for doesn't begin now.
    pub fn step<T: Table>(
        &mut self,
        table: &mut T,
        event: Event<'_>,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) -> Result<(), Refusal> {
        if self.left {
            return Err(Refusal::Leaving);
        }
        self.times.restart_looked = false;
        let step = &mut Step { table, now, out };
        match event {
            Event::Signal(signal) => match signal.meaning() {
                Meaning::Stop => self.stop(step, signal),
                Meaning::Reload => return self.ask_reload(step, Hardness::Soft),
                // A starting worker may not handle it yet, and would be stopped.
                Meaning::Broadcast => step.kill_where(|p| !p.is_starting(), signal),
                Meaning::Reap | Meaning::None => {}
            },
            Event::Reload(hardness) => return self.ask_reload(step, hardness),
            Event::ReloadNow(hardness) => {
                self.may_reload(step.table)?;
                self.begin_reload(step, hardness);
            }
            Event::Forked { pid } => self.forked(step, pid),
            Event::LoadEnded { result: Load::Succeeded, .. } => self.succeeded(step),
            Event::LoadEnded { result: Load::Failed, why } => self.load_failed(step, why),
            Event::LoadEnded { result: Load::FailureReported, why } => {
                self.nothing_new_serves(step, why);
            }
            Event::Ready { pid } => self.ready(step, pid),
            Event::ProgramsStarted(hardness) => self.replace_programs(step, hardness),
            Event::UnbornDropped => reload::drop_unborn(step),
            Event::Waits => self.waits(step),
            Event::EnforceMaxReloads => {
                let exceeds = |p: &Process| p.is(options::WORKER) && self.exceeds_reloads(p);
                step.kill_where(exceeds, Signal::Term);
            }
            Event::ExecFailed { kind, why } => self.exec_failed(step, kind, why),
            Event::ChildExited { pid, end } => self.child_exited(step, pid, end),
            Event::NoChildLeft if self.awaits_restart() => {}
            Event::NoChildLeft => self.leave_if_alone(step),
            Event::Tick { figures } => self.tick(step, figures),
        }
        Ok(())
    }

    /// Images that wait tell READY up to 2.6; later ones find it told, unless the
    /// binary was replaced during the load, and that was of those.
    fn waits<T: Table>(&self, step: &mut Step<'_, T>) {
        if self.generation.notifies_when_waiting || self.ready_is_left {
            if let Some(pid) = Pid::new(self.own_pid) {
                step.notify(Notice::Ready { pid });
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

    fn stop<T: Table>(&mut self, step: &mut Step<'_, T>, signal: Signal) {
        self.leaving = true;
        self.pending = None;
        self.stops_softly = signal == Signal::Usr1;
        self.times.restart = None;
        if self.stops_softly {
            self.soft_stop_begins(step.now);
        }
        step.notify(Notice::Stopping);
        step.log(Level::Warning, messages::LEAVING);
        step.kill_children(signal);
        // With a restart to come there may be no child, whose end would be told.
        if self.state.restarts > 0 && !step.has_children() {
            self.leave_if_alone(step);
        }
    }

    /// The system says that no child is left, which is surer than any list.
    fn leave_if_alone<T: Table>(&mut self, step: &mut Step<'_, T>) {
        let status = self.exit_code.unwrap_or(0);
        step.log(Level::Warning, messages::all_left(status));
        self.exit(step, status);
    }

    fn exit<T: Table>(&mut self, step: &mut Step<'_, T>, status: i32) {
        self.left = true;
        step.out.push(Action::Exit(status));
    }

    /// Whether there is nothing to go on with when a load fails: at the first start, but not of
    /// an image that replaced another one which had forked a worker.
    fn is_hopeless<T: Table>(&self, table: &T) -> bool {
        self.start == Start::First && table.find(reload::is_up).is_none()
    }
}
