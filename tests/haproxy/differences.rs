//! Where ours is meant to behave unlike stock HAProxy. The only place for it.

use crate::version::{
    ALL, Version, Versions, before_release, between, since, until, until_release,
};

/// One deliberate difference.
#[derive(Debug)]
pub struct Difference {
    /// Its entry of `docs/differences.md`.
    pub id: &'static str,
    /// The scenarios that show it; each of them must.
    pub scenarios: &'static [&'static str],
    /// The lines of the stock transcript which ours lacks, in order.
    pub stock: &'static [&'static str],
    /// The lines ours has in their place.
    pub ours: &'static [&'static str],
    /// The versions of HAProxy that show it.
    pub versions: Versions,
}

/// The image that waits after a failed load does not pass `-x` on. Since 2.4.12 it does.
const DROPS_SOCKET_PATH: Versions = until_release(2, 4, 11);
const UNTIL_2_4: Versions = until(2, 4);
const FROM_2_5_TO_3_0: Versions = between((2, 5), (3, 0));
const FROM_2_7_TO_3_0: Versions = between((2, 7), (3, 0));
const SINCE_3_1: Versions = since(3, 1);
const FROM_3_1_TO_3_2: Versions = between((3, 1), (3, 2));
const ONLY_3_3: Versions = between((3, 3), (3, 3));
const UNTIL_3_2: Versions = until(3, 2);
const UNTIL_3_0: Versions = until(3, 0);
const UNTIL_3_3: Versions = until(3, 3);
const SINCE_3_4: Versions = since(3, 4);
const UNTIL_2_6: Versions = until(2, 6);

/// One that changes a part of lines, wherever they are.
#[derive(Debug)]
pub struct Rewrite {
    /// Its entry of `docs/differences.md`.
    pub id: &'static str,
    /// The scenarios that show it; each of them must.
    pub scenarios: &'static [&'static str],
    /// What stock writes.
    pub stock: &'static str,
    /// What ours writes in its place.
    pub ours: &'static str,
    /// The versions of HAProxy that show it.
    pub versions: Versions,
}

impl Difference {
    /// Whether a scenario of this version shows it.
    pub fn applies(&self, scenario: &str, version: Version) -> bool {
        self.scenarios.contains(&scenario) && self.versions.contains(&version)
    }
}

impl Rewrite {
    /// Whether a scenario of this version shows it.
    pub fn applies(&self, scenario: &str, version: Version) -> bool {
        self.scenarios.contains(&scenario) && self.versions.contains(&version)
    }

    /// Makes stock's lines ours; whether there was any.
    pub fn apply(&self, lines: &mut [String]) -> bool {
        let mut found = false;
        for line in lines.iter_mut().filter(|line| line.contains(self.stock)) {
            *line = line.replace(self.stock, self.ours);
            found = true;
        }
        found
    }
}

/// Those that note the environment of a master that has just started. From 3.1 on that is the
/// image that was started.
const ENVIRONMENTS: &[&str] = &["fresh_start", "notifying", "plain", "quiet", "without_master_cli"];
/// Those that note it after reloads.
const ENVIRONMENTS_OF_RELOADS: &[&str] = &["argv", "argv_without_socket_transfer"];

/// Where what is added to the arguments of the former image stands.
macro_rules! options_last {
    ($scenario:literal, $pids:literal) => {
        Rewrite {
            id: "options-first",
            scenarios: &[$scenario],
            stock: concat!(
                "-Ws -S <dir>/master.sock -f <dir>/haproxy.cfg ",
                $pids,
                " -x <dir>/stats.sock"
            ),
            ours: concat!(
                $pids,
                " -x <dir>/stats.sock -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg"
            ),
            versions: until(2, 1),
        }
    };
}

/// `-x /dev/null` of the user holds for the first load only.
macro_rules! forgets_no_transfer {
    ($stock:literal, $ours:literal, $versions:expr) => {
        Rewrite {
            id: "no-socket-transfer-for-good",
            scenarios: &["argv_without_socket_transfer"],
            stock: $stock,
            ours: $ours,
            versions: $versions,
        }
    };
}

