//! `check`, `config` and `build`: a `dev.toml` is wrong in the open, and a plan can be read before it runs.

use crate::support::{Project, free_port};

#[test]
fn a_good_file_passes() {
    let project = Project::new().service("web", "", "");
    project.run(&["check"]).ok();
}

#[test]
fn all_errors_are_reported_at_once_with_their_places_and_the_nearest_known_name() {
    let text = "[services.web]\n\
                script = \"web\"\n\
                max_restart = 3\n\
                kill_timeout = \"soon\"\n\
                depends_on = [\"qeue\"]\n\
                \n\
                [services.queue]\n\
                script = \"queue\"\n\
                ports = [70000]\n\
                \n\
                [profile.dev]\n\
                services = [\"web\"]\n";
    let project = Project::new().file("dev.toml", text);
    let run = project.run(&["check"]).code(1);
    for (place, parts) in [
        ("dev.toml:3:1:", vec!["max_restart", "max_restarts"]),
        ("dev.toml:4:16:", vec!["kill_timeout", "soon"]),
        ("dev.toml:5:15:", vec!["qeue", "queue"]),
        ("dev.toml:9:10:", vec!["70000"]),
        ("dev.toml:11:2:", vec!["profile", "profiles"]),
    ] {
        let line = run
            .stderr
            .lines()
            .find(|line| line.contains(place))
            .unwrap_or_else(|| panic!("no {place} on stderr; {run}"));
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
    }
    // Every command that needs the file says the same.
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["dev.toml:3:1:", "dev.toml:11:2:"]);
}

#[test]
fn a_file_that_is_no_toml_is_an_error_with_its_place() {
    let project = Project::new().file("dev.toml", "[services.web\nscript = 1\n");
    project.run(&["check"]).code(1).says(&["error: ", "dev.toml:1:"]);
}

#[test]
fn a_mistake_of_a_service_with_instances_is_said_once() {
    let project = Project::new().service(
        "web",
        "",
        "pty = true\nerror_file = \"e-${XTASK_INSTANCE}\"\ninstances = 3",
    );
    let run = project.run(&["check"]).code(1);
    assert_eq!(run.stderr.matches("with `pty` both outputs").count(), 1, "{run}");
}

#[test]
fn a_circle_of_dependencies_is_named() {
    let project = Project::new()
        .service("a", "", "depends_on = [\"b\"]")
        .service("b", "", "depends_on = [\"c\"]")
        .service("c", "", "depends_on = [\"a\"]");
    project.run(&["check"]).code(1).says(&["dev.toml:", "a", "b", "c"]);
}

#[test]
fn no_dev_toml_is_an_error_that_says_what_to_do() {
    let project = Project::new();
    project
        .run(&["--file", "other.toml", "check"])
        .code(1)
        .says(&["error: ", "other.toml"]);
}

#[test]
fn every_profile_is_checked_and_not_only_the_default_one() {
    let project = Project::new().service("web", "", "").toml(
        "[profiles.dev]\nservices = [\"web\"]\n[profiles.prod]\nservices = [\"web\", \"wrker\"]\n[services.worker]\nscript = \"w\"",
    );
    project.run(&["check"]).code(1).says(&["wrker", "worker"]);
}

#[test]
fn two_that_want_one_port_are_an_error_however_it_is_written() {
    let ports = |a: &str, b: &str, more: &str| {
        Project::new().toml(&format!(
            "[services.a]\nscript = \"a\"\nports = [{a}]\n{more}\n[services.b]\nscript = \"b\"\nports = [{b}]\n[profiles.dev]\n"
        ))
    };
    for project in [ports("41001", "41001", ""), ports("41001", "\"${NOT_SET:-41001}\"", "")] {
        project
            .run(&["check"])
            .code(1)
            .says(&["error: ", "both declare port 41001"]);
    }
    ports("\"4100${XTASK_INSTANCE}\"", "41002", "instances = 2")
        .run(&["check"])
        .ok();
}

