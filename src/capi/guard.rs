//! The boundary: no panic crosses it.

use super::error::ERR_INTERNAL;
use std::os::raw::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic in it becomes `fallback`.
pub fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}

/// Runs `body`; a panic in it becomes `ERR_INTERNAL`.
pub fn guard_result(body: impl FnOnce() -> c_int) -> c_int {
    guard(ERR_INTERNAL, body)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_is_a_result() {
        assert_eq!(super::guard_result(|| panic!("on purpose")), super::ERR_INTERNAL);
    }
}