/// All of those. A scenario fails over one that is no longer there.
pub const REWRITES: &[Rewrite] = &[
    Rewrite {
        id: "profiling-signal",
        scenarios: &["broken_config_then_good"],
        stock: "ignores: QUIT PIPE",
        ours: "ignores: QUIT PIPE PROF",
        versions: until(2, 0),
    },
    options_last!("argv_of_a_takeover", "-sf <w1>"),
    options_last!("argv_of_a_takeover", "-sf <w2> <w1>"),
    options_last!("argv", "-sf <w1>"),
    options_last!("argv_without_socket_transfer", "-sf <w1>"),
    options_last!(
        "show_proc_with_many_old_workers",
        "-sf <w10> <w9> <w8> <w7> <w6> <w5> <w4> <w3> <w2> <w1>"
    ),
    Rewrite {
        id: "options-first",
        scenarios: ENVIRONMENTS_OF_RELOADS,
        stock: "-Ws -S <dir>/master.sock -f <dir>/haproxy.cfg -sf <w2>",
        ours: "-sf <w2> -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg",
        versions: until(2, 1),
    },
    Rewrite {
        id: "ends-of-workers",
        scenarios: ENVIRONMENTS,
        stock: "type=w;fd=<fd>;cfd=<fd>;",
        ours: "type=w;fd=<fd>;cfd=-1;",
        versions: before_release(2, 8, 1),
    },
    Rewrite {
        id: "ends-of-workers",
        scenarios: ENVIRONMENTS_OF_RELOADS,
        stock: "type=w;fd=<fd>;cfd=<fd>;",
        ours: "type=w;fd=<fd>;cfd=-1;",
        versions: before_release(2, 8, 1),
    },
    forgets_no_transfer!(
        "argv of <master>: <haproxy> -Ws",
        "argv of <master>: <haproxy> -x /dev/null -Ws",
        between((2, 5), (2, 5))
    ),
    forgets_no_transfer!(
        "argv of <master>: <haproxy> -Ws",
        "argv of <master>: <haproxy> -x /dev/null -Ws",
        before_release(2, 6, 18)
    ),
    forgets_no_transfer!(
        "argv of <master>: <haproxy> -Ws",
        "argv of <master>: <haproxy> -x /dev/null -Ws",
        between((2, 7), (2, 7))
    ),
    forgets_no_transfer!(
        "argv of <master>: <haproxy> -Ws",
        "argv of <master>: <haproxy> -x /dev/null -Ws",
        before_release(2, 8, 10)
    ),
    forgets_no_transfer!(
        "argv of <master>: <haproxy> -Ws",
        "argv of <master>: <haproxy> -x /dev/null -Ws",
        before_release(2, 9, 8)
    ),
    forgets_no_transfer!("-x sockpair@<fd>", "-x /dev/null", between((2, 5), (2, 5))),
    forgets_no_transfer!("-x sockpair@<fd>", "-x /dev/null", before_release(2, 6, 18)),
    forgets_no_transfer!("-x sockpair@<fd>", "-x /dev/null", between((2, 7), (2, 7))),
    forgets_no_transfer!("-x sockpair@<fd>", "-x /dev/null", before_release(2, 8, 10)),
    forgets_no_transfer!("-x sockpair@<fd>", "-x /dev/null", before_release(2, 9, 8)),
    Rewrite {
        id: "no-socket-transfer-for-good",
        scenarios: &["argv_without_socket_transfer"],
        stock: "-x <dir>/stats.sock",
        ours: "-x /dev/null",
        versions: UNTIL_2_4,
    },
    // What is inherited as ignored comes after those.
    Rewrite {
        id: "signals-after-a-failed-reload",
        scenarios: &["broken_config_then_good"],
        stock: "<master> ignores: HUP QUIT USR1 USR2 ",
        ours: "<master> ignores: QUIT ",
        versions: ONLY_3_3,
    },
    Rewrite {
        id: "uptime-of-programs",
        scenarios: &["kept", "started_anew"],
        stock: "<uptime> -",
        ours: "<uptime>        -",
        versions: FROM_3_1_TO_3_2,
    },
    Rewrite {
        id: "signals-of-programs",
        scenarios: PROGRAMS,
        stock: "ignores: USR2 PIPE",
        ours: "ignores: PIPE",
        versions: UNTIL_3_0,
    },
    Rewrite {
        id: "version-of-the-master",
        scenarios: ENVIRONMENTS,
        stock: "version=(null)",
        ours: "version=",
        versions: FROM_2_5_TO_3_0,
    },
    Rewrite {
        id: "version-of-the-master",
        scenarios: ENVIRONMENTS_OF_RELOADS,
        stock: "version=(null)",
        ours: "version=",
        versions: UNTIL_3_3,
    },
    Rewrite {
        id: "profiling-signal",
        scenarios: PROGRAMS,
        stock: "<p2> ignores: PIPE",
        ours: "<p2> ignores: PIPE PROF",
        versions: until(2, 0),
    },
];