#[test]
fn the_port_of_a_url_is_one() {
    for (url, says) in [
        ("http://localhost:99999/x", "`99999`"),
        ("http://localhost:port/", "`port`"),
        ("http://:41020/x", "not a URL"),
        ("${NOT_SET:-http://localhost:0/}", "`0`"),
    ] {
        let project = Project::new().toml(&format!(
            "[services.a]\nscript = \"a\"\nready = {{ http = \"{url}\" }}\n[profiles.dev]\nservices = [\"a\"]"
        ));
        project.run(&["check"]).code(1).says(&["error: ", says]);
    }
}

#[test]
fn a_secret_is_masked_wherever_its_value_stands() {
    let project = Project::new().toml(
        "[services.a]\nscript = \"a\"\nargs = [\"${API_TOKEN}\", \"hdr: ${API_TOKEN}\"]\nenv = { API_TOKEN = \"s3cr3t\", DB_PWD = \"other1\" }\n\
         ready = { command = [\"true\", \"${DB_PWD}\"] }\n[profiles.dev]\nservices = [\"a\"]",
    );
    for args in [&["config"][..], &["config", "--json"]] {
        let run = project.run(args).ok();
        assert!(
            !run.stdout.contains("s3cr3t") && !run.stdout.contains("other1"),
            "{run}"
        );
    }
}

#[test]
fn config_masks_a_secret_of_the_shell_in_every_text_that_reads_it() {
    let project = Project::new().toml(
        "[tasks.t]\nscript = \"${APP_TOKEN}/t\"\nargs = [\"${APP_TOKEN}\"]\ncwd = \"${APP_TOKEN}/t-cwd\"\n\
         inputs = [\"${APP_TOKEN}/in\"]\noutputs = [\"${APP_TOKEN}/out\"]\nenv = { URL = \"http://t/?k=${APP_TOKEN}\" }\n\
         [tasks.t.container]\nimage = \"t\"\ncommand = [\"t\", \"${APP_TOKEN}\"]\n\
         [services.a]\nscript = \"${APP_TOKEN}/a\"\nargs = [\"1000\", \"${APP_TOKEN}\"]\ncwd = \"${APP_TOKEN}/a-cwd\"\nbuild = \"t\"\n\
         interpreter = \"${APP_TOKEN}/sh\"\ninterpreter_args = [\"-x\", \"${APP_TOKEN}\"]\n\
         out_file = \"${APP_TOKEN}/o\"\nerror_file = \"${APP_TOKEN}/e\"\n\
         ready = { http = \"http://localhost:1/?k=${APP_TOKEN}\" }\n\
         env = { URL = \"http://a/?k=${APP_TOKEN}\", BROKERS = \"amqp://a:first1@h1,amqp://b:second2@h2\" }\n\
         [services.a.container]\nimage = \"a:${APP_TOKEN}\"\nwait_image = \"w:${APP_TOKEN}\"\ncwd = \"${APP_TOKEN}/c-cwd\"\n\
         command = \"srv --token ${APP_TOKEN} --flag=literal-token ${APP_TOKEN}\"\n\
         healthcheck = [\"check\", \"${APP_TOKEN}\", \"--password\", \"literal-password\"]\n\
         build = { context = \"./${APP_TOKEN}\", dockerfile = \"${APP_TOKEN}/D\", target = \"${APP_TOKEN}\" }\n\
         env = { LINK = \"http://c/?k=${APP_TOKEN}\", CONTAINER_TOKEN = \"of-the-container\" }\n\
         [services.b]\nscript = \"b\"\nready = { command = [\"ask\", \"${APP_TOKEN}\"] }\n\
         [services.c]\nscript = \"c\"\nready = { tcp = \"${APP_TOKEN}:80\" }\n\
         [profiles.dev]\nservices = [\"a\", \"b\", \"c\"]",
    );
    for args in [&["config"][..], &["config", "--json"]] {
        let run = project.run_with(&[("APP_TOKEN", "s3cr3t")], args).ok().prints(&[
            "\"1000\"",
            "http://a/?k=********",
            "http://t/?k=********",
            "http://c/?k=********",
            "amqp://a:********@h1,amqp://b:********@h2",
            "a:********",
        ]);
        for secret in ["s3cr3t", "first1", "second2", "literal-password", "of-the-container"] {
            assert!(!run.stdout.contains(secret), "{secret}; {run}");
        }
    }
}

