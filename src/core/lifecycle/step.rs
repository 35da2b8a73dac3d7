//! What one step works on: the table, the time, and the actions so far.

use super::{Action, Level, Notice, Now, Pid, Process, Signal, Table};
use std::borrow::Cow;

pub(super) struct Step<'a, T: Table> {
    pub table: &'a mut T,
    pub now: Now,
    pub out: &'a mut Vec<Action<T::Row>>,
}

impl<T: Table> Step<'_, T> {
    pub fn log(&mut self, level: Level, text: impl Into<Cow<'static, str>>) {
        self.out.push(Action::Log(level, text.into()));
    }

    pub fn notify(&mut self, notice: Notice) {
        self.out.push(Action::Notify(notice));
    }

    pub fn kill(&mut self, pid: Pid, signal: Signal) {
        self.out.push(Action::Kill { pid, signal });
    }

    /// Signals every child that is `wanted`.
    pub fn kill_where(&mut self, wanted: impl Fn(&Process) -> bool, signal: Signal) {
        let children = self.table.rows().filter(|(_, p)| wanted(p)).filter_map(|(_, p)| p.target());
        self.out.extend(children.map(|pid| Action::Kill { pid, signal }));
    }

    /// Signals every child.
    pub fn kill_children(&mut self, signal: Signal) {
        self.kill_where(|_| true, signal);
    }

    /// Whether the table has a child that was forked.
    pub fn has_children(&self) -> bool {
        self.table.rows().any(|(_, p)| p.target().is_some())
    }
}
