//! One client of the master CLI.

use crate::core::cli::{self, Command, Target};
use crate::core::lifecycle::Hardness;
use crate::core::process::options;
use crate::core::table::Table;
use crate::sys::fd;
use crate::sys::master::{Host, Master};
use crate::sys::worker::CLI_CONNECTION;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// More than this in one line is no command.
const LONGEST_LINE: usize = 16 * 1024;
/// What is kept for a client that reads slowly, before its worker has to wait.
const HIGH_WATER: usize = 64 * 1024;

/// What a client needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// To be polled.
    Io,
    /// Nothing more.
    Close,
    /// A reload.
    Reload(Hardness),
}

/// A connection and what is to be done for it.
pub struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// What is left of the line that is being carried out.
    line: Option<Vec<u8>>,
    output: Vec<u8>,
    relay: Option<UnixStream>,
    target: Target,
    interactive: bool,
    prompt_due: bool,
    /// It sends nothing more.
    ended: bool,
    /// Nothing more is done for it but to send what is left.
    closing: bool,
    broken: bool,
}

impl Client {
    /// A new connection.
    pub fn new(stream: UnixStream) -> Self {
        let broken = stream.set_nonblocking(true).is_err();
        Self {
            stream,
            input: Vec::new(),
            line: None,
            output: Vec::new(),
            relay: None,
            target: Target::Master,
            interactive: false,
            prompt_due: false,
            ended: false,
            closing: false,
            broken,
        }
    }

    /// Its connection.
    pub fn fd(&self) -> &UnixStream {
        &self.stream
    }

    /// The connection of the worker that answers it.
    pub fn relay(&self) -> Option<&UnixStream> {
        self.relay.as_ref()
    }

    /// Whether to poll its connection for reading and for writing.
    pub fn wants_io(&self) -> (bool, bool) {
        let reads = !self.ended && !self.closing && self.input.len() < LONGEST_LINE;
        (reads && self.relay.is_none(), !self.output.is_empty())
    }

    /// Whether its worker may go on.
    pub fn has_room(&self) -> bool {
        self.output.len() < HIGH_WATER
    }

    /// Refuses its `reload`, which is the last that it gets.
    pub fn answer_reload(&mut self, why: &str) {
        self.output.extend_from_slice(cli::reload_answer(false, why).as_bytes());
        self.closing = true;
    }

