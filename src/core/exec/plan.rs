//! What the next master is given: argv, environment, descriptors.
//!
//! Pure functions of the table and of what the process was started with, so
//! that nothing has to be undone when the exec fails.

use super::handover_state::{HandoverState, STATE};
use super::limits;
use super::variables::{INTERNAL, LOAD_SUCCESS, PROCESSES, REEXEC, WAIT_ONLY, foreign, without};
use crate::core::generation::Generation;
use crate::core::handover;
use crate::core::lifecycle::{ExecKind, Hardness, keep_in_service};
use crate::core::messages;
use crate::core::process::Pid;
use crate::core::table::{OutOfMemory, PlainTable, Table};

/// Where a new worker need not ask for listeners.
pub const NO_LISTENERS: &[u8] = b"/dev/null";
/// There is nobody to ask for listeners: this only ends a list of PIDs.
const NOBODY: &[u8] = b"";

/// What the plan is made from, besides the table.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The first start's command line, stripped.
    pub argv: &'a [Vec<u8>],
    /// What `-x` is to name: [`NO_LISTENERS`] if the user did, so that every next
    /// start does; up to 2.4 the path of a stats socket.
    pub listeners_from: Option<&'a [u8]>,
    /// The environment to hand on, each `NAME=value`.
    pub environment: &'a [Vec<u8>],
    /// What for.
    pub kind: ExecKind,
    /// How the last load ended.
    pub load_status: Option<bool>,
    /// The whole table, as [`handover::write`] makes it; empty where it isn't
    /// handed over.
    pub processes: &'a [u8],
    /// What arguments and environment may take together, see [`limits::arguments`].
    pub room: usize,
    /// What else goes to the next image.
    pub state: &'a HandoverState,
}

/// Everything that the exec takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the program may be, the first one first.
    pub programs: Vec<Vec<u8>>,
    /// The arguments, the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// Descriptors of the table, which have to stay open.
    pub keep: Vec<i32>,
}

/// Plans the next exec. A table that is too long for the environment is given to `whole`, which
/// returns the descriptor by which the next image gets it. The environment has the newest rows
/// then.
///
/// # Errors
/// Out of memory, or that of `whole`.
pub fn plan<T: Table, E: From<OutOfMemory>>(
    table: &T,
    generation: Generation,
    request: &Request<'_>,
    whole: impl FnOnce(&[u8]) -> Result<i32, E>,
) -> Result<Plan, E> {
    let named = pids_to_name(table, generation, request.kind);
    let (for_table, for_pids) = shares(request, &named);
    let count = named.len();
    let pids = limits::youngest(named.into_iter(), for_pids);
    let mut state = request.state.clone();
    state.untold = match request.kind {
        // The next image has the whole table, and signals them all.
        ExecKind::Reload(hardness) if pids.len() < count => Some(hardness),
        _ => None,
    };
    let short;
    let mut processes = request.processes;
    if !generation.passes_on_table {
        let serving = table.rows().filter(|(_, p)| p.is_in_service()).count();
        state.serving = u32::try_from(serving).ok();
        let master = table.master().map(|row| table.load(row).reloads);
        state.reloads = master.and_then(|count| u32::try_from(count).ok());
        short = pids.join(&b' ');
        processes = &short;
    } else if processes.len() > for_table {
        state.table = Some(whole(processes)?);
        short = handover::newest(table, processes, for_table)?;
        processes = &short;
    }
    Ok(Plan {
        programs: programs(request.argv, request.environment),
        argv: next_argv(table, generation, request, pids),
        environment: next_environment(generation, request, &state, processes),
        keep: descriptors(table, generation),
    })
}

/// Descriptors of the table, which have to stay open.
pub fn descriptors<T: Table>(table: &T, generation: Generation) -> Vec<i32> {
    let ends = if generation.passes_on_both_ends { 2 } else { 1 };
    let forked = table.rows().filter(|(_, p)| p.pid > 0);
    let ends = forked.flat_map(|(_, p)| p.ipc_fd.into_iter().take(ends));
    ends.filter(|fd| *fd >= 0).collect()
}

