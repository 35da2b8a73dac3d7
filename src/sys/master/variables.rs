//! The environment of a master, whose process has one thread.

use crate::sys::environment;
use std::ffi::CString;
use std::io;

/// Every variable, each `NAME=value`.
pub fn all() -> Vec<Vec<u8>> {
    // SAFETY: a master has one thread.
    unsafe { environment::all() }
}

/// The value of a variable.
pub fn get(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    // SAFETY: as above.
    let value = unsafe { environment::get(&name) }?;
    Some(String::from_utf8_lossy(&value).into_owned())
}

/// Sets a variable.
///
/// # Errors
/// Out of memory, or a NUL in it.
pub fn set(name: &str, value: &[u8]) -> io::Result<()> {
    // SAFETY: as above.
    unsafe { environment::set(name, value) }
}

/// Removes a variable.
pub fn remove(name: &str) {
    // SAFETY: as above.
    unsafe { environment::remove(name) }
}
