//! What holds for every input of the pure core.
#![allow(missing_docs)]

use mworker::core::generation::{Generation, RowFormat};
use mworker::core::process::{Process, options};
use mworker::core::table::{OutOfMemory, PlainTable, Table};
use proptest::prelude::*;
use proptest::sample::select;

/// 256 cases, or as many as `PROPTEST_CASES` says; nothing is written to the tree.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

const GENERATIONS: [Generation; 11] = [
    Generation::haproxy(1, 9),
    Generation::haproxy(2, 0),
    Generation::haproxy(2, 4),
    Generation::haproxy(2, 6),
    Generation::haproxy(2, 8),
    Generation::haproxy(2, 9),
    Generation::haproxy(3, 0),
    Generation::haproxy(3, 1),
    Generation::haproxy(3, 3),
    Generation::haproxy(3, 5),
    Generation::NATIVE,
];

fn generations() -> impl Strategy<Value = Generation> {
    select(&GENERATIONS)
}

/// A row as a master of ours would write it, and its name and version.
type Row = (Process, Vec<u8>, Vec<u8>);

/// Bytes that a field can carry.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let carried = any::<u8>().prop_filter("it would end the field", |b| !b"|;\0".contains(b));
    prop::collection::vec(carried, 0..12)
}

fn child() -> impl Strategy<Value = Row> {
    let kind = select(&[options::WORKER, options::WORKER, options::PROGRAM, 0]);
    let fd = -1..5000i32;
    let counts = (0..i32::MAX - 1, 0..i32::MAX, any::<i32>());
    (kind, fd.clone(), fd, counts, field(), field()).prop_map(
        |(options, fd, cfd, (reloads, failed_reloads, timestamp), id, version)| {
            let ipc_fd = [fd, cfd];
            let p = Process {
                pid: 1,
                options,
                ipc_fd,
                reloads,
                failed_reloads,
                timestamp,
                ..Process::default()
            };
            (p, id, version)
        },
    )
}

/// The master's row and some children's; each its own PID, from `first` up.
fn rows(first: i32, most: usize) -> impl Strategy<Value = Vec<Row>> {
    (prop::collection::vec(child(), 1..most), any::<prop::sample::Index>()).prop_map(
        move |(mut rows, master)| {
            let at = master.index(rows.len());
            rows[at].0.options = options::MASTER;
            for (row, pid) in rows.iter_mut().zip(first..) {
                row.0.pid = pid;
            }
            rows
        },
    )
}

fn table_of(rows: &[Row]) -> PlainTable {
    let mut table = PlainTable::default();
    for (process, id, version) in rows {
        table.append(*process, id, version).expect("memory");
    }
    table
}

fn rows_of(table: &PlainTable) -> Vec<Row> {
    let row = |(row, p)| (p, table.id(row).to_vec(), table.version(row).to_vec());
    table.rows().map(row).collect()
}

mod handing_over {
    use super::*;
    use mworker::core::handover::{read, write};

    /// What is left of a row once `format` has carried it.
    fn carried((process, id, version): &Row, format: RowFormat) -> Row {
        let mut row = (*process, id.clone(), version.clone());
        if format != RowFormat::V2_7 || process.is_child() {
            row.0.ipc_fd[1] = -1;
        }
        if matches!(format, RowFormat::V1_9 | RowFormat::V2_0) {
            row.0.failed_reloads = 0;
            // Who reads such a row counts the reload, and the workers.
            row.0.reloads += 1;
            row.0.relative_pid = i32::from(process.is(options::WORKER));
        }
        if format == RowFormat::V1_9 {
            (row.1, row.2) = (Vec::new(), Vec::new());
        }
        row
    }

