//! What HAProxy's master-worker code has been mended for most, a scenario for each class of
//! faults and what other scenarios don't see of it. `docs/faults.md` has the classes and all
//! tests of each.

use std::net::TcpListener;

use mworker_kit::{
    Host, Launch, PATIENCE, Pid, Signal, compile, http, procfs, traces, try_wait_for, wait_for,
    wait_until,
};

use crate::compare::{OURS, binary, scenario};
use crate::run::{Run, Section, describe};

/// Becomes a program with a socket that listens on port `argv[2]` as descriptor `argv[1]`.
const LISTENING: &str = r#"
    #include <arpa/inet.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    #include <unistd.h>

    int main(int argc, char **argv)
    {
        struct sockaddr_in address = { .sin_family = AF_INET };
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

        if (argc < 4)
            return 2;
        address.sin_port = htons(atoi(argv[2]));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        if (bind(fd, (void *)&address, sizeof(address)) < 0 || listen(fd, 100) < 0 ||
            dup2(fd, atoi(argv[1])) < 0 || close(fd) < 0)
            return 1;
        execv(argv[3], argv + 3);
        return 1;
    }
"#;

/// Listeners that somebody else has opened (`fd@`) are closed by nobody: not by a reload, nor by
/// one that fails.
#[test]
fn descriptors() {
    scenario("class_descriptors", |run| {
        let answer = match run.version().rules().answers_by_itself {
            true => "http-request return status 200 content-type text/plain string \"by fd\"",
            false => "monitor-uri /",
        };
        let section = &format!("frontend more\n    mode http\n    bind fd@7\n    {answer}");
        run.write_config(&run.config("", section));
        let listening = compile::program(&run.host, "listening", LISTENING);
        let launch = run.host.launch(listening).arg("7").arg(run.other.number().to_string());
        let launch = launch.arg(run.binary()).args(["-Ws", "-S", &run.master_socket()]);
        run.start_as(run.complete(launch));
        for step in ["first start", "reload", "broken", "reload again"] {
            run.step(step);
            match step {
                "first start" => {}
                "broken" => {
                    run.write_broken_config();
                    run.reload(Signal::USR2);
                    run.write_config(&run.config("", section));
                }
                _ => run.reload(Signal::USR2),
            }
            run.wait_old_workers(0);
            let answer = http::get(run.other.addr(), "/", PATIENCE).map(|answer| answer.body);
            run.note("over the descriptor", format!("{answer:?}"));
            let (master, worker) = (run.master(), run.worker());
            for pid in [master, worker] {
                let all = procfs::descriptors(pid).expect("a living process");
                let kind = all.into_iter().find(|open| open.fd == 7).map(|open| open.kind);
                let name = run.called(pid);
                run.note(&format!("7 of {name}"), format!("{kind:?}"));
            }
        }
    });
}

/// A prompt whose worker has gone, and what a client may do that isn't allowed to do all.
#[test]
fn master_cli() {
    scenario("class_master_cli", |run| {
        run.start();
        run.step("the PID of a prompt is gone");
        let held = run.hold();
        run.reload(Signal::USR2);
        let old = run.rows_of(Section::OldWorkers)[0].pid;
        let mut session = run.cli().session().expect("a master CLI");
        session.send("prompt\n").expect("a master CLI that reads");
        session.read_until("master> ").expect("a prompt");
        session.send(&format!("@!{old}\n")).expect("a master CLI that reads");
        let answer = session.read_until("> ").expect("a prompt");
        run.note_text("prompt of the worker", &answer);
        drop(held);
        run.wait_old_workers(0);
        session.send("show version\n").expect("a master CLI that reads");
        let answer = session.read_until("> ").map_err(|err| err.kind());
        run.note("prompt afterwards", format!("{answer:?}"));
        drop(session);
        run.note_cli("@1 show version");
        run.note_request();
    });
    scenario("class_master_cli_levels", |run| {
        run.write_usual_config();
        for level in ["user", "operator", "admin"] {
            run.step(level);
            let socket = format!("{},level,{level}", run.master_socket());
            let launch = run.launch(&["-Ws", "-S", &socket]);
            run.respawn(launch);
            if run.version().rules().show_proc_is_for_operators {
                // By which it is seen to have settled.
                run.wait_ready();
            } else {
                run.settle();
            }
            for command in ["show cli level", "show proc", "@1 show cli level"] {
                run.note_cli(command);
            }
            if level == "user" {
                run.note_cli_refusal("expert-mode on");
                run.note_cli_refusal("reload");
            }
            run.proxy().signal(Signal::TERM);
            run.note_exit();
        }
    });
}

