//! A master that a test drives: its host, its process, its CLI and what it notifies.

use std::ffi::OsStr;
use std::process::ExitStatus;

use crate::deadline::{PATIENCE, try_wait_for, wait_for, wait_until};
use crate::procfs;
use crate::show_proc::{ShowProc, pid_of_info};
use crate::{Host, Launch, MasterCli, NotifySocket, Pid, Proxy, Signal};

/// A master, on a host of its own, with a stand-in for systemd. It may not have been started yet.
#[derive(Debug)]
pub struct Master {
    /// Where it lives.
    pub host: Host,
    /// What it notifies of its state.
    pub notify: NotifySocket,
    proxy: Option<Proxy>,
}

impl Master {
    /// Nothing is started yet.
    pub fn new() -> Master {
        let host = Host::new();
        let notify = NotifySocket::at_path(&host);
        Master::with(host, notify)
    }

    /// The same with a host and a socket of any kind.
    pub fn with(host: Host, notify: NotifySocket) -> Master {
        Master { host, notify, proxy: None }
    }

    /// Starts to describe a process that notifies our stand-in.
    pub fn launch(&self, program: impl AsRef<OsStr>) -> Launch {
        self.host.launch(program).env("NOTIFY_SOCKET", self.notify.address())
    }

    /// Starts a process, after the last one has ended if there was one.
    pub fn spawn(&mut self, launch: Launch) {
        self.forget();
        self.proxy = Some(launch.spawn());
    }

    /// Ends the process and everything else of the host.
    pub fn forget(&mut self) {
        self.proxy = None;
    }

    /// The process, if it was started.
    pub fn started(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The process.
    pub fn proxy(&mut self) -> &mut Proxy {
        self.proxy.as_mut().expect("a process was started")
    }

    fn running(&self) -> &Proxy {
        self.proxy.as_ref().expect("a process was started")
    }

    /// Its PID.
    pub fn pid(&self) -> Pid {
        self.running().pid()
    }

    /// Its living children, oldest first.
    pub fn children(&self) -> Vec<Pid> {
        self.running().children()
    }

    /// What it and its children wrote to stderr so far.
    pub fn stderr(&self) -> String {
        self.running().stderr()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.running().signal(signal);
    }

    /// How it ended, if it has.
    #[track_caller]
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        self.proxy().try_exit()
    }

    /// Waits until it has ended, and says how.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        self.proxy().wait_exit(PATIENCE)
    }

    /// Waits until it has ended, with this status, and nothing else is left on its host.
    #[track_caller]
    pub fn expect_exit(&mut self, code: i32) {
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(code), "{status}");
        self.host.wait_empty(PATIENCE);
    }

    // ----- its CLI

    /// A client of its CLI.
    pub fn cli(&self) -> MasterCli {
        MasterCli::new(self.host.master_socket())
    }

    /// Sends its CLI a line; the answer.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        self.cli().ask(line)
    }

    /// Its process table.
    #[track_caller]
    pub fn table(&self) -> ShowProc {
        ShowProc::read(&self.ask("show proc"))
    }

    /// Waits until so many old workers are left.
    #[track_caller]
    pub fn wait_old(&self, count: usize) {
        let what = format!("{count} old workers to be left");
        wait_until(PATIENCE, &what, || self.table().old.len() == count);
    }

    /// Waits until a worker answers on the CLI, and gives its PID. For masters that notify nobody.
    #[track_caller]
    pub fn wait_serving(&mut self) -> Pid {
        let cli = self.cli();
        wait_for(PATIENCE, "a worker to answer on the CLI", || {
            assert_eq!(self.try_exit(), None, "the process has ended");
            pid_of_info(&cli.try_ask("@1 show info").ok()?)
        })
    }

    /// Whether it has closed the connections of all clients of its CLI. What a listener accepted
    /// bears the listener's path.
    pub fn cli_is_idle(&self) -> bool {
        let accepted = format!("unix stream {}", self.host.master_socket().display());
        procfs::descriptors(self.pid())
            .is_ok_and(|all| !all.iter().any(|descriptor| descriptor.kind.starts_with(&accepted)))
    }

    // ----- its log

    /// Waits until `text` has been logged.
    #[track_caller]
    pub fn wait_logged(&self, text: &str) {
        let logged = try_wait_for(PATIENCE, || self.stderr().contains(text).then_some(()));
        assert!(logged.is_some(), "'{text}' was never logged");
    }

    /// Panics unless `text` has been logged.
    #[track_caller]
    pub fn assert_logged(&self, text: &str) {
        assert!(self.stderr().contains(text), "'{text}' was not logged");
    }
}

impl Default for Master {
    fn default() -> Self {
        Master::new()
    }
}
