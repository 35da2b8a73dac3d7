//! One binary being driven, and the transcript of what was seen.

mod learn;
mod note;

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::note::describe;
pub use mworker_kit::procfs::listens;
pub use mworker_kit::show_proc::Section;
use mworker_kit::show_proc::{Row, ShowProc};
use mworker_kit::signal::master_ready;
use mworker_kit::{
    Backend, Held, Launch, Master, PATIENCE, Pid, Port, Signal, http, procfs, try_wait_for,
    wait_until,
};

use crate::compare::STOCK;
use crate::nudge::Nudger;
use crate::text::Names;
use crate::version::{Version, version, version_text};

/// A scenario's view of the binary under test.
pub struct Run {
    binary: PathBuf,
    version: Version,
    master: Master,
    /// Where the frontend of mode http listens.
    pub http: Port,
    /// Where the frontend of mode tcp listens; what it takes is echoed.
    pub tcp: Port,
    /// A spare one.
    pub other: Port,
    echo: Backend,
    names: Names,
    lines: Vec<String>,
    /// How many messages of stderr the transcript has dealt with, the master's and others'.
    logged: usize,
    logged_of_children: usize,
    /// The masters so far: with `-D` there are two.
    masters: Vec<Pid>,
    workers: usize,
    children: usize,
    reloads: u32,
    _nudger: Option<Nudger>,
}

impl Deref for Run {
    type Target = Master;

    fn deref(&self) -> &Master {
        &self.master
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Master {
        &mut self.master
    }
}

impl Run {
    pub fn new(binary: &Path) -> Run {
        let master = Master::new();
        let host = &master.host;
        let mut names = Names::default();
        names.word(&host.dir().to_string_lossy(), "dir");
        names.word(&binary.to_string_lossy(), "haproxy");
        let text = version_text(binary);
        names.word(&text, "version");
        // The last column of `show proc`, whatever the length of the version.
        names.word(&format!("{text:<15}"), "version");
        let (http, tcp, other) = (Port::reserve(), Port::reserve(), Port::reserve());
        let echo = Backend::echo();
        // Whole addresses, for a port alone may be some process's number as well.
        names.word(&http.addr().to_string(), "http address");
        names.word(&tcp.addr().to_string(), "tcp address");
        names.word(&other.addr().to_string(), "other address");
        names.word(&echo.addr().to_string(), "echo address");
        names.number(std::process::id().into(), "test");
        names.word(host.marker(), "marker");
        let version = version(binary);
        let is_stock = std::env::var_os(STOCK).is_some_and(|stock| stock == *binary);
        let nudger =
            (is_stock && version.rules().sleeps_over_signals).then(|| Nudger::start(host, binary));
        Run {
            binary: binary.to_owned(),
            version,
            master,
            http,
            tcp,
            other,
            echo,
            names,
            lines: Vec::new(),
            logged: 0,
            logged_of_children: 0,
            masters: Vec::new(),
            workers: 0,
            children: 0,
            reloads: 0,
            _nudger: nudger,
        }
    }

    // ----- configuration and start

    /// The usual configuration, with lines added to its global section and sections added
    /// to its end.
    pub fn config(&self, global: &str, sections: &str) -> String {
        // Up to 2.4 a new worker gets the listeners of the old one by its stats socket.
        let listeners = match self.version.rules().takes_listeners_by_stats_socket {
            true => " expose-fd listeners",
            false => "",
        };
        let (lua, answer) = if self.version.rules().answers_by_itself {
            let body = "return status 200 content-type text/plain lf-string \"%pid\"";
            (String::new(), body)
        } else {
            let script = self.host.write("pid.lua", PID_LUA);
            (format!("    lua-load {}\n", script.display()), "use-service lua.pid")
        };
        format!(
            "global\n    maxconn 200\n    nbthread {threads}\n    stats socket {stats} level admin{listeners}\n{lua}{global}\n\
             defaults\n{legacy}    timeout connect 10s\n    timeout client 10m\n    timeout server 10m\n\
             frontend web\n    mode http\n    bind {http}\n    \
             http-request {answer}\n\
             listen line\n    mode tcp\n    bind {tcp}\n    server echo {echo}\n{sections}\n",
            threads = if self.version.rules().leaves_threads_asleep { 1 } else { 2 },
            legacy = match self.version.rules().services_hang_in_htx {
                true => "    no option http-use-htx\n",
                false => "",
            },
            stats = self.host.path("stats.sock").display(),
            http = self.http.addr(),
            tcp = self.tcp.addr(),
            echo = self.echo.addr(),
        )
    }