/// What masters add to arguments and environment takes less, without the hand-over state, the
/// PIDs and the table.
const ADDED: usize = 512;

/// How many bytes the table may be long, and what the PIDs may cost.
fn shares(request: &Request<'_>, named: &[(i32, usize, Vec<u8>)]) -> (usize, usize) {
    let others = limits::total(request.argv)
        .saturating_add(limits::total(request.environment))
        .saturating_add(request.listeners_from.map_or(0, <[u8]>::len))
        .saturating_add(request.state.write(b"").len())
        .saturating_add(ADDED);
    limits::share(
        request.room.saturating_sub(others),
        request.processes.len().min(handover::LONGEST),
        named.iter().fold(0, |sum: usize, (_, cost, _)| sum.saturating_add(*cost)),
    )
}

/// The arguments that name who is to leave, with the age of each and its cost.
/// Where they are all that the next image is told, those in service come first, as
/// HAProxy 1.8 has it.
fn pids_to_name<T: Table>(
    table: &T,
    generation: Generation,
    kind: ExecKind,
) -> Vec<(i32, usize, Vec<u8>)> {
    if names_nobody(generation, kind) {
        return Vec::new();
    }
    let mut targets: Vec<(i32, Pid, bool)> = table
        .rows()
        .filter_map(|(_, p)| Some((p.reloads, p.target()?, p.is_in_service())))
        .collect();
    if !generation.passes_on_table {
        targets.sort_by_key(|(_, _, serves)| !serves);
    }
    targets
        .into_iter()
        .map(|(age, pid, _)| (age, pid))
        .map(|(age, pid)| (age, pid.to_string().into_bytes()))
        .map(|(age, text)| (age, limits::cost(text.len()), text))
        .collect()
}

/// In wait mode the process table lists every worker, so `-sf` isn't needed.
fn names_nobody(generation: Generation, kind: ExecKind) -> bool {
    kind == ExecKind::Wait && generation.passes_on_table
}

/// What a load that takes longer than `timeout` microseconds ends with, planned
/// before, as nothing can be planned then: the process table `text` of the
/// former image, and its `state`, of a reload that has failed. `now` is in
/// seconds since 1970. `None` where this generation's masters don't load and wait
/// in images of their own.
///
/// # Errors
/// Out of memory.
pub fn overdue_load(
    text: &[u8],
    state: &HandoverState,
    generation: Generation,
    timeout: u64,
    now: i64,
) -> Result<Option<(PlainTable, HandoverState)>, OutOfMemory> {
    if generation.ready_handshake {
        return Ok(None);
    }
    let mut table = PlainTable::default();
    handover::read(text, generation, &mut table)?;
    table.for_each(|p| {
        p.failed_reloads = p.failed_reloads.saturating_add(1);
        if generation.counts_reloads_on_reading {
            // The image that waits counts as well.
            p.reloads = p.reloads.saturating_sub(1);
        }
    });
    keep_in_service(&mut table);
    let mut state = state.clone();
    let end = now.saturating_add(i64::try_from(timeout / 1_000_000).unwrap_or(i64::MAX));
    state.fail(end, &messages::why_load_overdue(timeout));
    Ok(Some((table, state)))
}

/// What the hand-over state stands beside where PIDs are all that is handed over.
pub fn beside_pids(pids: &[i32]) -> Vec<u8> {
    let texts: Vec<Vec<u8>> = pids.iter().map(|pid| pid.to_string().into_bytes()).collect();
    texts.join(&b' ')
}

/// Where programs are looked for without a PATH.
const USUAL_PATH: &[u8] = b"/bin:/usr/bin";