/// What limits and variables an image and its worker have is the same after each exec, be the
/// variables as odd as they may.
#[test]
fn exec() {
    scenario("class_exec", |run| {
        run.write_usual_config();
        let launch = run
            .launch(&["-Ws", "-S", &run.master_socket()])
            .env("EMPTY", "")
            .env("ODD", "a=b;c|d\ne")
            .env("HAPROXY_MINE", "|type=m;pid=1");
        run.start_as(launch);
        for number in 0..3 {
            run.step(&format!("image {number}"));
            if number > 0 {
                run.reload(Signal::USR2);
                run.wait_old_workers(0);
            }
            // A worker that answers has set them; 3.1 and 3.2 say READY before that.
            run.note_request();
            let (master, worker) = (run.master(), run.worker());
            for pid in [master, worker] {
                let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"));
                let limits = limits.expect("a living process");
                let limits = limits.lines().filter(|line| !line.contains("open files"));
                let name = run.called(pid);
                run.note_raw(&format!("limits of {name}"), limits.collect::<Vec<_>>().join("|"));
            }
            let mut given = procfs::environ(master).expect("a living process");
            given.retain(|(name, _)| ["EMPTY", "ODD", "HAPROXY_MINE"].contains(&name.as_str()));
            run.note_raw("variables", format!("{given:?}"));
        }
    });
}

/// Rows with nothing but what has to be there; the master's isn't taken for an old one, nor the
/// worker in service after reloads that fail.
#[test]
fn process_table() {
    scenario("class_process_table", |run| {
        run.write_usual_config();
        let launch = run.host.launch_with_crowd(3, run.binary());
        let launch = launch.args(["-Ws", "-S", &run.master_socket()]);
        run.spawn(run.complete(launch));
        run.count_reloads_of_the_table(3);
        run.settle();
        let shape = |run: &mut Run, step: &str| {
            run.step(step);
            let rows = run.rows();
            let rows = rows.iter().map(|row| (row.section, &*row.kind, row.reloads));
            let rows = format!("{:?}", rows.collect::<Vec<_>>());
            run.note_raw("rows", rows);
            run.note_request();
        };
        shape(run, "taken over");
        run.reload(Signal::USR2);
        wait_until(PATIENCE, "the worker before to leave", || {
            run.rows_of(Section::OldWorkers).len() == 3
        });
        shape(run, "reloaded");
        run.write_broken_config();
        run.reload(Signal::USR2);
        shape(run, "broken");
        run.reload(Signal::HUP);
        shape(run, "broken again");
        run.proxy().signal(Signal::TERM);
        let status = run.proxy().wait_exit(PATIENCE);
        run.note("exit", describe(status));
    });
}

/// Says which signals it gets; ends on none of them.
fn bystander(host: &Host) -> mworker_kit::Proxy {
    let script = "for s in USR1 TERM TTOU TTIN; do trap \"echo $s\" $s; done; echo ready; \
                  while :; do sleep 0.05; done";
    let bystander = host.launch("/bin/sh").args(["-c", script]).named("bystander").spawn();
    wait_until(PATIENCE, "the bystander", || bystander.stdout().contains("ready"));
    bystander
}

