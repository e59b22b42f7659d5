//! `cron_restart`: what restarts a Deployment on schedule, and the right to do just that.

use super::super::Notes;
use super::super::stack::{Stack, Workload};
use super::{label, labels, metadata};
use serde_json::{Value, json};

/// What restarts it.
const KUBECTL: &str = "registry.k8s.io/kubectl:v1.33.0";

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
    notes.add(
        "the time zone of `cron_restart`",
        service.name,
        "a CronJob goes by the cluster's, mostly UTC",
    );
    let own = label(&format!("restart-{}", service.name));
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
