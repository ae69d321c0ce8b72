//! Charts that want the network, the machine's files, all of its memory or all of its time.

use super::repo::{Entry, LINK};
use super::{Case, Needs, case, files};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";

fn chart(name: &'static str, more: &[(&str, &str)]) -> Case {
    let mut all = vec![("deploy/Chart.yaml", CHART)];
    all.retain(|(path, _)| more.iter().all(|(other, _)| other != path));
    all.extend_from_slice(more);
    Case { needs: Needs::Helm, ..files(name, &all) }
}

fn template(name: &'static str, data: &str) -> Case {
    let text =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n  a: {data}\n");
    chart(name, &[("deploy/templates/a.yaml", &text)])
}

/// All of them.
#[expect(clippy::too_many_lines, reason = "a list, one line of thought each")]
pub(crate) fn cases() -> Vec<Case> {
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let schema =
        |reference: &str| format!("{{\"properties\": {{\"a\": {{\"$ref\": \"{reference}\"}}}}}}\n");
    vec![
        chart(
            "values from outside",
            &[
                (
                    ".bivouac.yaml",
                    "apps: [{name: web, path: deploy, values: [\"../../secret.yaml\"]}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "values of the machine",
            &[
                (".bivouac.yaml", "apps: [{name: web, path: deploy, values: [\"/etc/passwd\"]}]\n"),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "values from the network",
            &[
                (
                    ".bivouac.yaml",
                    "apps: [{name: web, path: deploy, values: [\"https://example.com/values.yaml\"]}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a value that is an option of helm",
            &[
                (
                    ".bivouac.yaml",
                    "apps: [{name: web, path: deploy, set: {\"--post-renderer\": /bin/sh}}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        template(
            "a file of the machine by .Files",
            "{{ .Files.Get \"../../secret.txt\" | quote }}",
        ),
        template(
            "a file of the machine by an absolute path",
            "{{ .Files.Get \"/etc/passwd\" | quote }}",
        ),
        template("the environment", "{{ env \"HOME\" | quote }}"),
        template("the environment, expanded", "{{ expandenv \"$HOME\" | quote }}"),
        template("the network by a name", "{{ getHostByName \"example.com\" | quote }}"),
        template(
            "objects of the cluster",
            "{{ (lookup \"v1\" \"Secret\" \"kube-system\" \"\") | toJson | quote }}",
        ),
        template("two hundred million loops", "{{ range until 200000000 }}{{ . }}{{ end }}"),
        template("a repetition that grows", "{{ repeat 1000000000 \"x\" | quote }}"),
        template(
            "an endless include",
            "{{ include \"loop\" . }}{{ define \"loop\" }}{{ include \"loop\" . }}{{ end }}",
        ),
        chart(
            "an endless tpl",
            &[
                ("deploy/values.yaml", "again: \"{{ tpl .Values.again . }}\"\n"),
                ("deploy/templates/a.yaml", "{{ tpl .Values.again . }}"),
            ],
        ),
        template(
            "a loop that takes for ever and gives nothing",
            "{{ $l := until 100000 }}{{ range $l }}{{ range $l }}{{ end }}{{ end }}",
        ),
        chart(
            "a message with a secret in it",
            &[
                ("deploy/values.yaml", "password: hunter2\n"),
                (
                    "deploy/templates/a.yaml",
                    "{{ fail (printf \"\\u001b[2J\\u202epassword is %s\" .Values.password) }}",
                ),
            ],
        ),
        chart(
            "a chart's file with a terminal's commands in its output",
            &[("deploy/templates/a.yaml", "{{ print \"\\u001b]0;owned\\u0007\" }}: [\n")],
        ),
        Case {
            needs: Needs::Helm,
            ..case("a lock file that is a link", |repo| {
                let link = repo.blob("../../secret.yaml");
                let lock = vec![(b"Chart.lock".to_vec(), Entry::Raw(LINK, link))];
                let tree = repo.files(
                    &[
                        ("deploy/Chart.yaml", CHART),
                        (
                            "deploy/templates/a.yaml",
                            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
                        ),
                    ],
                    lock,
                );
                repo.commit(tree)
            })
        },
        chart(
            "a schema of the machine",
            &[
                ("deploy/values.schema.json", &schema("file:///etc/passwd")),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a schema without end",
            &[
                ("deploy/values.schema.json", &schema("file:///dev/zero")),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a schema of the network",
            &[
                ("deploy/values.schema.json", &schema("http://169.254.169.254/latest")),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a schema that refers to itself",
            &[
                ("deploy/values.schema.json", "{\"$ref\": \"#\"}\n"),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a chart from a repository",
            &[
                (
                    "deploy/Chart.yaml",
                    "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: x, version: 1.0.0, repository: \"https://example.com\"}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a chart from a registry",
            &[
                (
                    "deploy/Chart.yaml",
                    "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: x, version: 1.0.0, repository: \"oci://169.254.169.254/x\"}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a chart from outside of the commit",
            &[
                (
                    "deploy/Chart.yaml",
                    "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: x, version: 1.0.0, repository: \"file://../../../etc\"}]\n",
                ),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a packed chart that is no archive",
            &[("deploy/charts/x-1.0.0.tgz", "hello"), ("deploy/templates/a.yaml", good)],
        ),
        chart(
            "a chart whose name is a path",
            &[
                ("deploy/Chart.yaml", "apiVersion: v2\nname: ../../../tmp/owned\nversion: 1.0.0\n"),
                ("deploy/templates/a.yaml", good),
            ],
        ),
        chart(
            "a template that escapes from the cluster's namespace",
            &[(
                "deploy/templates/a.yaml",
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}\n",
            )],
        ),
        chart(
            "a chart that has hooks for its tests only",
            &[(
                "deploy/templates/a.yaml",
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {helm.sh/hook: test}}\nspec: {hostNetwork: true, containers: [{name: a, image: x}]}\n",
            )],
        ),
    ]
}