/// A notify socket that can't be told: said at the reload, after what a first warning of a
/// process is preceded by, and at the stop.
macro_rules! not_told {
    (reload, $text:literal) => {
        Difference {
            id: "notify-errors-are-told",
            scenarios: &["odd_addresses"],
            stock: &[],
            ours: &[
                "stderr: [NOTICE] haproxy version is <version>",
                "stderr: [NOTICE] path to executable is <haproxy>",
                not_told!($text),
            ],
            versions: since(2, 5),
        }
    };
    (stop, $text:literal) => {
        Difference {
            id: "notify-errors-are-told",
            scenarios: &["odd_addresses"],
            stock: &[],
            ours: &[not_told!($text)],
            versions: ALL,
        }
    };
    ($text:literal) => {
        concat!("stderr: [WARNING] systemd can't be told: NOTIFY_SOCKET=", $text)
    };
}

/// A row of a malformed table.
macro_rules! bad_row {
    ($scenario:literal, $place:literal, $text:literal, $versions:expr) => {
        Difference {
            id: "bad-rows-are-told",
            scenarios: &[$scenario],
            stock: &[],
            ours: &[concat!(
                "stderr: [WARNING] ",
                $place,
                "row 1 of the process table is left out, ",
                $text
            )],
            versions: $versions,
        }
    };
}

/// One after a row of the master: both start, but stock has nothing to say before that.
macro_rules! second_row {
    ($scenario:literal, stock, $worker:literal) => {
        Difference {
            id: "bad-rows-are-told",
            scenarios: &[$scenario],
            stock: &[
                concat!("stderr: [NOTICE] Initializing new worker (", $worker, ")"),
                "stderr: [NOTICE] Loading success.",
            ],
            ours: &[],
            versions: SINCE_3_4,
        }
    };
    ($scenario:literal, $worker:literal, $text:literal) => {
        Difference {
            id: "bad-rows-are-told",
            scenarios: &[$scenario],
            stock: &[],
            ours: &[
                concat!("stderr: [WARNING] row 2 of the process table is left out, ", $text),
                concat!("stderr: [NOTICE] Initializing new worker (", $worker, ")"),
                "stderr: [NOTICE] Loading success.",
            ],
            versions: SINCE_3_4,
        }
    };
}

/// The end of the one that serves, after a failed reload.
macro_rules! worker_ends {
    ($versions:expr) => {
        Difference {
            id: "worker-in-service",
            scenarios: &[
                "abstract_socket",
                "path_socket",
                "pidfile_in_foreground",
                "plain_master_worker",
            ],
            stock: &["stderr: [WARNING] Former worker (<w2>) exited with code 143 (Terminated)"],
            ours: &["stderr: [ALERT] Current worker (<w2>) exited with code 143 (Terminated)"],
            versions: $versions,
        }
    };
}

/// What a program has open of its master: its poller, its listener, ends of pairs.
macro_rules! of_the_master {
    ($ends:literal, $versions:expr) => {
        Difference {
            id: "descriptors-of-programs",
            scenarios: PROGRAMS,
            stock: &[
                "    1 x anon_inode:[eventpoll]|",
                "    1 x unix listen <dir>/master.sock.<master>.tmp|",
                concat!("    ", $ends, " x unix stream|"),
            ],
            ours: &[],
            versions: $versions,
        }
    };
}

