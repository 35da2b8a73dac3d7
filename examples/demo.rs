//! `make demo`: a proxy with mworker's master, under load, through all that a master should
//! get it through. Draws what happens, and exits with 0 only if all of it went as it should.
//!
//! `MWORKER_DEMO_PROXY` is `example` or `haproxy`, `MWORKER_DEMO_BINARY` the path of its
//! program.

#[path = "demo/interrupt.rs"]
mod interrupt;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/story.rs"]
mod story;
#[path = "demo/subject.rs"]
mod subject;
#[path = "demo/summary.rs"]
mod summary;
#[path = "demo/timeline.rs"]
mod timeline;

use std::process::ExitCode;

use crate::stage::{Failure, Outcome, Stage};
use crate::subject::Subject;
use crate::summary::Summary;

/// How much of the proxy's own output is shown after a failure.
const LAST_LINES: usize = 30;

fn main() -> ExitCode {
    let subject = match Subject::from_env() {
        Ok(subject) => subject,
        Err(why) => {
            eprintln!("demo: {why}");
            return ExitCode::FAILURE;
        }
    };
    println!("mworker's demo, with {}", subject.name());
    interrupt::catch();
    let mut stage = Stage::set_up(subject);
    let mut summary = Summary::default();
    let played = story::play(&mut stage, &mut summary);
    if summary.load.is_none() {
        summary.load = stage.stop_load();
    }
    let outcome = played.and_then(|()| no_request_failed(&summary));
    if let Err(failure) = &outcome {
        explain(&mut stage, failure, &summary);
    }
    stage.timeline.print(&format!("\n{}", summary.table()));
    let seconds = stage.timeline.elapsed().as_secs_f64();
    match outcome {
        Ok(()) => {
            let text = stage.timeline.paint("\x1b[1;32m", "All of it held.");
            println!("{text} {seconds:.1} s");
            ExitCode::SUCCESS
        }
        Err(_) => {
            stage.timeline.failure("It did not hold, see above.");
            ExitCode::FAILURE
        }
    }
}

fn no_request_failed(summary: &Summary) -> Outcome<()> {
    match summary.failures() {
        (0, _) => Ok(()),
        (count, _) => {
            let expected = "no request to fail".to_owned();
            Err(Failure { expected, seen: format!("{count} failed") })
        }
    }
}

fn explain(stage: &mut Stage, failure: &Failure, summary: &Summary) {
    stage.timeline.failure("\nFAILED");
    stage.timeline.print(&format!("expected: {}\nseen:     {}", failure.expected, failure.seen));
    for reason in summary.failures().1 {
        stage.timeline.print(&format!("request:  {reason}"));
    }
    let output = stage.master.stderr();
    let lines: Vec<&str> = output.lines().collect();
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    stage.timeline.print(&format!("the proxy's last words:\n    {}", last.join("\n    ")));
}
