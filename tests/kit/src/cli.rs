//! A client of the master CLI, or of any CLI of HAProxy's on a unix socket.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::deadline::PATIENCE;

/// Where to ask.
#[derive(Clone, Debug)]
pub struct MasterCli {
    path: PathBuf,
    limit: Duration,
}

impl MasterCli {
    /// The CLI behind a socket.
    pub fn new(path: impl AsRef<Path>) -> MasterCli {
        MasterCli { path: path.as_ref().to_owned(), limit: PATIENCE }
    }

    /// The same, with another limit for a whole answer.
    pub fn within(mut self, limit: Duration) -> MasterCli {
        self.limit = limit;
        self
    }

    /// Sends one line and no more, and reads the whole answer, up to the end of the
    /// connection. A master CLI closes only once its client has sent its last.
    pub fn try_ask(&self, line: &str) -> io::Result<String> {
        let mut session = self.session()?;
        session.send(&format!("{line}\n"))?;
        session.finish_sending()?;
        session.read_to_end()
    }

    /// Like [`MasterCli::try_ask`], of a CLI which must answer.
    #[track_caller]
    pub fn ask(&self, line: &str) -> String {
        match self.try_ask(line) {
            Ok(answer) => answer,
            Err(err) => panic!("no answer to '{line}' on {}: {err}", self.path.display()),
        }
    }

    /// Opens a connection to send what one likes.
    pub fn session(&self) -> io::Result<Session> {
        let stream = UnixStream::connect(&self.path)?;
        Ok(Session { stream, limit: self.limit })
    }
}

/// One connection. Without a `prompt` sent first, a worker's CLI closes after the first
/// line; a master's goes on until [`Session::finish_sending`].
#[derive(Debug)]
pub struct Session {
    stream: UnixStream,
    limit: Duration,
}

impl Session {
    /// Sends text as it is; commands end in a newline.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.limit))?;
        self.stream.write_all(text.as_bytes())
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads until the other side closes.
    pub fn read_to_end(&mut self) -> io::Result<String> {
        self.read_while(|_| true)
    }

    /// Reads until the text ends with `end`, e.g. a prompt; the end of the connection
    /// before it is an error.
    pub fn read_until(&mut self, end: &str) -> io::Result<String> {
        let text = self.read_while(|text| !text.ends_with(end.as_bytes()))?;
        if text.ends_with(end) {
            return Ok(text);
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("connection closed before '{end}', after {text:?}"),
        ))
    }

    fn read_while(&mut self, more: impl Fn(&[u8]) -> bool) -> io::Result<String> {
        let end = Instant::now() + self.limit;
        let mut text = Vec::new();
        let mut chunk = [0; 16 * 1024];
        while more(&text) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late(self.limit, &text));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(size) => text.extend_from_slice(&chunk[..size]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Err(late(self.limit, &text));
                }
                Err(err) => return Err(err),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn late(limit: Duration, text: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(text);
    io::Error::new(io::ErrorKind::TimedOut, format!("not finished after {limit:?}: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn reads_prompts_and_whole_answers() {
        let dir = crate::TempDir::new();
        let path = dir.path().join("cli");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"> a\n\n> ").unwrap();
            let mut line = [0; 5];
            stream.read_exact(&mut line).unwrap();
            stream.write_all(b"bye").unwrap();
            line
        });
        let mut session = MasterCli::new(&path).session().unwrap();
        assert_eq!(session.read_until("\n\n> ").unwrap(), "> a\n\n> ");
        session.send("quit\n").unwrap();
        assert_eq!(session.read_until("nothing").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(&server.join().unwrap(), b"quit\n");
    }

    #[test]
    fn gives_up_on_a_silent_one() {
        let dir = crate::TempDir::new();
        let path = dir.path().join("cli");
        let _listener = UnixListener::bind(&path).unwrap();
        let cli = MasterCli::new(&path).within(Duration::from_millis(20));
        assert_eq!(cli.try_ask("show proc").unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