const MASTER_MADE_UP: &str = "stderr: [WARNING] config : The master internals are corrupted or it \
     was started with a too old version (< 1.9). Please restart the master process.";

/// Arguments after a failed reload, and of the image after that: whom `-x` asks for its sockets.
macro_rules! asks {
    ($scenario:literal, $before:literal, $from:literal, $versions:expr) => {
        Difference {
            id: "worker-in-service",
            scenarios: &[$scenario],
            stock: &[concat!("argv of ", $before, "-Ws -S <dir>/master.sock -f <dir>/haproxy.cfg")],
            ours: &[concat!(
                "argv of ",
                $before,
                $from,
                "-Ws -S <dir>/master.sock -f <dir>/haproxy.cfg"
            )],
            versions: $versions,
        }
    };
}

/// The row of a worker that serves, after a failed reload: stock up to 2.4 calls it an old one.
macro_rules! in_service {
    ($scenarios:expr, $worker:literal, $reloads:literal) => {
        Difference {
            id: "worker-in-service",
            scenarios: $scenarios,
            stock: &[
                "    # old workers|",
                concat!(
                    "    ",
                    $worker,
                    "worker          [was: 1]        ",
                    $reloads,
                    "               <uptime>        <version>|"
                ),
            ],
            ours: &[concat!(
                "    ",
                $worker,
                "worker          1               ",
                $reloads,
                "               <uptime>        <version>|"
            )],
            versions: UNTIL_2_4,
        }
    };
}

/// Workers and programs have the variable by which a reloaded master knows what it is.
macro_rules! reexec_is_inherited {
    ($versions:expr) => {
        Difference {
            id: "environment-of-workers",
            scenarios: &["argv", "argv_without_socket_transfer", "started_anew"],
            stock: &["    HAPROXY_MWORKER_REEXEC=1|"],
            ours: &[],
            versions: $versions,
        }
    };
}

