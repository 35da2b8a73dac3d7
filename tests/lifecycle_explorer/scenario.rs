//! Which master, with which choices of the operator.

use mworker::core::generation::Generation;
use mworker::core::lifecycle::Policy;

/// What stays the same over one exploration.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub generation: Generation,
    /// What may stand in the binary's place at any reload.
    pub upgrade: Option<Generation>,
    pub policy: Policy,
    /// The configuration names a program besides the worker.
    pub program: bool,
}

/// Every choice of the operator.
pub fn policies() -> impl Iterator<Item = Policy> {
    [None, Some(0), Some(1), Some(2)].into_iter().flat_map(|max_reloads| {
        [true, false].map(|exit_on_failure| Policy { max_reloads, ..with_failure(exit_on_failure) })
    })
}

/// The two have nothing to do with each other, so half of the combinations will do.
fn with_failure(exit_on_failure: bool) -> Policy {
    let policy = Policy { exit_on_failure, ..Policy::default() };
    Policy { start_timeout: policy.start_timeout.filter(|_| exit_on_failure), ..policy }
}

/// Every scenario of one generation.
pub fn scenarios(generation: Generation) -> Vec<Scenario> {
    let programs: &[bool] = if program_era(generation) { &[false, true] } else { &[false] };
    let of = |program| policies().map(move |policy| (policy, program));
    programs
        .iter()
        .flat_map(|program| of(*program))
        .map(|(policy, program)| Scenario { generation, upgrade: None, policy, program })
        .collect()
}

/// A new worker for a dead one, once or twice in a row.
pub fn restarts(generation: Generation) -> Vec<Scenario> {
    let policies = [1, 2].map(|limit| Policy { restart: Some(limit), ..Policy::default() });
    let of = |policy| Scenario { generation, upgrade: None, policy, program: false };
    policies.map(of).to_vec()
}

/// Under a systemd that is told everything.
pub fn watched(generation: Generation) -> Vec<Scenario> {
    let start_timeout = Some(3_000_000);
    let watchdog = Some(4_000_000);
    let policy = Policy { systemd: true, watchdog, start_timeout, ..Policy::default() };
    vec![Scenario { generation, upgrade: None, policy, program: false }]
}

/// From one binary to another: with programs where the old one has them, and
/// without, then also while it loads.
pub fn upgrades(from: Generation, to: Generation) -> Vec<Scenario> {
    let of = |policy, program| Scenario { generation: from, upgrade: Some(to), policy, program };
    let mut all = [true, false].map(with_failure).map(|p| of(p, program_era(from))).to_vec();
    if program_era(from) {
        all.push(of(with_failure(true), false));
    }
    all
}

/// Generations that have programs and re-execute to wait: the model's programs.
fn program_era(generation: Generation) -> bool {
    generation.programs && !generation.ready_handshake
}
