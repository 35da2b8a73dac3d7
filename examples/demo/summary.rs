//! The table at the end.

use std::process::ExitStatus;
use std::time::Duration;

use mworker_kit::load::Report;

/// What was measured.
#[derive(Default)]
pub struct Summary {
    /// How the load went on the web side, and on the echo side.
    pub load: Option<(Report, Report)>,
    /// Reloads that failed as they should.
    pub refused: usize,
    /// How the master ended.
    pub status: Option<ExitStatus>,
    /// Processes still there when the master had exited.
    pub left_over: Option<usize>,
    told: Vec<Duration>,
    served: Vec<Duration>,
}

impl Summary {
    /// A reload worked: systemd knew after `told`, the new worker served alone after `served`.
    pub fn reloaded(&mut self, told: Duration, served: Duration) {
        self.told.push(told);
        self.served.push(served);
    }

    /// Failed requests, and why the first of them did.
    pub fn failures(&self) -> (u64, Vec<String>) {
        let reports = self.load.iter().flat_map(|(web, echo)| [web, echo]);
        reports.fold((0, Vec::new()), |(count, mut reasons), report| {
            reasons.extend(report.reasons.iter().cloned());
            (count + report.failures, reasons)
        })
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut rows: Vec<(&str, String)> = Vec::new();
        if let Some((web, echo)) = &self.load {
            let connections = web.connections + echo.connections;
            let requests = web.requests + echo.requests;
            rows.push(("requests", format!("{requests} over {connections} connections")));
            rows.push(("slowest request", millis(web.slowest.max(echo.slowest))));
        }
        rows.push(("failures", self.failures().0.to_string()));
        rows.push(("reloads", format!("{}, and {} refused", self.served.len(), self.refused)));
        rows.push(("until systemd is told", spread(&self.told)));
        rows.push(("until the new one serves", spread(&self.served)));
        rows.push(("workers left over", known(self.left_over)));
        rows.push((
            "exit status",
            known(self.status.map(|status| match status.code() {
                Some(code) => code.to_string(),
                None => status.to_string(),
            })),
        ));

        let widest = rows.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        let rule = format!("+{:-<27}+{:-<width$}+\n", "", "", width = widest + 2);
        let body: String = rows
            .iter()
            .map(|(name, value)| format!("| {name:<25} | {value:<widest$} |\n"))
            .collect();
        format!("{rule}{body}{rule}")
    }
}

fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "not seen".to_owned(), |value| value.to_string())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    match times.as_slice() {
        [] => "not seen".to_owned(),
        [least, ..] => format!(
            "{} at least, {} median, {} at most",
            millis(*least),
            millis(times[times.len() / 2]),
            millis(times[times.len() - 1])
        ),
    }
}
