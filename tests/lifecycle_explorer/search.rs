//! Breadth first, so that the first violation found has the shortest trace.

use super::invariants::Violation;
use super::moves::{Move, moves};
use super::sabotage::Sabotage;
use super::scenario::Scenario;
use super::world::World;
use mworker::core::lifecycle::ExecKind;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// How much was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
    pub depth: usize,
    /// Nothing was left to explore: the depth is no limit.
    pub whole: bool,
}

/// A violation, and how to get there.
#[derive(Clone, Debug)]
pub struct Trace {
    pub scenario: Scenario,
    pub moves: Vec<Move>,
    pub violation: Violation,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { invariant, detail } = &self.violation;
        writeln!(f, "{invariant} does not hold: {detail}")?;
        writeln!(f, "in {:?}, after", self.scenario)?;
        self.moves.iter().enumerate().try_for_each(|(n, m)| writeln!(f, "{:3}. {m:?}", n + 1))
    }
}

/// Explores `scenario` as deep as `depth` steps.
///
/// States are remembered by a 64-bit hash: of a million, the odds that two are
/// taken for one are below one in ten million.
pub fn explore(
    scenario: &Scenario,
    depth: usize,
    sabotage: Option<Sabotage>,
) -> Result<Explored, Box<Trace>> {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let start = World::boot(scenario);
    let mut seen = HashSet::from([hasher.hash_one(&start)]);
    // Of each state: the one before it, and the step between.
    let mut origins: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut frontier = vec![(0, start)];
    let mut explored = Explored { states: 1, ..Explored::default() };
    while explored.depth < depth && !frontier.is_empty() {
        let mut next = Vec::new();
        for (at, world) in &frontier {
            let another = scenario.upgrade.is_some_and(|to| to != world.generation);
            // Programs would make these too many.
            let may_upgrade = |kind| another && (kind != ExecKind::Wait || !scenario.program);
            for step in moves(world, may_upgrade) {
                explored.steps += 1;
                let after = world.after(step, scenario, sabotage).map_err(|violation| {
                    let moves = path(&origins, *at, step);
                    Box::new(Trace { scenario: scenario.clone(), moves, violation })
                })?;
                if seen.insert(hasher.hash_one(&after)) {
                    origins.push((*at, Some(step)));
                    next.push((origins.len() - 1, after));
                }
            }
        }
        frontier = next;
        explored.depth += 1;
    }
    explored.states = seen.len();
    explored.whole = frontier.is_empty();
    Ok(explored)
}

/// The steps to the state `at`, and `last`.
fn path(origins: &[(usize, Option<Move>)], mut at: usize, last: Move) -> Vec<Move> {
    let mut moves = vec![last];
    while let (before, Some(step)) = origins[at] {
        moves.push(step);
        at = before;
    }
    moves.reverse();
    moves
}
