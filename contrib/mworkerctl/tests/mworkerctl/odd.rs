//! Masters and workers that answer oddly, or not at all: the proxy frozen, and a stand-in.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use mworker_kit::{Host, Signal};

use crate::scene::{Kind, Scene, pid, start};

/// A worker that hung before can't hold up all reloads to come; it is named.
#[test]
fn an_old_worker_that_is_frozen() {
    let scene = Scene::serving(Kind::Example);
    let frozen = scene.worker();
    let _held = scene.hold();
    scene.ctl("reload").expect(0);
    Signal::STOP.send(frozen);
    scene.configure(1);
    let told = scene.ask("reload");
    assert_eq!(scene.answer(), "1");
    let unverified = told["unverified"].as_array().expect("a list");
    assert_eq!(unverified.iter().map(|u| pid(&u["pid"])).collect::<Vec<_>>(), [frozen], "{told}");
    assert!(unverified[0]["why"].is_string(), "{told}");
    Signal::CONT.send(frozen);
}

/// A master whose answers are given by a function of the command and of how many commands came
/// before. An empty answer: the connection is closed. `hold`: it is not.
const HOLD: &str = "hold";

struct StandIn {
    /// Where the socket is.
    _host: Host,
    socket: PathBuf,
}

impl StandIn {
    fn new(mut answer: impl FnMut(&str) -> String + Send + 'static) -> StandIn {
        let host = Host::new();
        let socket = host.master_socket();
        let listener = UnixListener::bind(&socket).expect("bind");
        // Ends with the test's process.
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                let mut line = String::new();
                if stream.read_line(&mut line).is_ok() {
                    let answer = answer(line.trim());
                    if answer == HOLD {
                        held.push(stream);
                        continue;
                    }
                    // The client may have gone.
                    let _ = stream.get_mut().write_all(answer.as_bytes());
                }
            }
        });
        StandIn { _host: host, socket }
    }

    fn ctl(&self, args: &str) -> crate::scene::Ended {
        start(&format!("-s {} {args}", self.socket.display())).end()
    }
}

/// `master` has the PID that nobody here has, so that `/proc` tells nothing of it.
fn table(reloads: u32, failed: u32, worker: i32, old: i32) -> String {
    format!(
        "#<PID> <type> <reloads> <uptime> <version>\n\
         2147483647 master {reloads} [failed: {failed}] 0d00h00m01s 1.0\n# workers\n\
         {worker} worker 0 0d00h00m01s 1.0\n# old workers\n{old} worker 1 0d00h00m01s 1.0\n\n"
    )
}

/// Reloads to the next worker each time, and answers `reload` with this.
fn reloading(answer: &'static str, info: &'static str) -> StandIn {
    let mut reloads = 0_u32;
    StandIn::new(move |command| {
        let worker = 100 + i32::try_from(reloads).expect("few reloads");
        match command {
            "show proc" => table(reloads, 0, worker, worker - 1),
            "reload" => {
                reloads += 1;
                answer.to_owned()
            }
            _ if command == format!("@!{worker} show info") => info.to_owned(),
            _ => info.replace("Stopping: 0", "Stopping: 1"),
        }
    })
}

#[test]
fn the_stand_in_is_a_master() {
    let master = reloading("Success=1\n--\nhello\n", "Stopping: 0\n");
    let told = master.ctl("--json reload").expect(0).json();
    assert_eq!((&told["worker"], &told["worker_before"]), (&101.into(), &100.into()), "{told}");
    assert_eq!(told["log"], serde_json::json!(["hello"]));
}

/// Nobody's word is taken for it: the table is looked at, and because the reload that it shows
/// may be that of somebody else, it is asked for once more.
#[test]
fn a_reload_that_is_not_answered() {
    let master = reloading("", "Stopping: 0\n");
    let told = master.ctl("--json reload").expect(0).json();
    assert_eq!((&told["worker"], &told["reloads"]), (&102.into(), &2.into()), "{told}");
}

/// The same, with the connection left open: some seconds later that is found out.
#[test]
fn a_reload_that_is_forgotten() {
    let master = reloading(HOLD, "Stopping: 0\n");
    let told = master.ctl("--json reload").expect(0).json();
    assert_eq!((&told["worker"], &told["reloads"]), (&102.into(), &2.into()), "{told}");
}

/// Nothing is made up of a master that doesn't do it.
#[test]
fn a_reload_that_is_not_begun() {
    let master = StandIn::new(move |command| match command {
        "show proc" => table(1, 0, 100, 99),
        "reload" => HOLD.into(),
        _ => "Stopping: 0\n".into(),
    });
    master.ctl("-t 6 reload").expect(4);
}

#[test]
fn a_failed_reload_that_is_not_answered() {
    let mut failed = 0;
    let master = StandIn::new(move |command| match command {
        "show proc" => table(failed, failed, 100, 99),
        "reload" => {
            failed += 1;
            String::new()
        }
        "@!100 show info" => "Stopping: 0\n".into(),
        _ => "Stopping: 1\n".into(),
    });
    let ended = master.ctl("reload").expect(1);
    assert!(ended.stderr.contains("worker 100 goes on serving"), "{ended:?}");
}

/// It says that it has succeeded, and the old worker goes on taking connections.
#[test]
fn a_success_that_is_none() {
    for info in ["Stopping: 0\n", "Stopping: 1\nListeners: 2\nUnstoppable Jobs: 1\n"] {
        let mut reloads = 0;
        let master = StandIn::new(move |command| match command {
            "show proc" => table(reloads, 0, 100 + i32::from(reloads > 0), 100),
            "reload" => {
                reloads += 1;
                "Success=1\n".into()
            }
            "@!101 show info" => "Stopping: 0\n".into(),
            _ => info.into(),
        });
        let ended = master.ctl("-t 0.5 reload").expect(4);
        let why = "waiting for the old worker 100 to take no more connections";
        assert!(ended.stderr.contains(why), "{ended:?}");
    }
}

#[test]
fn a_new_worker_that_is_gone_at_once() {
    let master = StandIn::new(move |command| match command {
        "show proc" => table(1, 0, 100, 99),
        "reload" => "Success=1\n".into(),
        "@!100 show info" => "Stopping: 0\n".into(),
        _ => "Stopping: 1\n".into(),
    });
    let ended = master.ctl("reload").expect(1);
    assert!(ended.stderr.contains("the new worker ended right after its start"), "{ended:?}");
}

/// Workers that don't know the question.
#[test]
fn answers_without_a_stopping_line() {
    let master = reloading("Success=1\n", "What?\n");
    let told = master.ctl("--json reload").expect(0).json();
    let unverified = told["unverified"].as_array().expect("a list");
    assert_eq!(unverified.iter().map(|u| pid(&u["pid"])).collect::<Vec<_>>(), [101, 100]);
    let ended = master.ctl("reload").expect(0);
    assert!(
        ended.stderr.contains("whether worker 102 takes connections is not known"),
        "{ended:?}"
    );
}

#[test]
fn a_master_that_refuses() {
    let master = reloading("Permission denied\n", "Stopping: 0\n");
    let ended = master.ctl("reload").expect(1);
    assert!(ended.stderr.contains("the master refuses it: Permission denied"), "{ended:?}");
}

#[test]
fn something_else_behind_the_socket() {
    let other = StandIn::new(|_| "HTTP/1.1 400 Bad request\r\n\r\n".into());
    let ended = other.ctl("reload").expect(3);
    assert!(ended.stderr.contains("doesn't answer 'show proc' as a master does"), "{ended:?}");
}
