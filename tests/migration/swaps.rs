//! Swaps that work, or whose configuration is refused.

use mworker_kit::Signal;

use crate::binaries::{Age, Binary, Kind};
use crate::stage::{By, OLD_WORKERS, Stage};

/// There and back so often.
fn rounds() -> usize {
    let asked = std::env::var("MWORKER_MIGRATION_ROUNDS").ok();
    asked.map_or(10, |n| n.parse().expect("MWORKER_MIGRATION_ROUNDS is a number"))
}

/// The CLI tells how a reload ended from 2.7 on, if both are.
fn by(number: usize, one: &Binary, other: &Binary) -> By {
    let tells = one.since(2, 7) && other.since(2, 7);
    if tells && number % 3 == 0 { By::Cli } else { By::Signal }
}

/// Under load, there and back again and again.
fn there_and_back(from: &'static Binary, to: &'static Binary) {
    let mut stage = Stage::start(from);
    stage.begin_load();
    for round in 1..=rounds() {
        for binary in [to, from] {
            stage.install(binary);
            stage.reload(by(round, from, to));
            // From there on there always are as many old workers.
            if round * 2 > OLD_WORKERS + 1 {
                stage.check_traces("after a swap");
            }
        }
    }
    stage.finish(Signal::TERM);
}

/// Refused by the new binary, which goes on with the worker of the last one; and the way back
/// from there, with the configuration still refused, or good again.
fn refused(from: &'static Binary, to: &'static Binary) {
    let mut stage = Stage::start(from);
    stage.begin_load();
    for _ in 0..=OLD_WORKERS {
        stage.reload(By::Signal);
    }
    for (number, (binary, good)) in [
        (to, false),
        (to, false),
        (to, true),
        (from, false),
        (from, true),
        (to, false),
        (from, false),
        (to, false),
        (to, true),
    ]
    .into_iter()
    .enumerate()
    {
        stage.install(binary);
        let by = by(number, from, to);
        if good {
            stage.reload(by);
            stage.check_traces("after a refusal");
        } else {
            stage.refused_reload(by);
        }
    }
    stage.finish(Signal::USR1);
}

/// While the one loads it is replaced by the other, which finds a worker that isn't its own.
fn while_it_loads(from: &'static Binary, to: &'static Binary) {
    if from.since(3, 1) {
        // It isn't the master who loads.
        return;
    }
    if to.since(3, 1) {
        return by_one_that_does_not_wait(from, to);
    }
    let mut stage = Stage::start(from);
    stage.begin_load();
    for _ in 0..2 {
        stage.reload_interrupted_by(to);
        stage.reload(By::Signal);
        stage.reload_interrupted_by(from);
        stage.reload(By::Signal);
        stage.check_traces("after swaps during loads");
    }
    stage.finish(Signal::TERM);
}

/// From 3.1 on no image waits. Stock has two workers then, neither of which knows that the other
/// is the current one.
fn by_one_that_does_not_wait(from: &'static Binary, to: &'static Binary) {
    let mut stage = Stage::start(from);
    if to.kind == Kind::Stock {
        stage.interrupt_reload(to);
        return stage.wait_for_workers(2, 0);
    }
    for _ in 0..OLD_WORKERS {
        stage.install(from);
        stage.reload(By::Signal);
        stage.reload_interrupted_by(to);
    }
    // This image was given what those get that wait, but hands it on to nobody.
    stage.reload(By::Signal);
    stage.check_traces("after swaps during loads");
    stage.finish(Signal::TERM);
}

/// Up to 2.6 it is the image that waits which tells systemd READY, later the one before.
#[test]
fn of_stock_nobody_says_ready() {
    let [from, to] = [Age::Old, Age::New].map(|age| Binary::of(age, Kind::Stock));
    if from.since(2, 7) || !to.since(2, 7) || to.since(3, 1) {
        return;
    }
    let mut stage = Stage::start(from);
    stage.interrupt_reload(to);
    stage.settle();
    stage.wait_notified(&["RELOADING"]);
}

macro_rules! pairs {
    ($($name:ident: $from_age:ident $from:ident, $to_age:ident $to:ident;)*) => {
        $(mod $name {
            use super::{Age, Binary, Kind};

            #[test]
            fn there_and_back() {
                let from = Binary::of(Age::$from_age, Kind::$from);
                super::there_and_back(from, Binary::of(Age::$to_age, Kind::$to));
            }

            #[test]
            fn refused() {
                let from = Binary::of(Age::$from_age, Kind::$from);
                super::refused(from, Binary::of(Age::$to_age, Kind::$to));
            }

            #[test]
            fn while_it_loads() {
                let from = Binary::of(Age::$from_age, Kind::$from);
                super::while_it_loads(from, Binary::of(Age::$to_age, Kind::$to));
            }
        })*
    };
}

pairs! {
    old_stock_to_ours: Old Stock, Old Ours;
    old_ours_to_stock: Old Ours, Old Stock;
    new_stock_to_ours: New Stock, New Ours;
    new_ours_to_stock: New Ours, New Stock;
    upgrade_stock_to_ours: Old Stock, New Ours;
    upgrade_ours_to_ours: Old Ours, New Ours;
    upgrade_ours_to_stock: Old Ours, New Stock;
}

/// Between 2.6 and 2.7 or later stock leaves a descriptor open each time, of the pair in which the
/// client of a `reload` waits, as 2.6 doesn't know its other end. With ours there is none too many:
/// see above.
#[test]
fn stock_leaves_descriptors() {
    let [old, new] = [Age::Old, Age::New].map(|age| Binary::of(age, Kind::Stock));
    if old.since(2, 7) {
        return;
    }
    let mut stage = Stage::start(old);
    let mut open = Vec::new();
    for _ in 0..5 {
        for binary in [new, old] {
            stage.install(binary);
            stage.reload(By::Signal);
        }
        open.push(stage.traces().master.len());
    }
    assert!(open[1] < open[4], "descriptors of the master: {open:?}");
}
