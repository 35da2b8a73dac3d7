//! `wait-ready`.

use crate::args::Options;
use crate::exit;
use crate::info::{Reply, Taking};
use crate::master::{Failure, Master};
use crate::output;
use crate::table::Section;
use serde_json::json;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(50);
/// How long a worker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Waits until a worker is in service and answers.
pub fn wait_ready(master: &mut Master, options: &Options) -> Result<u8, Failure> {
    let result = wait(master);
    master.done();
    let (pid, worker) = result?;
    let duration = output::milliseconds(master.elapsed());
    if options.json {
        output::json(&json!({
            "command": "wait-ready",
            "success": true,
            "master": pid,
            "worker": worker,
            "duration_ms": duration,
        }));
    } else if !options.quiet {
        output::stdout(&format!("Worker {worker} serves.\n"));
    }
    Ok(exit::OK)
}

fn wait(master: &mut Master) -> Result<(Option<i32>, i32), Failure> {
    loop {
        master.waiting_for("the master");
        let table = master.table()?;
        master.waiting_for("a worker to be in service");
        for row in table.workers() {
            let Some(Reply::Worker(info)) = master.ask_worker(row.pid, ANSWER_WITHIN)? else {
                continue;
            };
            let current = row.section == Section::Workers;
            if info.taking() == Taking::Yes || (current && info.taking() == Taking::Untold) {
                return Ok((table.master().map(|master| master.pid), row.pid));
            }
        }
        master.pause(PAUSE)?;
    }
}
