//! The rules, written down a second time and independently: what each thing
//! that happens has to lead to.

use super::moves::Move;
use super::world::{GIVEN_BY_USER, Phase, World};
use mworker::core::generation::RowFormat;
use mworker::core::lifecycle::{ExecKind, Gone, Hardness};
use mworker::core::process::{Process, options};
use mworker::core::signal::{Meaning, Signal};
use mworker::core::table::Table;

/// What an onlooker knows who has seen everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// Somebody asked the master to leave.
    pub stop_asked: bool,
    /// A reload was asked for and has not begun.
    pub reload_asked: Option<Hardness>,
    /// No reload has ever been carried out.
    pub first_start: bool,
    /// This image is the first.
    pub first_image: bool,
    /// How the last load ended.
    pub loaded: Option<bool>,
    /// Reloads that were carried out, failed or not.
    pub reloads: i32,
    /// Reloads that failed since the last success.
    pub failed: i32,
    /// The status that the first current child left which has to be told on.
    pub reported: Option<i32>,
    /// The worker that connections go to.
    pub in_service: Option<i32>,
    /// Signals wait for [`Action::Unblock`].
    ///
    /// [`Action::Unblock`]: mworker::core::lifecycle::Action::Unblock
    pub blocked: bool,
    /// It was started to wait, but knows no waiting, and loads.
    pub loads_unasked: bool,
    /// When the worker was forked that starts.
    pub started: Option<u64>,
    /// It took too long, and was killed.
    pub overdue: bool,
    /// New workers in a row, each for one that died.
    pub restarts: u32,
    /// What the last of those died with.
    pub dead: i32,
    /// When the next one is due.
    pub pause_until: Option<u64>,
    /// They were enough: the master leaves unasked.
    pub gave_up: bool,
    /// When systemd's watchdog is to be told next, or at least is looked.
    pub look_due: u64,
    /// When systemd was last told how the service is.
    pub status_at: Option<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            stop_asked: false,
            reload_asked: None,
            first_start: true,
            first_image: true,
            loaded: None,
            reloads: 0,
            failed: 0,
            reported: None,
            in_service: None,
            blocked: true,
            loads_unasked: false,
            started: None,
            overdue: false,
            restarts: 0,
            dead: 0,
            pause_until: None,
            gave_up: false,
            look_due: 0,
            status_at: None,
        }
    }
}

/// What one step has to contain: this, all of this, and nothing else of the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub kills: Vec<(i32, Signal)>,
    pub released: Vec<(u32, Gone)>,
    pub crashed: Vec<u32>,
    pub in_service: Vec<u32>,
    pub answers: Vec<bool>,
    pub exec: Option<ExecKind>,
    pub exit: Option<i32>,
}

impl Ledger {
    /// Notes that `event` happens in `world` at `clock`, and says what must follow.
    pub fn foresee(&mut self, world: &World, event: Move, clock: u64) -> Expected {
        let mut expected = Expected::default();
        match event {
            Move::Signal(signal) => match signal.meaning() {
                Meaning::Stop => {
                    self.stop_asked = true;
                    self.reload_asked = None;
                    self.pause_until = None;
                    expected.kills = everybody(world, signal);
                    // Nobody's end will say that it is time to go.
                    if self.restarts > 0 && expected.kills.is_empty() {
                        expected.exit = Some(self.reported.unwrap_or(0));
                    }
                }
                Meaning::Reload => self.asked(world, Hardness::Soft, &mut expected),
                // By default they would stop a worker that doesn't listen yet.
                Meaning::Broadcast => {
                    let listens = world.forked().filter(|(_, p)| !p.is_starting());
                    expected.kills = listens.map(|(_, p)| (p.pid, signal)).collect();
                }
                Meaning::Reap | Meaning::None => {}
            },
            Move::Reload(hardness) => self.asked(world, hardness, &mut expected),
            Move::Forks => self.forked(world, clock, &mut expected),
            Move::Refuses => self.refused(world, &mut expected),
            Move::Ready(pid) => self.ready(world, pid, &mut expected),
            Move::ReadyToHost(pid) => {
                self.in_service = Some(pid);
                expected.kills = overlooked(world, pid);
                self.came_up(world, &mut expected);
            }
            Move::Reaped(pid, code) => self.reaped(world, pid, code, clock, &mut expected),
            Move::Tick => self.time_passes(world, clock, &mut expected),
            Move::NoChildLeft if self.awaits_restart(world) => {}
            Move::NoChildLeft => expected.exit = Some(self.reported.unwrap_or(0)),
            Move::ExecFails => {
                if let Phase::Execing(ExecKind::Reload(_)) = world.phase {
                    self.reload_failed();
                }
                // No other image will answer.
                expected.answers.extend(self.loaded);
            }
            Move::Ends(_)
            | Move::Beats
            | Move::StrangerReaped
            | Move::ExecSucceeds
            | Move::ExecUpgrades => {}
        }
        expected
    }

