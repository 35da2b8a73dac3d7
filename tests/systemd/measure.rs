//! What docs/systemd.md has numbers of. Run by name only: `make bench-systemd`.

use std::time::{Duration, Instant};

use mworker_kit::try_wait_for;

use crate::inside::Scenario;
use crate::service::{Kind, Service};

/// Part of the names of all of these.
pub const NAME: &str = "measured";
const RELOADS: u16 = 1000;
const FAILING: u16 = 20;
/// A reload that isn't done after this was lost.
const LOST: Duration = Duration::from_secs(3);

pub fn scenarios() -> Vec<Scenario> {
    let kinds = &[Kind::Stock, Kind::Haproxy];
    [
        Scenario::of("measured_reloads", kinds, reloads),
        Scenario::of("measured_failures", kinds, failures),
    ]
    .concat()
}

fn reloads(service: &Service) -> String {
    service.started();
    let (mut early, mut lost, mut times) = (0, 0, Vec::new());
    for number in 2..2 + RELOADS {
        service.configure(number);
        let begun = Instant::now();
        service.unit.reload();
        times.push(begun.elapsed().as_millis());
        if service.expect_number() != number {
            early += 1;
            let serves = || (service.expect_number() == number).then_some(());
            lost += u16::from(try_wait_for(LOST, serves).is_none());
        }
    }
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 100];
    format!(
        "{early} of {RELOADS} returned while the old worker served, {lost} of them never took \
         effect; systemctl reload: median {} ms, 99% within {} ms",
        at(50),
        at(99)
    )
}

/// An address that can't be bound: seen when the configuration is run, not when it is read.
fn failures(service: &Service) -> String {
    service.started();
    let mut told = 0;
    for number in 2..2 + FAILING {
        service.configure_foreign(number);
        told += u16::from(!service.unit.ask("reload").status.success());
        service.unit.wait_state("active (running)");
        service.assert_serves(1);
    }
    format!("{told} of {FAILING} failed reloads were reported")
}