    /// Writes the configuration file.
    pub fn write_config(&self, text: &str) {
        self.host.write("haproxy.cfg", text);
    }

    /// Writes the usual configuration.
    pub fn write_usual_config(&self) {
        self.write_config(&self.config("", ""));
    }

    /// Breaks the configuration: an unknown keyword.
    pub fn write_broken_config(&self) {
        self.write_config(&self.config("    no-such-keyword", ""));
    }

    /// The binary with arguments, the configuration file and the notify socket.
    pub fn launch(&self, args: &[&str]) -> Launch {
        self.launch_program(&self.binary, args)
    }

    /// The same with the binary under another path.
    pub fn launch_program(&self, program: &Path, args: &[&str]) -> Launch {
        self.complete(self.host.launch(program).args(args))
    }

    /// The same, of what begins otherwise.
    pub fn complete(&self, launch: Launch) -> Launch {
        launch
            .arg("-f")
            .arg(self.host.path("haproxy.cfg"))
            .env("NOTIFY_SOCKET", self.notify.address())
    }

    /// `-S SOCKET` of the master CLI.
    pub fn master_socket(&self) -> String {
        self.host.master_socket().to_string_lossy().into_owned()
    }

    /// Which HAProxy this is: what it does may be asked.
    pub fn version(&self) -> Version {
        self.version
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts another process after the first has ended.
    pub fn respawn(&mut self, launch: Launch) {
        self.master.forget();
        self.reloads = 0;
        for name in ["proxy.err", "proxy.out"] {
            let _ = std::fs::remove_file(self.host.path(name));
        }
        self.logged = 0;
        self.logged_of_children = 0;
        self.masters.clear();
        self.spawn(launch);
    }

    /// Like [`Run::respawn`], and waits until it serves.
    pub fn restart_as(&mut self, launch: Launch) {
        self.respawn(launch);
        self.settle();
    }

    /// Starts with an environment that may lead anywhere: notes whether it serves, lets it
    /// reload and stop if so, and how it ended.
    pub fn start_odd(&mut self, launch: Launch) {
        self.respawn(launch);
        let serves = try_wait_for(PATIENCE, || {
            if self.proxy().try_exit().is_some() {
                return Some(false);
            }
            let cli = self.cli().within(Duration::from_secs(2));
            if self.version.rules().answers_when_worker_is_ready {
                cli.try_ask("_loadstatus").ok()?;
            }
            let answer = master_ready(self.pid()).then(|| cli.try_ask("show proc").ok())??;
            (!rows(&answer).is_empty()).then_some(true)
        });
        self.note("serves", format!("{serves:?}"));
        if serves == Some(true) {
            self.note_cli("show proc");
            self.note_request();
            Signal::TERM.send(self.pid());
        }
        self.note_exit();
    }

    /// The same in short: notes whether it serves, and kills it.
    pub fn start_doomed(&mut self, launch: Launch) {
        self.respawn(launch);
        let serves = try_wait_for(PATIENCE, || {
            let ended = self.proxy().try_exit().is_some();
            let cli = self.cli().within(Duration::from_secs(2));
            let rows = cli.try_ask("show proc").map(|answer| rows(&answer).len()).unwrap_or(0);
            (ended || rows > 0).then_some(!ended)
        });
        self.note("serves", format!("{serves:?}"));
        if serves == Some(true) {
            Signal::KILL.send(self.pid());
            self.proxy().wait_exit(PATIENCE);
        }
    }

    /// Starts a process whose readiness is not waited for.
    pub fn spawn(&mut self, launch: Launch) {
        self.master.spawn(launch);
        self.name_master(self.pid());
    }

    /// Goes on with a master that was forked by what [`Run::spawn`] started.
    pub fn follow(&mut self, master: Pid) {
        self.name_master(master);
        self.proxy().follow(master);
    }

    fn name_master(&mut self, pid: Pid) {
        let name = if self.masters.is_empty() { "master" } else { "daemon" };
        self.masters.push(pid);
        self.names.number(pid as u64, name);
    }

    /// Starts with `-Ws -S`, the usual configuration if none was written, and waits until it
    /// serves.
    pub fn start(&mut self) {
        if !self.host.path("haproxy.cfg").exists() {
            self.write_usual_config();
        }
        let socket = self.master_socket();
        let launch = self.launch(&["-Ws", "-S", &socket]);
        self.start_as(launch);
    }

    /// Starts this and waits until it serves.
    pub fn start_as(&mut self, launch: Launch) {
        self.spawn(launch);
        self.settle();
    }

    // ----- what it does

    /// The process: the master, most of the time.
    pub fn master(&self) -> Pid {
        self.pid()
    }

    /// Waits until the master serves its CLI, would act on a signal, and has counted the
    /// reloads asked for so far. Up to 3.0 an image which is about to be replaced loses
    /// signals; from 3.1 on they are held back until the new worker serves.
    #[track_caller]
    pub fn settle(&mut self) {
        let (master, reloads, cli) = (self.pid(), self.reloads, self.cli());
        let cli = cli.within(Duration::from_secs(2));
        let version = self.version;
        let ready = || {
            // It answers when the worker has said READY, or is gone.
            let asked =
                version.rules().answers_when_worker_is_ready.then(|| cli.try_ask("_loadstatus"));
            let status = asked.transpose().ok()?.unwrap_or_default();
            let deaf =
                version.rules().holds_signals_back_after_failure && status.starts_with("Success=0");
            (deaf || master_ready(master)).then_some(())
        };
        let settled = try_wait_for(PATIENCE, || {
            // Read along, or the queue fills up and the master blocks.
            self.notify.messages();
            ready()?;
            let answer = cli.try_ask("show proc").ok()?;
            (rows(&answer).first()?.reloads == reloads).then_some(())?;
            ready()
        });
        assert!(settled.is_some(), "master {master} did not settle after {reloads} reloads");
        if self.version.rules().is_ready_before_its_worker {
            // Up to 2.4 the master is there before its worker, which loses a soft stop that
            // comes before it serves. Where it doesn't, the scenario will say so.
            let _ = http::get(self.http.addr(), "/", Duration::from_secs(2));
        }
        self.learn();
    }

    /// The same where its CLI can't be asked, for a first start that tells systemd.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let master = self.pid();
        self.notify.wait_for("READY", |messages| {
            messages.iter().any(|message| message.sender == master && message.has("READY", "1"))
        });
        wait_until(PATIENCE, "the master to act on signals", || master_ready(master));
        self.learn();
    }