    /// Several requests become one, the hardest, and it is done once.
    fn asked(&mut self, world: &World, hardness: Hardness, expected: &mut Expected) {
        if self.leaves() {
            return;
        }
        self.reload_asked = self.reload_asked.max(Some(hardness));
        if world.is_quiet() {
            self.begin(expected);
        }
    }

    /// What was asked for is begun.
    fn begin(&mut self, expected: &mut Expected) {
        expected.exec = self.reload_asked.take().map(ExecKind::Reload);
    }

    /// Who is replaced to wait, by one that loads, leaves a worker.
    fn nobody_serves(&self) -> bool {
        self.first_start && self.in_service.is_none()
    }

    fn reload_failed(&mut self) {
        self.loaded = Some(false);
        self.failed += 1;
    }

    /// Who re-executes to wait has no more to say about its worker.
    fn forked(&mut self, world: &World, clock: u64, expected: &mut Expected) {
        if world.generation.ready_handshake {
            self.start_begins(clock);
        } else {
            let unborn = world.table.find(|p| p.is(options::WORKER) && p.pid == -1);
            let last = world.table.rows().last().map(|(row, _)| row);
            assert_eq!(unborn, last, "the model adds the worker last");
            self.in_service = Some(world.table.load(last.unwrap_or(0)).ipc_fd[0] - 100);
            expected.kills = exceeding(world);
            self.came_up(world, expected);
        }
    }

    fn came_up(&mut self, world: &World, expected: &mut Expected) {
        self.start_ends();
        self.loaded = Some(true);
        self.failed = 0;
        if world.generation.ready_handshake {
            expected.answers.push(true);
            self.begin(expected);
        } else if world.generation.waits_after_success {
            expected.exec = Some(ExecKind::Wait);
        }
    }

    fn refused(&mut self, world: &World, expected: &mut Expected) {
        let unborn = world.table.rows().filter(|(_, p)| p.pid == -1);
        expected.released = unborn.map(|(row, _)| (row, Gone::Unborn)).collect();
        if self.nobody_serves() {
            expected.exit = Some(1);
        } else if world.generation.ready_handshake {
            self.new_worker_failed(expected);
        } else {
            self.reload_failed();
            expected.exec = Some(ExecKind::Wait);
        }
    }

    fn new_worker_failed(&mut self, expected: &mut Expected) {
        self.reload_failed();
        expected.answers.push(false);
        self.begin(expected);
    }

    fn ready(&mut self, world: &World, pid: i32, expected: &mut Expected) {
        let Some((row, _)) = world.row_of(pid).filter(|(_, p)| p.is_starting()) else {
            return;
        };
        self.in_service = Some(pid);
        if self.leaves() {
            self.start_ends();
            // It may not have heard it, while it started.
            expected.kills.push((pid, Signal::Term));
            return;
        }
        expected.in_service.push(row);
        expected.kills = replaced(world, row);
        if self.first_image {
            expected.kills.push((GIVEN_BY_USER, Signal::Usr1));
        }
        self.came_up(world, expected);
    }

