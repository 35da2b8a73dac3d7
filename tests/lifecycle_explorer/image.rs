//! From one image to the next, by the real plan and the real hand-over.

use super::invariants::{Verdict, hold};
use super::scenario::Scenario;
use super::world::{MASTER, Phase, World, new_life};
use mworker::core::exec::handover_state::{HandoverState, STATE};
use mworker::core::exec::{self, CommandLine, Plan, Request};
use mworker::core::generation::{Generation, RowFormat};
use mworker::core::handover;
use mworker::core::lifecycle::{ExecKind, Hardness};
use mworker::core::process::options;
use mworker::core::table::{OutOfMemory, PlainTable, Table};

/// What the user typed. What follows `--` only looks like a master's doing.
const TYPED: [&str; 5] = ["proxy", "-Ws", "--", "-sf", "9"];

impl World {
    /// The exec of `kind` succeeds, and runs a binary of `generation`.
    pub fn re_execute(
        &mut self,
        kind: ExecKind,
        generation: Generation,
        scenario: &Scenario,
    ) -> Verdict {
        self.rename_children();
        let plan = self.plan(kind);
        self.check_plan(kind, &plan)?;

        let line = CommandLine::parse(plan.argv.iter().map(Vec::as_slice));
        hold(line.argv == typed(), "argv_does_not_grow", || format!("{:?}", line.argv))?;
        let before: Vec<i32> = self.table.rows().map(|(_, p)| p.pid).filter(|p| *p > 0).collect();
        let mut table = PlainTable::default();
        let report = handover::read(processes(&plan), generation, &mut table).expect("memory");
        hold(report.bad.is_empty() && report.has_master, "every_row_is_taken_over", || {
            format!("{report:?}")
        })?;
        let mut after: Vec<i32> = table.rows().map(|(_, p)| p.pid).collect();
        // The newest sort by reloads.
        if generation.sorts_table {
            after.sort_by_key(|pid| before.iter().position(|p| p == pid));
        }
        hold(before == after, "every_row_is_taken_over", || format!("{before:?}, {after:?}"))?;

        // Replaced meanwhile by one that knows no waiting, it loads again.
        let waits = kind == ExecKind::Wait && !generation.ready_handshake;
        self.ledger.survives_exec(kind, self.generation.row_format, waits);
        self.generation = generation;
        self.table = table;
        self.hardness = if line.hard { Hardness::Hard } else { Hardness::Soft };
        let (record, fresh) = HandoverState::read(&state(&plan), processes(&plan));
        hold(fresh && record == self.life.state, "the_record_is_handed_over", || {
            format!("{record:?}, not {:?}", self.life.state)
        })?;
        self.life = new_life(generation, scenario);
        self.life.state = record;
        self.life.table_read(&mut self.table, kind == ExecKind::Wait);
        self.life.replaces(line.old_pids, self.hardness);
        self.time.begins(true);
        if waits {
            return self.enter_loop();
        }
        self.phase = Phase::Loading;
        self.add_configured_rows(scenario);
        Ok(())
    }

    fn plan(&self, kind: ExecKind) -> Plan {
        let old = ["HOME=/", "HAPROXY_PROCESSES=|old", "HAPROXY_MWORKER_WAIT_ONLY=1"];
        let request = Request {
            argv: &typed(),
            listeners_from: None,
            environment: &old.map(|v| v.as_bytes().to_vec()),
            kind,
            load_status: self.life.load_status(),
            processes: &handover::write(&self.table, self.generation).expect("memory"),
            room: usize::MAX,
            state: &self.life.state,
        };
        exec::plan(&self.table, self.generation, &request, |_| Err(OutOfMemory)).expect("it fits")
    }

    /// What the next image is given names children only, and all of them.
    fn check_plan(&self, kind: ExecKind, plan: &Plan) -> Verdict {
        let line = CommandLine::parse(plan.argv.iter().map(Vec::as_slice));
        let mut children: Vec<i32> = self.children.iter().map(|c| c.pid).collect();
        if kind == ExecKind::Wait {
            children.clear();
        }
        let mut named = line.old_pids;
        named.sort_unstable();
        children.sort_unstable();
        hold(named == children, "sf_names_every_unreaped_child", || {
            format!("{named:?}, not {children:?}")
        })?;

        let mut keep = plan.keep.clone();
        // Who is told of one end only couldn't close the other.
        let ends = if self.generation.row_format == RowFormat::V2_7 { 2 } else { 1 };
        let mut due: Vec<i32> = self
            .table
            .rows()
            .filter(|(_, p)| p.pid == MASTER || self.child(p.pid).is_some())
            .flat_map(|(_, p)| p.ipc_fd.into_iter().take(ends))
            .filter(|fd| *fd >= 0)
            .collect();
        keep.sort_unstable();
        due.sort_unstable();
        hold(keep == due, "descriptors_of_the_table_are_kept", || {
            format!("{keep:?}, not {due:?}")
        })?;

        let reload = kind != ExecKind::Wait;
        if reload {
            let from = self
                .ledger
                .in_service
                .and_then(|pid| self.row_of(pid))
                .filter(|_| self.generation.asks_worker_for_listeners)
                .map(|(_, p)| format!("sockpair@{}", p.ipc_fd[0]).into_bytes());
            // With nobody in service, one that still drains may be asked.
            let right = from.is_none() || line.listeners_from == from;
            hold(right, "listeners_are_asked_of_who_serves", || {
                format!("{:?}, not {from:?}", line.listeners_from)
            })?;
        }

        let count =
            |name: &str| plan.environment.iter().filter(|v| v.starts_with(name.as_bytes())).count();
        let waits = usize::from(kind == ExecKind::Wait);
        let right = count("HAPROXY_PROCESSES=") == 1
            && count("HAPROXY_MWORKER_REEXEC=") == 1
            && count("HAPROXY_MWORKER_WAIT_ONLY=") == waits
            && count("HOME=") == 1;
        hold(right, "variables_are_set_once", || format!("{} variables", plan.environment.len()))
    }

    /// PIDs are only names: by giving them anew, states that differ by nothing
    /// else become one.
    fn rename_children(&mut self) {
        let old: Vec<i32> = self.children.iter().map(|c| c.pid).collect();
        let new_name = |pid: i32| (10..).zip(&old).find(|(_, p)| **p == pid).map(|(new, _)| new);
        self.table.for_each(|p| {
            if let Some(pid) = new_name(p.pid).filter(|_| p.is(options::CHILD)) {
                p.pid = pid;
                let ends = [100 + pid, 200 + pid];
                for (fd, end) in p.ipc_fd.iter_mut().zip(ends) {
                    *fd = if *fd < 0 { -1 } else { end };
                }
            }
        });
        self.ledger.in_service = self.ledger.in_service.and_then(new_name);
        for (child, pid) in self.children.iter_mut().zip(10..) {
            child.pid = pid;
        }
    }
}

fn typed() -> Vec<Vec<u8>> {
    TYPED.iter().map(|a| a.as_bytes().to_vec()).collect()
}

fn processes(plan: &Plan) -> &[u8] {
    variable(plan, "HAPROXY_PROCESSES").unwrap_or_default()
}

fn state(plan: &Plan) -> String {
    String::from_utf8_lossy(variable(plan, STATE).unwrap_or_default()).into_owned()
}

fn variable<'a>(plan: &'a Plan, name: &str) -> Option<&'a [u8]> {
    let value = |v: &'a Vec<u8>| v.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    plan.environment.iter().find_map(value)
}
