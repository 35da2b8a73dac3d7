//! What happens, step by step, and what must be seen after each.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use mworker_kit::{Held, Message, Pid, Signal, procfs};

use crate::stage::{Failure, Outcome, Stage};
use crate::subject::Config;
use crate::summary::Summary;
use crate::timeline::Actor;

/// Reloads with a configuration that works, half of them by signal, half over the CLI;
/// `MWORKER_DEMO_RELOADS` has another number.
const RELOADS: usize = 20;
/// Requests on each side between two events: about a second of them.
const BETWEEN: u64 = 250;

/// All of it. What was measured up to a failure stays in the summary.
pub fn play(stage: &mut Stage, summary: &mut Summary) -> Outcome<()> {
    let mut worker = start(stage)?;
    stage.start_load();
    stage.wait_served(BETWEEN)?;

    let reloads = reloads();
    stage.timeline.title(&format!("{reloads} reloads"));
    for number in 0..reloads {
        let how = if number < reloads / 2 { How::Signal } else { How::Cli };
        worker = reload(stage, summary, worker, how)?;
        stage.wait_served(BETWEEN)?;
    }
    stage.wait_finished()?;

    stage.timeline.title("a reload with a broken configuration");
    stage.configure(Config::Broken);
    refused_reload(stage, summary, worker, How::Cli)?;

    stage.timeline.title("a reload whose worker cannot start");
    let taken = somebody_else()?;
    stage.configure(Config::Unbindable(taken.1));
    stage.timeline.event(Actor::Demo, "the configuration asks for an address it can't have");
    refused_reload(stage, summary, worker, How::Signal)?;
    drop(taken);
    stage.configure(Config::Good);

    stage.timeline.title("kill -9 of an old worker");
    worker = killed_old_worker(stage, summary, worker)?;

    stage.timeline.title("soft stop");
    soft_stop(stage, summary, worker)
}

fn reloads() -> usize {
    let asked = std::env::var("MWORKER_DEMO_RELOADS").ok();
    asked.and_then(|number| number.parse().ok()).unwrap_or(RELOADS)
}

fn start(stage: &mut Stage) -> Outcome<Pid> {
    stage.wait_notified(0, "READY=1", |messages| first(messages, "READY", "1"))?;
    let worker = stage.wait("a worker to answer '@1 show info'", |stage| stage.worker())?;
    stage.remember_listeners(worker)?;
    stage.master_event("is up");
    stage.timeline.event(Actor::Worker(worker), "serves");
    Ok(worker)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Signal,
    Cli,
}

/// Asks for a reload, and checks what the CLI answers if it was asked that way.
fn ask_for_reload(stage: &mut Stage, how: How, success: bool) -> Outcome<Instant> {
    match how {
        How::Signal => {
            stage.master_event("gets SIGUSR2");
            stage.signal_reload()
        }
        How::Cli => {
            stage.master_event("is asked to 'reload' over its CLI");
            let (began, answer) = stage.cli_reload()?;
            if !stage.subject.tells_failures() {
                return Ok(began);
            }
            let due = format!("Success={}", u8::from(success));
            let first = answer.lines().next().unwrap_or_default();
            expect(first == due, &format!("the CLI to answer {due}"), || answer.clone())?;
            stage.master_event(&format!("answers {first}"));
            Ok(began)
        }
    }
}

/// A reload that must work: systemd is told so, and another worker serves alone.
fn reload(stage: &mut Stage, summary: &mut Summary, old: Pid, how: How) -> Outcome<Pid> {
    let mark = stage.notified();
    let began = ask_for_reload(stage, how, true)?;
    let told = stage.wait_notified(mark, "RELOADING=1, then READY=1", reloaded)?;
    let new = stage.wait(&format!("a worker other than {old} to serve alone"), |stage| {
        let worker = stage.worker()?;
        if worker == old {
            return Err(format!("{old} still answers"));
        }
        stage.serves_alone(worker).map(|()| worker)
    })?;
    let took = began.elapsed();
    summary.reloaded(told.duration_since(began), took);
    let text = format!("serves alone, {} ms after the reload was asked for", took.as_millis());
    stage.timeline.event(Actor::Worker(new), &text);
    stage.let_finish(old);
    Ok(new)
}

/// A reload that must fail, leave the worker in service alone, and be known to all.
fn refused_reload(stage: &mut Stage, summary: &mut Summary, worker: Pid, how: How) -> Outcome<()> {
    let before = stage.wait("an answer to 'show proc'", |stage| stage.processes())?.failed;
    let mark = stage.notified();
    ask_for_reload(stage, how, false)?;
    let tells = stage.subject.tells_failures();
    let counts = stage.subject.counts_failures();
    let expected = match tells {
        true => "RELOADING=1, then READY=1 with a STATUS that says it failed",
        false => "RELOADING=1, then READY=1",
    };
    stage.wait_notified(mark, expected, |messages| {
        let ready = reloaded(messages)?;
        if !tells {
            return Some(ready);
        }
        let (last, status) =
            messages.iter().rev().find_map(|message| Some((message, message.get("STATUS")?)))?;
        status.to_lowercase().contains("failed").then_some(last.at)
    })?;
    let table = stage.wait(&format!("'show proc' with {worker} and a failure more"), |stage| {
        let table = stage.processes()?;
        let good = table.workers == [worker] && (!counts || table.failed > before);
        if good { Ok(table) } else { Err(format!("{table:?}, {before} failures before")) }
    })?;
    stage.master_event(&format!("shows [failed: {}] in 'show proc'", table.failed));
    still_serves(stage, worker)?;
    summary.refused += 1;
    Ok(())
}