    /// Reads what it sent.
    pub fn read(&mut self) {
        if !self.wants_io().0 {
            return;
        }
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.ended = true,
                Ok(count) => self.input.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.broken = true,
            }
            if self.input.len() > LONGEST_LINE {
                break;
            }
        }
    }

    /// Reads what its worker answers.
    pub fn read_relay(&mut self) {
        let mut buffer = [0; 4096];
        while self.has_room() {
            let Some(relay) = &mut self.relay else { return };
            match relay.read(&mut buffer) {
                Ok(count) if count > 0 => self.output.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.relay = None;
                    return self.command_done();
                }
            }
        }
    }

    /// Does what can be done now.
    pub fn proceed<T: Table, H: Host<T::Row>>(&mut self, master: &Master<T, H>) -> Wants {
        loop {
            self.flush();
            if self.broken || (self.closing && self.output.is_empty()) {
                return Wants::Close;
            }
            // One command at a time: the next may be a reload, and take the
            // connection elsewhere.
            if self.relay.is_some() || self.closing || !self.output.is_empty() {
                return Wants::Io;
            }
            if self.prompt_due && self.line.is_none() {
                self.show_prompt(master);
                continue;
            }
            let Some(command) = self.next_command() else {
                self.closing |= self.ended;
                if self.closing {
                    continue;
                }
                return Wants::Io;
            };
            if let Some(hardness) = self.carry_out(&command, master) {
                return Wants::Reload(hardness);
            }
        }
    }

    fn flush(&mut self) {
        while !self.output.is_empty() && !self.broken {
            match self.stream.write(&self.output) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
    }

    /// The next command of the line at hand, or of the next line.
    fn next_command(&mut self) -> Option<Vec<u8>> {
        if self.line.is_none() {
            let end = self.input.iter().position(|b| *b == b'\n');
            self.line = match end {
                Some(end) => {
                    let line = self.input.drain(..=end).collect::<Vec<u8>>();
                    Some(line.trim_ascii_end().to_vec())
                }
                None if self.input.len() >= LONGEST_LINE => {
                    self.say("The command is too long.");
                    self.closing = true;
                    None
                }
                // Without a newline at its end it still is a line.
                None if self.ended && !self.input.is_empty() => {
                    Some(std::mem::take(&mut self.input))
                }
                None => None,
            };
        }
        let line = self.line.take()?;
        let (command, rest) = cli::split(&line);
        self.line = (!rest.is_empty()).then(|| rest.to_vec());
        Some(command.to_vec())
    }

    /// A command has been answered.
    fn command_done(&mut self) {
        self.output.push(b'\n');
        self.prompt_due = self.interactive;
        if self.line.is_none() && !self.interactive {
            // Like HAProxy's, without a prompt it is for one line.
            self.closing = true;
        }
    }

    fn say(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
        if !text.ends_with('\n') {
            self.output.push(b'\n');
        }
    }

    fn carry_out<T: Table, H: Host<T::Row>>(
        &mut self,
        command: &[u8],
        master: &Master<T, H>,
    ) -> Option<Hardness> {
        match cli::parse(command, self.target) {
            Command::Quit => {
                self.closing = true;
                return None;
            }
            Command::Prompt => {
                self.interactive = !self.interactive;
            }
            Command::Reload(hardness) => return Some(hardness),
            Command::Forward(target, command) => match self.forward(target, &command, master) {
                Ok(()) => return None,
                Err(why) => self.say(&why),
            },
            Command::Switch(target) => self.target = target,
            Command::Help => self.say(cli::HELP),
            Command::ShowProc { debug } => self.say(&master.show_proc(debug)),
            Command::ShowVersion => self.say(master.version()),
            Command::Bad(why) => self.say(&why),
            Command::Empty => {}
        }
        self.command_done();
        None
    }

    fn show_prompt<T: Table, H: Host<T::Row>>(&mut self, master: &Master<T, H>) {
        let row = master.table.master();
        let failed = row.is_some_and(|row| master.table.load(row).failed_reloads > 0);
        let prompt = cli::prompt(self.target, failed);
        self.prompt_due = false;
        self.output.extend_from_slice(prompt.as_bytes());
    }

    /// Connects it with a worker.
    fn forward<T: Table, H: Host<T::Row>>(
        &mut self,
        target: Target,
        command: &[u8],
        master: &Master<T, H>,
    ) -> Result<(), String> {
        let row = master.table.find(|p| {
            p.is(options::WORKER)
                && !p.is(options::INIT)
                && match target {
                    Target::Master => false,
                    Target::Current => !p.is(options::LEAVING),
                    Target::Pid(pid) => p.pid == pid,
                }
        });
        let Some(worker) = row.map(|row| master.table.load(row)) else {
            return Err(format!("There is no worker {}.", name(target)));
        };
        let connect = || {
            // SAFETY: the row owns it for as long as it is in the table.
            let Some(to) = (unsafe { fd::borrow_raw(worker.ipc_fd[0]) }) else {
                return Err(io::Error::from(io::ErrorKind::NotConnected));
            };
            let (mine, theirs) = fd::stream_pair()?;
            fd::send(to, &[CLI_CONNECTION], Some(theirs.as_fd()))?;
            let mut mine = UnixStream::from(mine);
            mine.write_all(command)?;
            mine.write_all(b"\n")?;
            mine.shutdown(Shutdown::Write)?;
            mine.set_nonblocking(true)?;
            Ok(mine)
        };
        let relay =
            connect().map_err(|e| format!("Worker {} can't be reached: {e}", worker.pid))?;
        self.relay = Some(relay);
        Ok(())
    }
}

fn name(target: Target) -> String {
    match target {
        Target::Master => "in the master".into(),
        Target::Current => "in service".into(),
        Target::Pid(pid) => format!("with PID {pid}"),
    }
}