    /// LEAVING is decided by the reader.
    fn without_leaving(mut rows: Vec<Row>) -> Vec<Row> {
        rows.iter_mut().for_each(|r| r.0.options &= !options::LEAVING);
        rows
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn each_format_carries_what_it_can(from in generations(), given in rows(1, 20)) {
            // Who hands over to the next image of its own kind.
            let text = write(&table_of(&given), from).expect("memory");
            let mut table = PlainTable::default();
            let report = read(&text, from, &mut table).expect("memory");
            prop_assert!(report.bad.is_empty() && report.has_master, "{:?}", report);
            let mut due: Vec<Row> = given.iter().map(|r| carried(r, from.row_format)).collect();
            if from.sorts_table {
                due.sort_by_key(|r| r.0.reloads);
            }
            prop_assert_eq!(without_leaving(rows_of(&table)), due);
            let master = table.master().map(|row| table.load(row).options);
            prop_assert_eq!(master, Some(options::MASTER), "the master is never LEAVING");
        }

        #[test]
        fn every_generation_reads_every_other(
            from in generations(), to in generations(), given in rows(1, 20),
        ) {
            let text = write(&table_of(&given), from).expect("memory");
            let mut table = PlainTable::default();
            let report = read(&text, to, &mut table).expect("memory");
            prop_assert!(report.bad.is_empty() && report.has_master, "{:?}", report);
            let mut pids: Vec<i32> = table.rows().map(|(_, p)| p.pid).collect();
            pids.sort_unstable();
            prop_assert!(pids.iter().eq(given.iter().map(|r| &r.0.pid)), "{:?}", pids);
        }

        #[test]
        fn garbage_costs_no_good_row(
            given in rows(100_000, 12),
            garbage in prop::collection::vec(garbage(), 12),
        ) {
            let generation = Generation::haproxy(3, 0);
            let mut text = Vec::new();
            for (row, garbage) in given.iter().zip(&garbage) {
                text.extend(write(&table_of(std::slice::from_ref(row)), generation).expect("memory"));
                text.push(b'|');
                text.extend(garbage);
            }
            let mut table = PlainTable::default();
            let report = read(&text, generation, &mut table).expect("memory");
            let mut found = without_leaving(rows_of(&table));
            found.retain(|r| r.0.pid >= 100_000);
            let given: Vec<Row> = given.iter().map(|r| carried(r, RowFormat::V2_7)).collect();
            prop_assert_eq!(found, given, "{:?}", report);
        }

        #[test]
        fn anything_can_be_read(text in any::<Vec<u8>>(), generation in generations()) {
            let mut table = PlainTable::default();
            let report = read(&text, generation, &mut table).expect("memory");
            prop_assert!(table.rows().all(|(_, p)| p.pid > 0));
            let rows = text.split(|b| *b == b'|').filter(|r| !r.is_empty()).count();
            prop_assert_eq!(report.bad.len() + table.len(), rows, "each row is read or reported");
        }

        #[test]
        fn no_name_forges_a_row(id in any::<Vec<u8>>(), version in any::<Vec<u8>>()) {
            let options = options::PROGRAM;
            let program = Process { pid: 7, options, ..Process::default() };
            let text = write(&table_of(&[(program, id, version)]), Generation::NATIVE);
            let mut table = PlainTable::default();
            read(&text.expect("memory"), Generation::haproxy(3, 0), &mut table).expect("memory");
            let found: Vec<Process> = table.rows().map(|(_, p)| p).collect();
            prop_assert_eq!(found, [program]);
        }
    }

    /// Rows that make no sense: noise, and rows that nearly do.
    fn garbage() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(any::<u8>().prop_filter("a row", |b| *b != b'|'), 0..40);
        let wrong = select(&[
            "type=w;pid=0",
            "type=w;pid=-1;fd=3",
            "type=w;pid=99999999999999999999",
            "type=w;pid=12;fd=-2",
            "type=w;pid=12;reloads=-1",
            "type=x;pid=12",
            "type=w",
            "pid",
            "=",
            ";;;",
            "type=w;fd=3;cfd=4;pid=100000;reloads=0",
        ]);
        prop_oneof![noise, wrong.prop_map(|row| row.as_bytes().to_vec())]
    }

    #[test]
    fn a_hundred_thousand_rows_are_handed_over() {
        let row =
            |pid| Process { pid, options: options::WORKER, reloads: pid, ..Process::default() };
        let master = Process { options: options::MASTER, ..row(1) };
        let mut given = vec![(master, Vec::new(), Vec::new())];
        given.extend((2..=100_000).map(|pid| (row(pid), Vec::new(), b"3.5".to_vec())));
        let text = write(&table_of(&given), Generation::NATIVE).expect("memory");
        let mut table = PlainTable::default();
        let report = read(&text, Generation::NATIVE, &mut table).expect("memory");
        assert!(report.bad.is_empty());
        assert_eq!(without_leaving(rows_of(&table)), given);
    }
}

