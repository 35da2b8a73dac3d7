//! HAProxy's own regression tests, on stock HAProxy and on HAProxy with mworker.
//!
//! `mworker-regtest TREE STOCK OURS RUNNER JOBS [PATH...]`; `make regtest` calls it. TREE is a
//! HAProxy source tree, whose `scripts/run-regtests.sh` chooses and starts the tests (all, or those
//! under the PATHs of its `reg-tests`), RUNNER the vtest or varnishtest that it is to use.
//!
//! They run as they are, then those that allow it with `-W` for every HAProxy that they start. It
//! fails when a test passes on stock and not on ours, and when nothing passed.

mod forced;
mod leftovers;
mod runner;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fs, io};

use runner::{Outcomes, Runner};
use verdict::{Verdict, compare};

/// How often a test that fails on ours runs once more, on both, before it counts.
const AGAIN: usize = 3;
/// How often on top of that when it then both passed and failed.
const LONGER: usize = 8;
/// More failures than that are no accident, and would take long to repeat.
const MOST_AGAIN: usize = 25;

struct Binaries {
    stock: PathBuf,
    ours: PathBuf,
}

/// One set of tests: both binaries, then again what failed on ours.
fn compared(
    runner: &Runner,
    binaries: &Binaries,
    folder: &Path,
    tests: &[String],
) -> io::Result<Verdict> {
    let run = |binary: &Path, tests: &[String], jobs| -> io::Result<Outcomes> {
        runner.run(binary, folder, tests, jobs)
    };
    let timed = |name: &str, binary: &Path| -> io::Result<Outcomes> {
        let start = Instant::now();
        let mut outcomes = run(binary, tests, runner.jobs)?;
        outcomes.add_unchosen(&forced::tests(folder, tests)?);
        println!("  {name}: {} in {} s", outcomes.summary(), start.elapsed().as_secs());
        Ok(outcomes)
    };
    let mut stock = vec![timed("stock", &binaries.stock)?];
    let mut ours = vec![timed("ours", &binaries.ours)?];

    let failed = verdict::to_repeat(&stock[0], &ours[0]);
    if !failed.is_empty() && failed.len() <= MOST_AGAIN {
        let again = |stock: &mut Vec<_>, ours: &mut Vec<_>, tests: &[String], times| {
            println!("  {times} times more on both, one by one: {}", tests.join(" "));
            for _ in 0..times {
                stock.push(run(&binaries.stock, tests, 1)?);
                ours.push(run(&binaries.ours, tests, 1)?);
            }
            io::Result::Ok(())
        };
        again(&mut stock, &mut ours, &failed, AGAIN)?;
        let undecided = verdict::undecided(&stock, &ours, &failed);
        if !undecided.is_empty() {
            again(&mut stock, &mut ours, &undecided, LONGER)?;
        }
    }
    let skipped = stock[0].skipped_by_runner();
    let reasons = runner.why_skipped(&binaries.stock, folder, &skipped)?;
    stock[0].explain(&reasons);
    Ok(compare(&stock, &ours))
}

fn regtest(arguments: &[String], work: &Path) -> io::Result<bool> {
    let [tree, stock, ours, program, jobs, paths @ ..] = arguments else {
        let usage = "usage: mworker-regtest TREE STOCK OURS RUNNER JOBS [PATH...]";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, usage));
    };
    let tree = fs::canonicalize(tree)?;
    let binaries = Binaries { stock: fs::canonicalize(stock)?, ours: fs::canonicalize(ours)? };
    let jobs = jobs.parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("JOBS is '{jobs}', not a number"))
    })?;
    let runner =
        Runner { tree: tree.clone(), program: program.into(), work: work.to_owned(), jobs };
    let own = tree.join("reg-tests");

    println!("As they are:");
    let plain = compared(&runner, &binaries, &own, paths)?;
    print!("{plain}");

    let folder = work.join("W");
    let changed = forced::copy(&own, &folder, paths)?;
    println!("\nWith -W, the {} tests that it can be added to:", changed.len());
    if changed.is_empty() {
        // Without names the script would run all.
        return Ok(plain.holds());
    }
    let with_workers = compared(&runner, &binaries, &folder, &changed)?;
    print!("{with_workers}");

    Ok(plain.holds() && with_workers.holds())
}

/// A folder whose path is as short as can be: below it, and below 59 more bytes of the script's and
/// the runner's, are the sockets of the tests, some of which have names of 28 bytes, and HAProxy
/// takes no more than 97.
fn work_folder() -> io::Result<PathBuf> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for number in 0..1000 {
        let path = PathBuf::from(format!("/tmp/r{number}"));
        result = fs::create_dir(&path).map(|()| path);
        if !matches!(&result, Err(err) if err.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    result
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let run = || -> io::Result<bool> {
        let work = work_folder()?;
        let holds = regtest(&arguments, &work)?;
        if holds {
            fs::remove_dir_all(&work)?;
        } else {
            eprintln!("logs: {}", work.display());
        }
        Ok(holds)
    };
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("regtest: {err}");
            ExitCode::from(2)
        }
    }
}