/// Who is to be replaced (`-sf`) isn't told before there is who replaces it, and the parent of
/// `-D` says how it went; no pidfile before either.
#[test]
fn exit_daemon_pidfile() {
    scenario("class_exit_daemon_pidfile", |run| {
        // On another host: what is started next ends what was there before.
        let bystander = bystander(&Host::new());
        let (socket, pidfile) = (run.master_socket(), run.host.path("proxy.pid"));
        let start = |run: &Run| -> Launch {
            let old = bystander.pid().to_string();
            run.launch(&["-W", "-D", "-S", &socket, "-sf", &old]).arg("-p").arg(&pidfile)
        };
        let taken = TcpListener::bind(run.other.addr()).expect("bind to a reserved port");
        let section = format!("frontend more\n    mode http\n    bind {}", run.other.addr());
        for broken in ["keyword", "address"] {
            run.step(broken);
            match broken {
                "keyword" => run.write_broken_config(),
                _ => run.write_config(&run.config("", &section)),
            }
            let launch = start(run);
            run.respawn(launch);
            let status = run.proxy().wait_exit(PATIENCE);
            if run.version().rules().goes_into_background_first {
                run.host.wait_empty(PATIENCE);
            }
            run.note("parent's exit", describe(status));
            run.note("told", format!("{:?}", bystander.stdout().contains("USR1")));
            run.note_pidfile();
        }
        drop(taken);
        run.step("good");
        run.write_usual_config();
        let launch = start(run);
        run.respawn(launch);
        let status = run.proxy().wait_exit(PATIENCE);
        run.note("parent's exit", describe(status));
        let told = try_wait_for(PATIENCE, || bystander.stdout().contains("USR1").then_some(()));
        run.note("told", told.is_some());
        let master: Pid = wait_for(PATIENCE, "a number in the pidfile", || {
            run.host.read("proxy.pid").strip_suffix('\n')?.parse().ok()
        });
        run.follow(master);
        run.settle();
        for pid in [master, run.worker()] {
            let stat = procfs::stat(pid).expect("a living process");
            run.note("leads its session", stat.session == master);
        }
        bystander.signal(Signal::KILL);
        run.proxy().signal(Signal::TERM);
        run.note_exit();
    });
}

/// One thread, and nothing that peers, resolvers and threads of a configuration would need.
#[test]
fn master_runs_no_worker() {
    scenario("class_master_runs_no_worker", |run| {
        let sections = format!(
            "peers friends\n    peer {name} {other}\nresolvers dns\n    \
             nameserver local 127.0.0.1:53\nbackend far\n    stick-table type ip size 100 \
             peers friends\n    server s localhost:1 resolvers dns init-addr none check\n",
            name = "me",
            other = run.other.addr(),
        );
        let (global, args) = match run.version().rules().names_its_peer {
            true => ("    localpeer me\n", &["-Ws"][..]),
            false => ("", &["-Ws", "-L", "me"][..]),
        };
        run.write_config(&run.config(global, &sections));
        let launch = run.launch(args).arg("-S").arg(run.master_socket());
        run.start_as(launch);
        for step in ["first start", "reload", "broken"] {
            run.step(step);
            if step == "broken" {
                run.write_broken_config();
            }
            if step != "first start" {
                run.reload(Signal::USR2);
                run.wait_old_workers(0);
            }
            let (master, worker) = (run.master(), run.worker());
            let threads = |pid| procfs::status(pid).expect("a living process")["Threads"].clone();
            run.note_raw("threads of the master", threads(master));
            run.note_raw("threads of the worker", threads(worker));
            run.wait_cli_idle();
            let sockets = run.descriptors(master);
            let sockets =
                sockets.into_iter().filter(|kind| kind.contains("tcp") || kind.contains("udp"));
            run.note("sockets of the master", format!("{:?}", sockets.collect::<Vec<_>>()));
        }
    });
}

