//! Where clients of the master CLI come in.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening unix socket. Its file goes with it.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens on `path`, for the same user only. A socket that is there is
    /// replaced in one step. Between an exec and here nobody listens, as with
    /// HAProxy: a client that is refused has to try again.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}.new", std::process::id()));
        let new = PathBuf::from(new);
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        let ready = std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| std::fs::rename(&new, path));
        if let Err(error) = ready {
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
        Ok(Self { listener, path: path.to_owned() })
    }

    /// To poll for [`Self::accept`].
    pub fn fd(&self) -> &UnixListener {
        &self.listener
    }

    /// The next client.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; the system's when it can't be taken.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }

    /// Its file goes: nobody listens any more.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