mod reexecuting {
    use super::*;
    use mworker::core::exec::{CommandLine, NO_LISTENERS, Plan, Request, plan};
    use mworker::core::lifecycle::{ExecKind, Hardness};

    /// What a user may type, the options of a master among it.
    fn typed() -> impl Strategy<Value = Vec<Vec<u8>>> {
        const WORDS: &[&str] = &[
            "-W",
            "-Ws",
            "-D",
            "-f",
            "proxy.cfg",
            "8080",
            "--",
            "-sf",
            "-st",
            "-x",
            "/dev/null",
            "/run/old.sock",
            "-1",
            "0",
            "42",
            "-",
            "",
        ];
        let word = prop_oneof![
            select(WORDS).prop_map(|w| w.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(word, 0..10).prop_map(|mut argv| {
            argv.insert(0, b"proxy".to_vec());
            argv
        })
    }

    fn kinds() -> impl Strategy<Value = ExecKind> {
        let reload = ExecKind::Reload;
        select(vec![reload(Hardness::Soft), reload(Hardness::Hard), ExecKind::Wait])
    }

    fn parse(argv: &[Vec<u8>]) -> CommandLine {
        CommandLine::parse(argv.iter().map(Vec::as_slice))
    }

    fn no_listeners(line: &CommandLine) -> bool {
        line.listeners_from.as_deref() == Some(NO_LISTENERS)
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_command_line_is_the_same_after_any_number_of_reloads(
            generation in generations(),
            typed in typed(),
            reloads in prop::collection::vec((rows(2, 6), kinds()), 1..8),
        ) {
            let first = parse(&typed);
            let from = first.listeners_from.clone();
            let mut line = first.clone();
            for (rows, kind) in reloads {
                let Plan { argv, .. } = plan(&table_of(&rows), generation, &Request {
                    argv: &line.argv,
                    listeners_from: from.as_deref(),
                    environment: &[],
                    kind,
                    load_status: None,
                    processes: &[],
                    room: usize::MAX,
                    state: &mworker::core::exec::handover_state::HandoverState::default(),
                }, |_| Ok::<_, OutOfMemory>(9)).expect("memory");
                line = parse(&argv);
                prop_assert_eq!(&line.argv, &first.argv, "{:?}", argv);
                prop_assert_eq!(no_listeners(&line), no_listeners(&first), "{:?}", argv);
                let children = rows.iter().filter_map(|r| r.0.target()).map(|pid| pid.get());
                let named = if kind == ExecKind::Wait { Vec::new() } else { children.collect() };
                prop_assert_eq!(&line.old_pids, &named);
                let hard = kind == ExecKind::Reload(Hardness::Hard) && !named.is_empty();
                prop_assert_eq!(line.hard, hard);
            }
        }

        #[test]
        fn what_follows_two_dashes_is_the_users(before in typed(), after in typed()) {
            let mut argv = before;
            argv.retain(|a| a != b"--" && a != b"-x");
            argv.push(b"--".to_vec());
            argv.extend(after.clone());
            let line = parse(&argv);
            prop_assert!(line.argv.ends_with(&after), "{:?}", line);
        }

        #[test]
        fn an_environment_is_the_same_after_any_number_of_reloads(
            generation in generations(),
            environment in prop::collection::vec(any::<Vec<u8>>(), 0..8),
            reloads in prop::collection::vec((rows(2, 4), kinds()), 1..6),
        ) {
            let mut last = environment;
            let mut users = None;
            for (rows, kind) in reloads {
                let plan = plan(&table_of(&rows), generation, &Request {
                    argv: &[], listeners_from: None, environment: &last, kind, load_status: None,
                    processes: &[],
                    room: usize::MAX,
                    state: &mworker::core::exec::handover_state::HandoverState::default(),
                }, |_| Ok::<_, OutOfMemory>(9)).expect("memory");
                let internal = |v: &&Vec<u8>| {
                    v.starts_with(b"HAPROXY_") || v.starts_with(b"MWORKER_STATE=")
                };
                let own: Vec<_> = plan.environment.iter().filter(|v| !internal(v)).cloned().collect();
                prop_assert_eq!(users.get_or_insert_with(|| own.clone()), &own);
                let tables = plan.environment.iter().filter(|v| v.starts_with(b"HAPROXY_PROCESSES="));
                prop_assert_eq!(tables.count(), 1);
                last = plan.environment;
            }
        }
    }
}

mod remembering {
    use super::*;
    use mworker::core::exec::handover_state::{Failure, HandoverState, one_line};
    use mworker::core::exec::pending_notifications::PendingNotifications;
    use mworker::core::lifecycle::{Hardness, Policy};
    use mworker::core::settings::{ALL, apply, watchdog};

    fn missed() -> impl Strategy<Value = PendingNotifications> {
        let message = prop_oneof![
            Just("RELOADING=1\nMONOTONIC_USEC=7\n".to_owned()),
            Just("READY=1\nSTATUS=Ready.\n".to_owned()),
            Just("STOPPING=1".to_owned()),
            Just("WATCHDOG=1".to_owned()),
            any::<String>().prop_map(|text| format!("STATUS={text}")),
        ];
        prop::collection::vec(message, 0..12).prop_map(|messages| {
            let mut missed = PendingNotifications::default();
            messages.into_iter().for_each(|m| missed.push(m));
            missed
        })
    }

    fn records() -> impl Strategy<Value = HandoverState> {
        let failure = (any::<i64>(), any::<String>())
            .prop_map(|(when, why)| Failure { when, why: one_line(&why) });
        let fd = || prop::option::of(3..i32::MAX);
        let counts = (any::<u32>(), any::<u32>(), any::<i32>(), any::<bool>());
        let untold = prop::option::of(prop_oneof![Just(Hardness::Soft), Just(Hardness::Hard)]);
        let limit = prop::option::of(any::<u64>());
        let end = || (3..i32::MAX, any::<u64>());
        let pair = prop::option::of((end(), end()).prop_map(|(a, b)| [a, b]));
        let inherited = prop::option::of(prop::collection::vec(3..i32::MAX, 0..4));
        let exec = (fd(), fd(), untold, limit, pair, inherited);
        (counts, prop::option::of(failure), exec, missed()).prop_map(
            |(counts, last_failure, exec, missed)| {
                let (failed, restarts, status, vacant) = counts;
                let (memory, table, untold, open_files, pair, inherited) = exec;
                HandoverState {
                    serving: memory.map(i32::unsigned_abs),
                    reloads: table.map(i32::unsigned_abs),
                    failed,
                    last_failure,
                    restarts,
                    status,
                    vacant,
                    memory,
                    missed,
                    table,
                    untold,
                    open_files,
                    pair,
                    inherited,
                }
            },
        )
    }

    fn left(missed: &PendingNotifications) -> Vec<String> {
        let mut missed = missed.clone();
        let mut all = Vec::new();
        while let Some(message) = missed.next().map(str::to_owned) {
            all.push(message);
            missed.sent();
        }
        all
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_record_is_read_as_it_was_written(record in records(), table in any::<Vec<u8>>()) {
            let text = record.write(&table);
            prop_assert!(!text.contains(['\n', '\0']), "{:?}", text);
            prop_assert_eq!(HandoverState::read(&text, &table), (record, true), "{:?}", text);
        }

        #[test]
        fn beside_another_table_only_what_lasts_is_taken(
            record in records(), table in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
        ) {
            prop_assume!(table != other);
            let (read, fresh) = HandoverState::read(&record.write(&table), &other);
            prop_assert!(!fresh && !read.vacant && read.restarts == 0 && read.missed.is_empty());
            prop_assert_eq!((read.failed, read.last_failure), (record.failed, record.last_failure));
        }

        #[test]
        fn any_record_can_be_read(
            text in any::<String>(),
            fields in prop::collection::vec(
                (select(&["failed", "restarts", "status", "vacant", "memory", "table", "missed",
                          "when", "why", "beside", "new"]), "[^;]{0,12}"), 0..8),
        ) {
            let of_fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            for text in [text, of_fields.join(";")] {
                let (record, _) = HandoverState::read(&text, b"");
                prop_assert!(record.memory.is_none_or(|fd| fd > 2));
                prop_assert!(record.table.is_none_or(|fd| fd > 2));
                prop_assert_eq!(HandoverState::read(&record.write(b""), b"").0, record);
            }
        }

        #[test]
        fn what_is_missed_is_short_and_in_order(missed in missed()) {
            prop_assert_eq!(&PendingNotifications::read(&missed.write()), &missed);
            let all = left(&missed);
            prop_assert!(all.len() <= 3, "{:?}", all);
            let place = |field: &str| all.iter().position(|m| m.starts_with(field));
            // STOPPING is final; a reload begins before it ends; nothing is said twice.
            prop_assert!(place("STOPPING").is_none() || place("RELOADING").is_none());
            if let (Some(begins), Some(ends)) = (place("RELOADING"), place("READY")) {
                prop_assert!(begins < ends, "{:?}", all);
            }
            for field in ["STOPPING", "RELOADING", "READY", "STATUS"] {
                let count = all.iter().filter(|m| m.starts_with(field)).count();
                prop_assert!(count <= 1, "{:?}", all);
            }
        }

        #[test]
        fn anything_missed_can_be_read(text in any::<String>()) {
            let missed = PendingNotifications::read(&text);
            prop_assert_eq!(PendingNotifications::read(&missed.write()), missed);
        }

        #[test]
        fn no_setting_is_too_strange(
            name in prop_oneof![select(&ALL).prop_map(str::to_owned), any::<String>()],
            value in prop_oneof![
                any::<String>(),
                any::<i128>().prop_map(|n| n.to_string()),
                (any::<u64>(), "[a-z]{0,4}").prop_map(|(n, unit)| format!("{n}{unit}")),
            ],
        ) {
            let mut policy = Policy::default();
            if let Err(why) = apply(&mut policy, &name, &value) {
                prop_assert_eq!(policy, Policy::default());
                prop_assert!(why.starts_with(&name), "{}", why);
            }
            prop_assert!(policy.start_timeout != Some(0) && policy.restart != Some(0));
            let usec = watchdog(Some(&value), Some(&name), 1);
            prop_assert!(usec != Some(0));
        }
    }
}

mod showing_processes {
    use super::*;
    use mworker::core::showproc::{Pieces, Request, text};

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn pieces_make_the_same_text(
            lines in prop::collection::vec(".{0,40}", 0..30),
            rooms in prop::collection::vec(1usize..60, 1..10),
        ) {
            let whole = lines.join("\n");
            let mut pieces = Pieces::new(whole.clone());
            let mut got: Vec<u8> = Vec::new();
            for room in rooms.iter().cycle() {
                if pieces.is_done() {
                    break;
                }
                let piece = pieces.peek(*room).to_vec();
                prop_assert!(!piece.is_empty() && piece.len() <= *room);
                got.extend(&piece);
                let cut = !piece.contains(&b'\n') || got.ends_with(b"\n");
                prop_assert!(cut || got.len() == whole.len(), "a line is cut in two");
                pieces.advance(piece.len());
            }
            prop_assert!(pieces.peek(1).is_empty());
            prop_assert_eq!(got, whole.into_bytes());
        }

        #[test]
        fn every_process_has_one_line(
            generation in generations(),
            given in rows(1, 20),
            now in any::<i64>(),
            debug in any::<bool>(),
        ) {
            let request = Request { now, own_pid: 1, version: "3", debug };
            let text = text(&table_of(&given), generation, &request);
            let children = given.iter().filter(|r| r.0.is_child());
            for (process, ..) in children {
                let start = format!("{:<15} ", process.pid);
                let lines = text.split('\n').filter(|l| l.starts_with(&start)).count();
                prop_assert_eq!(lines, 1 + usize::from(process.pid == 1), "{}", text);
            }
        }
    }
}

mod command_line_interface {
    use super::*;
    use mworker::core::cli::{Command, Target, parse, split};