const PROGRAMS: &[&str] = &["started_anew"];
/// All of them. A scenario fails over a difference that is not listed, and over a listed one
/// that is no longer there.
pub const DIFFERENCES: &[Difference] = &[
    not_told!(reload, ": only '/path' and '@abstract' are supported"),
    not_told!(stop, ": only '/path' and '@abstract' are supported"),
    not_told!(reload, "garbage: only '/path' and '@abstract' are supported"),
    not_told!(stop, "garbage: only '/path' and '@abstract' are supported"),
    not_told!(reload, "/nonexistent/notify: No such file or directory"),
    not_told!(stop, "/nonexistent/notify: No such file or directory"),
    not_told!(reload, "@nobody-there: Connection refused"),
    not_told!(stop, "@nobody-there: Connection refused"),
    not_told!(reload, "vsock:2:1: only '/path' and '@abstract' are supported"),
    not_told!(stop, "vsock:2:1: only '/path' and '@abstract' are supported"),
    not_told!(
        reload,
        "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: the name is too long for a socket"
    ),
    not_told!(
        stop,
        "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: the name is too long for a socket"
    ),
    bad_row!("process_table_without_rows", "config : ", "a field has no '=': 'garbage'", UNTIL_3_0),
    bad_row!(
        "process_table_without_rows",
        "config : ",
        "its PID is missing or not above 0: ';;;==='",
        UNTIL_3_0
    ),
    bad_row!(
        "malformed_process_table",
        "config : ",
        "a number is expected: 'type=w;pid=abc;fd='",
        UNTIL_3_0
    ),
    bad_row!(
        "malformed_process_table",
        "",
        "a number is expected: 'type=w;pid=abc;fd='",
        SINCE_3_1
    ),
    second_row!("process_table_without_rows", stock, "<w1>"),
    second_row!("process_table_without_rows", "<w1>", "a field has no '=': 'garbage'"),
    second_row!("process_table_without_rows", stock, "<w2>"),
    second_row!(
        "process_table_without_rows",
        "<w2>",
        "its PID is missing or not above 0: ';;;==='"
    ),
    second_row!("malformed_process_table", stock, "<w3>"),
    second_row!("malformed_process_table", "<w3>", "a number is expected: 'type=w;pid=abc;fd='"),
    Difference {
        id: "programs-after-an-upgrade",
        scenarios: &["malformed_process_table"],
        stock: &[],
        ours: &[
            "    # old programs|",
            "    5000002         x               1               <uptime> -              |",
        ],
        versions: since(3, 3),
    },
    bad_row!("process_table_without_rows", "", "a field has no '=': 'garbage'", SINCE_3_1),
    bad_row!(
        "process_table_without_rows",
        "",
        "its PID is missing or not above 0: ';;;==='",
        SINCE_3_1
    ),
    Difference {
        id: "bad-rows-are-told",
        scenarios: &["malformed_row_of_the_master"],
        stock: &[],
        ours: &[
            "stderr: [WARNING] row 1 of the process table is left out, a number is expected: \
             'type=m;pid=0;reloads=99999999999999999999;timestamp=-5'",
            "stderr: [WARNING] The master internals are corrupted or it was started with a too old \
             version (< 1.9). Please restart the master process.",
        ],
        versions: UNTIL_2_4,
    },
    // Stock goes on with the row that it has freed, and sees only later that it is none.
    Difference {
        id: "bad-rows-are-told",
        scenarios: &["malformed_row_of_the_master"],
        stock: &[],
        ours: &[
            "stderr: [NOTICE] haproxy version is <version>",
            "stderr: [NOTICE] path to executable is <haproxy>",
            "stderr: [WARNING] config : row 1 of the process table is left out, a number is \
             expected: 'type=m;pid=0;reloads=99999999999999999999;timestamp=-5'",
            MASTER_MADE_UP,
        ],
        versions: FROM_2_5_TO_3_0,
    },
    Difference {
        id: "bad-rows-are-told",
        scenarios: &["malformed_row_of_the_master"],
        stock: &[MASTER_MADE_UP],
        ours: &[],
        versions: FROM_2_5_TO_3_0,
    },
    Difference {
        id: "tables-without-descriptors",
        scenarios: &["process_table_without_descriptors"],
        stock: &["serves: Some(false)"],
        ours: &["serves: Some(true)"],
        versions: ALL,
    },
    Difference {
        id: "reload-while-leaving",
        scenarios: &["soft_stop_then_reload"],
        stock: &["after the reload: done"],
        ours: &["after the reload: the reload is ignored"],
        versions: ALL,
    },
    Difference {
        id: "limit-of-descriptors",
        scenarios: &["limit_of_descriptors"],
        stock: &["the master has its worker's limit: true"],
        ours: &["the master has its worker's limit: false"],
        versions: FROM_2_5_TO_3_0,
    },
    Difference {
        id: "environment-of-workers",
        scenarios: &["argv", "argv_without_socket_transfer", "started_anew"],
        stock: &["    HAPROXY_LOAD_SUCCESS=1|"],
        ours: &[],
        versions: FROM_2_7_TO_3_0,
    },
    reexec_is_inherited!(until(2, 1)),
    reexec_is_inherited!(before_release(2, 2, 16)),
    reexec_is_inherited!(between((2, 3), (2, 3))),
    reexec_is_inherited!(before_release(2, 4, 3)),
    Difference {
        id: "environment-of-workers",
        scenarios: &["argv", "argv_without_socket_transfer"],
        stock: &["    HAPROXY_LOAD_SUCCESS=0|"],
        ours: &[],
        versions: FROM_2_7_TO_3_0,
    },
    Difference {
        id: "state-of-the-master",
        scenarios: ENVIRONMENTS,
        stock: &[],
        ours: &["    MWORKER_STATE|"],
        versions: FROM_2_5_TO_3_0,
    },
    Difference {
        id: "state-of-the-master",
        scenarios: ENVIRONMENTS_OF_RELOADS,
        stock: &[],
        ours: &["    MWORKER_STATE|"],
        versions: ALL,
    },
    Difference {
        id: "state-of-the-master",
        scenarios: &[
            "address_taken_then_free",
            "broken_config_then_good",
            "descriptors_do_not_grow",
            "fresh_start",
            "notifying",
            "session_over_a_reload",
        ],
        stock: &[],
        ours: &["    1 x /memfd:mworker (deleted)|"],
        versions: ALL,
    },
    Difference {
        id: "systemd-is-for-masters",
        scenarios: &["argv", "argv_without_socket_transfer", "fresh_start"],
        stock: &["    NOTIFY_SOCKET=<dir>/notify.sock|"],
        ours: &[],
        versions: UNTIL_3_0,
    },
    Difference {
        id: "signals-to-strangers",
        scenarios: &["malformed_process_table"],
        stock: &[],
        ours: &["stderr: [WARNING] Process 5000002 is no child of this master any more: it isn't \
                 sent signal 15."],
        versions: ALL,
    },
    Difference {
        id: "systemd-is-for-masters",
        scenarios: PROGRAMS,
        stock: &["    NOTIFY_SOCKET|"],
        ours: &[],
        versions: UNTIL_3_2,
    },
    Difference {
        id: "descriptors-of-programs",
        scenarios: PROGRAMS,
        stock: &["    1 x /dev/shm/haproxy_startup_logs_<master> (deleted)|"],
        ours: &[],
        versions: FROM_2_7_TO_3_0,
    },
    of_the_master!("3", FROM_2_7_TO_3_0),
    of_the_master!("4", FROM_2_7_TO_3_0),
    of_the_master!("1", UNTIL_2_6),
    of_the_master!("2", UNTIL_2_6),
    Difference {
        id: "programs-that-cannot-be-executed",
        scenarios: &["cannot_be_executed"],
        stock: &[
            "<p1> stderr: [NOTICE] haproxy version is <version>",
            "<p1> stderr: [NOTICE] path to executable is <haproxy>",
        ],
        ours: &[],
        versions: between((2, 2), (3, 2)),
    },
    Difference {
        id: "ready-of-a-failed-start",
        scenarios: &[
            "broken_config",
            "address_taken",
            "cannot_be_executed",
            "refused_at_the_start",
        ],
        stock: &["notify: READY=1 | STATUS=Reload failed!\\n"],
        ours: &["notify: nothing"],
        versions: SINCE_3_1,
    },
    Difference {
        id: "ready-of-a-failed-start",
        scenarios: &[
            "as_another_user",
            "ends_by_itself",
            "failure_not_tolerated",
            "kept",
            "killed",
            "not_started_anew",
            "refused",
            "started_anew",
            "terminated",
        ],
        stock: &["notify: READY=1 | STATUS=Reload failed!\\n"],
        ours: &["notify: nothing"],
        versions: since(3, 3),
    },
    Difference {
        id: "failed-reloads-are-counted",
        scenarios: &["broken_config_then_good"],
        stock: &["    <master>        master          2 [failed: 1]   <uptime>        <version>|"],
        ours: &["    <master>        master          2 [failed: 2]   <uptime>        <version>|"],
        versions: SINCE_3_1,
    },
    Difference {
        id: "program-without-a-name",
        scenarios: &["refused"],
        stock: &["exit: signal SEGV"],
        ours: &["exit: code 1"],
        versions: until(2, 0),
    },
    Difference {
        id: "program-without-a-name",
        scenarios: &["refused"],
        stock: &[],
        ours: &["stderr: [ALERT] Error(s) found in configuration file : <dir>/haproxy.cfg"],
        versions: until(2, 0),
    },
    // `show proc` after a failed reload.
    Difference {
        id: "worker-in-service",
        scenarios: &[
            "address_taken_then_free",
            "broken_config_then_good",
            "failed_reload",
            "notifying",
            "plain",
            "quiet",
        ],
        stock: &["    # old workers|"],
        ours: &[],
        versions: SINCE_3_1,
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &["    # old workers|"],
        ours: &[],
        versions: SINCE_3_4,
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &[],
        ours: &["    # old workers|"],
        versions: SINCE_3_4,
    },
    // Until 3.3 the oldest comes first.
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &[],
        ours: &["    <w3>            worker          1               <uptime>        <version>|"],
        versions: between((3, 1), (3, 3)),
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &["    <w3>            worker          1               <uptime>        <version>|"],
        ours: &[],
        versions: between((3, 1), (3, 3)),
    },
    Difference {
        id: "worker-in-service",
        scenarios: PROGRAMS,
        stock: &["    # old workers|"],
        ours: &[],
        versions: FROM_3_1_TO_3_2,
    },
    Difference {
        id: "worker-in-service",
        scenarios: PROGRAMS,
        stock: &[],
        ours: &["stderr: [ALERT] Current worker (<w2>) exited with code 143 (Terminated)"],
        versions: FROM_3_1_TO_3_2,
    },
    Difference {
        id: "worker-in-service",
        scenarios: PROGRAMS,
        stock: &["stderr: [WARNING] Former worker (<w2>) exited with code 143 (Terminated)"],
        ours: &[],
        versions: FROM_3_1_TO_3_2,
    },
    Difference {
        id: "descriptors-of-programs",
        scenarios: PROGRAMS,
        stock: &["    2 x unix stream|"],
        ours: &[],
        versions: FROM_3_1_TO_3_2,
    },
    Difference {
        id: "descriptors-of-programs",
        scenarios: PROGRAMS,
        stock: &["    5 x unix stream|"],
        ours: &[],
        versions: FROM_3_1_TO_3_2,
    },
    worker_ends!(FROM_3_1_TO_3_2),
    worker_ends!(SINCE_3_4),
    // TERM ends stock's master at once.
    Difference {
        id: "signals-after-a-failed-reload",
        scenarios: &[
            "abstract_socket",
            "class_process_table",
            "notifying",
            "path_socket",
            "pidfile_in_foreground",
            "plain",
            "plain_master_worker",
            "quiet",
        ],
        stock: &["exit: signal TERM"],
        ours: &["exit: code 0"],
        versions: ONLY_3_3,
    },
    Difference {
        id: "signals-after-a-failed-reload",
        scenarios: &["abstract_socket", "notifying", "path_socket"],
        stock: &["notify: nothing"],
        ours: &["notify: STOPPING=1"],
        versions: ONLY_3_3,
    },
    Difference {
        id: "signals-after-a-failed-reload",
        scenarios: &["pidfile_in_foreground"],
        stock: &[],
        ours: &["notify: STOPPING=1"],
        versions: ONLY_3_3,
    },
    Difference {
        id: "signals-after-a-failed-reload",
        scenarios: &[
            "abstract_socket",
            "path_socket",
            "pidfile_in_foreground",
            "plain_master_worker",
        ],
        stock: &[],
        ours: &[
            "stderr: [WARNING] Exiting Master process...",
            "stderr: [ALERT] Current worker (<w2>) exited with code 143 (Terminated)",
            "stderr: [WARNING] All workers exited. Exiting... (0)",
        ],
        versions: ONLY_3_3,
    },
    Difference {
        id: "signals-after-a-failed-reload",
        scenarios: &["broken_config_then_good"],
        stock: &[
            "<master> blocks: HUP USR1 USR2 TTIN TTOU",
            "<master> catches: ALRM CHLD TTIN TTOU URG 33",
        ],
        ours: &[
            "<master> blocks: none",
            "<master> catches: HUP INT USR1 USR2 ALRM TERM CHLD TTIN TTOU URG 33",
        ],
        versions: ONLY_3_3,
    },
    in_service!(
        &["failed_reload", "config_missing", "broken_config_then_good"],
        "<w1>            ",
        "1"
    ),
    in_service!(&["broken_config_then_good"], "<w1>            ", "2"),
    in_service!(&["started_anew"], "<w2>            ", "1"),
    in_service!(&["plain", "notifying"], "<child2>        ", "1"),
    in_service!(&["quiet"], "<child3>        ", "1"),
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &[],
        ours: &[
            "    <w3>            worker          1               1               <uptime>        <version>|",
        ],
        versions: UNTIL_2_4,
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["show_proc"],
        stock: &[
            "    <w3>            worker          [was: 1]        1               <uptime>        <version>|",
        ],
        ours: &[],
        versions: UNTIL_2_4,
    },
    Difference {
        id: "worker-in-service",
        scenarios: &[
            "abstract_socket",
            "path_socket",
            "pidfile_in_foreground",
            "plain_master_worker",
        ],
        stock: &["stderr: [WARNING] Former worker #1 (<w2>) exited with code 143 (Terminated)"],
        ours: &[
            "stderr: [NOTICE] haproxy version is <version>",
            "stderr: [NOTICE] path to executable is <haproxy>",
            "stderr: [ALERT] Current worker #1 (<w2>) exited with code 143 (Terminated)",
        ],
        versions: between((2, 2), (2, 4)),
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["started_anew"],
        stock: &[],
        ours: &[
            "stderr: [NOTICE] haproxy version is <version>",
            "stderr: [NOTICE] path to executable is <haproxy>",
            "stderr: [ALERT] Current worker #1 (<w2>) exited with code 143 (Terminated)",
        ],
        versions: between((2, 2), (2, 4)),
    },
    Difference {
        id: "worker-in-service",
        scenarios: &[
            "abstract_socket",
            "path_socket",
            "pidfile_in_foreground",
            "plain_master_worker",
        ],
        stock: &["stderr: [WARNING] Former worker #1 (<w2>) exited with code 143 (Terminated)"],
        ours: &["stderr: [ALERT] Current worker #1 (<w2>) exited with code 143 (Terminated)"],
        versions: until(2, 1),
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["started_anew"],
        stock: &[],
        ours: &["stderr: [ALERT] Current worker #1 (<w2>) exited with code 143 (Terminated)"],
        versions: until(2, 1),
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["started_anew"],
        stock: &["stderr: [WARNING] Former worker #1 (<w2>) exited with code 143 (Terminated)"],
        ours: &[],
        versions: UNTIL_2_4,
    },
    // The next one asks it for its sockets.
    asks!("argv", "<master>: <haproxy> ", "-x <dir>/stats.sock ", DROPS_SOCKET_PATH),
    asks!("argv", "<master>: <haproxy> -sf <w2> ", "-x <dir>/stats.sock ", DROPS_SOCKET_PATH),
    asks!("argv", "<w3>: <haproxy> -sf <w2> ", "-x <dir>/stats.sock ", DROPS_SOCKET_PATH),
    asks!(
        "argv_without_socket_transfer",
        "<master>: <haproxy> ",
        "-x /dev/null ",
        DROPS_SOCKET_PATH
    ),
    asks!(
        "argv_without_socket_transfer",
        "<master>: <haproxy> -sf <w2> ",
        "-x /dev/null ",
        DROPS_SOCKET_PATH
    ),
    asks!(
        "argv_without_socket_transfer",
        "<w3>: <haproxy> -sf <w2> ",
        "-x /dev/null ",
        DROPS_SOCKET_PATH
    ),
    Difference {
        id: "worker-in-service",
        scenarios: &["argv"],
        stock: &[
            "argv of <master>: <haproxy> -sf <w3> -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg",
        ],
        ours: &[
            "argv of <master>: <haproxy> -sf <w3> -x sockpair@<fd> -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg",
        ],
        versions: SINCE_3_4,
    },
    Difference {
        id: "worker-in-service",
        scenarios: &["argv"],
        stock: &["argv of <w5>: <haproxy> -sf <w3> -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg"],
        ours: &[
            "argv of <w5>: <haproxy> -sf <w3> -x sockpair@<fd> -Ws -S <dir>/master.sock -f <dir>/haproxy.cfg",
        ],
        versions: SINCE_3_4,
    },
    Difference {
        id: "stopping-on-interrupt",
        scenarios: &["until_interrupted"],
        stock: &["notify: nothing"],
        ours: &["notify: STOPPING=1"],
        versions: until(1, 8),
    },
];
