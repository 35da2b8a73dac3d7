//! What C passes, one type for each kind of pointer.
//!
//! Only C makes values of these types, and `include/mworker.h` says what each may point to. So
//! what they promise is argued for here, once, and not by each function that takes one. Results
//! go out through `Option<&mut MaybeUninit<T>>`, which is a pointer to C.

use super::error::Failure;
use super::handle::Handle;
use crate::sys::environment;
use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;

/// A handle: NULL, or one of mworker_new() that has not been freed. One thread uses it, but for
/// what [`Handle::page`] offers.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Mw(*mut Handle);

/// A handle of a function that changes nothing that C sees.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct ConstMw(*const Handle);

impl From<Mw> for ConstMw {
    fn from(mw: Mw) -> Self {
        Self(mw.0)
    }
}

impl ConstMw {
    pub(super) fn get(&self) -> Option<&Handle> {
        // SAFETY: NULL or a handle, which isn't freed during a call.
        unsafe { self.0.as_ref() }
    }
}

/// A C string, or NULL.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Chars(*const c_char);

impl Chars {
    /// Its bytes without the NUL; `None` for NULL.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        // SAFETY: a C string, which C leaves alone during a call.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    /// A copy; what isn't UTF-8 is replaced.
    pub(super) fn text(&self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A copy of the argument `name`, which may not be NULL.
    pub(super) fn required(&self, name: &str) -> Result<String, Failure> {
        self.text().ok_or_else(|| Failure::invalid(format!("{name} is NULL")))
    }
}

/// C strings with a NULL after the last, or NULL.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Strings(*const *const c_char);

impl Strings {
    /// Copies; `None` for NULL.
    pub(super) fn copy(&self) -> Option<Vec<Vec<u8>>> {
        // SAFETY: an array that ends with NULL, which C leaves alone during a call.
        (!self.0.is_null()).then(|| unsafe { environment::strings(self.0) })
    }

    /// The first `count`, where C says how many there are; `None` if one is NULL.
    pub(super) fn first(&self, count: usize) -> Option<Vec<&[u8]>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: C says that there are so many, and leaves them alone during a call.
        let strings = unsafe { std::slice::from_raw_parts(self.0, count) };
        // SAFETY: each is NULL or a C string.
        let text = |string: &*const c_char| unsafe { CStr::from_ptr(*string) }.to_bytes();
        strings.iter().map(|string| (!string.is_null()).then(|| text(string))).collect()
    }
}

/// The arguments of main(), or NULL.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Argv(*mut *mut c_char);

impl Argv {
    /// Leaves those of `count` arguments for which `keep` holds, and a NULL after them. Returns
    /// how many are left; `None` if an argument is NULL.
    pub(super) fn retain(
        self,
        count: usize,
        choose: impl FnOnce(&[&[u8]]) -> Vec<bool>,
    ) -> Option<usize> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: main() has so many arguments, each a C string, and a NULL after them.
        let arguments = unsafe { std::slice::from_raw_parts_mut(self.0, count.saturating_add(1)) };
        let (end, arguments) = arguments.split_last_mut()?;
        if arguments.iter().any(|argument| argument.is_null()) {
            return None;
        }
        // SAFETY: as above.
        let text = |argument: &*mut c_char| unsafe { CStr::from_ptr(*argument) }.to_bytes();
        let texts: Vec<&[u8]> = arguments.iter().map(text).collect();
        let kept = choose(&texts);
        let mut left = 0;
        for at in 0..arguments.len() {
            if kept.get(at) == Some(&true) {
                arguments[left] = arguments[at];
                left += 1;
            }
        }
        if let Some(after) = arguments.get_mut(left) {
            *after = std::ptr::null_mut();
        }
        *end = std::ptr::null_mut();
        Some(left)
    }
}

/// Stores a result, unless C doesn't want it.
pub(super) fn store<T>(out: Option<&mut MaybeUninit<T>>, value: T) {
    if let Some(out) = out {
        out.write(value);
    }
}

/// The place of a result that C has to want.
pub(super) fn wanted<'a, T>(
    out: Option<&'a mut MaybeUninit<T>>,
    name: &str,
) -> Result<&'a mut MaybeUninit<T>, Failure> {
    out.ok_or_else(|| Failure::invalid(format!("{name} is NULL")))
}
