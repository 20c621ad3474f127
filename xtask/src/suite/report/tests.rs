//! The reader on what `cargo test` really prints.

use super::*;

const OUTPUT: &str = "\
     Running unittests src/lib.rs (target/debug/deps/rialto_model-0123456789abcdef)

running 2 tests
test id::tests::round_trip ... ok
test slow one has been running for over 60 seconds
test time::tests::zones ... ok

successes:

successes:
    id::tests::round_trip

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running tests/store.rs (target/debug/deps/store-fedcba9876543210)

running 4 tests
test locks ... ok
test fences::postgres ... ok
test nightly ... ignored, takes an hour
test broken ... FAILED

successes:

---- fences::postgres stdout ----
skipped: fences::postgres: RIALTO_TEST_POSTGRES is not set


failures:

---- broken stdout ----
thread 'broken' panicked at 1 != 2

failures:
    broken

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.01s

error: test failed, to rerun pass `-p rialto-store --test store`
";

fn read(output: &str, succeeded: bool) -> (Report, Vec<Event>) {
    let mut reader = Reader::default();
    let events = output.lines().flat_map(|text| reader.line(text)).collect();
    (reader.finish(succeeded), events)
}

#[test]
fn counts_skips_and_failures_are_told_apart() {
    let (report, events) = read(OUTPUT, false);
    assert_eq!((report.passed(), report.failed(), report.skipped()), (3, 1, 2));
    assert_eq!(report.failures, ["store (tests/store.rs) broken"]);
    assert_eq!(report.skips[0].1, "takes an hour");
    assert_eq!(report.skips[1].1, "RIALTO_TEST_POSTGRES is not set");
    assert!(events.contains(&Event::Said("thread 'broken' panicked at 1 != 2".to_owned())), "{events:?}");
    assert!(report.verdict(false).is_err());
}

#[test]
fn a_suite_that_dies_is_a_failure() {
    let cut = OUTPUT.split("test result: ok").next().expect("there is one");
    let (report, _) = read(cut, false);
    assert_eq!(report.failed(), 1);
    assert!(report.verdict(false).is_err());
}

#[test]
fn a_skip_is_good_enough_at_home_and_not_in_ci() {
    let good = OUTPUT.split("     Running tests/store.rs").next().expect("there is one");
    let skipping = format!("{good}skipped: one: no npm\ntest result: ok. 1 passed; 0 failed; 0 ignored;\n");
    let (report, _) = read(&skipping, true);
    assert!(report.verdict(false).is_ok());
    assert!(report.verdict(true).expect_err("skipped").to_string().contains("nothing may be"));
}

#[test]
fn running_nothing_is_no_success() {
    let (report, _) = read("", true);
    assert!(report.verdict(false).is_err());
}

#[test]
fn a_failed_build_is_a_failure() {
    let (report, _) = read("error: could not compile `rialto-store`", false);
    assert_eq!(report.failed(), 1);
    assert!(report.verdict(false).is_err());
}

#[test]
fn a_child_is_passed_over_by_its_name_alone() {
    let results = |name: &str| {
        format!(
            "     Running tests/it/main.rs (target/debug/deps/it-0)\n\nrunning 2 tests\ntest {name} ... ignored, started by \
             others\ntest kill ... ok\n\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured;\n"
        )
    };
    let (report, _) = read(&results("clients::child"), true);
    assert_eq!((report.passed(), report.skipped()), (1, 0));
    let (report, _) = read(&results("clients::other"), true);
    assert_eq!((report.passed(), report.skipped()), (1, 1));
    assert!(report.verdict(true).is_err(), "in CI nothing is skipped");
}