/// Where execvp() would look for the program. What it does besides is not wanted: if the kernel
/// can't execute the file it has a shell try, which would then be the master.
pub fn programs(argv: &[Vec<u8>], environment: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let name = argv.first().map(Vec::as_slice).unwrap_or_default();
    if name.is_empty() || name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let path = environment.iter().find_map(|v| v.strip_prefix(b"PATH="));
    let folders = path.unwrap_or(USUAL_PATH).split(|b| *b == b':');
    // An empty one is the current folder.
    let within = |folder: &[u8]| match folder {
        [] => [b"./", name].concat(),
        _ => [folder, b"/", name].concat(),
    };
    folders.map(within).collect()
}

fn next_argv<T: Table>(
    table: &T,
    generation: Generation,
    request: &Request<'_>,
    pids: Vec<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let (program, rest) = match request.argv.split_first() {
        Some((program, rest)) => (program.clone(), rest),
        None => (Vec::new(), request.argv),
    };
    // Right after the program, in case there is a "--".
    let mut argv = vec![program];
    let asks = generation.asks_worker_for_listeners;
    let mut listeners_from =
        request.listeners_from.filter(|from| !asks || *from == NO_LISTENERS).map(<[u8]>::to_vec);
    if !names_nobody(generation, request.kind) {
        let hardness = match request.kind {
            ExecKind::Reload(hardness) => hardness,
            ExecKind::Wait => Hardness::Soft,
        };
        let option = if hardness == Hardness::Hard { b"-st" } else { b"-sf" };
        let any = table.rows().any(|(_, p)| p.target().is_some());
        if any {
            argv.push(option.to_vec());
            argv.extend(pids);
        }
        if asks && listeners_from.is_none() {
            listeners_from =
                current_worker_fd(table).map(|fd| format!("sockpair@{fd}").into_bytes());
        }
        // Or else it would be taken for one of the PIDs.
        if any && rest.first().is_some_and(|arg| !arg.starts_with(b"-")) {
            listeners_from.get_or_insert_with(|| NOBODY.to_vec());
        }
    }
    if let Some(from) = listeners_from {
        argv.push(b"-x".to_vec());
        argv.push(from);
    }
    argv.extend_from_slice(rest);
    argv
}

/// The master's end of the socketpair of the worker in service.
fn current_worker_fd<T: Table>(table: &T) -> Option<i32> {
    table
        .rows()
        .filter(|(_, p)| p.is_in_service())
        .last()
        .map(|(_, p)| p.ipc_fd[0])
        .filter(|fd| *fd >= 0)
}

