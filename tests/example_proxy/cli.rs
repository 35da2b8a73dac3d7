//! The master CLI.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use mworker_kit::{PATIENCE, Signal, procfs, wait_for, wait_until};

use crate::scene::{REFUSED, RELOADING, Scene, ShowProc, pid_of_info};

#[test]
fn commands_of_the_master() {
    let mut scene = Scene::serving();
    let help = scene.ask("help");
    for command in ["help", "prompt", "quit", "reload", "hard-reload", "show proc [debug]"] {
        assert!(help.contains(&format!("\n  {command} ")), "no '{command}' in {help}");
    }
    assert_eq!(scene.ask("show version"), "1.0\n\n");
    assert_eq!(scene.ask("@master show version"), "1.0\n\n");
    assert_eq!(scene.ask("  show   version  "), "1.0\n\n");
    assert_eq!(scene.ask("show version\r"), "1.0\n\n");
    assert_eq!(scene.ask("quit"), "");

    let (master, worker) = (scene.master(), scene.worker());
    let proc = scene.ask("show proc");
    let lines: Vec<Vec<&str>> =
        proc.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"]);
    let master = master.to_string();
    assert_eq!(lines[1][..5], [master.as_str(), "master", "0", "[failed:", "0]"]);
    assert_eq!((lines[1].len(), lines[1][6]), (7, "1.0"));
    assert_eq!(lines[2], ["#", "workers"]);
    assert_eq!(lines[3][..3], [worker.to_string().as_str(), "worker", "0"]);
    assert_eq!((lines[4].len(), lines.len()), (0, 5));
    scene.stop();
}

/// `show proc debug` tells the descriptors, and they are what it says.
#[test]
fn descriptors_shown() {
    let mut scene = Scene::serving();
    let _held = scene.hold();
    scene.reload(Signal::USR2);
    let debug = scene.ask("show proc debug");
    let open = procfs::descriptors(scene.master()).expect("a living master");
    let mut rows = 0;
    for line in debug.lines().filter(|line| line.contains("master ") || line.contains("worker ")) {
        let (_, descriptors) = line.split_once("\t\t").expect("descriptors");
        let numbers: Vec<i32> =
            descriptors.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        assert_eq!(numbers.len(), 2, "{line}");
        for number in numbers.into_iter().filter(|number| *number >= 0) {
            let kind = &open.iter().find(|d| d.fd == number).expect("an open descriptor").kind;
            assert!(kind.starts_with("unix"), "{number} is {kind}");
        }
        rows += 1;
    }
    assert_eq!(rows, 3, "{debug}");
    assert_eq!(scene.ask("show proc all"), "'show proc' only supports 'debug' as argument\n\n");
    scene.stop();
}

/// Commands for workers, old ones included.
#[test]
fn commands_of_workers() {
    let mut scene = Scene::serving();
    let old = scene.worker();
    let mut held = scene.hold();
    scene.reload(Signal::USR2);
    let new = scene.worker();
    let info = scene.ask("@1 show info");
    assert_eq!(pid_of_info(&info), Some(new));
    assert!(info.starts_with("Name: proxy\nVersion: 1.0\n"), "{info}");
    assert!(info.contains("Stopping: 0\n"), "{info}");
    assert_eq!(pid_of_info(&scene.ask(&format!("@!{new} show info"))), Some(new));
    wait_until(PATIENCE, "the old worker to say that it stops", || {
        let info = scene.ask(&format!("@!{old} show info"));
        assert_eq!(pid_of_info(&info), Some(old));
        info.contains("Stopping: 1\n")
    });
    assert_eq!(scene.ask("@1 show more"), "Unknown command 'show more', known are: show info\n\n");
    assert!(held.works());
    drop(held);
    scene.wait_old(0);
    let gone = format!("There is no worker with PID {old}.\n\n");
    assert_eq!(scene.ask(&format!("@!{old} show info")), gone);
    let own = format!("There is no worker with PID {}.\n\n", scene.master());
    assert_eq!(scene.ask(&format!("@!{} show info", scene.master())), own);
    scene.stop();
}

