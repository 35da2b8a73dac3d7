//! A configuration that can't be read to its end before the test lets it be.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;

use mworker_kit::{PATIENCE, wait_for};

/// A pipe in the place of the file.
pub struct Gate {
    path: PathBuf,
    text: String,
}

/// Somebody waits for the text.
pub struct Reader {
    pipe: File,
    text: String,
}

impl Gate {
    pub fn new(path: PathBuf, text: String) -> Gate {
        let _ = fs::remove_file(&path);
        let status = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(status.success(), "mkfifo: {status}");
        Gate { path, text }
    }

    /// Waits for somebody to read.
    #[track_caller]
    pub fn wait_reader(self) -> Reader {
        let pipe = wait_for(PATIENCE, "somebody to read the configuration", || {
            // Without a reader it is refused.
            OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&self.path).ok()
        });
        Reader { pipe, text: self.text }
    }
}

impl Reader {
    pub fn go_on(mut self) {
        self.pipe.write_all(self.text.as_bytes()).expect("a short text");
    }
}