    /// Sends a signal which reloads, waits for the new master to serve, and for the workers
    /// told to leave to have closed their listeners.
    #[track_caller]
    pub fn reload(&mut self, signal: Signal) {
        self.reloads += 1;
        if self.version.rules().holds_signals_back_after_failure && !master_ready(self.pid()) {
            // Stock acts on none after a failed reload, but on its CLI.
            self.cli().ask("reload");
        } else {
            signal.send(self.pid());
        }
        self.settle();
        self.wait_leaving();
    }

    /// Reloads over the CLI, and notes the whole answer. For that to be the same each time
    /// the old worker must not end, so a connection has to be held: the end of a worker is
    /// told in the answer if it comes before the answer is finished.
    #[track_caller]
    pub fn reload_over_cli(&mut self, command: &str) {
        self.reloads += 1;
        let answer = self.cli().ask(command);
        self.settle();
        self.note_text(&format!("answer to {command}"), &answer);
        self.wait_leaving();
    }

    /// Reloads over the CLI, waits until no old worker is left, and notes but the first line
    /// of the answer.
    #[track_caller]
    pub fn reload_over_cli_and_drain(&mut self, command: &str) {
        self.reloads += 1;
        let answer = self.cli().ask(command);
        self.note(&format!("answer to {command}"), answer.lines().next().unwrap_or_default());
        self.settle();
        self.wait_old_workers(0);
    }

    /// Waits until the workers told to leave no longer listen, or are gone.
    #[track_caller]
    pub fn wait_leaving(&self) {
        let old: Vec<Pid> = self.rows_of(Section::OldWorkers).iter().map(|row| row.pid).collect();
        wait_until(PATIENCE, "old workers to stop listening", || {
            old.iter().all(|pid| !listens(*pid))
        });
    }

    /// All rows of `show proc`.
    #[track_caller]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = rows(&self.cli().ask("show proc"));
        if self.version.rules().calls_worker_in_service_old {
            in_service_again(&mut rows);
        }
        rows
    }

    #[track_caller]
    pub fn rows_of(&self, section: Section) -> Vec<Row> {
        let rows = self.rows();
        rows.into_iter().filter(|row| row.section == section).collect()
    }

