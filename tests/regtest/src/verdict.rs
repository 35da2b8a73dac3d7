//! What stock's outcomes and ours, one after the other, amount to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::runner::{NO_RESULT, Outcome, Outcomes};

/// What is said of the tests that did not pass on both at once.
#[derive(Debug, Default)]
pub struct Verdict {
    passed: usize,
    /// Passes on stock, not on ours.
    fails_on_ours: BTreeMap<String, String>,
    fails_on_both: BTreeMap<String, String>,
    fails_on_stock: BTreeMap<String, String>,
    /// Failed at first, and then now and then, or not any more.
    unsteady: BTreeMap<String, String>,
    cannot_run: BTreeMap<String, String>,
    skipped: BTreeMap<String, String>,
}

fn fails(outcomes: &Outcomes, test: &str) -> bool {
    !matches!(outcomes.0.get(test), Some(Outcome::Passed))
}

fn told(outcomes: &Outcomes, test: &str) -> String {
    outcomes.0.get(test).map_or_else(|| NO_RESULT.to_owned(), Outcome::to_string)
}

/// Neither binary was asked: what the test needs isn't there, or the runner doesn't know it.
fn not_run(outcomes: &Outcomes, test: &str) -> bool {
    matches!(outcomes.0.get(test), Some(Outcome::Skipped(_) | Outcome::CannotRun(_)))
}

fn names<'a>(stock: &'a Outcomes, ours: &'a Outcomes) -> BTreeSet<&'a String> {
    stock.0.keys().chain(ours.0.keys()).collect()
}

/// Those that failed on ours, on stock as well or not, and so have to run again on both.
pub fn to_repeat(stock: &Outcomes, ours: &Outcomes) -> Vec<String> {
    let failed = names(stock, ours)
        .into_iter()
        .filter(|test| fails(ours, test) && !(not_run(stock, test) && not_run(ours, test)));
    failed.cloned().collect()
}

/// How often a test failed, of how many runs; the later runs were of some tests only.
fn failures(runs: &[Outcomes], test: &str) -> (usize, usize) {
    let all = runs.iter().enumerate();
    let of = all.filter(|(number, run)| *number == 0 || run.0.contains_key(test));
    of.fold((0, 0), |(failed, all), (_, run)| (failed + usize::from(fails(run, test)), all + 1))
}

enum Judgement {
    Both,
    Ours,
    Unsteady,
}

/// By this much more often a test that sometimes passes has to fail on ours to count: by chance
/// it hardly does that.
const MORE_OFTEN: usize = 4;

fn judged(on_stock: usize, of_stock: usize, on_ours: usize, of_ours: usize) -> Judgement {
    if on_ours == of_ours && on_stock == of_stock {
        Judgement::Both
    } else if on_ours == of_ours && on_stock == 0 || on_ours >= on_stock + MORE_OFTEN {
        Judgement::Ours
    } else {
        Judgement::Unsteady
    }
}

/// Those that passed and failed, and failed on ours more than once: that has to be looked at longer.
pub fn undecided(stock: &[Outcomes], ours: &[Outcomes], tests: &[String]) -> Vec<String> {
    let mixed = tests.iter().filter(|test| {
        let (on_stock, of_stock) = failures(stock, test);
        let (on_ours, of_ours) = failures(ours, test);
        let clear = on_ours == of_ours && (on_stock == of_stock || on_stock == 0);
        on_ours > 1 && !clear
    });
    mixed.cloned().collect()
}

/// Of both the first run, with all tests, and those again of what failed on ours.
pub fn compare(stock: &[Outcomes], ours: &[Outcomes]) -> Verdict {
    let mut verdict = Verdict::default();
    let ([stock_first, ..], [ours_first, ..]) = (stock, ours) else {
        return verdict;
    };
    for test in names(stock_first, ours_first) {
        let (list, text) = match (fails(stock_first, test), fails(ours_first, test)) {
            (false, false) => {
                verdict.passed += 1;
                continue;
            }
            (true, false) => (&mut verdict.fails_on_stock, told(stock_first, test)),
            (_, true) if not_run(stock_first, test) && not_run(ours_first, test) => {
                let list = match stock_first.0.get(test) {
                    Some(Outcome::CannotRun(_)) => &mut verdict.cannot_run,
                    _ => &mut verdict.skipped,
                };
                (list, told(stock_first, test))
            }
            (_, true) => {
                let (on_stock, of_stock) = failures(stock, test);
                let (on_ours, of_ours) = failures(ours, test);
                let text = format!(
                    "{} (failed {on_ours} of {of_ours} on ours, {on_stock} of {of_stock} on stock)",
                    told(ours_first, test)
                );
                let list = match judged(on_stock, of_stock, on_ours, of_ours) {
                    Judgement::Both => &mut verdict.fails_on_both,
                    Judgement::Ours => &mut verdict.fails_on_ours,
                    Judgement::Unsteady => &mut verdict.unsteady,
                };
                (list, text)
            }
        };
        list.insert(test.clone(), text);
    }
    verdict
}

