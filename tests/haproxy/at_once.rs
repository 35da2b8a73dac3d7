//! Signals that come the moment a worker serves, before its master is ready for them. Until
//! 3.0 stock ignores some of them.

use std::path::Path;
use std::time::Duration;

use mworker_kit::{PATIENCE, Signal, try_wait_for, wait_for};

use crate::compare::{OURS, STOCK, binary};
use crate::faults::answering;
use crate::run::Run;
use crate::version::version;

/// Long enough to see stock lose one. If it is too short for a slow machine, stock looks worse
/// than it is.
const LOST: Duration = Duration::from_secs(5);

/// Sends `signal`, which reloads, the moment a new worker answers, up to `most` times, each when
/// the last reload has been seen to work. Gives how many did, up to the first that was not done
/// within `limit`.
fn reloads_done(binary: &Path, signal: Signal, most: usize, limit: Duration) -> usize {
    let mut run = Run::new(binary);
    run.start();
    let mut worker = answering(&run).expect("a worker that answers");
    for done in 0..most {
        signal.send(run.master());
        // Read along, or the queue fills up and a stock master blocks.
        run.notify.messages();
        match try_wait_for(limit, || answering(&run).filter(|pid| *pid != worker)) {
            Some(next) => worker = next,
            None => return done,
        }
    }
    most
}

#[test]
fn reload_after_reload() {
    for (signal, most) in [(Signal::USR2, 60), (Signal::HUP, 20)] {
        assert_eq!(reloads_done(&binary(OURS), signal, most, PATIENCE), most, "ours lost one");
        if version(&binary(STOCK)).rules().loses_signals_of_the_moment {
            let stock = reloads_done(&binary(STOCK), signal, most, LOST);
            assert!(stock < most, "stock lost none");
        }
    }
}

/// systemd sends its `KillSignal=SIGUSR1` whenever it likes after READY=1.
fn stops_softly(binary: &Path, limit: Duration) -> bool {
    let mut run = Run::new(binary);
    run.write_usual_config();
    let launch = run.launch(&["-Ws"]);
    run.spawn(launch);
    wait_for(PATIENCE, "READY=1", || {
        run.notify.messages().iter().any(|m| m.has("READY", "1")).then_some(())
    });
    Signal::USR1.send(run.master());
    let exit = try_wait_for(limit, || run.proxy().try_exit());
    exit.is_some_and(|status| status.success())
}

#[test]
fn soft_stop_after_ready() {
    for _ in 0..5 {
        assert!(stops_softly(&binary(OURS), PATIENCE), "ours lost it");
    }
    // 2.6 says READY last, and loses hardly any.
    let version = version(&binary(STOCK));
    if version.rules().loses_signals_of_the_moment && !version.rules().sends_ready_last {
        assert!((0..5).any(|_| !stops_softly(&binary(STOCK), LOST)), "stock lost none");
    }
}
