//! The process environment, which C code reads and writes too.

use std::ffi::{CStr, CString};
use std::io;
use std::os::raw::c_char;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// Every variable, each `NAME=value`.
///
/// # Safety
/// No other thread changes the environment meanwhile.
pub unsafe fn all() -> Vec<Vec<u8>> {
    // SAFETY: by the caller's promise the array stays as it is.
    unsafe { strings(environ) }
}

/// A copy of a NULL-ended array of C strings; none of a NULL.
///
/// # Safety
/// `array` is NULL, or such an array that nobody changes meanwhile.
pub unsafe fn strings(array: *const *const c_char) -> Vec<Vec<u8>> {
    let mut copy = Vec::new();
    if array.is_null() {
        return copy;
    }
    let mut at = array;
    loop {
        // SAFETY: `at` has not passed the NULL that ends the array.
        let string = unsafe { *at };
        if string.is_null() {
            return copy;
        }
        // SAFETY: every element before the NULL is a C string.
        copy.push(unsafe { CStr::from_ptr(string) }.to_bytes().to_vec());
        // SAFETY: the element was not the NULL, so there is one after it.
        at = unsafe { at.add(1) };
    }
}

/// The value of a variable.
///
/// # Safety
/// No other thread changes the environment meanwhile.
pub unsafe fn get(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: a C string; the result is copied before anything can change it.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: getenv() gives NULL or a C string.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes().to_vec())
}

/// Removes a variable.
///
/// # Safety
/// No other thread uses the environment meanwhile.
pub unsafe fn remove(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: a C string.
        unsafe { libc::unsetenv(name.as_ptr()) };
    }
}

/// Sets a variable.
///
/// # Errors
/// Out of memory, or a NUL in it.
///
/// # Safety
/// No other thread uses the environment meanwhile.
pub unsafe fn set(name: &str, value: &[u8]) -> io::Result<()> {
    let (name, value) = (CString::new(name)?, CString::new(value)?);
    // SAFETY: C strings, which are copied.
    super::check(unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) }).map(drop)
}
