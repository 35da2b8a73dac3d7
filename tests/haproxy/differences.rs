//! Where ours is meant to behave unlike stock HAProxy. The only place for it.

/// One deliberate difference.
#[derive(Debug)]
pub struct Difference {
    /// Its entry of `docs/differences.md`.
    pub id: &'static str,
    /// The scenarios that show it; each of them must.
    pub scenarios: &'static [&'static str],
    /// The lines of the stock transcript which ours lacks, in order.
    pub stock: &'static [&'static str],
    /// The lines ours has in their place.
    pub ours: &'static [&'static str],
}

/// All of them. A scenario fails over a difference that is not listed, and over a listed one
/// that is no longer there.
pub const DIFFERENCES: &[Difference] = &[];