    fn targets() -> impl Strategy<Value = Target> {
        prop_oneof![
            Just(Target::Master),
            Just(Target::Current),
            (1..i32::MAX).prop_map(Target::Pid),
        ]
    }

    /// Any bytes, and what looks like a command.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            r"[@!0-9a-z \\;-]{0,30}".prop_map(String::into_bytes),
            r"@!-?[0-9]{1,20} show (proc|version)( debug)?;.{0,5}".prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn a_line_is_split_without_loss(line in lines()) {
            let (mut rest, mut again) = (&line[..], Vec::new());
            loop {
                let (command, next) = split(rest);
                again.extend_from_slice(command);
                if command.len() == rest.len() {
                    break;
                }
                again.push(b';');
                prop_assert!(next.len() < rest.len());
                rest = next;
            }
            prop_assert_eq!(again, line);
        }

        #[test]
        fn anything_is_understood_or_refused(command in lines(), target in targets()) {
            match parse(&command, target) {
                Command::Switch(Target::Pid(pid)) | Command::Forward(Target::Pid(pid), _) => {
                    prop_assert!(pid > 0);
                }
                Command::Forward(Target::Master, _) => prop_assert!(false, "it is the master"),
                _ => {}
            }
        }
    }
}

mod living {
    use super::*;
    use mworker::core::lifecycle::{
        Action, Event, ExecKind, Hardness, Lifecycle, Load, Now, Policy,
    };
    use mworker::core::process::Pid;
    use mworker::core::signal::{Ending, Signal};