fn next_environment(
    generation: Generation,
    request: &Request<'_>,
    state: &HandoverState,
    processes: &[u8],
) -> Vec<Vec<u8>> {
    let given = INTERNAL.into_iter().chain(foreign(generation));
    let mut environment = without(request.environment, given);
    let mut set = |name: &str, value: &[u8]| {
        environment.push([name.as_bytes(), b"=", value].concat());
    };
    set(REEXEC, b"1");
    if request.kind == ExecKind::Wait {
        set(WAIT_ONLY, b"1");
        if let Some(success) = request.load_status.filter(|_| generation.passes_on_load_status) {
            set(LOAD_SUCCESS, if success { b"1" } else { b"0" });
        }
    }
    set(STATE, state.write(processes).as_bytes());
    if generation.passes_on_table {
        set(PROCESSES, processes);
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::super::variables::{START_LOG, name_of};
    use super::*;
    use crate::core::process::Process;
    use crate::core::process::options;

    const V3_0: Generation = Generation::haproxy(3, 0);
    const ROOM: usize = 2 << 20;

    fn strings(items: &[&str]) -> Vec<Vec<u8>> {
        items.iter().map(|i| i.as_bytes().to_vec()).collect()
    }

    fn table() -> PlainTable {
        let mut table = PlainTable::default();
        for (pid, options, fd) in [
            (1, options::MASTER, 8),
            (20, options::WORKER | options::LEAVING, 9),
            (21, options::WORKER, 10),
            (-1, options::WORKER, 11),
        ] {
            let process = Process { pid, options, ipc_fd: [fd, -1], ..Process::default() };
            table.append(process, b"", b"3").expect("memory");
        }
        table
    }

    fn planned(kind: ExecKind, argv: &[&str], no_listeners: bool) -> Plan {
        let table = table();
        let request = Request {
            argv: &strings(argv),
            listeners_from: no_listeners.then_some(NO_LISTENERS),
            environment: &strings(&["A=1", "HAPROXY_LOAD_SUCCESS=1", "HAPROXY_PROCESSES=old"]),
            kind,
            load_status: Some(false),
            processes: &handover::write(&table, V3_0).expect("memory"),
            room: ROOM,
            state: &HandoverState::default(),
        };
        planned_by(&table, V3_0, &request)
    }

    /// 77 is the descriptor of a table that is too long.
    fn planned_by(table: &PlainTable, generation: Generation, request: &Request<'_>) -> Plan {
        plan(table, generation, request, |_| Ok::<_, OutOfMemory>(77)).expect("memory")
    }

    fn state_of(plan: &Plan) -> String {
        let state = plan.environment.iter().find(|v| v.starts_with(b"MWORKER_STATE="));
        String::from_utf8(state.cloned().unwrap_or_default()).expect("text")
    }

    fn waiting(table: &PlainTable, generation: Generation, processes: &[u8]) -> Plan {
        let request = Request {
            argv: &strings(&["p"]),
            listeners_from: None,
            environment: &[],
            kind: ExecKind::Wait,
            load_status: None,
            processes,
            room: ROOM,
            state: &HandoverState::default(),
        };
        planned_by(table, generation, &request)
    }

    #[test]
    fn options_stand_right_after_the_program() {
        let soft = ExecKind::Reload(Hardness::Soft);
        let argv = planned(soft, &["p", "-W", "--", "x"], false).argv;
        assert_eq!(argv, strings(&["p", "-sf", "20", "21", "-x", "sockpair@10", "-W", "--", "x"]));
        let hard = ExecKind::Reload(Hardness::Hard);
        let argv = planned(hard, &["p", "-W"], true).argv;
        assert_eq!(argv, strings(&["p", "-st", "20", "21", "-x", "/dev/null", "-W"]));
        let argv = planned(ExecKind::Wait, &["p", "-W"], false).argv;
        assert_eq!(argv, strings(&["p", "-W"]));
    }

    #[test]
    fn programs_of_an_older_generation_are_told_too() {
        let mut table = table();
        let process = Process { pid: 30, options: options::PROGRAM, ..Process::default() };
        table.append(process, b"echo", b"3.2").expect("memory");
        let request = Request {
            argv: &strings(&["p"]),
            listeners_from: Some(NO_LISTENERS),
            environment: &[],
            kind: ExecKind::Reload(Hardness::Soft),
            load_status: None,
            processes: b"|",
            room: ROOM,
            state: &HandoverState::default(),
        };
        let plan = planned_by(&table, Generation::haproxy(3, 3), &request);
        assert_eq!(plan.argv.get(..5), Some(&*strings(&["p", "-sf", "20", "21", "30"])));
    }

    #[test]
    fn up_to_2_4_listeners_come_from_the_stats_socket() {
        let request = Request {
            argv: &strings(&["p", "-W"]),
            listeners_from: Some(b"/run/stats"),
            environment: &[],
            kind: ExecKind::Wait,
            load_status: None,
            processes: b"",
            room: ROOM,
            state: &HandoverState::default(),
        };
        let argv = |kind, (major, minor)| {
            let request = Request { kind, ..request };
            planned_by(&table(), Generation::haproxy(major, minor), &request).argv
        };
        let soft = ExecKind::Reload(Hardness::Soft);
        let with_pids = |x: &str| strings(&["p", "-sf", "20", "21", "-x", x, "-W"]);
        assert_eq!(argv(soft, (2, 4)), with_pids("/run/stats"));
        // It reads no configuration that would name it.
        assert_eq!(argv(ExecKind::Wait, (2, 4)), strings(&["p", "-x", "/run/stats", "-W"]));
        assert_eq!(argv(soft, (3, 0)), with_pids("sockpair@10"));
        assert_eq!(argv(ExecKind::Wait, (3, 0)), strings(&["p", "-W"]));
    }

    #[test]
    fn of_1_8_the_next_image_is_told_pids_only() {
        let plan = waiting(&table(), Generation::haproxy(1, 8), b"");
        assert_eq!(plan.argv, strings(&["p", "-sf", "21", "20"]), "who serves is first");
        let names: Vec<_> = plan.environment.iter().map(|v| name_of(v)).collect();
        assert_eq!(names, [REEXEC.as_bytes(), WAIT_ONLY.as_bytes(), STATE.as_bytes()]);
        let state = plan.environment.last().map(|v| String::from_utf8_lossy(v).into_owned());
        let state = state.expect("a record");
        let (_, state) = state.split_once('=').expect("a value");
        let (record, fresh) = HandoverState::read(state, &beside_pids(&[21, 20]));
        assert_eq!((record.serving, fresh), (Some(1), true));
        assert!(
            !HandoverState::read(state, &beside_pids(&[21])).1,
            "one of HAProxy's own was between"
        );
    }

    #[test]
    fn environment_is_replaced_not_piled_up() {
        let plan = planned(ExecKind::Wait, &["p"], false);
        let row = "type=w;fd=10;cfd=-1;pid=21;reloads=0;failedreloads=0;timestamp=-1;id=;version=3";
        assert_eq!(
            plan.environment.get(..4),
            Some(&*strings(&[
                "A=1",
                "HAPROXY_MWORKER_REEXEC=1",
                "HAPROXY_MWORKER_WAIT_ONLY=1",
                "HAPROXY_LOAD_SUCCESS=0",
            ]))
        );
        let last = plan.environment.last().map(|v| String::from_utf8_lossy(v).into_owned());
        assert!(last.is_some_and(|v| v.starts_with("HAPROXY_PROCESSES=|") && v.ends_with(row)));
        assert!(!state_of(&plan).contains(";table="));
        assert_eq!(plan.keep, [8, 9, 10], "a row that was never forked has nothing to keep");
    }

    #[test]
    fn a_table_that_is_too_long_is_cut_for_the_environment() {
        let mut table = table();
        for pid in 100..2_000 {
            let ipc_fd = [pid, -1];
            let process = Process { pid, options: options::WORKER, ipc_fd, ..Process::default() };
            table.append(process, b"", b"3").expect("memory");
        }
        let whole = handover::write(&table, V3_0).expect("memory");
        assert!(whole.len() > handover::LONGEST);
        let plan = waiting(&table, V3_0, &whole);
        assert!(state_of(&plan).contains(";table=77"));
        let last = String::from_utf8(plan.environment.last().cloned().unwrap_or_default());
        let last = last.expect("text");
        assert!(last.contains("pid=1;") && last.contains("pid=21;") && !last.contains("pid=1999;"));
        let longest = plan.environment.iter().map(Vec::len).max();
        assert!(longest.is_some_and(|l| l < 128 * 1024 && l > handover::LONGEST - 200));
    }

    #[test]
    fn where_there_is_little_room_the_newest_go_over() {
        let mut table = table();
        for pid in 100..2_000 {
            let (options, reloads) = (options::WORKER | options::LEAVING, 5_000 - pid);
            let process = Process { pid, options, reloads, ..Process::default() };
            table.append(process, b"", b"3").expect("memory");
        }
        let whole = handover::write(&table, V3_0).expect("memory");
        let planned = |kind, room| {
            let request = Request {
                argv: &strings(&["p", "-W"]),
                listeners_from: None,
                environment: &strings(&["A=1"]),
                kind,
                load_status: None,
                processes: &whole,
                room,
                state: &HandoverState::default(),
            };
            let plan = planned_by(&table, V3_0, &request);
            let used = limits::total(&plan.argv).saturating_add(limits::total(&plan.environment));
            assert!(used <= room, "{used} of {room}");
            let told = plan.argv.iter().filter(|arg| arg.first().is_some_and(u8::is_ascii_digit));
            let told: Vec<Vec<u8>> = told.cloned().collect();
            let state = state_of(&plan);
            let rows = plan.environment.iter().find(|v| v.starts_with(b"HAPROXY_PROCESSES="));
            let longest = rows.map(|v| v.len().saturating_sub(PROCESSES.len())).unwrap_or_default();
            assert_eq!(state.contains(";table=77"), longest < whole.len());
            (told, state.contains(";untold="), longest)
        };
        let soft = ExecKind::Reload(Hardness::Soft);
        let (told, untold, longest) = planned(soft, 128 * 1024);
        assert!(told.len() > 1_000 && told.len() == 1_902 && !untold, "{}", told.len());
        assert!(longest < whole.len());
        let (told, untold, longest) = planned(soft, 16 * 1024);
        assert!(told.len() > 100 && told.len() < 1_902 && untold && longest > 4_000);
        let newest = ["20", "21", "1999"].map(|pid| pid.as_bytes().to_vec());
        assert!(newest.iter().all(|pid| told.contains(pid)), "{told:?}");
        assert!(!told.contains(&b"100".to_vec()), "the oldest");
        let (told, untold, _) = planned(ExecKind::Wait, 16 * 1024);
        assert!(told.is_empty() && !untold, "who waits tells nobody");
    }

    #[test]
    fn what_another_generation_left_goes() {
        let left = ["HAPROXY_LOAD_SUCCESS=1", "HAPROXY_STARTUPLOGS_FD=7", "HAPROXY_MWORKER=1"];
        let environment = |generation| {
            let request = Request {
                argv: &strings(&["p"]),
                listeners_from: None,
                environment: &strings(&left),
                kind: ExecKind::Reload(Hardness::Soft),
                load_status: None,
                processes: b"|",
                room: ROOM,
                state: &HandoverState::default(),
            };
            let plan = planned_by(&table(), generation, &request);
            let names = plan.environment.iter().map(|v| name_of(v).to_vec());
            names.take_while(|name| name != STATE.as_bytes()).collect::<Vec<_>>()
        };
        let usual = ["HAPROXY_MWORKER", REEXEC];
        assert_eq!(environment(Generation::haproxy(2, 6)), strings(&usual));
        assert_eq!(environment(Generation::haproxy(3, 1)), strings(&usual));
        assert_eq!(environment(Generation::NATIVE), strings(&usual));
        assert_eq!(environment(V3_0), strings(&[START_LOG, "HAPROXY_MWORKER", REEXEC]));
    }

    #[test]
    fn only_what_the_row_names_stays_open() {
        let mut table = PlainTable::default();
        let pair =
            Process { pid: 9, options: options::WORKER, ipc_fd: [4, 5], ..Process::default() };
        table.append(pair, b"", b"").expect("memory");
        let keep = |generation| waiting(&table, generation, b"").keep;
        assert_eq!(keep(Generation::haproxy(2, 6)), [4]);
        assert_eq!(keep(V3_0), [4, 5]);
    }

    #[test]
    fn the_program_is_looked_for_in_path() {
        let found = |name: &str, environment: &[&str]| {
            programs(&strings(&[name, "-W"]), &strings(environment))
        };
        assert_eq!(found("/sbin/p", &["PATH=/a"]), strings(&["/sbin/p"]));
        assert_eq!(found("./p", &["PATH=/a"]), strings(&["./p"]));
        assert_eq!(found("p", &["XPATH=/x", "PATH=/a::/b"]), strings(&["/a/p", "./p", "/b/p"]));
        assert_eq!(found("p", &[]), strings(&["/bin/p", "/usr/bin/p"]));
        assert_eq!(found("", &[]), strings(&[""]));
        assert_eq!(programs(&[], &[]), strings(&[""]));
    }
}
