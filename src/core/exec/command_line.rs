//! The command line of a master.

/// A command line without what a former master put into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The arguments, the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// The PIDs after `-sf` or `-st`.
    pub old_pids: Vec<i32>,
    /// `-st`: those PIDs are to leave at once.
    pub hard: bool,
    /// The argument of `-x`: where listeners may be asked for.
    pub listeners_from: Option<Vec<u8>>,
}

impl CommandLine {
    /// Takes `-sf`, `-st` and `-x` with their arguments out of `argv`, up to a
    /// `--`. What isn't a PID among the PIDs is left out.
    pub fn parse<'a>(argv: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut line = Self::default();
        let mut args = argv.into_iter().peekable();
        line.argv.extend(args.next().map(<[u8]>::to_vec));
        while let Some(arg) = args.next() {
            match arg {
                b"--" => {
                    line.argv.push(arg.to_vec());
                    line.argv.extend(args.by_ref().map(<[u8]>::to_vec));
                }
                b"-sf" | b"-st" => {
                    line.hard = arg == b"-st";
                    while let Some(pid) = args.next_if(|a| !a.starts_with(b"-")) {
                        line.old_pids.extend(pid_of(pid));
                    }
                }
                b"-x" => {
                    let from = args.next().filter(|from| !from.is_empty());
                    line.listeners_from = from.map(<[u8]>::to_vec);
                }
                _ => line.argv.push(arg.to_vec()),
            }
        }
        line
    }
}

fn pid_of(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<Vec<u8>> {
        items.iter().map(|i| i.as_bytes().to_vec()).collect()
    }

    #[test]
    fn what_a_former_master_added_is_taken_out() {
        let argv = ["p", "-sf", "3", "x", "0", "-x", "sockpair@4", "-W", "--", "-sf", "9"];
        let line = CommandLine::parse(argv.iter().map(|a| a.as_bytes()));
        assert_eq!(line.argv, strings(&["p", "-W", "--", "-sf", "9"]));
        assert_eq!((line.old_pids, line.hard), (vec![3], false));
        assert_eq!(line.listeners_from.as_deref(), Some(&b"sockpair@4"[..]));
        assert!(CommandLine::parse([&b"p"[..], b"-st", b"7"]).hard);
        assert_eq!(CommandLine::parse([&b"p"[..], b"-x"]).listeners_from, None);
    }
}
