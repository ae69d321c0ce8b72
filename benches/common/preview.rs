//! A number of objects in, the files of a preview that renders exactly so many out. No I/O.

use std::collections::BTreeMap;

use bivouac::app::stage::FILES;

/// Objects of the demo's preview: a ConfigMap, a Deployment, a Service and an Ingress.
const DEMO: usize = 4;

/// A Deployment that wants no pod.
const IDLE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: idle
  labels: {app: idle}
spec:
  replicas: 0
  selector:
    matchLabels: {app: idle}
  template:
    metadata:
      labels: {app: idle}
      annotations:
        campfire/commit: "{{commit.sha}}"
    spec:
      containers:
        - name: idle
          image: nginxinc/nginx-unprivileged:1.29
          resources:
            requests: {cpu: 10m, memory: 16Mi}
            limits: {memory: 64Mi}
          securityContext:
            allowPrivilegeEscalation: false
            capabilities: {drop: [ALL]}
            runAsNonRoot: true
            seccompProfile: {type: RuntimeDefault}
"#;

/// One of many ConfigMaps.
const SETTINGS: &str = r#"---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings-NUMBER
  labels: {part: settings}
data:
  commit: "{{commit.sha}}"
  number: "NUMBER"
  settings.ini: |
    [server]
    url = {{env.url}}
    greeting = Welcome to {{env.name}}
    workers = 4
"#;

/// The demo's preview, a second Deployment without pods, and as many ConfigMaps as are left to `objects`,
/// each in a file of its own.
pub(crate) fn preview(objects: usize) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> =
        FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let settings = objects.saturating_sub(DEMO + 1);
    if objects > DEMO {
        files.insert("deploy/preview/idle.yaml.hbs".into(), IDLE.into());
    }
    for number in 1..=settings {
        let text = SETTINGS.replace("NUMBER", &number.to_string());
        files.insert(format!("deploy/preview/settings-{number:03}.yaml.hbs"), text);
    }
    files
}