    /// The current worker.
    #[track_caller]
    pub fn worker(&self) -> Pid {
        let rows = self.rows_of(Section::Workers);
        assert_eq!(rows.len(), 1, "more or less than one current worker: {rows:?}");
        rows[0].pid
    }

    /// Waits until the master knows of so many old workers.
    #[track_caller]
    pub fn wait_old_workers(&self, count: usize) {
        let what = format!("{count} old workers to be left");
        wait_until(PATIENCE, &what, || self.rows_of(Section::OldWorkers).len() == count);
    }

    /// Opens a connection through the current worker, which keeps that worker from leaving
    /// until it is dropped.
    #[track_caller]
    pub fn hold(&self) -> Held {
        let held = Held::open(self.tcp.addr()).expect("a fresh connection that echoes");
        if self.version.rules().misses_the_end_of_connections {
            return held.ends_with_a_reset();
        }
        held
    }

    /// Waits until the master has closed the connections of our own questions. What a
    /// listener accepted bears its path.
    #[track_caller]
    pub fn wait_cli_idle(&self) {
        wait_until(PATIENCE, "the master to close the last CLI connection", || self.cli_is_idle());
    }

    /// Waits until a message with this text has been written.
    #[track_caller]
    pub fn wait_stderr(&mut self, text: &str) {
        wait_until(PATIENCE, &format!("'{text}' on stderr"), || {
            self.proxy().stderr().contains(text)
        });
    }

    /// Waits until one of these texts stands on stderr from byte `before` on; gives it.
    #[track_caller]
    pub fn wait_stderr_one_of<'a>(&mut self, before: usize, texts: &[&'a str]) -> &'a str {
        let found = try_wait_for(PATIENCE, || {
            let stderr = self.proxy().stderr();
            let new = stderr.get(before..)?;
            texts.iter().copied().find(|text| new.contains(text))
        });
        found.unwrap_or_else(|| panic!("none of {texts:?} on stderr"))
    }

    /// Waits until a child has executed this program.
    #[track_caller]
    pub fn wait_executed(&self, program: &str) -> Pid {
        let found = try_wait_for(PATIENCE, || {
            procfs::children(self.pid()).into_iter().rev().find(|pid| {
                procfs::cmdline(*pid)
                    .is_ok_and(|cmdline| cmdline.first().is_some_and(|name| name == program))
            })
        });
        found.unwrap_or_else(|| panic!("no child of {} executed {program}", self.pid()))
    }

    /// How many reloads were asked for by other means than [`Run::reload`].
    pub fn count_reloads(&mut self, more: u32) {
        self.reloads += more;
    }

    /// The same of a table that the first image is given.
    pub fn count_reloads_of_the_table(&mut self, handed_over: u32) {
        let on_reading = u32::from(self.version.rules().counts_reloads_on_reading);
        self.count_reloads(handed_over + on_reading);
    }

    /// So many reloads have failed since the last that did not, where `show proc` has that.
    #[track_caller]
    pub fn assert_failed(&self, count: usize) {
        let table = self.cli().ask("show proc");
        let shown = table.contains(&format!("[failed: {count}]"));
        assert_eq!(shown, self.version.rules().shows_failed_reloads, "{count} of {table}");
    }

    pub fn into_transcript(self) -> Vec<String> {
        self.lines
    }
}

/// Answers with the worker's PID, for HAProxy up to 2.1.
const PID_LUA: &str = "\
core.register_service('pid', 'http', function(applet)
    local file = io.open('/proc/self/stat')
    local pid = file:read('*n') .. ''
    file:close()
    applet:set_status(200)
    applet:add_header('content-length', #pid)
    applet:start_response()
    applet:send(pid)
end)
";

/// The rows of an answer to `show proc`, the master's first.
pub fn rows(answer: &str) -> Vec<Row> {
    ShowProc::read(answer).rows
}

/// With no current worker, the newest of the old ones is the one in service, and comes first.
fn in_service_again(rows: &mut [Row]) {
    let (current, old) = (Section::Workers, Section::OldWorkers);
    let newest = rows.iter().filter(|row| row.section == old).map(|row| row.reloads).min();
    if rows.iter().any(|row| row.section == current) {
        return;
    }
    for row in rows.iter_mut().filter(|row| row.section == old && Some(row.reloads) == newest) {
        row.section = current;
    }
    rows.sort_by_key(|row| row.section == old);
}