    /// Rows as C code could leave them: any numbers at all.
    fn wild_rows() -> impl Strategy<Value = Vec<Row>> {
        let number = || prop_oneof![-2..20i32, any::<i32>()];
        let row = (number(), 0..0x200i32, number(), number(), number()).prop_map(
            |(pid, options, reloads, failed_reloads, timestamp)| {
                let ipc_fd = [-1, -1];
                let p = Process {
                    pid,
                    options,
                    ipc_fd,
                    reloads,
                    failed_reloads,
                    timestamp,
                    ..Process::default()
                };
                (p, Vec::new(), Vec::new())
            },
        );
        prop::collection::vec(row, 0..8)
    }

    fn ended(result: Load) -> Event<'static> {
        Event::LoadEnded { result, why: "" }
    }

    fn events() -> impl Strategy<Value = Event<'static>> {
        static END: Ending = Ending { code: 139, reason: String::new() };
        static LEFT: Ending = Ending { code: 0, reason: String::new() };
        let pid = || prop_oneof![-2..20i32, any::<i32>()];
        let reload = ExecKind::Reload(Hardness::Hard);
        prop_oneof![
            select(Signal::ALL.to_vec()).prop_map(Event::Signal),
            Just(Event::Reload(Hardness::Soft)),
            Just(Event::ReloadNow(Hardness::Soft)),
            (1..20i32).prop_map(|pid| Event::Forked { pid: Pid::new(pid).expect("above 0") }),
            Just(ended(Load::Failed)),
            Just(ended(Load::FailureReported)),
            pid().prop_map(|pid| Event::Ready { pid }),
            Just(ended(Load::Succeeded)),
            Just(Event::EnforceMaxReloads),
            select(vec![reload, ExecKind::Wait])
                .prop_map(|kind| Event::ExecFailed { kind, why: "" }),
            (pid(), select(vec![&END, &LEFT]))
                .prop_map(|(pid, end)| Event::ChildExited { pid, end }),
            Just(Event::NoChildLeft),
        ]
    }

    proptest! {
        #![proptest_config(config())]

        /// Whatever stands in the table and whatever happens, in any order.
        #[test]
        fn nothing_makes_it_panic_or_kill_a_stranger(
            generation in generations(),
            rows in wild_rows(),
            given in prop::collection::vec(any::<i32>(), 0..4),
            max_reloads in prop::option::of(0..3u32),
            wall in any::<i64>(),
            events in prop::collection::vec(events(), 0..30),
        ) {
            let mut table = table_of(&rows);
            let mut life = Lifecycle::new(generation, "Proxy", 1);
            life.policy = Policy { max_reloads, ..Policy::default() };
            life.replaces(given.clone(), Hardness::Soft);
            for event in events {
                let mut actions = Vec::new();
                let known: Vec<i32> = table.rows().map(|(_, p)| p.pid).collect();
                let now = Now { wall, monotonic_usec: 0 };
                let _ = life.step(&mut table, event, now, &mut actions);
                for action in actions {
                    match action {
                        Action::Kill { pid, .. } => prop_assert!(known.contains(&pid.get())),
                        Action::KillStranger { pid, .. } => {
                            prop_assert!(given.contains(&pid.get()));
                        }
                        Action::Release(row, _) => prop_assert!(table.release(row)),
                        _ => {}
                    }
                }
            }
        }
    }
}

