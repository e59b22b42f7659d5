//! `bench`: it measures the real binary and says so. How fast that is decides no test.

use crate::support::Project;

#[test]
fn bench_measures_prints_its_table_and_leaves_nothing() {
    let project = Project::new().with_cargo();
    let run = project.run(&["bench", "status", "--rounds", "1"]).ok();
    assert!(run.stderr.contains("measuring status"), "{run}");
    let table: Vec<&str> = run.stdout.lines().collect();
    assert!(table[0].contains("measure") && table[0].contains("floor"), "{run}");
    assert!(
        table[1].contains("`status` of 10 services") && table[1].contains("≤ 3.00 ms"),
        "{run}"
    );
    assert_eq!(table.len(), 2, "{run}");
}

#[test]
fn bench_compares_logs_with_cat() {
    let project = Project::new().with_cargo();
    let run = project.run(&["bench", "logs", "--rounds", "1"]).ok();
    for row in [
        "log of lines of one service ",
        "log of lines of sixteen services",
        "memory (PSS)",
    ] {
        assert!(run.stdout.contains(row), "{run}");
    }
}

#[test]
fn bench_names_what_it_can_measure() {
    let run = Project::new().run(&["bench", "statsu"]).code(1);
    assert!(
        run.stderr.contains("no measures `statsu`") && run.stderr.contains("status"),
        "{run}"
    );
}
