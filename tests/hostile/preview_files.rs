//! Preview files that want out of the repository, or to be more than a preview file.

use super::{Case, files, numbered};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn one(name: &'static str, preview: impl AsRef<str>) -> Case {
    files(name, &[(".bivouac.yaml", preview.as_ref()), ("deploy/a.yaml", MAP)])
}

fn path(name: &'static str, path: &str) -> Case {
    one(name, format!("apps:\n  - name: web\n    path: {path}\n"))
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let apps = numbered(500, |n| format!("  - {{name: a{n}, path: deploy}}\n"));
    vec![
        path("a path that goes up", "../../etc"),
        path("a path that goes up in the middle", "deploy/../../etc"),
        path("an absolute path", "/etc"),
        path("a path into .git", ".git/config"),
        path("a path with a NUL", "\"deploy\\0x\""),
        path("a path with backslashes", "'deploy\\..\\..\\etc'"),
        path("a path that is a template", "\"{{branch.slug}}\""),
        path("a path that is an address", "https://example.com/x.git"),
        path("a path with an odd scheme", "\"ext::sh -c touch% /tmp/owned\""),
        path("a path of 10,000 characters", &"d/".repeat(5000)),
        path("a path that is not there", "nowhere"),
        path("a path that is a number", "7"),
        one("500 apps", format!("apps:\n{apps}")),
        one("two apps of one name", "apps: [{name: a, path: deploy}, {name: a, path: deploy}]\n"),
        one("one path twice", "apps: [{name: a, path: deploy}, {name: b, path: deploy}]\n"),
        one("a name with a way out", "apps: [{name: \"../x\", path: deploy}]\n"),
        one(
            "a name that is a guardrail's does no harm without a route",
            "apps: [{name: bivouac-deployer, path: deploy}]\n",
        ),
        files(
            "a name that is a guardrail's, with a route",
            &[
                (
                    ".bivouac.yaml",
                    "apps: [{name: bivouac-deployer, path: deploy, expose: {service: web, port: 80}}]\n",
                ),
                (
                    "deploy/web.yaml",
                    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n",
                ),
            ],
        ),
        one("a key with a terminal's commands", "\"a\\e[2J\\u202eb\": 1\napps: []\n"),
        one("an unknown key", "apps: [{name: a, path: deploy}]\npolicy: {forks: Allow}\n"),
        one(
            "a key of the platform team",
            "apps: [{name: a, path: deploy}]\nisolation: {podSecurity: Privileged}\n",
        ),
        one(
            "a lifetime without end",
            "apps: [{name: a, path: deploy}]\nlifetime: {ttl: 100000d}\n",
        ),
        one(
            "a lifetime that is negative",
            "apps: [{name: a, path: deploy}]\nlifetime: {ttl: -1h}\n",
        ),
        one(
            "hooks",
            "apps: [{name: a, path: deploy}]\nhooks: {beforeApply: [{run: \"rm -rf /\"}]}\n",
        ),
        one("an alias bomb", super::yaml::laughs(false)),
        one("a list", "- apps\n"),
        one("two documents", "apps: [{name: a, path: deploy}]\n---\napps: []\n"),
        one("nothing", ""),
        one(
            "a parameter of an unknown type",
            "apps: [{name: a, path: deploy}]\nparameters: {x: {type: shell}}\n",
        ),
        one(
            "a parameter whose default is not allowed",
            "apps: [{name: a, path: deploy}]\nparameters: {x: {type: string, enum: [a], default: b}}\n",
        ),
        one(
            "a value set for a chart where there is none",
            "apps: [{name: a, path: deploy, set: {a.b: c}}]\n",
        ),
        one(
            "a service that is not there",
            "apps: [{name: a, path: deploy, expose: {service: web, port: 80}}]\n",
        ),
        one(
            "headers that break out",
            "apps: [{name: a, path: deploy, expose: {service: web, port: 80, headers: {\"a\\r\\nb\": \"x\"}}}]\n",
        ),
        one(
            "an image by a template that is not there",
            "apps: [{name: a, path: deploy, images: {nginx: \"{{pr.title}}\"}}]\n",
        ),
    ]
}