/// An old worker that one client still needs is killed: the others notice nothing.
fn killed_old_worker(stage: &mut Stage, summary: &mut Summary, old: Pid) -> Outcome<Pid> {
    let client = held(stage)?;
    stage.timeline.event(Actor::Demo, &format!("a client keeps a connection to {old} open"));
    let worker = reload(stage, summary, old, How::Signal)?;
    stage.wait(&format!("old worker {old} to have this client only"), |stage| {
        let connections = procfs::descriptors(old)
            .map_err(|err| format!("no process {old}: {err}"))?
            .iter()
            .filter(|descriptor| descriptor.kind == "tcp connection")
            .count();
        let table = stage.processes()?;
        // To the client, and to the backend.
        let good = connections == 2 && table.workers == [worker] && table.old == [old];
        if good { Ok(()) } else { Err(format!("{connections} connections, {table:?}")) }
    })?;
    stage.timeline.event(Actor::Demo, &format!("kill -9 {old}"));
    stage.give_up(old);
    Signal::KILL.try_send(old).map_err(|err| Failure {
        expected: format!("old worker {old} to be there"),
        seen: err.to_string(),
    })?;
    client.wait_end().map_err(|err| Failure {
        expected: format!("the client of {old} to see its connection end"),
        seen: err.to_string(),
    })?;
    stage.wait(&format!("{old} to be gone from 'show proc'"), |stage| {
        let table = stage.processes()?;
        let good = table.workers == [worker] && table.old.is_empty();
        if good { Ok(()) } else { Err(format!("{table:?}")) }
    })?;
    stage.master_event(&format!("has forgotten {old}"));
    still_serves(stage, worker)?;
    stage.wait_finished()?;
    Ok(worker)
}

/// The end: nobody new, but who is there is served to the last.
fn soft_stop(stage: &mut Stage, summary: &mut Summary, worker: Pid) -> Outcome<()> {
    let mut client = held(stage)?;
    summary.load = stage.stop_load();
    stage.timeline.event(Actor::Load, "has ended");
    stage.timeline.event(Actor::Demo, &format!("a client keeps a connection to {worker} open"));

    let mark = stage.notified();
    stage.master_event("gets SIGUSR1");
    stage.soft_stop()?;
    stage.wait_notified(mark, "STOPPING=1", |messages| first(messages, "STOPPING", "1"))?;
    let web = stage.routes.web.listen;
    stage.wait(&format!("nobody to listen on {web}"), |_| match TcpStream::connect(web) {
        Ok(_) => Err("a connection was taken".to_owned()),
        Err(_) => Ok(()),
    })?;
    client.exchange().map_err(|err| Failure {
        expected: format!("worker {worker} to serve its last client on"),
        seen: err.to_string(),
    })?;
    stage.timeline.event(Actor::Worker(worker), "takes nobody new, and still serves that client");
    drop(client);
    stage.let_finish(worker);

    let master = stage.master.pid();
    let status = stage.wait(&format!("master {master} to exit"), |stage| {
        stage.master.try_exit().ok_or_else(|| format!("children {:?}", stage.master.children()))
    })?;
    stage.wait_finished()?;
    stage.master_event(&format!("has left: {status}"));
    summary.status = Some(status);
    expect(status.code() == Some(0), "exit status 0", || status.to_string())?;
    let left = stage.wait("no process left over", |stage| {
        let left = stage.master.host.processes();
        if left.is_empty() { Ok(0) } else { Err(format!("{left:?}")) }
    })?;
    summary.left_over = Some(left);
    Ok(())
}

fn still_serves(stage: &mut Stage, worker: Pid) -> Outcome<()> {
    stage.wait(&format!("{worker} to serve on, alone"), |stage| {
        let answered = stage.worker()?;
        if answered == worker {
            stage.serves_alone(worker)
        } else {
            Err(format!("{answered} answers"))
        }
    })?;
    stage.wait_served(BETWEEN)?;
    stage.timeline.event(Actor::Worker(worker), "serves on, undisturbed");
    Ok(())
}

fn held(stage: &Stage) -> Outcome<Held> {
    let addr = stage.routes.echo.listen;
    Held::open(addr).map_err(|err| Failure {
        expected: format!("a connection through {addr}"),
        seen: err.to_string(),
    })
}

/// A listener which lets nobody else have its address.
fn somebody_else() -> Outcome<(TcpListener, SocketAddr)> {
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    });
    taken.map_err(|err| Failure {
        expected: "an address for somebody else".to_owned(),
        seen: err.to_string(),
    })
}

fn first(messages: &[Message], name: &str, value: &str) -> Option<Instant> {
    messages.iter().find(|message| message.has(name, value)).map(|message| message.at)
}

/// When READY=1 came after RELOADING=1, if it did.
fn reloaded(messages: &[Message]) -> Option<Instant> {
    let reloading = messages.iter().position(|message| message.has("RELOADING", "1"))?;
    first(&messages[reloading + 1..], "READY", "1")
}

fn expect(cond: bool, expected: &str, seen: impl FnOnce() -> String) -> Outcome<()> {
    if cond { Ok(()) } else { Err(Failure { expected: expected.to_owned(), seen: seen() }) }
}