    fn reaped(&mut self, world: &World, pid: i32, code: i32, clock: u64, expected: &mut Expected) {
        let Some((row, process)) = world.row_of(pid) else {
            return;
        };
        if self.in_service == Some(pid) {
            self.in_service = None;
        }
        if process.is_starting() {
            expected.released.push((row, Gone::Starting));
            self.start_ends();
            if self.nobody_serves() {
                self.loaded = Some(false);
                expected.exit = Some(code);
            } else {
                self.new_worker_failed(expected);
            }
        } else if process.is(options::LEAVING) {
            expected.released.push((row, Gone::Former));
        } else {
            expected.released.push((row, Gone::Current));
            self.current_ended(world, (row, process), code, clock, expected);
        }
    }

    fn current_ended(
        &mut self,
        world: &World,
        (row, process): (u32, Process),
        code: i32,
        clock: u64,
        expected: &mut Expected,
    ) {
        // Left by itself, or was told to by SIGINT or SIGTERM.
        if ![0, 130, 143].contains(&code) {
            if process.is(options::WORKER) {
                if world.generation.logs_bug {
                    expected.crashed.push(row);
                }
                if self.restarts_for(world, code, clock, expected) {
                    return;
                }
            }
            if world.life.policy.exit_on_failure {
                expected.kills = everybody(world, Signal::Term);
                expected.kills.retain(|(pid, _)| *pid != process.pid);
            }
        }
        if process.is(options::WORKER) {
            self.restarts = 0;
        }
        if ![0, 143].contains(&code) {
            self.reported = self.reported.or(Some(code));
        }
    }

    /// What the next image knows of it all.
    pub fn survives_exec(&mut self, kind: ExecKind, rows: RowFormat, waits: bool) {
        // The status to leave with isn't handed over, in any generation.
        self.reported = None;
        self.loaded = None;
        self.start_ends();
        self.pause_until = None;
        self.look_due = 0;
        self.status_at = None;
        self.loads_unasked = kind == ExecKind::Wait && !waits;
        self.first_image = false;
        self.first_start &= kind == ExecKind::Wait;
        self.reloads += i32::from(kind != ExecKind::Wait);
        // Rows have no place for it.
        if matches!(rows, RowFormat::V1_9 | RowFormat::V2_0) {
            self.failed = 0;
        }
    }
}

/// `signal` to each child.
pub fn everybody(world: &World, signal: Signal) -> Vec<(i32, Signal)> {
    world.forked().map(|(_, p)| (p.pid, signal)).collect()
}

/// Who would be current besides the new worker `pid`.
fn overlooked(world: &World, pid: i32) -> Vec<(i32, Signal)> {
    let soft = if world.hardness == Hardness::Hard { Signal::Term } else { Signal::Usr1 };
    let current = |p: &Process| p.is(options::WORKER) && !p.is(options::LEAVING | options::INIT);
    let who = world.forked().filter(|(_, p)| p.pid != pid && current(p));
    who.map(|(_, p)| (p.pid, soft)).collect()
}

/// SIGTERM to the workers that have lived through too many reloads.
fn exceeding(world: &World) -> Vec<(i32, Signal)> {
    let max = world.life.policy.max_reloads.map_or(i64::MAX, i64::from);
    let exceeds = |p: &Process| p.is(options::WORKER) && i64::from(p.reloads) > max;
    let who = world.forked().filter(|(_, p)| exceeds(p));
    who.map(|(_, p)| (p.pid, Signal::Term)).collect()
}

/// Who leaves for the worker of row `new`, and how: as the reload said, and at
/// once who has lived through too many. Programs leave where the master has
/// none any more.
fn replaced(world: &World, new: u32) -> Vec<(i32, Signal)> {
    let soft = if world.hardness == Hardness::Hard { Signal::Term } else { Signal::Usr1 };
    let max = world.life.policy.max_reloads.map_or(i64::MAX, i64::from);
    let how = |p: &Process| if i64::from(p.reloads) > max { Signal::Term } else { soft };
    world.forked().filter(|(row, _)| *row != new).map(|(_, p)| (p.pid, how(&p))).collect()
}
