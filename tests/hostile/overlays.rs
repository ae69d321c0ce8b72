//! Kustomize directories that want the network, a plugin or a file of the machine.

use super::{Case, Needs, files};

fn one(name: &'static str, kustomization: &str, more: &[(&str, &str)]) -> Case {
    let mut all = vec![
        ("deploy/kustomization.yaml", kustomization),
        ("deploy/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
    ];
    all.extend_from_slice(more);
    Case { needs: Needs::Kubectl, ..files(name, &all) }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        one(
            "a remote base over https",
            "resources: [\"https://github.com/kubernetes-sigs/kustomize//examples/helloWorld?ref=v5.8.1\"]\n",
            &[],
        ),
        one(
            "a remote base by its short name",
            "resources: [\"github.com/kubernetes-sigs/kustomize/examples/helloWorld\"]\n",
            &[],
        ),
        one("a remote base over git", "resources: [\"git::ssh://git@example.com/x.git\"]\n", &[]),
        one("a remote file", "resources: [\"http://169.254.169.254/latest/meta-data/\"]\n", &[]),
        one(
            "a file outside of the commit",
            "resources: [a.yaml]\nconfigMapGenerator: [{name: x, files: [\"../../secret.txt\"]}]\n",
            &[],
        ),
        one(
            "a file of the machine",
            "resources: [a.yaml]\nconfigMapGenerator: [{name: x, files: [\"/etc/passwd\"]}]\n",
            &[],
        ),
        one(
            "an environment file of the machine",
            "resources: [a.yaml]\nsecretGenerator: [{name: x, envs: [\"../../../../../../etc/passwd\"]}]\n",
            &[],
        ),
        one("a base of the machine", "resources: [\"../../../../../../etc\"]\n", &[]),
        one("a base that includes itself", "resources: [../deploy]\n", &[]),
        one(
            "two bases that include each other",
            "resources: [../other]\n",
            &[("other/kustomization.yaml", "resources: [../deploy]\n")],
        ),
        one(
            "a program as a generator",
            "resources: [a.yaml]\ngenerators: [g.yaml]\n",
            &[
                (
                    "deploy/g.yaml",
                    "apiVersion: v1\nkind: G\nmetadata:\n  name: g\n  annotations:\n    config.kubernetes.io/function: |\n      exec: {path: ./run.sh}\n",
                ),
                ("deploy/run.sh", "#!/bin/sh\ntouch /tmp/owned\n"),
            ],
        ),
        one(
            "a container as a transformer",
            "resources: [a.yaml]\ntransformers: [t.yaml]\n",
            &[(
                "deploy/t.yaml",
                "apiVersion: v1\nkind: T\nmetadata:\n  name: t\n  annotations:\n    config.kubernetes.io/function: |\n      container: {image: example.com/x, network: true}\n",
            )],
        ),
        one(
            "a chart by helmCharts",
            "helmCharts: [{name: x, repo: \"https://example.com\", version: 1.0.0}]\n",
            &[],
        ),
        one(
            "a chart by helmGlobals",
            "helmGlobals: {chartHome: /etc}\nhelmChartInflationGenerator: [{chartName: x}]\n",
            &[],
        ),
        one(
            "a schema of the network",
            "resources: [a.yaml]\nopenapi: {path: \"https://example.com/schema.json\"}\n",
            &[],
        ),
        one(
            "a patch of the machine",
            "resources: [a.yaml]\npatches: [{path: \"../../secret.yaml\"}]\n",
            &[],
        ),
        one(
            "a component of the network",
            "resources: [a.yaml]\ncomponents: [\"https://github.com/x/y\"]\n",
            &[],
        ),
        one(
            "a custom resource schema of the machine",
            "resources: [a.yaml]\ncrds: [/etc/passwd]\n",
            &[],
        ),
        one("an unknown key", "resources: [a.yaml]\nhellp: {}\n", &[]),
        one("a kustomization that is a list", "- a\n", &[]),
        one("a namespace of others", "resources: [a.yaml]\nnamespace: kube-system\n", &[]),
    ]
}