/// Several commands in a line, each answered in its turn.
#[test]
fn pipelines() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    assert_eq!(scene.ask("show version;show version"), "1.0\n\n1.0\n\n");
    assert_eq!(scene.ask(";;show version;"), "\n\n1.0\n\n");
    let mixed = scene.ask("@1 show info; show version; @1 nothing; show version");
    let (info, rest) = mixed.split_once("\n\n").expect("an end of the first answer");
    assert_eq!(pid_of_info(info), Some(worker));
    assert_eq!(rest, "1.0\n\nUnknown command 'nothing', known are: show info\n\n1.0\n\n");
    // From here on to the worker, and back.
    let switched = scene.ask("@1;show info;@master;show version");
    assert_eq!(pid_of_info(&switched), Some(worker));
    assert!(switched.ends_with("\n\n\n1.0\n\n"), "{switched:?}");
    // What follows a reload has no one to do it.
    let answer = scene.ask("show version;reload;show version");
    assert!(answer.starts_with("1.0\n\nSuccess=1\n--\n"), "{answer}");
    assert_eq!(answer.matches("1.0").count(), 1, "{answer}");
    // Without a prompt a connection is for one line.
    assert_eq!(scene.ask("show version\nshow version"), "1.0\n\n");
    scene.stop();
}

/// Two hundred questions to the worker in one line.
#[test]
fn long_pipelines() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    let line = vec!["@1 show info"; 200].join(";");
    let answer = scene.ask(&line);
    let pid = format!("Pid: {worker}\n");
    assert_eq!(answer.matches(&pid).count(), 200);
    scene.stop();
}