#[test]
fn config_masks_a_secret_of_a_file_whose_variable_is_set_anew_or_removed() {
    let project = Project::new()
        .file("s.env", "DB_PASSWORD=filepw-987654\n")
        .file("p.env", "API_KEY=filekey-123456\n")
        .toml(
            "[tasks.t]\nscript = \"t\"\nenv = { LINK = \"http://t/?k=${API_KEY}\" }\n\
         [services.a]\nscript = \"a\"\nbuild = \"t\"\nenv_file = \"s.env\"\n\
         env = { DB_PASSWORD = false, DSN = \"host=h password=${DB_PASSWORD}\", URL = \"http://x/?k=${API_KEY}\" }\n\
         [profiles.dev]\nservices = [\"a\"]\nenv_file = \"p.env\"\nenv = { API_KEY = \"other-value-1\" }",
        );
    for args in [&["config"][..], &["config", "--json"]] {
        let run = project.run(args).ok().prints(&[
            "host=h password=********",
            "http://x/?k=********",
            "http://t/?k=********",
        ]);
        for secret in ["filepw", "filekey", "other-value"] {
            assert!(!run.stdout.contains(secret), "{secret}; {run}");
        }
    }
}

#[test]
fn what_is_no_secret_stays_readable_beside_trivial_ones() {
    let project = Project::new().toml(
        "[services.a]\nscript = \"a\"\nargs = [\"--color=true\", \"${SHORT_KEY}\"]\n\
         env = { USE_AUTH = \"true\", EMPTY_KEY = \"\" }\n\
         container = { image = \"postgres:16\", env = { POSTGRES_PASSWORD = \"postgres\" } }\n\
         [profiles.dev]\nservices = [\"a\"]",
    );
    let shell = [("SHORT_KEY", "x1"), ("KEY_FILE_KEY", "./a"), ("PRESENT_PAT", "False")];
    project.run_with(&shell, &["config"]).ok().prints(&[
        "\"--color=true\"",
        "\"x1\"",
        "\"postgres:16\"",
        "USE_AUTH = \"********\"",
        "EMPTY_KEY = \"********\"",
    ]);
}

#[test]
fn config_prints_the_plan_and_starts_nothing() {
    let port = free_port();
    let project = Project::new()
        .service(
            "web",
            &format!("count runs listen {port}"),
            &format!("ports = [{port}]\nenv = {{ PORT = \"{port}\" }}"),
        )
        .service("api", "", "depends_on = [\"web\"]");
    project
        .run(&["config"])
        .ok()
        .prints(&["web", "api", "puppet", &port.to_string()]);
    let run = project.run(&["config", "--json"]).ok();
    let plan: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}; {run}"));
    assert_eq!(plan["profile"], "dev");
    let names: Vec<&str> = plan["services"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|service| service["name"].as_str())
        .collect();
    assert!(names.contains(&"web") && names.contains(&"api"), "{names:?}");
    assert_eq!((project.lines("runs"), project.stacks().len()), (0, 0));
    project.run(&["config", "-p", "nope"]).says(&["error: ", "nope"]);
}

#[test]
fn config_does_not_show_secrets_of_the_shell() {
    let project = Project::new().service("web", "", "env = { API_TOKEN = \"${TOKEN:-none}\" }");
    for args in [vec!["config"], vec!["config", "--json"]] {
        let run = project
            .run_with(&[("TOKEN", "s3cr3t-value"), ("OTHER_SECRET", "0ther-value")], &args)
            .ok();
        assert!(
            !run.stdout.contains("0ther-value"),
            "what merely flows through is not part of the plan; {run}"
        );
    }
}

