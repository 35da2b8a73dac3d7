//! The rules of what time brings: a start that takes too long, and new workers
//! for dead ones.

use super::ledger::{Expected, Ledger, everybody};
use super::world::World;
use mworker::core::lifecycle::{ExecKind, Hardness};
use mworker::core::signal::Signal;
use mworker::core::table::Table;

const SECOND: u64 = 1_000_000;
/// Seconds before the first, second, third of a row.
const PAUSES: [u64; 3] = [0, 1, 2];

impl Ledger {
    /// The master leaves, asked to or not.
    pub fn leaves(&self) -> bool {
        self.stop_asked || self.gave_up
    }

    /// A new worker is due, whenever: having no child is no reason to leave.
    pub fn awaits_restart(&self, world: &World) -> bool {
        world.life.policy.restart.is_some() && self.restarts > 0 && !self.leaves()
    }

    pub fn start_begins(&mut self, clock: u64) {
        self.started = Some(clock);
        self.overdue = false;
    }

    pub fn start_ends(&mut self) {
        self.started = None;
        self.overdue = false;
    }

    /// It is `clock` now.
    pub fn time_passes(&mut self, world: &World, clock: u64, expected: &mut Expected) {
        let limit = world.life.policy.start_timeout;
        let late = self.started.zip(limit).is_some_and(|(since, limit)| clock >= since + limit);
        if late && !self.overdue {
            self.overdue = true;
            let starting = world.table.starting().map(|row| world.table.load(row).pid);
            expected.kills.extend(starting.map(|pid| (pid, Signal::Kill)));
        }
        if !self.awaits_restart(world) || world.table.starting().is_some() {
            return;
        }
        if self.in_service.is_some() {
            self.pause_until = None;
        } else if let Some(due) = self.pause_until {
            self.restart_at(due, clock, expected);
        } else if !self.plans_restart(world, clock) {
            self.gives_up(world, expected);
        }
    }

    /// The worker in service died with `code`. `false`: there is to be no other.
    pub fn restarts_for(
        &mut self,
        world: &World,
        code: i32,
        clock: u64,
        expected: &mut Expected,
    ) -> bool {
        if world.life.policy.restart.is_none() || self.leaves() {
            return false;
        }
        self.dead = code;
        if world.table.starting().is_some() {
            self.restarts = self.restarts.max(1);
            return true;
        }
        let planned = self.plans_restart(world, clock);
        if let Some(due) = self.pause_until.filter(|_| planned) {
            self.restart_at(due, clock, expected);
        }
        planned
    }

    fn restart_at(&mut self, due: u64, clock: u64, expected: &mut Expected) {
        if clock >= due {
            self.pause_until = None;
            expected.exec = Some(ExecKind::Reload(Hardness::Soft));
        }
    }

    fn plans_restart(&mut self, world: &World, clock: u64) -> bool {
        if Some(self.restarts) >= world.life.policy.restart {
            return false;
        }
        let pause = PAUSES.get(self.restarts as usize).expect("no row is longer in the model");
        self.pause_until = Some(clock + pause * SECOND);
        self.restarts += 1;
        true
    }

    /// Everybody is told to leave, and the master follows with the status of the
    /// worker that died.
    fn gives_up(&mut self, world: &World, expected: &mut Expected) {
        self.gave_up = true;
        self.restarts = 0;
        self.reported = Some(self.dead);
        expected.kills = everybody(world, Signal::Term);
        if expected.kills.is_empty() {
            expected.exit = self.reported;
        }
    }
}
