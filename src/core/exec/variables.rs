//! The variables by which masters pass things on.

use super::handover_state::STATE;
use crate::core::generation::Generation;
use crate::core::notify;

/// Says that a master was here before.
pub const REEXEC: &str = "HAPROXY_MWORKER_REEXEC";
/// The process table.
pub const PROCESSES: &str = "HAPROXY_PROCESSES";
/// Says that the next image only waits.
pub const WAIT_ONLY: &str = "HAPROXY_MWORKER_WAIT_ONLY";
pub(super) const LOAD_SUCCESS: &str = "HAPROXY_LOAD_SUCCESS";
/// The descriptor of the log of HAProxy's start, an unlinked file. HAProxy's own code writes and
/// reads it.
pub const START_LOG: &str = "HAPROXY_STARTUPLOGS_FD";

/// Variables by which a master passes its state on to the next image.
pub(super) const INTERNAL: [&str; 5] = [REEXEC, PROCESSES, WAIT_ONLY, LOAD_SUCCESS, STATE];

/// Variables that workers don't inherit: those between masters, and those that systemd
/// sets for the master.
pub fn not_for_workers() -> impl Iterator<Item = &'static str> + Clone {
    INTERNAL.into_iter().chain(notify::FOR_MASTERS)
}

/// Variables that programs don't inherit.
pub fn not_for_programs() -> impl Iterator<Item = &'static str> + Clone {
    not_for_workers().chain([START_LOG])
}

/// `environment`, each `NAME=value`, as programs see it.
pub fn for_programs(environment: &[Vec<u8>]) -> Vec<Vec<u8>> {
    without(environment, not_for_programs())
}

/// Variables that a former image of another generation may have left, and that nobody of this
/// one ever reads or takes away.
pub fn foreign(generation: Generation) -> impl Iterator<Item = &'static str> + Clone {
    [
        (WAIT_ONLY, generation.ready_handshake),
        (LOAD_SUCCESS, !generation.passes_on_load_status),
        (START_LOG, !generation.passes_on_load_status),
    ]
    .into_iter()
    .filter_map(|(name, foreign)| foreign.then_some(name))
}

/// The name of a `NAME=value`.
pub(super) fn name_of(variable: &[u8]) -> &[u8] {
    variable.split(|b| *b == b'=').next().unwrap_or_default()
}

/// `environment` without the variables of these names.
pub(super) fn without(
    environment: &[Vec<u8>],
    names: impl Iterator<Item = &'static str> + Clone,
) -> Vec<Vec<u8>> {
    let kept = |v: &&Vec<u8>| !names.clone().any(|name| name.as_bytes() == name_of(v));
    environment.iter().filter(kept).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<Vec<u8>> {
        items.iter().map(|i| i.as_bytes().to_vec()).collect()
    }

    #[test]
    fn programs_see_nothing_of_masters() {
        let environment = strings(&["A=1", "HAPROXY_PROCESSES=|", "NOTIFY_SOCKET=/n"]);
        let environment = [environment, strings(&["HAPROXY_STARTUPLOGS_FD=4", "B=2"])].concat();
        assert_eq!(for_programs(&environment), strings(&["A=1", "B=2"]));
    }
}