impl Verdict {
    /// Nothing that passes on stock fails on ours, and something passed.
    pub fn holds(&self) -> bool {
        self.fails_on_ours.is_empty() && self.passed > 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  passed on both: {}", self.passed)?;
        for (name, list) in [
            ("passes on stock, fails on ours", &self.fails_on_ours),
            ("fails on both", &self.fails_on_both),
            ("failed on stock only", &self.fails_on_stock),
            ("fails now and then", &self.unsteady),
            ("can't be run by this runner", &self.cannot_run),
            ("skipped", &self.skipped),
        ] {
            writeln!(f, "  {name}: {}", list.len())?;
            for (test, why) in list {
                writeln!(f, "    {test}: {why}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(of: &[(&str, Outcome)]) -> Outcomes {
        Outcomes(of.iter().map(|(test, how)| ((*test).to_owned(), how.clone())).collect())
    }

    fn failed() -> Outcome {
        Outcome::Failed("c1 timeout".into())
    }

    fn run(of: &[(&str, bool)]) -> Outcomes {
        let all: Vec<_> = of
            .iter()
            .map(|(test, good)| (*test, if *good { Outcome::Passed } else { failed() }))
            .collect();
        outcomes(&all)
    }

    #[test]
    fn a_failure_of_ours_fails() {
        let stock = [run(&[("a", true), ("b", true)]), run(&[("b", true)])];
        let ours = [run(&[("a", true), ("b", false)]), run(&[("b", false)])];
        assert_eq!(to_repeat(&stock[0], &ours[0]), ["b"]);
        let verdict = compare(&stock, &ours);
        assert!(!verdict.holds());
        assert_eq!(verdict.passed, 1);
        assert!(verdict.fails_on_ours.contains_key("b"));
    }

    /// Not repeated (there were too many) is as bad.
    #[test]
    fn without_repetition_a_failure_counts() {
        let verdict =
            compare(&[run(&[("a", true), ("b", true)])], &[run(&[("a", true), ("b", false)])]);
        assert!(!verdict.holds());
    }

    #[test]
    fn a_test_that_stops_short_on_ours_fails() {
        let skipped = outcomes(&[("a", Outcome::Passed), ("b", Outcome::Skipped("x".into()))]);
        let stock = run(&[("a", true), ("b", true)]);
        assert!(!compare(&[stock], &[skipped]).holds());
        let stock = run(&[("a", true), ("b", true)]);
        assert!(!compare(&[stock], &[run(&[("a", true)])]).holds());
    }

    #[test]
    fn what_fails_on_both_is_repeated_too() {
        let good = ("a", true);
        let stock = [run(&[good, ("b", false)]), run(&[("b", false)])];
        let ours = [run(&[good, ("b", false)]), run(&[("b", false)])];
        assert_eq!(to_repeat(&stock[0], &ours[0]), ["b"]);
        let verdict = compare(&stock, &ours);
        assert!(verdict.holds() && verdict.fails_on_both.contains_key("b"));
    }

    #[test]
    fn bad_luck_is_told() {
        let good = ("a", true);
        let stock = [run(&[good, ("b", true)]), run(&[("b", true)])];
        let ours = [run(&[good, ("b", false)]), run(&[("b", true)])];
        let verdict = compare(&stock, &ours);
        assert!(verdict.holds() && verdict.unsteady.contains_key("b"));
        let text = "c1 timeout (failed 1 of 2 on ours, 0 of 2 on stock)";
        assert_eq!(verdict.unsteady["b"], text);
    }

    #[test]
    fn what_passes_sometimes_is_looked_at_longer() {
        let runs = |first: usize, of: usize| -> Vec<Outcomes> {
            (0..of).map(|number| run(&[("a", true), ("b", number >= first)])).collect()
        };
        let tests = ["b".to_owned()];
        assert_eq!(undecided(&runs(0, 4), &runs(3, 4), &tests), tests);
        assert_eq!(undecided(&runs(1, 4), &runs(4, 4), &tests), tests);
        // Once only; always on both; always on ours and never on stock.
        for (stock, ours) in [(0, 1), (4, 4), (0, 4)] {
            assert!(undecided(&runs(stock, 4), &runs(ours, 4), &tests).is_empty());
        }
        assert!(compare(&runs(0, 12), &runs(3, 12)).holds());
        assert!(!compare(&runs(0, 12), &runs(4, 12)).holds());
        assert!(compare(&runs(1, 12), &runs(4, 12)).holds());
        assert!(!compare(&runs(8, 12), &runs(12, 12)).holds());
        assert!(compare(&runs(11, 12), &runs(12, 12)).holds());
    }

    #[test]
    fn what_was_not_run_is_not_called_passed() {
        let all = [
            ("a", Outcome::CannotRun("h1 Unknown haproxy argument: -Ws".into())),
            ("b", Outcome::Skipped("no socat".into())),
        ];
        let (stock, ours) = (outcomes(&all), outcomes(&all));
        assert!(to_repeat(&stock, &ours).is_empty());
        let verdict = compare(&[stock], &[ours]);
        assert_eq!((verdict.passed, verdict.cannot_run.len(), verdict.skipped.len()), (0, 1, 1));
        assert!(!verdict.holds(), "nothing passed");
    }
}