#[test]
fn prompt() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    let mut session = scene.cli().session().expect("a master CLI");
    session.send("prompt\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "\nmaster> ");
    session.send("show version\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "1.0\n\nmaster> ");
    session.send("\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "\nmaster> ");
    session.send("@1\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "\n1> ");
    session.send("show info\n").expect("sent");
    let info = session.read_until("1> ").expect("an answer and a prompt");
    assert_eq!(pid_of_info(&info), Some(worker));
    session.send("@master show version\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "1.0\n\n1> ");
    session.send("@master\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "\nmaster> ");

    // One that others' reloads cut off; the next knows that one failed.
    scene.configure_badly();
    session.send("show version;reload\n").expect("sent");
    let answer = session.read_to_end().expect("an answer");
    assert!(answer.contains("1.0\n\n") && answer.contains("Success=0\n--\n"), "{answer}");
    scene.expect(RELOADING);
    scene.expect(REFUSED);
    let mut session = scene.cli().session().expect("a master CLI");
    session.send("prompt\n").expect("sent");
    assert_eq!(session.read_until("> ").expect("a prompt"), "\nmaster[ReloadFailed]> ");
    session.send("quit\n").expect("sent");
    assert_eq!(session.read_to_end().expect("the end"), "");
    scene.stop();
}

/// What makes no sense is answered, and nobody else notices.
#[test]
fn garbage() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    assert_eq!(scene.ask("nonsense"), "Unknown command: 'nonsense'. Send 'help' for a list.\n\n");
    for prefix in ["@77", "@!0", "@!-1", "@!", "@", "@!99999999999999999999", "@nobody"] {
        let answer = scene.ask(&format!("{prefix} show info"));
        let expected = format!("Can't find the target PID matching the prefix '{prefix}'.\n\n");
        assert_eq!(answer, expected);
    }
    let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
    for garbage in [&bytes[..], b"\xff\xfe\n", b"\0\n", b"@\xff x\n", b"@1 \0\xff\n", b"\n", b""] {
        let answer = raw(&scene, garbage);
        assert!(answer.len() < 4096, "a long answer to {garbage:?}");
    }
    assert_eq!(scene.worker(), worker);
    scene.assert_serves();
    scene.stop();
}

/// More than a line may have is refused, before it is read to its end.
#[test]
fn too_long_a_line() {
    let mut scene = Scene::serving();
    assert_eq!(raw(&scene, &[b'x'; 16 * 1024]), b"The command is too long.\n");
    let answer = raw(&scene, &vec![b'x'; 1 << 20]);
    assert!(answer.is_empty() || answer == b"The command is too long.\n", "{}", answer.len());
    // One that is as long as it may be.
    let mut longest = vec![b' '; 16 * 1024 - 2];
    longest.splice(0..12, *b"show version");
    longest.push(b'\n');
    assert_eq!(raw(&scene, &longest), b"1.0\n\n");
    let status = procfs::status(scene.master()).expect("a living master");
    let memory: u64 = status["VmRSS"].trim_end_matches(" kB").parse().expect("a number of kB");
    assert!(memory < 64 << 10, "{memory} kB used");
    scene.worker();
    scene.stop();
}

/// Sends bytes and reads what comes, up to the end or a reset.
fn raw(scene: &Scene, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(scene.master_socket()).expect("a master CLI");
    stream.set_read_timeout(Some(PATIENCE)).expect("set_read_timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("set_write_timeout");
    // It may have closed already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(err) => assert_eq!(err.kind(), ErrorKind::ConnectionReset),
    }
    answer
}

/// Three megabytes of answers to a client that reads nothing: the master keeps little of it
/// and serves the others, and then the client gets it all.
#[test]
fn slow_client() {
    let mut scene = Scene::serving();
    let help = scene.ask("help");
    let mut slow = scene.cli().session().expect("a master CLI");
    slow.send(&format!("{}\n", vec!["help"; 3000].join(";"))).expect("sent");
    let mut relayed = scene.cli().session().expect("a master CLI");
    relayed.send(&format!("{}\n", vec!["@1 show info"; 1000].join(";"))).expect("sent");
    for _ in 0..20 {
        scene.worker();
        scene.assert_serves();
    }
    let status = procfs::status(scene.master()).expect("a living master");
    let memory: u64 = status["VmRSS"].trim_end_matches(" kB").parse().expect("a number of kB");
    assert!(memory < 64 << 10, "{memory} kB used");
    let all = slow.read_to_end().expect("all answers");
    assert!(all == help.repeat(3000), "{} bytes, not {}", all.len(), help.len() * 3000);
    let all = relayed.read_to_end().expect("all answers");
    assert_eq!(all.matches("Stopping: 0\n").count(), 1000);
    scene.stop();
}

/// Clients that come, say half a word or nothing, and go or stay: all the same to a reload
/// and to a stop.
#[test]
fn clients_that_linger() {
    let mut scene = Scene::serving();
    let mut lingering = Vec::new();
    for text in ["", "show pr", "prompt\n", "help;help\n"] {
        let mut session = scene.cli().session().expect("a master CLI");
        session.send(text).expect("sent");
        lingering.push(session);
        let mut gone = scene.cli().session().expect("a master CLI");
        gone.send(text).expect("sent");
    }
    scene.worker();
    scene.reload(Signal::USR2);
    for mut session in lingering {
        // Of a former image: closed, maybe with what it had said, or with a reset where
        // something was left unread.
        match session.read_to_end() {
            Ok(_) => {}
            Err(err) => assert_eq!(err.kind(), ErrorKind::ConnectionReset),
        }
    }
    let _silent = scene.cli().session().expect("a master CLI");
    scene.worker();
    scene.stop();
}

/// Six clients at once, with one question after another, and reloads in between: who gets
/// an answer gets a whole one.
#[test]
fn many_clients() {
    let mut scene = Scene::serving();
    let cli = scene.cli();
    let reloaded = AtomicBool::new(false);
    // Refused or cut off by a reload is nothing; half an answer is.
    let answered = || match cli.try_ask("show proc") {
        Ok(answer) if !answer.is_empty() => {
            assert!(answer.ends_with("\n\n"), "half an answer: {answer:?}");
            assert!(!ShowProc::read(&answer).workers.is_empty(), "{answer:?}");
            Some(())
        }
        _ => None,
    };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                // The last question comes after the last reload.
                let mut last = false;
                while !last {
                    last = reloaded.load(Ordering::Acquire);
                    wait_for(PATIENCE, "an answer", answered);
                }
            });
        }
        for _ in 0..5 {
            scene.reload(Signal::USR2);
        }
        reloaded.store(true, Ordering::Release);
    });
    scene.stop();
}

/// A worker that is gone or doesn't answer holds up its own client only.
#[test]
fn worker_that_hangs() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    crate::scene::halt(worker);
    let mut waiting = scene.cli().session().expect("a master CLI");
    waiting.send("@1 show info\n").expect("sent");
    assert_eq!(scene.worker(), worker);
    assert_eq!(scene.ask("show version"), "1.0\n\n");
    Signal::CONT.send(worker);
    assert_eq!(pid_of_info(&waiting.read_to_end().expect("an answer")), Some(worker));
    scene.stop();
}
