//! The only home of system calls: carries out what [`crate::core`] decides.

pub mod clock;
pub mod daemon;
pub mod environment;
pub mod exec;
pub mod fd;
pub mod fork;
pub mod listeners;
pub mod master;
#[cfg(feature = "USE_SYSTEMD")]
pub mod notify;
pub mod poll;
pub mod run;
pub mod shared;
pub mod signals;
pub mod wait;
pub mod worker;

/// Turns a system call's -1 into the error it stands for.
fn check(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats `call` for as long as a signal interrupts it.
fn uninterrupted<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// An error in the system's words only, as strerror() has them.
pub fn describe(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl From<crate::core::table::OutOfMemory> for std::io::Error {
    fn from(_: crate::core::table::OutOfMemory) -> Self {
        std::io::ErrorKind::OutOfMemory.into()
    }
}
