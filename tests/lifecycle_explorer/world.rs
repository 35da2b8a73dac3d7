//! One state: a master's image and everything around it.

use super::ledger::Ledger;
use super::scenario::Scenario;
use super::systemd::Systemd;
use super::time::Time;
use mworker::core::generation::Generation;
use mworker::core::lifecycle::{ExecKind, Hardness, Lifecycle};
use mworker::core::process::{Process, options};
use mworker::core::signal::Signal;
use mworker::core::table::{PlainTable, Table};

/// The master's PID.
pub const MASTER: i32 = 1;
/// A PID that the user gave with `-sf` at the first start: somebody else's.
pub const GIVEN_BY_USER: i32 = 900;
/// Unreaped children that a state may have before no more reload is asked for.
const MOST_CHILDREN: usize = 4;
/// Counts above this are only told apart by their order.
const EXACT_COUNTS: i32 = 3;

/// What the master is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It reads its configuration; its new worker isn't forked.
    Loading,
    /// It is in its loop.
    Running,
    /// It is about to re-execute itself.
    Execing(ExecKind),
    /// It has left, with this status.
    Left(i32),
}

/// A process that the master has forked and not reaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Child {
    pub pid: i32,
    /// Or a zombie.
    pub alive: bool,
    /// Whether it has been sent USR1, TERM or INT.
    pub told: bool,
}

#[derive(Clone, Debug, Hash)]
pub struct World {
    pub generation: Generation,
    pub life: Lifecycle,
    pub table: PlainTable,
    pub phase: Phase,
    pub children: Vec<Child>,
    pub systemd: Systemd,
    /// What the rules say should be so.
    pub ledger: Ledger,
    /// How this image was told to replace old children.
    pub hardness: Hardness,
    pub time: Time,
}

impl World {
    /// The first start.
    pub fn boot(scenario: &Scenario) -> Self {
        let generation = scenario.generation;
        let mut life = new_life(generation, scenario);
        life.replaces(vec![GIVEN_BY_USER], Hardness::Soft);
        let mut table = PlainTable::default();
        let master = Process {
            pid: MASTER,
            options: options::MASTER,
            ipc_fd: [3, 4],
            timestamp: 0,
            ..Process::default()
        };
        table.append(master, b"", b"").expect("memory");
        let mut world = Self {
            generation,
            life,
            table,
            phase: Phase::Loading,
            children: Vec::new(),
            systemd: Systemd::Starting,
            ledger: Ledger::default(),
            hardness: Hardness::Soft,
            time: Time::default(),
        };
        world.add_configured_rows(scenario);
        world
    }

    /// The rows that a configuration brings: a worker, perhaps a program.
    pub fn add_configured_rows(&mut self, scenario: &Scenario) {
        let first = self.next_pid();
        let row = |pid: i32, options| Process {
            options,
            ipc_fd: [100 + pid, 200 + pid],
            ..Process::default()
        };
        if self.has_program(scenario) {
            let program = Process { ipc_fd: [-1, -1], ..row(first, options::PROGRAM) };
            self.table.append(program, b"prog", b"").expect("memory");
        }
        let init = if self.generation.ready_handshake { options::INIT } else { 0 };
        let pid = first + i32::from(self.has_program(scenario));
        self.table.append(row(pid, options::WORKER | init), b"", b"3").expect("memory");
    }

    /// Whether this image starts a program.
    pub fn has_program(&self, scenario: &Scenario) -> bool {
        scenario.program && self.generation.programs && !self.generation.ready_handshake
    }

    pub fn next_pid(&self) -> i32 {
        self.children.iter().map(|c| c.pid).max().unwrap_or(9) + 1
    }

    pub fn child(&self, pid: i32) -> Option<&Child> {
        self.children.iter().find(|c| c.pid == pid)
    }

    /// The row of a child.
    pub fn row_of(&self, pid: i32) -> Option<(u32, Process)> {
        self.table.rows().find(|(_, p)| p.is_child() && p.pid == pid)
    }

    /// Every child's row.
    pub fn forked(&self) -> impl Iterator<Item = (u32, Process)> {
        self.table.rows().filter(|(_, p)| p.is_child() && p.pid > 0)
    }

    /// In the loop, with no worker that starts: whatever was asked for is done.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Running && self.table.starting().is_none()
    }

    /// Whether the model still has room for another worker.
    pub fn has_room(&self) -> bool {
        self.children.len() < MOST_CHILDREN
    }

    /// Notes that a child was sent `signal`.
    pub fn deliver(&mut self, pid: i32, signal: Signal) {
        let leaves = matches!(signal, Signal::Term | Signal::Int | Signal::Usr1);
        for child in self.children.iter_mut().filter(|c| c.pid == pid) {
            child.told |= leaves;
            child.alive &= signal != Signal::Kill;
        }
    }

    /// Makes states the same that differ only by how large counts are: their
    /// order is kept, and up to [`EXACT_COUNTS`] their value.
    pub fn canonicalise(&mut self) {
        let mut counts: Vec<i32> = self.table.rows().map(|(_, p)| p.reloads).collect();
        counts.push(self.ledger.reloads);
        counts.sort_unstable();
        counts.dedup();
        let mut small: Vec<i32> = Vec::with_capacity(counts.len());
        for count in &counts {
            let above = small.last().map_or(0, |last| last + 1);
            small.push((*count).min(above.max(EXACT_COUNTS + 1)));
        }
        let made_small = |count| {
            let place = counts.iter().position(|c| *c == count);
            place.map_or(count, |at| small[at])
        };
        self.ledger.reloads = made_small(self.ledger.reloads);
        self.table.for_each(|p| {
            p.reloads = made_small(p.reloads);
            p.failed_reloads = p.failed_reloads.min(EXACT_COUNTS);
        });
        self.ledger.failed = self.ledger.failed.min(EXACT_COUNTS);
        // Told to people, and decides nothing.
        self.life.state.failed = 0;
        self.life.state.last_failure = None;
    }
}

/// An image that knows nothing yet.
pub fn new_life(generation: Generation, scenario: &Scenario) -> Lifecycle {
    let mut life = Lifecycle::new(generation, "HAProxy", MASTER);
    life.policy = scenario.policy;
    life
}
