//! `show proc` and `status`.

use crate::args::Options;
use crate::exit;
use crate::info::{Info, Reply, Taking};
use crate::master::{Failure, Master};
use crate::output;
use crate::table::{Row, Section, Table};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// How long a worker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Prints the table, as the master gives it.
pub fn show_proc(master: &mut Master, options: &Options) -> Result<u8, Failure> {
    let shown = master.show_proc();
    master.done();
    let (text, table) = shown?;
    if options.json {
        let rows: Vec<Value> = table.rows.iter().map(row_as_json).collect();
        output::json(&json!({"command": "show proc", "success": true, "processes": rows}));
    } else {
        output::stdout(&format!("{}\n", text.trim_end()));
    }
    Ok(exit::OK)
}

fn row_as_json(row: &Row) -> Value {
    let mut object = json!({
        "section": row.section.name(),
        "pid": row.pid,
        "type": row.kind,
        "reloads": row.reloads,
        "uptime_seconds": row.uptime.map(|uptime| uptime.as_secs()),
        "version": row.version,
    });
    if row.section == Section::Master {
        object["failed"] = json!(row.failed);
    }
    object
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InService,
    Starting,
    Stopping,
    NotAnswering,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::InService => "in service",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::NotAnswering => "not answering",
        }
    }
}

fn state(section: Section, reply: Option<&Reply>) -> State {
    let current = section == Section::Workers;
    match reply {
        None | Some(Reply::Nothing) => State::NotAnswering,
        Some(Reply::Unknown) if current => State::Starting,
        Some(Reply::Unknown) => State::Stopping,
        Some(Reply::Worker(info)) => match (info.stopping, info.taking()) {
            // With `grace` it takes connections while it stops.
            (Some(true), _) | (_, Taking::No) => State::Stopping,
            (_, Taking::Yes) => State::InService,
            (_, Taking::Untold) if current => State::InService,
            (_, Taking::Untold) => State::Stopping,
        },
    }
}

struct Worker<'a> {
    row: &'a Row,
    state: State,
    info: Info,
}

/// Asks all workers, and prints how things are.
pub fn status(master: &mut Master, options: &Options) -> Result<u8, Failure> {
    let result = look(master);
    master.done();
    let (table, replies) = result?;
    let workers: Vec<Worker> = table
        .workers()
        .zip(replies)
        .map(|(row, reply)| {
            let state = state(row.section, reply.as_ref());
            let info = match reply {
                Some(Reply::Worker(info)) => info,
                _ => Info::default(),
            };
            Worker { row, state, info }
        })
        .collect();
    let in_service = workers.iter().any(|worker| worker.state == State::InService);
    if options.json {
        output::json(&as_json(&table, &workers, in_service));
    } else if !options.quiet {
        output::stdout(&as_text(&table, &workers));
    }
    if in_service {
        return Ok(exit::OK);
    }
    if !options.json {
        output::stderr("mworkerctl: no worker is in service\n");
    }
    Ok(exit::FAILED)
}

fn look(master: &mut Master) -> Result<(Table, Vec<Option<Reply>>), Failure> {
    master.waiting_for("the master");
    let table = master.table()?;
    let mut replies = Vec::new();
    for row in table.workers() {
        master.waiting_for(&format!("worker {}", row.pid));
        replies.push(master.ask_worker(row.pid, ANSWER_WITHIN)?);
    }
    Ok((table, replies))
}

fn as_json(table: &Table, workers: &[Worker], in_service: bool) -> Value {
    let workers = workers.iter().map(|Worker { row, state, info }| {
        json!({
            "pid": row.pid,
            "state": state.name(),
            "reloads": row.reloads,
            "uptime_seconds": row.uptime.map(|uptime| uptime.as_secs()),
            "version": row.version,
            "connections": info.connections,
        })
    });
    json!({
        "command": "status",
        "success": in_service,
        "master": table.master().map(row_as_json),
        "workers": workers.collect::<Vec<_>>(),
    })
}

fn as_text(table: &Table, workers: &[Worker]) -> String {
    let mut text = String::new();
    let head = |text: &mut String, row: &Row, what: &str| {
        let _ = write!(text, "{what} {}", row.pid);
        if let Some(version) = &row.version {
            let _ = write!(text, ", version {version}");
        }
        if let Some(uptime) = row.uptime {
            let _ = write!(text, ", up {}", output::uptime(uptime));
        }
    };
    if let Some(master) = table.master() {
        head(&mut text, master, "master");
        let _ = write!(text, ", reloads {}", master.reloads);
        if let Some(failed) = master.failed {
            let _ = write!(text, ", failed since the last good one {failed}");
        }
        text.push('\n');
    }
    for Worker { row, state, info } in workers {
        head(&mut text, row, "worker");
        let _ = write!(text, ", {}", state.name());
        if let Some(connections) = info.connections {
            let _ = write!(text, ", connections {connections}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info;

    #[test]
    fn states() {
        let said = |text| Some(info::parse(text));
        let state = |section, reply: Option<Reply>| state(section, reply.as_ref());
        let (current, old) = (Section::Workers, Section::OldWorkers);
        assert_eq!(state(current, said("Stopping: 0")), State::InService);
        // As HAProxy 3.1 and later list it after a failed reload.
        assert_eq!(state(old, said("Stopping: 0")), State::InService);
        assert_eq!(state(old, said("Stopping: 1")), State::Stopping);
        assert_eq!(state(old, said("Stopping: 1\nListeners: 3")), State::Stopping);
        assert_eq!(state(current, said("hello")), State::InService);
        assert_eq!(state(old, said("hello")), State::Stopping);
        assert_eq!(state(current, said("There is no worker with PID 3.")), State::Starting);
        assert_eq!(state(current, said("")), State::NotAnswering);
        assert_eq!(state(current, None), State::NotAnswering);
    }

    #[test]
    fn texts() {
        let table = "#<PID> <type> <reloads> <uptime> <version>\n\
                     1 master 5 [failed: 1] 1d00h00m01s 3.0\n# workers\n2 worker 0 0d00h01m01s 3.0\n";
        let table = Table::parse(table).expect("a table");
        let info = Info { connections: Some(7), ..Info::default() };
        let row = table.workers().next().expect("a worker");
        let workers = [Worker { row, state: State::InService, info }];
        let expected = "master 1, version 3.0, up 1d00h00m01s, reloads 5, failed since the last good one 1\n\
                        worker 2, version 3.0, up 1m01s, in service, connections 7\n";
        assert_eq!(as_text(&table, &workers), expected);
    }
}
