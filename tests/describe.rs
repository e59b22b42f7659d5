//! `describe`: everything known of a service.

use crate::support::{Project, free_port, pid};

fn project(port: u16) -> Project {
    Project::new()
        .file("web.env", "FROM_FILE=1\n")
        .service("db", "", "min_uptime = 50")
        .service(
            "web",
            &format!("listen {port} --db-token=hidden1"),
            &format!(
                "ports = [{port}]\nenv_file = \"web.env\"\ndepends_on = [\"db\"]\nwatch = [\"src\"]\nmax_restarts = 3\n\
                 env = {{ OWN = \"2\", API_TOKEN = \"hidden2\", GONE = false, URL = \"amqp://u:hidden3@h/\" }}"
            ),
        )
        .toml(
            "[profiles.dev]\nservices = [\"db\", \"web\"]\nenv = { BY_PROFILE = \"3\" }\n\
             overrides.web.env = { OVER = \"4\" }",
        )
        .file("src/a.txt", "")
}

#[test]
fn options_files_and_the_origin_of_each_variable_are_told_and_secrets_are_not() {
    let port = free_port();
    let project = project(port);
    let shell = [("GONE", "x"), ("SHELL_SECRET", "hidden4"), ("PLAIN", "5")];
    // The puppet knows no such word and ends; what it is resolved to can be described all the same.
    project.run_with(&shell, &["dev", "-d", "-e", "BY_OPTION=6"]);
    let run = project.run(&["describe", "web"]).ok();
    let facts: Vec<String> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let file = |path: &str| project.path(path).display().to_string();
    for fact in [
        "web of profile dev",
        "id 1",
        "wanted up",
        &format!("cwd {}", project.path("").display().to_string().trim_end_matches('/')),
        &format!("command {} listen {port} '--db-token=********'", project.puppet()),
        "max_restarts 3",
        "kill_signal SIGINT",
        &format!("ports [{port}]"),
        "depends_on {\"db\":{\"condition\":\"ready\",\"restart\":false}}",
        &format!("watch [\"{}\"]", file("src")),
        &format!("out_file {}", file(".dev/dev/logs/web-out.log")),
        &format!("state {}", file(".dev/dev/state.json")),
        &format!("supervisor.log {}", file(".dev/dev/supervisor.log")),
        &format!("supervisor pid {}", project.supervisor()),
        &format!("env_file {} FROM_FILE=1", file("web.env")),
        "service OWN=2",
        "service API_TOKEN=********",
        "service URL=amqp://u:********@h/",
        "service GONE is removed",
        "profile BY_PROFILE=3",
        "override OVER=4",
        "-e BY_OPTION=6",
        "shell PLAIN=5",
        "shell SHELL_SECRET=********",
    ] {
        assert!(facts.iter().any(|line| line == fact), "no {fact:?}; {run}");
    }
    assert!(facts.iter().any(|line| line.starts_with("socket /")), "{run}");
    assert!(!run.stdout.contains("hidden"), "{run}");
}

#[test]
fn what_runs_is_described_with_its_process() {
    let project = Project::new().service("db", "", "min_uptime = 50").service(
        "web",
        "",
        "min_uptime = 50\ndepends_on = [\"db\"]",
    );
    project.up();
    let web = pid(&project.service_status("web"));
    project.run(&["describe", "web"]).ok().prints(&[&format!("  {web}\n")]);
    project
        .run(&["describe", "0"])
        .ok()
        .prints(&["db of profile dev", "web\n"]);
    project
        .run(&["describe", "*"])
        .ok()
        .prints(&["db of profile dev", "web of profile dev"]);
    project.run(&["describe", "wbe"]).code(1).says(&["did you mean `web`?"]);
    project.run(&["stop"]).ok();
    project.run(&["describe", "web"]).code(1).says(&["no stack is running"]);
}

#[test]
fn a_secret_is_told_nowhere_whatever_variable_it_comes_from() {
    let project = Project::new().file("web.env", "FILE_TOKEN=hidden-of-the-file\n").toml(
        "[services.web]\nscript = \"PUPPET\"\nargs = [\"${FILE_TOKEN}\", \"${SHELL_TOKEN}\"]\nmin_uptime = 50\n\
             env_file = \"web.env\"\nout_file = \"logs/${SHELL_TOKEN}\"\n\
             env = { URL = \"http://h/?k=${SHELL_TOKEN}\", BROKERS = \"amqp://a:hidden1@h1,amqp://b:hidden2@h2\" }\n\
             [profiles.dev]\nservices = [\"web\"]",
    );
    let shell = [
        ("SHELL_TOKEN", "hidden-of-the-shell"),
        ("LINK", "http://s/?k=hidden-of-the-shell"),
    ];
    project.run_with(&shell, &["dev", "-d"]);
    let run = project.run(&["describe", "web"]).ok().prints(&[
        "'********' '********'",
        "URL=http://h/?k=********",
        "LINK=http://s/?k=********",
        "BROKERS=amqp://a:********@h1,amqp://b:********@h2",
    ]);
    assert!(!run.stdout.contains("hidden"), "{run}");
}

#[test]
fn a_secret_of_a_file_is_told_nowhere_though_its_variable_is_set_anew_or_removed() {
    let project = Project::new()
        .file("s.env", "DB_PASSWORD=hidden-987654\nAPI_KEY=hidden-123456\n")
        .service(
            "web",
            "",
            "env_file = \"s.env\"\nmin_uptime = 50\nenv = { DB_PASSWORD = false, API_KEY = \"other-value-1\", \
             DSN = \"host=h password=${DB_PASSWORD}\", URL = \"http://x/?k=${API_KEY}\" }",
        );
    project.up();
    let run = project.run(&["describe", "web"]).ok().prints(&[
        "DB_PASSWORD is removed",
        "API_KEY=********",
        "DSN=host=h password=********",
        "URL=http://x/?k=********",
    ]);
    assert!(!run.stdout.contains("hidden"), "{run}");
}

#[test]
fn a_program_that_is_not_found_is_told_apart_from_the_command_line() {
    let project = Project::new()
        .toml("[services.web]\nscript = \"no-such-program\"\nargs = \"1000\"\n[profiles.dev]\nservices = [\"web\"]");
    project.run(&["dev", "-d"]);
    let run = project.run(&["describe", "web"]).ok();
    let facts: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(facts.contains(&vec!["command", "no-such-program", "1000"]), "{run}");
    let is_error = |fact: &Vec<&str>| fact.starts_with(&["error", "program", "`no-such-program`", "not", "found:"]);
    assert!(facts.iter().any(is_error), "{run}");
}
