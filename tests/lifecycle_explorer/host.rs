//! What the host does: passes events to the core, carries its actions out, and
//! what its own code does beside.

use super::invariants::{self, Verdict, Violation, hold};
use super::moves::Move;
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use super::world::{Child, MASTER, Phase, World};
use mworker::core::lifecycle::{Action, Event, ExecKind, Hardness, Load};
use mworker::core::notify::Notice;
use mworker::core::process::{Pid, options};
use mworker::core::signal::{Ending, Signal};
use mworker::core::table::Table;

impl World {
    /// Where `event` leads.
    pub fn after(
        &self,
        event: Move,
        scenario: &Scenario,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, Violation> {
        let mut next = self.clone();
        match (event, self.phase) {
            (Move::Ends(pid), _) => {
                for child in next.children.iter_mut().filter(|c| c.pid == pid) {
                    child.alive = false;
                }
            }
            (Move::Beats, _) => next.beats(),
            (Move::ExecSucceeds, Phase::Execing(kind)) => {
                next.re_execute(kind, self.generation, scenario)?;
            }
            (Move::ExecUpgrades, Phase::Execing(kind)) => {
                let new = scenario.upgrade.unwrap_or(self.generation);
                next.re_execute(kind, new, scenario)?;
            }
            _ => next.step(event, self, sabotage)?,
        }
        next.canonicalise();
        invariants::of_state(&next)?;
        Ok(next)
    }

    /// The core's part.
    fn step(&mut self, event: Move, before: &Self, sabotage: Option<Sabotage>) -> Verdict {
        let phase = before.phase;
        if event == Move::Tick {
            self.time.reaches(self.life.deadline());
        }
        let expected = self.ledger.foresee(before, event, self.time.clock);
        if self.ledger.in_service != before.ledger.in_service {
            self.time.begins(false);
        }
        let mut actions = Vec::new();
        if matches!(event, Move::Forks | Move::Refuses | Move::ExecFails) {
            self.phase = Phase::Running;
        }
        self.tell(event, phase, &mut actions)?;
        if let Some(sabotage) = sabotage {
            sabotage.spoil(event, before, &mut actions, self);
        }
        invariants::of_step(before, &actions, &expected)?;
        self.tells_systemd_in_time(event, &actions)?;
        for action in &actions {
            self.carry_out(action)?;
        }
        // Who re-executes to wait enters the loop when that fails, or isn't done.
        let loads = matches!(event, Move::Forks | Move::ExecFails);
        let stays = self.phase == Phase::Running && !self.generation.ready_handshake;
        let wait_failed = matches!(phase, Phase::Execing(_)) && phase == wait();
        if stays && loads && (phase == Phase::Loading || wait_failed) {
            self.enter_loop()?;
        }
        self.is_deaf_once_left()
    }

    fn tell(&mut self, event: Move, phase: Phase, out: &mut Vec<Action<u32>>) -> Verdict {
        let now = self.time.now();
        let figures = self.figures();
        let mut ending = Ending { code: 0, reason: "Exit".into() };
        let event = match event {
            Move::Signal(signal) => Event::Signal(signal),
            Move::Reload(hardness) => Event::Reload(hardness),
            Move::Forks => {
                if !self.generation.ready_handshake {
                    let _ = self.life.step(&mut self.table, Event::EnforceMaxReloads, now, out);
                }
                let pid = self.fork_configured()?;
                let pid = Pid::new(pid).expect("above 0");
                let _ = self.life.step(&mut self.table, Event::Forked { pid }, now, out);
                if self.generation.ready_handshake {
                    return Ok(());
                }
                self.tell_old_children(pid.get())?;
                SUCCEEDED
            }
            Move::Refuses => Event::LoadEnded { result: Load::Failed, why: "refused" },
            Move::Ready(pid) => Event::Ready { pid },
            Move::ReadyToHost(pid) => {
                self.take_ready(pid)?;
                SUCCEEDED
            }
            Move::Reaped(pid, code) => {
                self.children.retain(|c| c.pid != pid);
                ending.code = code;
                Event::ChildExited { pid, end: &ending }
            }
            Move::StrangerReaped => Event::ChildExited { pid: 999, end: &ending },
            Move::NoChildLeft => Event::NoChildLeft,
            Move::ExecFails => match phase {
                Phase::Execing(kind) => Event::ExecFailed { kind, why: "E2BIG" },
                _ => return Ok(()),
            },
            Move::Tick => Event::Tick { figures: &figures },
            Move::Ends(_) | Move::ExecSucceeds | Move::ExecUpgrades | Move::Beats => return Ok(()),
        };
        let asks = matches!(event, Event::Reload(_));
        let answer = self.life.step(&mut self.table, event, now, out);
        let begun = out.iter().any(|a| matches!(a, Action::Exec(ExecKind::Reload(_))));
        hold(!asks || answer.is_ok() == begun, "a_reload_is_answered_as_it_is_decided", || {
            format!("{answer:?}, {out:?}")
        })
    }

    fn carry_out(&mut self, action: &Action<u32>) -> Verdict {
        match action {
            Action::Log(..) | Action::Crashed(_) | Action::InService(_) | Action::Answer { .. } => {
            }
            Action::Notify(notice) => self.notify(notice)?,
            Action::Kill { pid, signal } | Action::KillStranger { pid, signal } => {
                self.deliver(pid.get(), *signal)
            }
            Action::Exec(kind) => {
                self.phase = Phase::Execing(*kind);
                self.ledger.blocked = true;
            }
            Action::Release(row, _) => {
                let released = self.table.release(*row);
                hold(released, "released_rows_are_out_of_the_table", || row.to_string())?;
            }
            Action::Unblock => self.ledger.blocked = false,
            Action::Exit(status) => self.phase = Phase::Left(*status),
        }
        Ok(())
    }

    fn notify(&mut self, notice: &Notice) -> Verdict {
        let repeats_ready = !self.generation.ready_handshake;
        self.systemd.receive(notice, repeats_ready, self.ledger.loads_unasked)
    }

    /// Forks what the configuration named; the worker's PID.
    fn fork_configured(&mut self) -> Result<i32, Violation> {
        let mut pid = self.next_pid();
        if let Some(row) = self.table.find(|p| p.is(options::PROGRAM) && p.pid == -1) {
            let mut program = self.table.load(row);
            program.pid = pid;
            self.table.store(row, program);
            self.children.push(Child { pid, alive: true, told: false });
            pid += 1;
        }
        let unborn = self.table.find(|p| p.is(options::WORKER) && p.pid == -1);
        hold(unborn.is_some(), "the_new_worker_has_a_row", || format!("{:?}", self.table))?;
        self.children.push(Child { pid, alive: true, told: false });
        Ok(pid)
    }

    /// HAProxy's own code up to 3.0 tells the PIDs after `-sf` itself.
    fn tell_old_children(&mut self, new: i32) -> Verdict {
        let signal = if self.hardness == Hardness::Hard { Signal::Term } else { Signal::Usr1 };
        let replaced: Vec<i32> = self.forked().map(|(_, p)| p.pid).filter(|p| *p != new).collect();
        for pid in replaced {
            self.deliver(pid, signal);
        }
        Ok(())
    }

    /// HAProxy's own code from 3.1 on, which takes READY in its CLI.
    fn take_ready(&mut self, pid: i32) -> Verdict {
        if let Some((row, mut process)) = self.row_of(pid) {
            process.options &= !options::INIT;
            self.table.store(row, process);
        }
        self.tell_old_children(pid)?;
        self.notify(&Notice::Ready { pid: Pid::new(MASTER).expect("above 0") })
    }

    /// HAProxy's own code up to 3.0, once it enters its loop.
    pub fn enter_loop(&mut self) -> Verdict {
        self.phase = Phase::Running;
        self.ledger.blocked = false;
        self.notify(&Notice::Ready { pid: Pid::new(MASTER).expect("above 0") })
    }

    /// Invariant: who has left does nothing more.
    fn is_deaf_once_left(&self) -> Verdict {
        if !matches!(self.phase, Phase::Left(_)) {
            return Ok(());
        }
        let (mut life, mut table, mut out) = (self.life.clone(), self.table.clone(), Vec::new());
        for event in
            [Event::Signal(Signal::Term), Event::Reload(Hardness::Soft), Event::NoChildLeft]
        {
            let _ = life.step(&mut table, event, self.time.now(), &mut out);
        }
        hold(out.is_empty() && table == self.table, "who_has_left_is_deaf", || format!("{out:?}"))
    }
}

const SUCCEEDED: Event<'static> = Event::LoadEnded { result: Load::Succeeded, why: "" };

fn wait() -> Phase {
    Phase::Execing(ExecKind::Wait)
}
