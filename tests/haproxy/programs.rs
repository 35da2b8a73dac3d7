//! `program` sections (until 3.2): other processes a master keeps.

use mworker_kit::{PATIENCE, Signal, procfs, wait_until};

use crate::compare::scenario;
use crate::run::Run;

const SLEEP: &str = "/bin/sleep";

fn start_with(run: &mut Run, program: &str) {
    let section = format!("program helper\n{program}");
    run.write_config(&config(run, "", &section));
    run.start();
}

/// The usual configuration with a program.
fn config(run: &Run, global: &str, program: &str) -> String {
    let leave = match run.version().rules().deprecates_programs {
        true => "    expose-deprecated-directives\n",
        false => "",
    };
    run.config(&format!("{leave}{global}"), program)
}

/// Where there are none any more, the section is refused.
fn programs(name: &str, drive: impl Fn(&mut Run)) {
    scenario(name, |run| {
        if run.version().rules().has_programs {
            return drive(run);
        }
        run.write_config(&run.config("", "program helper\n    command /bin/sleep 99999999"));
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
        run.spawn(launch);
        run.note_exit();
    });
}

/// What a program inherits, and that a reload starts a new one.
#[test]
fn started_anew() {
    programs("started_anew", |run| {
        start_with(run, "    command /bin/sleep 99999999");
        let program = run.wait_executed(SLEEP);
        run.note_events();
        run.note_cli("show proc");
        run.note_cmdline(program);
        run.note_environ(program);
        run.note_signals(program);
        run.note_descriptors(program);
        run.step("reload");
        run.reload(Signal::USR2);
        wait_until(PATIENCE, "the former program to end", || run.rows().len() == 3);
        run.wait_old_workers(0);
        let next = run.wait_executed(SLEEP);
        run.note("another one", next != program);
        run.note_events();
        run.note_cli("show proc");
        run.note_environ(next);
        run.note_signals(next);
        run.note_descriptors(next);
        run.step("failed reload");
        run.write_broken_config();
        run.reload(Signal::USR2);
        run.note_events();
        run.note_cli("show proc");
        run.step("stop");
        run.proxy().signal(Signal::TERM);
        run.note_exit();
    });
}

/// `no option start-on-reload`: none is started by a reload. The one there is told to leave
/// all the same, by the USR1 that `-sf` sends.
#[test]
fn not_started_anew() {
    programs("not_started_anew", |run| {
        start_with(run, "    command /bin/sleep 99999999\n    no option start-on-reload");
        run.wait_executed(SLEEP);
        run.note_events();
        if run.version().rules().ends_with_a_stopped_program {
            run.proxy().signal(Signal::USR2);
            let status = run.proxy().wait_exit(PATIENCE);
            run.note("exit", crate::run::describe(status));
            return;
        }
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.wait_stderr("exited with code 138");
        run.note_events();
        run.note_cli("show proc");
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_cli("show proc");
    });
}

/// One that ignores USR1 stays over reloads.
#[test]
fn kept() {
    programs("kept", |run| {
        let command = "    command /bin/sh -c \"trap '' USR1; exec /bin/sleep 99999999\"";
        start_with(run, &format!("{command}\n    no option start-on-reload"));
        let program = run.wait_executed(SLEEP);
        run.note_events();
        for number in 1..=2 {
            run.step(&format!("reload {number}"));
            run.reload(Signal::USR2);
            run.wait_old_workers(0);
            run.note("the same one", run.wait_executed(SLEEP) == program);
            run.note_events();
            run.note_cli("show proc");
        }
        run.step("the program ends");
        Signal::TERM.send(program);
        run.wait_stderr("exited with code 143");
        run.note_events();
        run.note_cli("show proc");
    });
}

#[test]
fn killed() {
    programs("killed", |run| {
        start_with(run, "    command /bin/sleep 99999999");
        let program = run.wait_executed(SLEEP);
        run.note_events();
        Signal::KILL.send(program);
        run.note_exit();
    });
}

#[test]
fn terminated() {
    programs("terminated", |run| {
        start_with(run, "    command /bin/sleep 99999999");
        let program = run.wait_executed(SLEEP);
        run.note_events();
        Signal::TERM.send(program);
        run.wait_stderr("Current program");
        run.note_cli("show proc");
        run.note_events();
        run.note_request();
    });
}

#[test]
fn ends_by_itself() {
    programs("ends_by_itself", |run| {
        start_with(run, "    command /bin/true");
        run.wait_stderr("Current program");
        run.note_cli("show proc");
        run.note_events();
        run.note_request();
    });
}

#[test]
fn cannot_be_executed() {
    programs("cannot_be_executed", |run| {
        run.write_config(&config(run, "", "program helper\n    command /nonexistent/helper x"));
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
        run.spawn(launch);
        run.note_exit();
        run.note_stderr_of_children();
    });
}

/// The option which tolerates that is forgotten, as for workers.
#[test]
fn failure_not_tolerated() {
    programs("failure_not_tolerated", |run| {
        let config = config(
            run,
            "    master-worker no-exit-on-failure",
            "program helper\n    command /bin/sleep 99999999",
        );
        run.write_config(&config);
        run.start();
        let program = run.wait_executed(SLEEP);
        run.note_events();
        Signal::KILL.send(program);
        if !run.version().rules().forgets_no_exit_on_failure {
            run.wait_stderr("Current program");
            run.note_events();
            run.note_request();
            run.proxy().signal(Signal::TERM);
        }
        run.note_exit();
    });
}

#[test]
fn as_another_user() {
    programs("as_another_user", |run| {
        let program = "    command /bin/sleep 99999999\n    user nobody\n    group nogroup";
        if !run.version().rules().has_users_of_programs {
            run.write_config(&run.config("", &format!("program helper\n{program}")));
            let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
            run.spawn(launch);
            run.note_exit();
            return;
        }
        start_with(run, program);
        let program = run.wait_executed(SLEEP);
        let status = procfs::status(program).expect("a living process");
        for key in ["Uid", "Gid", "Groups"] {
            run.note(key, &status[key]);
        }
        run.note_events();
    });
}

/// Without a command it is refused; without `-W` too.
#[test]
fn refused() {
    scenario("refused", |run| {
        for (args, section) in [
            (&["-Ws"][..], "program helper"),
            (&["-Ws"], "program helper\n    command"),
            (&["-Ws"], "program"),
            (&["-Ws"], "program helper\n    command /bin/true\nprogram helper\n    command x"),
            (&["-Ws"], "program helper\n    command /bin/true\n    option nothing"),
            (&["-Ws"], "program helper\n    command /bin/true\n    user no-such-user"),
            (&[], "program helper\n    command /bin/true"),
        ] {
            run.step(&format!("{args:?} {section:?}"));
            run.write_config(&config(run, "", section));
            let launch = run.launch(args);
            run.respawn(launch);
            run.note_exit();
        }
    });
}