/// A check is one process, wherever the mode comes from, and an expression (`-cc`) another.
#[test]
fn discovery_and_check() {
    scenario("class_discovery_and_check", |run| {
        run.write_config(&run.config("    master-worker", ""));
        for mode in [&["-c"][..], &["-c", "-D"], &["-cc", "1"], &["-W", "-cc", "0"]] {
            run.step(&format!("{mode:?}"));
            let launch = if mode.contains(&"-cc") {
                run.host.launch(run.binary()).args(mode).named("check")
            } else {
                run.launch(mode).named("check")
            };
            let mut check = launch.spawn();
            let mut children = 0;
            wait_until(PATIENCE, "the check to end", || {
                children += procfs::children(check.pid()).len();
                check.try_exit().is_some()
            });
            run.note("exit", describe(check.try_exit().expect("it has ended")));
            if !(run.version().rules().goes_into_background_first && mode.contains(&"-D")) {
                run.note("children seen", children);
            }
            run.note("says it has forked", check.stderr().contains("forked"));
        }
    });
}

/// While it loads, a master holds back what would end it, and nothing that is to: TERM and INT
/// get through at any time, whatever hangs.
#[test]
fn signals() {
    let mut run = Run::new(&binary(OURS));
    run.start();
    let held = [Signal::USR1, Signal::USR2, Signal::HUP, Signal::TTIN, Signal::TTOU];
    let path = run.host.path("haproxy.cfg");
    std::fs::remove_file(&path).expect("the configuration was written");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let master = run.master();
    Signal::USR2.send(master);
    wait_until(PATIENCE, "an image that loads", || {
        let argv = procfs::cmdline(master).unwrap_or_default();
        let blocked = procfs::signals(master).map(|sets| sets.blocked).unwrap_or_default();
        argv.iter().any(|arg| arg == "-sf")
            && held.iter().all(|signal| blocked.has(*signal))
            && !(blocked.has(Signal::TERM) || blocked.has(Signal::INT))
    });
    Signal::TERM.send(master);
    run.proxy().wait_exit(PATIENCE);
    run.host.wait_empty(PATIENCE);
}

/// The log of a start is that of one start, and the master doesn't grow with them.
#[test]
fn start_up_logs_and_memory() {
    scenario("class_start_up_logs", |run| {
        // It has no use for that.
        let warns = "frontend idle\n    mode http\n    timeout server 1s";
        run.write_config(&run.config("", warns));
        run.start();
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(run.hold());
            run.reload_over_cli("reload");
            run.note_cli("show startup-logs");
        }
        drop(held);
    });
    let mut run = Run::new(&binary(OURS));
    run.start();
    let mut memory = 0;
    for number in 1..=12 {
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        if number == 4 {
            memory = traces::memory_kb(run.master());
        }
    }
    let more = traces::memory_kb(run.master()).saturating_sub(memory);
    assert!(more < 1024, "{more} kB more after eight reloads");
}

mod tests {
    use std::fs;
    use std::path::Path;

    /// The tests that `docs/faults.md` names, as `FILE::FUNCTION`.
    fn named(text: &str) -> Vec<(&str, &str)> {
        let quoted = text.split('`').skip(1).step_by(2);
        quoted
            .filter_map(|name| name.split_once("::"))
            .filter(|(file, _)| !file.contains(char::is_uppercase))
            .collect()
    }

    #[test]
    fn every_class_has_tests_and_each_is_there() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(top.join("docs/faults.md")).expect("docs/faults.md");
        for (file, function) in named(&text) {
            let path = match file.starts_with("src/") {
                true => top.join(format!("{file}.rs")),
                false => top.join("tests").join(format!("{file}.rs")),
            };
            let source = fs::read_to_string(&path).unwrap_or_default();
            assert!(source.contains(&format!("fn {function}(")), "no test {file}::{function}");
        }
        let classes = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let classes: Vec<&str> = classes.take_while(|line| line.starts_with('|')).collect();
        assert_eq!(classes.len(), 10);
        for class in classes {
            assert!(!named(class).is_empty(), "no test of {class}");
        }
        // And the other way round.
        for (file, source) in [
            ("haproxy/classes", include_str!("classes.rs")),
            ("example_proxy/classes", include_str!("../example_proxy/classes.rs")),
        ] {
            for test in source.split("#[test]\nfn ").skip(1) {
                let name = test.split('(').next().unwrap_or_default();
                assert!(text.contains(&format!("`{file}::{name}`")), "{file}::{name} is not named");
            }
        }
    }
}
