//! Texts that are handed out in pieces.

use super::error::{ERR_INTERNAL, ERR_INVALID, OK};
use super::guard::guard;
use super::handle::{Handle, enter_master};
use crate::core::showproc::Pieces;
use std::ffi::{c_char, c_int};

/// A text that is read in pieces, as there is room for them.
pub struct Text(Pieces);

/// Stores in `*out` the text of `show proc`, with each row's descriptors if
/// `debug` isn't 0. It is the caller's, to be freed with mworker_text_free(),
/// and stays as it is whatever happens to the processes. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `out` NULL or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_show_proc(
    mw: *const Handle,
    debug: c_int,
    out: *mut *mut Text,
) -> c_int {
    if out.is_null() {
        return ERR_INVALID;
    }
    // SAFETY: by the caller's promise.
    unsafe {
        *out = std::ptr::null_mut();
        enter_master(mw, |side| {
            let text = side.master.show_proc(debug != 0);
            *out = Box::into_raw(Box::new(Text(Pieces::new(text))));
            Ok(OK)
        })
    }
}

/// Returns the next whole lines that fit into `room` bytes, and how many bytes
/// they are in `*length` (not NULL); part of a line if it is longer than that.
/// They end with no NUL, and are the library's until mworker_text_advance() or
/// mworker_text_free(). `*length` is 0 when all has been read, or for NULL.
///
/// # Safety
/// `text` is NULL or a text that has not been freed; `length` points to a size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_text_peek(
    text: *const Text,
    room: usize,
    length: *mut usize,
) -> *const c_char {
    guard(c"".as_ptr(), || {
        if length.is_null() {
            return c"".as_ptr();
        }
        // SAFETY: by the caller's promise.
        unsafe {
            let piece = text.as_ref().map_or(&[][..], |text| text.0.peek(room));
            *length = piece.len();
            if piece.is_empty() { c"".as_ptr() } else { piece.as_ptr().cast() }
        }
    })
}

/// The next `taken` bytes have been read.
///
/// # Safety
/// `text` is NULL or a text that has not been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_text_advance(text: *mut Text, taken: usize) -> c_int {
    guard(ERR_INTERNAL, || {
        // SAFETY: by the caller's promise.
        match unsafe { text.as_mut() } {
            Some(text) => {
                text.0.advance(taken);
                OK
            }
            None => ERR_INVALID,
        }
    })
}

/// Frees a text; nothing for NULL.
///
/// # Safety
/// `text` is NULL or a text that isn't used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_text_free(text: *mut Text) {
    guard((), || {
        if !text.is_null() {
            // SAFETY: made by mworker_show_proc(), and given up by the caller.
            drop(unsafe { Box::from_raw(text) });
        }
    });
}
