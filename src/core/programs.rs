//! Programs: what HAProxy up to 3.2 starts and looks after besides workers.

use super::process::{Process, options};
use super::table::Table;

/// What to do about a program of the new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it.
    Start,
    /// The one of the last configuration goes on; the new row is dropped.
    KeepOld,
}

/// The programs that the configuration named: not forked yet, in table order.
pub fn configured<T: Table>(table: &T) -> Vec<T::Row> {
    table.rows().filter(|(_, p)| is_configured(p)).map(|(row, _)| row).collect()
}

fn is_configured(p: &Process) -> bool {
    p.is(options::PROGRAM) && p.pid == -1
}

/// Decides about `row`. After a reload a program without `start-on-reload` is
/// not started again: the old one of the same name isn't LEAVING any more.
pub fn decide<T: Table>(table: &mut T, row: T::Row, after_reload: bool) -> Decision {
    if !after_reload || table.load(row).is(options::START_RELOAD) {
        return Decision::Start;
    }
    let name = table.id(row).to_vec();
    let old: Vec<T::Row> = table
        .rows()
        .filter(|(other, p)| {
            p.is(options::PROGRAM) && p.is(options::LEAVING) && table.id(*other) == name
        })
        .map(|(other, _)| other)
        .collect();
    for other in old {
        let mut process = table.load(other);
        process.options &= !options::LEAVING;
        table.store(other, process);
    }
    Decision::KeepOld
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::PlainTable;

    fn program(table: &mut PlainTable, pid: i32, extra: i32, name: &str) -> u32 {
        let options = options::PROGRAM | extra;
        let process = Process { pid, options, ..Process::default() };
        table.append(process, name.as_bytes(), b"").expect("memory")
    }

    #[test]
    fn a_program_that_is_not_restarted_stops_leaving() {
        let mut table = PlainTable::default();
        let old = program(&mut table, 5, options::LEAVING, "a");
        let other = program(&mut table, 6, options::LEAVING, "b");
        let new = program(&mut table, -1, 0, "a");
        assert_eq!(configured(&table), [new]);
        assert_eq!(decide(&mut table, new, true), Decision::KeepOld);
        assert!(!table.load(old).is(options::LEAVING));
        assert!(table.load(other).is(options::LEAVING));
        assert_eq!(decide(&mut table, new, false), Decision::Start);
        let again = program(&mut table, -1, options::START_RELOAD, "b");
        assert_eq!(decide(&mut table, again, true), Decision::Start);
        assert!(table.load(other).is(options::LEAVING));
    }
}
