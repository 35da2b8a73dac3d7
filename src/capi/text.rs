//! Texts that are handed out in pieces.

use super::error::{ERR_INTERNAL, ERR_INVALID, OK};
use super::guard::guard;
use super::handle::master;
use super::pointers::{ConstMw, wanted};
use crate::core::showproc::Pieces;
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

/// A text that is read in pieces, as there is room for them.
pub struct Text(Pieces);

/// Stores in `*out` the text of `show proc`, with each row's descriptors if
/// `debug` isn't 0. It is the caller's, to be freed with mworker_text_free(),
/// and stays as it is whatever happens to the processes. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_show_proc(
    mw: ConstMw,
    debug: c_int,
    out: Option<&mut MaybeUninit<*mut Text>>,
) -> c_int {
    let Ok(out) = wanted(out, "out") else { return ERR_INVALID };
    out.write(std::ptr::null_mut());
    master(mw, |side| {
        let text = Text(Pieces::new(side.master.show_proc(debug != 0)));
        out.write(Box::into_raw(Box::new(text)));
        Ok(())
    })
}

/// Returns the next whole lines that fit into `room` bytes, and how many bytes
/// they are in `*length` (not NULL); part of a line if it is longer than that.
/// They end with no NUL, and are the library's until mworker_text_advance() or
/// mworker_text_free(). `*length` is 0 when all has been read, or for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_text_peek(
    text: Option<&Text>,
    room: usize,
    length: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(c"".as_ptr(), || {
        let Ok(length) = wanted(length, "length") else { return c"".as_ptr() };
        let piece = text.map_or(&[][..], |text| text.0.peek(room));
        length.write(piece.len());
        if piece.is_empty() { c"".as_ptr() } else { piece.as_ptr().cast() }
    })
}

/// Consumes `taken` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_text_advance(text: Option<&mut Text>, taken: usize) -> c_int {
    guard(ERR_INTERNAL, || {
        let Some(text) = text else { return ERR_INVALID };
        text.0.advance(taken);
        OK
    })
}

/// Frees a text; nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_text_free(text: Option<Box<Text>>) {
    guard((), || drop(text));
}
