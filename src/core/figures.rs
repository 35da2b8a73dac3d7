//! What workers tell of themselves by the memory that they share.

/// One worker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerFigures {
    /// Whose.
    pub pid: i32,
    /// Its connections, if it has ever told.
    pub connections: Option<u64>,
    /// Changes for as long as its loop runs; 0: it doesn't tell.
    pub beat: u64,
    /// What else it counts, by the names that it gave.
    pub counters: Vec<(String, u64)>,
}

/// All workers'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Figures(pub Vec<WorkerFigures>);

impl Figures {
    /// Connections of all of them; `None` when nobody tells.
    pub fn connections(&self) -> Option<u64> {
        self.0.iter().filter_map(|w| w.connections).reduce(u64::saturating_add)
    }

    /// The life sign of one, if it gives any.
    pub fn beat(&self, pid: i32) -> Option<u64> {
        self.0.iter().find(|w| w.pid == pid).map(|w| w.beat).filter(|beat| *beat != 0)
    }

    /// The sums of all counters, in the order of their first names.
    pub fn counters(&self) -> Vec<(&str, u64)> {
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for (name, value) in self.0.iter().flat_map(|w| &w.counters) {
            match sums.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(*value),
                None => sums.push((name, *value)),
            }
        }
        sums
    }
}
