//! What systemd is told, in the words of each HAProxy generation.

use super::process::Pid;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A worker serves.
    Ready {
        /// The master's.
        pid: Pid,
    },
    /// A reload begins.
    Reloading {
        /// CLOCK_MONOTONIC now.
        monotonic_usec: u64,
    },
    /// A reload failed. READY goes with it, as no field says "failed".
    ReloadFailed,
    /// The same, and it was the master that refused the configuration.
    ConfigurationRefused,
    /// The master leaves.
    Stopping,
    /// A line for `systemctl status`.
    Status(String),
    /// Something goes on that may take longer than the unit allows: systemd is
    /// to wait for this many microseconds from now on, unless it does so anyway.
    Extend {
        /// How long.
        usec: u64,
    },
    /// The service lives.
    Watchdog,
}

/// What systemd tells a master by the environment, and nobody else: a worker
/// must not be able to speak in the master's name.
pub const FOR_MASTERS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

#[cfg(feature = "USE_SYSTEMD")]
mod text {
    use super::Notice;
    use crate::core::generation::Generation;
    use sd_notify::NotifyState;

    const REFUSED: &str = "Reload failed (master failed to load or to parse new configuration)!";

    impl Notice {
        /// The datagram, as `generation` writes it.
        pub fn datagram(&self, generation: Generation) -> String {
            use NotifyState as S;
            let status = |text| generation.notifies_status.then_some(S::Status(text));
            match self {
                Self::Ready { pid } => {
                    let pid = S::MainPid(pid.get().unsigned_abs());
                    lines([Some(S::Ready), Some(pid), status("Ready.")])
                }
                Self::Reloading { monotonic_usec } => {
                    let usec = generation
                        .notifies_monotonic
                        .then_some(S::MonotonicUsec(i128::from(*monotonic_usec)));
                    lines([Some(S::Reloading), status("Reloading Configuration."), usec])
                }
                Self::ReloadFailed => lines([Some(S::Ready), status("Reload failed!")]),
                Self::ConfigurationRefused => lines([Some(S::Ready), status(REFUSED)]),
                // Alone, HAProxy writes fields without a newline.
                Self::Stopping => S::Stopping.to_string(),
                Self::Status(text) => S::Status(&one_line(text)).to_string(),
                Self::Extend { usec } => {
                    let usec = u32::try_from(*usec).unwrap_or(u32::MAX);
                    S::ExtendTimeoutUsec(usec).to_string()
                }
                Self::Watchdog => S::Watchdog.to_string(),
            }
        }
    }

    /// The fields that there are. Where HAProxy has a STATUS it ends with a
    /// newline, and else not.
    fn lines<const N: usize>(fields: [Option<NotifyState<'_>>; N]) -> String {
        let has_status = fields.iter().flatten().any(|f| matches!(f, NotifyState::Status(_)));
        let fields: Vec<String> = fields.iter().flatten().map(ToString::to_string).collect();
        fields.join("\n") + if has_status { "\n" } else { "" }
    }

    /// A newline would start another field, and with a NUL byte in it systemd
    /// ignores all of the message.
    fn one_line(text: &str) -> String {
        text.replace(char::is_control, " ")
    }

    #[cfg(test)]
    mod tests {
        use super::super::Notice;
        use crate::core::generation::Generation;
        use crate::core::process::Pid;

        #[test]
        fn each_generation_in_its_own_words() {
            let g = Generation::haproxy;
            let reloading = Notice::Reloading { monotonic_usec: 7 };
            assert_eq!(reloading.datagram(g(2, 6)), "RELOADING=1");
            assert_eq!(
                reloading.datagram(g(2, 8)),
                "RELOADING=1\nSTATUS=Reloading Configuration.\n"
            );
            assert_eq!(
                reloading.datagram(g(3, 0)),
                "RELOADING=1\nSTATUS=Reloading Configuration.\nMONOTONIC_USEC=7\n"
            );
            let ready = Notice::Ready { pid: Pid::new(42).expect("above 0") };
            assert_eq!(ready.datagram(g(2, 6)), "READY=1\nMAINPID=42");
            assert_eq!(ready.datagram(g(3, 0)), "READY=1\nMAINPID=42\nSTATUS=Ready.\n");
            assert_eq!(Notice::ReloadFailed.datagram(g(3, 0)), "READY=1\nSTATUS=Reload failed!\n");
            assert_eq!(
                Notice::ConfigurationRefused.datagram(Generation::NATIVE),
                "READY=1\nSTATUS=Reload failed (master failed to load or to parse new \
                 configuration)!\n"
            );
            assert_eq!(Notice::Stopping.datagram(g(1, 8)), "STOPPING=1");
            let status = Notice::Status("two\nREADY=1".into());
            assert_eq!(status.datagram(g(3, 0)), "STATUS=two READY=1");
        }
    }
}
