//! What one exec can carry: arguments and environment, and descriptors.
//!
//! Very many old workers need more than there is. Then as much goes over as fits,
//! and the next image finds the rest where there is no limit.

use crate::core::lifecycle::ExecKind;
use std::fmt;

/// What the system takes an argument or a variable of so many bytes for.
pub const fn cost(length: usize) -> usize {
    // The NUL, and a pointer.
    length.saturating_add(1).saturating_add(size_of::<usize>())
}

/// What it takes all of them for.
pub fn total<'a>(strings: impl IntoIterator<Item = &'a Vec<u8>>) -> usize {
    strings.into_iter().fold(0, |sum: usize, s| sum.saturating_add(cost(s.len())))
}

/// What the system leaves for arguments and environment of an image, where its
/// stack may become so large; `None`: as large as it likes.
pub fn arguments(stack: Option<u64>) -> usize {
    const MOST: u64 = 6 << 20;
    const LEAST: u64 = 128 << 10;
    // The path of the program is beside them.
    const SPARE: u64 = 8 << 10;
    let quarter = stack.map_or(MOST, |stack| stack / 4);
    let room = quarter.clamp(LEAST, MOST).saturating_sub(SPARE);
    usize::try_from(room).unwrap_or(usize::MAX)
}

/// How the process table in the environment, which `table` bytes would be enough
/// for, and the arguments that name PIDs, which cost `pids`, share the `room` that
/// everything else leaves.
pub fn share(room: usize, table: usize, pids: usize) -> (usize, usize) {
    // Each may have what the other doesn't need of its half.
    let half = room / 2;
    let table = table.min(half.max(room.saturating_sub(pids)));
    (table, pids.min(room.saturating_sub(table)))
}

/// Of `items`, each with its age and cost, the youngest that fit into `room`, in
/// the order that they had.
pub fn youngest<T>(items: impl Iterator<Item = (i32, usize, T)>, room: usize) -> Vec<T> {
    let mut ordered: Vec<(usize, (i32, usize, T))> = items.enumerate().collect();
    // Stable: of the same age the first ones.
    ordered.sort_by_key(|(_, (age, ..))| *age);
    let mut used: usize = 0;
    let mut kept: Vec<(usize, T)> = ordered
        .into_iter()
        .map_while(|(at, (_, cost, item))| {
            used = used.saturating_add(cost);
            (used <= room).then_some((at, item))
        })
        .collect();
    kept.sort_by_key(|(at, _)| *at);
    kept.into_iter().map(|(_, item)| item).collect()
}

/// A limit of descriptors: RLIMIT_NOFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// In force.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// Fewer free descriptors are not enough for an image to begin with.
const LEAST_FREE: u64 = 24;

/// There would be too few left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    kept: u64,
    hard: u64,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too many descriptors: {} stay open, most of them for old workers, and the hard limit \
             is {}; raise it (LimitNOFILE), or let old workers end",
            self.kept, self.hard
        )
    }
}

/// The limit for the next image, to which `kept` descriptors go over: that of the
/// first start, unless those take more than half of it. Then it comes on top of
/// them, as far as it may.
///
/// # Errors
/// The hard limit doesn't allow raising it enough to start a new worker.
pub fn open_files(first: OpenFiles, kept: u64, kind: ExecKind) -> Result<OpenFiles, TooMany> {
    let OpenFiles { soft, hard } = first;
    if kept <= soft / 2 {
        return Ok(first);
    }
    if kind != ExecKind::Wait && kept.saturating_add(LEAST_FREE) > hard {
        return Err(TooMany { kept, hard });
    }
    Ok(OpenFiles { soft: kept.saturating_add(soft).min(hard), hard })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lifecycle::Hardness;

    #[test]
    fn a_quarter_of_the_stack() {
        assert_eq!(arguments(Some(8 << 20)), (2 << 20) - (8 << 10));
        assert_eq!(arguments(Some(0)), 120 << 10);
        assert_eq!(arguments(None), arguments(Some(u64::MAX)));
    }

    #[test]
    fn a_half_that_is_not_needed_goes_to_the_other() {
        assert_eq!(share(100, 30, 40), (30, 40), "all fits");
        assert_eq!(share(100, 80, 40), (60, 40));
        assert_eq!(share(100, 30, 90), (30, 70));
        assert_eq!(share(100, 80, 90), (50, 50));
        assert_eq!(share(0, 80, 90), (0, 0));
    }

    #[test]
    fn who_is_young_comes_first_and_order_stays() {
        let items = || [(9, 1, 'a'), (3, 1, 'b'), (1, 1, 'c'), (3, 1, 'd')].into_iter();
        assert_eq!(youngest(items(), 4), ['a', 'b', 'c', 'd']);
        assert_eq!(youngest(items(), 3), ['b', 'c', 'd']);
        assert_eq!(youngest(items(), 2), ['b', 'c']);
        assert_eq!(youngest(items(), 0), []);
    }

    #[test]
    fn strings_cost_what_the_system_counts() {
        assert_eq!(total(&[b"ab".to_vec(), Vec::new()]), 2 + 2 * cost(0));
    }

    #[test]
    fn old_workers_take_no_descriptors_from_the_next_image() {
        let first = OpenFiles { soft: 100, hard: 300 };
        let next = |kept| open_files(first, kept, ExecKind::Reload(Hardness::Soft));
        assert_eq!(next(50), Ok(first));
        assert_eq!(next(60), Ok(OpenFiles { soft: 160, hard: 300 }));
        assert_eq!(next(250), Ok(OpenFiles { soft: 300, hard: 300 }));
        let refused = next(280).expect_err("too many");
        assert!(refused.to_string().starts_with("too many descriptors: 280 stay open, "));
        let waits = open_files(first, 280, ExecKind::Wait);
        assert_eq!(waits, Ok(OpenFiles { soft: 300, hard: 300 }));
        let unlimited = OpenFiles { soft: u64::MAX, hard: u64::MAX };
        assert_eq!(open_files(unlimited, 1 << 20, ExecKind::Wait), Ok(unlimited));
    }
}