#[test]
fn build_runs_tasks_and_gives_their_output() {
    let project = Project::new().service("web", "", "").toml(
        "[tasks.client]\nscript = \"PUPPET\"\nargs = \"out 'client is built' count client.runs exit 0\"\n\
         [tasks.docs]\nscript = \"PUPPET\"\nargs = \"count docs.runs exit 0\"\n\
         [tasks.broken]\nscript = \"PUPPET\"\nargs = \"err 'line 3: nonsense' exit 5\"\n\
         [profiles.dev]\nservices = [\"web\"]\nbuild = [\"client\"]",
    );
    let run = project.run(&["build", "client"]).ok();
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("client is built"),
        "{run}"
    );
    assert_eq!((project.lines("client.runs"), project.lines("docs.runs")), (1, 0));
    let run = project
        .run(&["build", "broken"])
        .code(1)
        .says(&["error: ", "broken", "5"]);
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("line 3: nonsense"),
        "{run}"
    );
    project.run(&["build", "cleint"]).says(&["error: ", "cleint", "client"]);
}

#[test]
fn ctrl_c_during_a_build_ends_it_and_leaves_nothing() {
    let project = Project::new().service("web", "count runs", "").toml(
        "[tasks.slow]\nscript = \"PUPPET\"\nargs = \"child pid child.pid end pid slow.pid\"\n\
         [profiles.dev]\nservices = [\"web\"]\nbuild = [\"slow\"]",
    );
    let dev = project.start(&["dev"]);
    let (task, child) = (project.pid_in("slow.pid"), project.pid_in("child.pid"));
    dev.press_ctrl_c();
    assert_ne!(dev.wait().status.code(), Some(0));
    crate::support::wait_gone(task);
    crate::support::wait_gone(child);
    assert_eq!(project.lines("runs"), 0);
    project.wait_nothing_left();
}

#[test]
fn a_file_of_tasks_alone_has_nothing_wrong_with_it() {
    let project = Project::new().toml("[tasks.hello]\nscript = \"echo\"\nargs = \"good day\"");
    project.run(&["check"]).ok().prints(&["0 services, 1 task"]);
    project.run(&["build", "hello"]).ok().says(&["good day"]);
    project
        .run(&["build", "nothing"])
        .code(1)
        .says(&["error: no task `nothing`; the tasks are: hello"]);
    project
        .run(&["dev"])
        .code(1)
        .says(&["error: dev.toml: no service to run"]);
}

#[test]
fn usage_errors_are_2() {
    let project = Project::new().service("web", "", "");
    for args in [
        vec!["no-such-verb"],
        vec!["dev", "--no-such-flag"],
        vec!["start"],
        vec!["dev", "-e", "NOEQUALS"],
        vec!["dev", "--timeout", "soon"],
    ] {
        project.run(&args).code(2).says(&["error: "]);
    }
}

#[test]
fn help_names_every_verb() {
    let run = Project::new().run(&["--help"]).ok();
    for verb in [
        "dev", "stop", "start", "restart", "status", "logs", "flush", "check", "config", "build", "ci",
    ] {
        assert!(
            run.stdout.lines().any(|line| line.trim_start().starts_with(verb)),
            "no {verb}; {run}"
        );
    }
}

#[test]
fn what_only_a_profile_shows_is_told_together_with_the_rest() {
    let project = Project::new().file(
        "dev.toml",
        "[services.web]\nscript = 'web'\nwatchh = true\nenv_file = 'gone.env'\n\
         [services.api]\nscript = 'api'\nout_file = 'one.log'\n\
         [services.job]\nscript = 'job'\nout_file = 'one.log'\n",
    );
    for verb in ["check", "config", "dev"] {
        let run = project.run(&[verb]).code(1);
        run.says(&[
            "dev.toml:3:1: unknown key `watchh` in [services.web]",
            "dev.toml:4:12: failed to read env_file",
            "dev.toml:8:11: [services.job] the log file",
        ]);
    }
    // Which services the profile has cannot be said: no word of whether they go together.
    project.write(
        "dev.toml",
        &(project.read("dev.toml") + "[profiles.dev]\nservices = ['web', 'jop']\n"),
    );
    let run = project
        .run(&["check"])
        .code(1)
        .says(&["`jop`", "failed to read env_file"]);
    assert!(!run.stderr.contains("the log file"), "{run}");
}
