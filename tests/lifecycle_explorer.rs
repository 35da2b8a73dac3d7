//! Every state that a master can get into, to a stated depth, and what must
//! hold in each: see [`explorer::invariants`].
//!
//! Deeper by
//! `MWORKER_EXPLORE_DEPTH=18 cargo test --release --test lifecycle_explorer -- --nocapture`.
#![allow(missing_docs)]

#[path = "lifecycle_explorer/mod.rs"]
mod explorer;

use explorer::sabotage::Sabotage;
use explorer::scenario::{Scenario, restarts, scenarios, upgrades, watched};
use explorer::search::{Explored, explore};
use mworker::core::generation::Generation;

const V2_4: Generation = Generation::haproxy(2, 4);
const V2_6: Generation = Generation::haproxy(2, 6);
const V3_0: Generation = Generation::haproxy(3, 0);
const V3_1: Generation = Generation::haproxy(3, 1);
const V3_5: Generation = Generation::haproxy(3, 5);

/// Steps from the first start on: two reloads and what may go wrong with them.
const DEPTH: usize = 12;
/// Where a program or another binary makes each state several.
const DEPTH_OF_MANIFOLD: usize = 10;
/// Where time never stands still.
const DEPTH_OF_WATCHED: usize = 9;

fn depth(scenario: &Scenario) -> usize {
    let manifold = scenario.program || scenario.upgrade.is_some();
    let usual = match (manifold, scenario.policy.systemd) {
        (_, true) => DEPTH_OF_WATCHED,
        (true, _) => DEPTH_OF_MANIFOLD,
        _ => DEPTH,
    };
    let asked = std::env::var("MWORKER_EXPLORE_DEPTH").ok();
    asked.map_or(usual, |depth| depth.parse().expect("MWORKER_EXPLORE_DEPTH is a number"))
}

fn explore_all(name: &str, scenarios: &[Scenario]) {
    let mut sum = Explored { whole: true, ..Explored::default() };
    for scenario in scenarios {
        match explore(scenario, depth(scenario), None) {
            Ok(part) => {
                sum.states += part.states;
                sum.steps += part.steps;
                sum.depth = sum.depth.max(part.depth);
                sum.whole &= part.whole;
            }
            Err(trace) => panic!("{trace}"),
        }
    }
    let Explored { states, steps, depth, whole } = sum;
    let all = if whole { ", which is all there is" } else { "" };
    println!(
        "{name}: {states} states and {steps} steps to depth {depth}{all}, in {} scenarios",
        scenarios.len()
    );
}

#[test]
fn native() {
    explore_all("native", &scenarios(Generation::NATIVE));
}

#[test]
fn haproxy_3_5() {
    explore_all("HAProxy 3.5", &scenarios(V3_5));
}

#[test]
fn haproxy_3_1() {
    explore_all("HAProxy 3.1", &scenarios(V3_1));
}

#[test]
fn haproxy_3_0() {
    explore_all("HAProxy 3.0", &scenarios(V3_0));
}

#[test]
fn haproxy_2_6() {
    explore_all("HAProxy 2.6", &scenarios(V2_6));
}

#[test]
fn haproxy_2_4() {
    explore_all("HAProxy 2.4", &scenarios(V2_4));
}

#[test]
fn from_one_generation_to_another() {
    for (name, from, to) in [
        ("2.4 to 3.5", V2_4, V3_5),
        ("2.4 to native", V2_4, Generation::NATIVE),
        ("3.0 to 3.5", V3_0, V3_5),
        ("3.0 to native", V3_0, Generation::NATIVE),
        ("3.5 to native", V3_5, Generation::NATIVE),
        ("3.5 to 3.0", V3_5, V3_0),
    ] {
        explore_all(name, &upgrades(from, to));
    }
}

/// Masters up to 2.4 don't know who serves once they wait.
#[test]
fn new_workers_for_dead_ones() {
    for (name, generation) in
        [("native", Generation::NATIVE), ("3.5", V3_5), ("3.0", V3_0), ("2.6", V2_6)]
    {
        explore_all(&format!("restarts, {name}"), &restarts(generation));
    }
}

#[test]
fn watched_by_systemd() {
    for (name, generation) in [("native", Generation::NATIVE), ("3.5", V3_5)] {
        explore_all(&format!("watched, {name}"), &watched(generation));
    }
}

/// An exploration that finds nothing is worth as much as the faults that it
/// would have found.
#[test]
fn faults_put_in_on_purpose_are_found() {
    for (sabotage, invariant) in Sabotage::ALL {
        let scenario = &sabotage.scenario(Generation::NATIVE);
        let found = explore(scenario, depth(scenario), Some(sabotage));
        let Err(trace) = found else { panic!("{sabotage:?} is not found") };
        assert_eq!(trace.violation.invariant, invariant, "{sabotage:?}: {trace}");
    }
}
