//! The machine that boots the other one, and shows what comes of the scenarios there.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use mworker_kit::{TempDir, need, try_wait_for};

use crate::inside::{self, Event};
use crate::tree;

/// For the boot, and all scenarios, or the measurements.
const LIMIT: Duration = Duration::from_secs(1200);

pub fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = inside::chosen(&wanted);
    if std::env::args().any(|argument| argument == "--list") {
        chosen.iter().for_each(|scenario| println!("{}: test", scenario.full_name()));
        return ExitCode::SUCCESS;
    }
    let proxies = ["MWORKER_HAPROXY_STOCK", "MWORKER_HAPROXY_OURS", "MWORKER_EXAMPLE_PROXY"];
    need::variables_or_exit(&proxies, "a built HAProxy and example proxy", "systemd");
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !need::found(is_root, "root", "systemd")
        || !need::programs(&["systemd-nspawn", "openssl"], "systemd")
    {
        return ExitCode::SUCCESS;
    }
    let lower = std::env::var_os("MWORKER_SYSTEMD_ROOT").map_or("/".into(), PathBuf::from);
    assert!(lower.is_absolute() && lower.is_dir(), "{} is no folder", lower.display());
    let folder = TempDir::new();
    let begun = Instant::now();
    let mut machine = Machine::boot(&folder, &lower, &wanted.join(" "));
    let tally = machine.follow();
    if tally.passed == tally.scenarios && tally.passed > 0 {
        println!(
            "\n{} scenarios passed under {}, in {:.1} s",
            tally.passed,
            tally.systemd,
            begun.elapsed().as_secs_f64()
        );
        return ExitCode::SUCCESS;
    }
    if tally.passed == 0 || tally.passed + tally.failed.len() < tally.scenarios {
        println!("\nthe machine ended early; its console:\n{}", machine.read("../console"));
        println!("the output of the scenarios:\n{}", machine.read("output"));
    }
    println!("\n{} of {} passed; failed: {:#?}", tally.passed, tally.scenarios, tally.failed);
    ExitCode::FAILURE
}

/// How the scenarios went.
#[derive(Default)]
struct Tally {
    scenarios: usize,
    systemd: String,
    passed: usize,
    failed: Vec<String>,
}

/// A booted container.
struct Machine {
    name: String,
    child: Child,
    out: PathBuf,
    events: fs::File,
    rest: String,
}

impl Machine {
    fn boot(folder: &TempDir, lower: &Path, wanted: &str) -> Machine {
        let name = format!("mworker-{}", process::id());
        let path = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder");
            path
        };
        let (added, scratch, out) = (path("added"), path("scratch"), path("out"));
        tree::fill(&added, wanted);
        fs::write(out.join(inside::EVENTS), "").expect("written");
        let console = fs::File::create(folder.path().join("console")).expect("a file");
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systemd/boot"))
            .arg(&name)
            .arg(lower)
            .args([&added, &scratch, &out])
            .stdin(Stdio::null())
            .stdout(console.try_clone().expect("a descriptor"))
            .stderr(console)
            .spawn()
            .expect("unshare");
        let events = fs::File::open(out.join(inside::EVENTS)).expect("just written");
        Machine { name, child, out, events, rest: String::new() }
    }

    /// A file that the machine has written.
    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.out.join(name)).unwrap_or_default()).into_owned()
    }

    /// Shows what happens until the machine is off.
    fn follow(&mut self) -> Tally {
        let mut tally = Tally::default();
        let off = try_wait_for(LIMIT, || {
            // Asked before the last look at what it has written.
            let exit = self.child.try_wait().expect("a child");
            while let Some(event) = self.next_event() {
                self.show(event, &mut tally);
            }
            exit
        });
        match off {
            Some(status) if !status.success() => println!("\nnspawn: {status}"),
            Some(_) => {}
            None => println!("\nit isn't off after {LIMIT:?}"),
        }
        tally
    }

    fn next_event(&mut self) -> Option<Event> {
        let mut text = String::new();
        if self.events.read_to_string(&mut text).is_ok() {
            self.rest.push_str(&text);
        }
        let end = self.rest.find('\n')?;
        let line: String = self.rest.drain(..=end).collect();
        Some(Event::parse(line.trim_end()))
    }

    fn show(&self, event: Event, tally: &mut Tally) {
        match event {
            Event::Booted { scenarios, systemd } => {
                println!("\n{scenarios} scenarios under {systemd}");
                (tally.scenarios, tally.systemd) = (scenarios, systemd);
            }
            Event::Begun { name } => print!("{name} ... "),
            Event::Passed { ms, note } => {
                tally.passed += 1;
                println!("ok, {ms} ms{}{note}", if note.is_empty() { "" } else { ": " });
            }
            Event::Failed { ms, name } => {
                println!("FAILED, {ms} ms\n{}", self.read(&inside::log_of(&name)));
                tally.failed.push(name);
            }
        }
        let _ = std::io::stdout().flush();
    }
}

impl Drop for Machine {
    /// The container's processes die with nspawn, which is the child.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for hierarchy in ["", "unified/", "systemd/"] {
            let top = Path::new("/sys/fs/cgroup").join(format!("{hierarchy}{}", self.name));
            let gone = try_wait_for(Duration::from_secs(5), || {
                remove_groups(&top);
                (!top.exists()).then_some(())
            });
            if gone.is_none() {
                println!("{} can't be removed", top.display());
            }
        }
    }
}

/// Removes a control group and those below it, as far as they are empty.
fn remove_groups(top: &Path) {
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(top);
}