#[cfg(feature = "USE_SYSTEMD")]
mod notifying {
    use super::*;
    use mworker::core::notify::Notice;
    use mworker::core::process::Pid;

    fn notices() -> impl Strategy<Value = Notice> {
        let pid = (1..i32::MAX).prop_map(|pid| Pid::new(pid).expect("above 0"));
        prop_oneof![
            pid.prop_map(|pid| Notice::Ready { pid }),
            any::<u64>().prop_map(|monotonic_usec| Notice::Reloading { monotonic_usec }),
            Just(Notice::ReloadFailed),
            Just(Notice::ConfigurationRefused),
            Just(Notice::Stopping),
            prop::collection::vec(any::<char>(), 0..20)
                .prop_map(|text| Notice::Status(text.into_iter().collect())),
            "[a-z\0\r\n=]{0,9}(\n|\r|\r\n)(READY|STOPPING|MAINPID)=1".prop_map(Notice::Status),
        ]
    }

    /// The fields that a notice may have.
    fn fields(notice: &Notice) -> &'static [&'static str] {
        match notice {
            Notice::Ready { .. } => &["READY", "MAINPID", "STATUS"],
            Notice::Reloading { .. } => &["RELOADING", "STATUS", "MONOTONIC_USEC"],
            Notice::ReloadFailed | Notice::ConfigurationRefused => &["READY", "STATUS"],
            Notice::Stopping => &["STOPPING"],
            Notice::Status(_) => &["STATUS"],
            Notice::Extend { .. } => &["EXTEND_TIMEOUT_USEC"],
            Notice::Watchdog => &["WATCHDOG"],
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn no_text_adds_a_field(notice in notices(), generation in generations()) {
            let datagram = notice.datagram(generation);
            let mut left = fields(&notice).to_vec();
            for line in datagram.trim_end_matches('\n').split(['\n', '\r']) {
                let field = line.split('=').next().unwrap_or_default();
                prop_assert!(left.contains(&field), "{:?}", datagram);
                left.retain(|f| *f != field);
            }
            prop_assert!(!datagram.contains('\0'), "{:?}", datagram);
        }
    }
}
