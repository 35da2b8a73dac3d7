//! The master CLI.

use mworker_kit::Signal;

use crate::compare::scenario;
use crate::run::Section;

#[test]
fn show_proc() {
    scenario("show_proc", |run| {
        run.start();
        run.note_cli("show proc");
        run.step("two old workers");
        let held = [run.hold()];
        run.reload(Signal::USR2);
        let more = [run.hold()];
        run.reload(Signal::USR2);
        run.note_cli("show proc");
        run.note_cli("show proc debug");
        run.step("failed reload");
        run.write_broken_config();
        run.reload(Signal::USR2);
        run.note_cli("show proc");
        run.step("good reload");
        run.write_usual_config();
        run.reload(Signal::USR2);
        drop((held, more));
        run.wait_old_workers(0);
        run.note_cli("show proc");
    });
}

/// Enough of them to see that none is left out and the order holds. For 2.6 see
/// `faults.rs`.
#[test]
fn show_proc_with_many_old_workers() {
    scenario("show_proc_with_many_old_workers", |run| {
        run.start();
        let mut held = Vec::new();
        let most = if run.version().rules().loses_workers_for_want_of_numbers { 10 } else { 30 };
        for _ in 0..most {
            held.push(run.hold());
            run.reload(Signal::USR2);
        }
        run.note_cli("show proc");
        run.note_cmdline(run.worker());
        let working = held.iter_mut().filter_map(|held| held.works().then_some(())).count();
        run.note("old connections which work", working);
        drop(held);
        run.wait_old_workers(0);
        run.note_cli("show proc");
    });
}

#[test]
fn reload() {
    scenario("reload", |run| {
        run.start();
        let held = run.hold();
        run.note_events();
        run.reload_over_cli("reload");
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.note_cli("_loadstatus");
        run.note_cli("show startup-logs");
        drop(held);
    });
}

#[test]
fn hard_reload() {
    scenario("hard_reload", |run| {
        run.start();
        if !run.version().rules().reloads_hard {
            // It is no command yet.
            run.note_cli("hard-reload");
            return;
        }
        let mut held = run.hold();
        run.note_events();
        run.reload_over_cli_and_drain("hard-reload");
        run.note_events();
        run.note("old connection works", held.works());
        run.note_request();
        run.note_cli("show proc");
    });
}

#[test]
fn failed_reload() {
    scenario("failed_reload", |run| {
        run.start();
        run.note_events();
        run.write_broken_config();
        run.reload_over_cli("reload");
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.note_cli("_loadstatus");
        run.write_usual_config();
        let held = run.hold();
        run.reload_over_cli("reload");
        run.note_events();
        run.note_cli("show proc");
        drop(held);
    });
}

/// A client which goes before the answer harms nobody.
#[test]
fn reload_without_waiting() {
    scenario("reload_without_waiting", |run| {
        run.start();
        let held = run.hold();
        run.note_events();
        let mut session = run.cli().session().expect("a master CLI");
        session.send("reload\n").expect("a master CLI that reads");
        run.notify.wait_for("the reload", |messages| {
            messages.iter().any(|message| message.has("RELOADING", "1"))
        });
        drop(session);
        run.count_reloads(1);
        run.settle();
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        drop(held);
    });
}

/// Commands for a worker go through the master.
#[test]
fn to_workers() {
    scenario("to_workers", |run| {
        run.start();
        let held = run.hold();
        run.reload(Signal::USR2);
        let (current, old) = (run.worker(), run.rows_of(Section::OldWorkers)[0].pid);
        for target in ["@1".to_owned(), format!("@!{current}"), format!("@!{old}")] {
            let answer = run.cli().ask(&format!("{target} show info"));
            let first = answer.lines().take(7).filter(|line| !line.starts_with("Release_date"));
            let first: Vec<&str> = first.collect();
            run.note_text(
                &format!("{} show info", if target == "@1" { "@1" } else { "@!" }),
                &(first.join("\n") + "\n"),
            );
            run.note_cli(&format!("{target} show version"));
            run.note_cli(&format!("{target} show cli level"));
        }
        run.note_cli("@master show version");
        run.note_cli("@0 show version");
        run.note_cli_refusal("@2 show version");
        run.note_cli_refusal("@!5000001 show version");
        run.note_cli_refusal("@x show version");
        run.note_cli_refusal("@!");
        drop(held);
    });
}

#[test]
fn pipelined() {
    scenario("pipelined", |run| {
        run.start();
        for line in [
            "show proc; @1 show version",
            "@1 show version; show version",
            "show version;show version; show version",
            "@1 show version; @1 show cli level; @master show cli level",
            "@1; show version; show cli level",
            "show version\\;show proc",
            ";;show version;;",
        ] {
            run.note_cli(line);
        }
    });
}

#[test]
fn harmless_and_garbage() {
    scenario("harmless_and_garbage", |run| {
        run.start();
        for line in [
            "",
            "show cli level",
            "show cli sockets",
            "show version",
            "help",
            "no such command",
            "show",
            "show nothing",
            "@",
            "@1",
            "user;show cli level;reload;hard-reload",
            "operator;show cli level;show proc",
            "expert-mode on;show proc",
            "quit",
        ] {
            run.note_cli(line);
        }
        run.note_request();
        run.note_events();
    });
}

/// A prompt, which tells where commands go.
#[test]
fn interactive() {
    scenario("interactive", |run| {
        run.start();
        let mut session = run.cli().session().expect("a master CLI");
        for (line, end) in [
            ("prompt\n", "master> "),
            ("show proc\n", "master> "),
            ("show version\n", "master> "),
            ("@1\n", "> "),
            ("show version\n", "> "),
            ("@master\n", "master> "),
            // Two answers, each with a prompt.
            ("show version;show cli level\n", "admin\n\nmaster> "),
        ] {
            if line.contains(';') && !run.version().rules().shows_its_version {
                // What follows is taken for a part of what isn't known.
                continue;
            }
            session.send(line).expect("a master CLI that reads");
            let answer = session.read_until(end).expect("an answer and a prompt");
            run.note_text(&format!("'{}'", line.trim_end()), &answer);
        }
        session.send("quit\n").expect("a master CLI that reads");
        let answer = session.read_to_end().expect("the end of the session");
        run.note_text("'quit'", &answer);
    });
}

/// A session open during a reload is ended by it.
#[test]
fn session_over_a_reload() {
    scenario("session_over_a_reload", |run| {
        run.start();
        let held = run.hold();
        let mut session = run.cli().session().expect("a master CLI");
        session.send("prompt\n").expect("a master CLI that reads");
        session.read_until("master> ").expect("a prompt");
        run.reload(Signal::USR2);
        let end = session.read_to_end().map_err(|err| err.kind());
        run.note("the session's end", format!("{end:?}"));
        run.note_descriptors(run.master());
        run.note_cli("show proc");
        drop(held);
    });
}
