//! What a worker answers to `show info`.

/// What a worker said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    pub name: Option<String>,
    pub version: Option<String>,
    pub pid: Option<i32>,
    pub uptime: Option<u64>,
    pub connections: Option<u64>,
    /// Whether it has been told to stop.
    pub stopping: Option<bool>,
    pub listeners: Option<u64>,
    pub unstoppable: Option<u64>,
}

/// What came back for `@!PID show info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The worker answered.
    Worker(Info),
    /// The master knows no such worker, or none that commands can go to.
    Unknown,
    /// It can't be reached by the master, or closed without a word.
    Nothing,
}

/// Whether a worker takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    Yes,
    No,
    /// It doesn't tell.
    Untold,
}

/// Understands a reply. The words of refusals are HAProxy's, and ours.
pub fn parse(text: &str) -> Reply {
    let text = text.trim();
    if text.is_empty() || (text.starts_with("Worker ") && text.contains("can't be reached")) {
        return Reply::Nothing;
    }
    let refusals = ["Can't find the target", "There is no worker "];
    if refusals.iter().any(|refusal| text.starts_with(refusal)) {
        return Reply::Unknown;
    }
    let mut info = Info::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "Name" => info.name = Some(value.to_owned()),
            "Version" => info.version = Some(value.to_owned()),
            "Pid" => info.pid = value.parse().ok(),
            "Uptime_sec" => info.uptime = value.parse().ok(),
            "CurrConns" => info.connections = value.parse().ok(),
            "Stopping" => info.stopping = value.parse().ok().map(|number: u64| number != 0),
            "Listeners" => info.listeners = value.parse().ok(),
            "Unstoppable Jobs" | "UnstoppableJobs" => info.unstoppable = value.parse().ok(),
            _ => {}
        }
    }
    Reply::Worker(info)
}

impl Info {
    /// HAProxy sets `Stopping` before it closes its listeners: another thread may answer in
    /// between, and with `grace` they stay open for longer. Each listener leaves `Listeners`
    /// once it has been closed, until those are left that never stop: the master's own way to
    /// the worker, which `Unstoppable Jobs` counts. A worker without those lines says
    /// `Stopping: 1` when it takes no more.
    pub fn taking(&self) -> Taking {
        match self.stopping {
            None => Taking::Untold,
            Some(false) => Taking::Yes,
            Some(true) => {
                let open = self.listeners.unwrap_or(0);
                if open > self.unstoppable.unwrap_or(0) { Taking::Yes } else { Taking::No }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taking(text: &str) -> Taking {
        match parse(text) {
            Reply::Worker(info) => info.taking(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn haproxys() {
        let text = "Name: HAProxy\nVersion: 3.0.11-9e587df\nPid: 12\nUptime: 0d 0h00m01s\n\
                    Uptime_sec: 1\nCurrConns: 2\nStopping: 0\nJobs: 9\nUnstoppable Jobs: 1\n\
                    Listeners: 7\n\n";
        let expected = Info {
            name: Some("HAProxy".into()),
            version: Some("3.0.11-9e587df".into()),
            pid: Some(12),
            uptime: Some(1),
            connections: Some(2),
            stopping: Some(false),
            listeners: Some(7),
            unstoppable: Some(1),
        };
        assert_eq!(parse(text), Reply::Worker(expected));
    }

    #[test]
    fn stopping_is_believed_once_the_listeners_are_closed() {
        assert_eq!(taking("Stopping: 0\nUnstoppable Jobs: 1\nListeners: 7\n"), Taking::Yes);
        assert_eq!(taking("Stopping: 1\nUnstoppable Jobs: 1\nListeners: 7\n"), Taking::Yes);
        assert_eq!(taking("Stopping: 1\nUnstoppable Jobs: 1\nListeners: 2\n"), Taking::Yes);
        assert_eq!(taking("Stopping: 1\nUnstoppable Jobs: 1\nListeners: 1\n"), Taking::No);
        assert_eq!(taking("Stopping: 1\nUnstoppable Jobs: 1\nListeners: 0\n"), Taking::No);
    }

    #[test]
    fn other_proxies() {
        assert_eq!(taking("Pid: 3\nStopping: 1\n"), Taking::No);
        assert_eq!(taking("Pid: 3\nStopping: 1\nListeners: 2\n"), Taking::Yes);
        assert_eq!(taking("Pid: 3\nStopping: 1\nListeners: 0\n"), Taking::No);
        assert_eq!(taking("Pid: 3\n"), Taking::Untold);
        assert_eq!(taking("Stopping: maybe\n"), Taking::Untold);
        assert_eq!(taking("Unknown command 'show info'\n"), Taking::Untold);
    }

    #[test]
    fn no_answers() {
        assert_eq!(parse("\n"), Reply::Nothing);
        assert_eq!(parse("Worker 3 can't be reached: Broken pipe\n"), Reply::Nothing);
        assert_eq!(parse("There is no worker with PID 3.\n"), Reply::Unknown);
        let stock = "Can't find the target PID matching the prefix '@!3'\n";
        assert_eq!(parse(stock), Reply::Unknown);
    }
}
