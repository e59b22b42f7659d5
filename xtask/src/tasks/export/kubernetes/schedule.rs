//! `cron_restart`: what restarts a Deployment on schedule, and the right to do just that.

use super::super::Notes;
use super::super::stack::{Stack, Workload};
use super::{labels, metadata, schedule_name};
use serde_json::{Value, json};

/// What restarts it.
const KUBECTL: &str = "registry.k8s.io/kubectl:v1.33.0";

/// The line as a CronJob reads it: there Sunday is 0 alone.
fn as_in_kubernetes(line: &str) -> Option<String> {
    if line.starts_with('@') {
        return Some(line.to_owned());
    }
    let (rest, weekday) = line.rsplit_once(char::is_whitespace)?;
    let is_name = |field: &str| {
        field
            .chars()
            .all(|letter| letter.is_ascii_alphabetic() || "-,".contains(letter))
    };
    let is_known = |field: &str| !field.contains(['#', 'L', 'W', 'l', 'w']) || is_name(field);
    let items = weekday.split(',').map(|item| match item {
        "7" => Some("0"),
        item if item.contains('7') => None,
        item => Some(item),
    });
    let weekday: Option<Vec<&str>> = items.collect();
    let weekday = weekday?.join(",");
    // `L` and `W` alone are signs, and parts of names of days and months.
    let is_sign = |field: &str| ["L", "W", "LW"].contains(&field.to_uppercase().as_str());
    let fields = || rest.split_whitespace().chain([weekday.as_str()]);
    fields()
        .all(|field| is_known(field) && !is_sign(field))
        .then(|| format!("{rest} {weekday}"))
}

/// `cron_restart`: a CronJob that may restart this one Deployment.
pub(super) fn schedule(
    stack: &Stack<'_>,
    service: &Workload<'_>,
    name: &str,
    notes: &mut Notes,
    objects: &mut Vec<Value>,
) {
    let Some(line) = service.written.cron_restart.as_ref().map(ToString::to_string) else {
        return;
    };
    if line.split_whitespace().count() != 5 && !line.starts_with('@') {
        notes.add(
            "`cron_restart` with seconds",
            service.name,
            "a CronJob takes five fields",
        );
        return;
    }
    let Some(line) = as_in_kubernetes(&line) else {
        notes.add(
            format!("`cron_restart` {line}"),
            service.name,
            "a CronJob knows neither `L`, `W` nor `#`, and no range up to the day 7",
        );
        return;
    };
    notes.add(
        "the time zone of `cron_restart`",
        service.name,
        "a CronJob goes by the cluster's, mostly UTC",
    );
    let own = schedule_name(service.name);
    let metadata = || metadata(stack, &own);
    let account = json!({ "kind": "ServiceAccount", "name": own });
    objects.extend([
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata() }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata(),
            "rules": [{
                "apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": [name], "verbs": ["get", "patch"],
            }],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata(),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": own },
            "subjects": [account],
        }),
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(),
            "spec": {
                "schedule": line,
                "concurrencyPolicy": "Forbid",
                "jobTemplate": { "spec": { "backoffLimit": 2, "template": {
                    "metadata": { "labels": labels(stack, &own) },
                    "spec": {
                        "serviceAccountName": own,
                        "restartPolicy": "Never",
                        "containers": [{
                            "name": "kubectl", "image": KUBECTL,
                            "args": ["rollout", "restart", format!("deployment/{name}")],
                        }],
                    },
                } } },
            },
        }),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunday_is_0_and_what_is_unknown_there_is_left_out() {
        for (line, expected) in [
            ("0 4 * * *", Some("0 4 * * *")),
            ("0 4 * * 7", Some("0 4 * * 0")),
            ("0 4 * JUL 1,7", Some("0 4 * JUL 1,0")),
            ("0 4 * * WED-FRI", Some("0 4 * * WED-FRI")),
            ("0 4 * * 5-7", None),
            ("0 0 L * *", None),
            ("0 0 15W * *", None),
            ("0 0 * * 5#2", None),
            ("0 0 * * 5L", None),
            ("@daily", Some("@daily")),
        ] {
            assert_eq!(as_in_kubernetes(line).as_deref(), expected, "{line}");
        }
    }
}
