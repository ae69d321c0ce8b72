use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::domain::policy;

fn policy() -> Policy {
    Policy {
        at: policy::At::Head,
        select: policy::Select {
            base_branches: Vec::new(),
            head_branches: Vec::new(),
            labels_all: Vec::new(),
            labels_none: Vec::new(),
            drafts: true,
            authors: Vec::new(),
            bots: Vec::new(),
            paths: Vec::new(),
        },
        forks: policy::Forks::Approve,
        admit: crate::domain::admit::Rules::default(),
        branches: Vec::new(),
        lifetime: policy::Lifetime {
            ttl: std::time::Duration::from_secs(1),
            max_ttl: std::time::Duration::from_secs(1),
            warn_before: std::time::Duration::from_secs(1),
        },
        sleep: policy::Sleep::default(),
        url: policy::Url {
            host: "x.test".into(),
            scheme: "https".into(),
            port: None,
            ingress_class: None,
            gateway: None,
            tls: policy::Tls::default(),
            probe: true,
        },
        gate: crate::domain::gate::Asked::default(),
        isolation: policy::Isolation {
            pod_security: "baseline",
            allowed_kinds: Vec::new(),
            deployer_role: "bivouac-deployer".into(),
            namespaces: policy::Namespaces::default(),
            image_registries: Vec::new(),
            yields: Vec::new(),
            ignored_cluster_scoped: Vec::new(),
        },
        limits: policy::Limits {
            objects: 1,
            files: 1,
            file_bytes: 1,
            tree_bytes: 1,
            rendered_bytes: 1,
            render_time: std::time::Duration::from_secs(1),
        },
        progress_deadline: std::time::Duration::from_secs(1),
        parameters: BTreeMap::new(),
        guardrails: Rules::default(),
    }
}

fn camp(untrusted: bool) -> Camp {
    Camp {
        namespace: "camp-x".into(),
        labels: BTreeMap::from([("bivouac.dev/environment".into(), "x".into())]),
        hosts: vec!["x.x.test".into()],
        untrusted,
        service_account: Some(("bivouac-system".into(), "bivouac".into())),
        ingress_namespaces: vec!["ingress-nginx".into()],
        gatekeepers: None,
        closed: false,
    }
}

fn with(name: &str, text: &str) -> Overrides {
    Overrides {
        source: "ConfigMap bivouac-guardrails".into(),
        templates: BTreeMap::from([(name.to_owned(), text.to_owned())]),
    }
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name)
}

#[test]
fn every_shipped_template_makes_its_objects_and_all_are_marked() {
    let objects = objects(&camp(false), &policy(), &Overrides::default()).expect("they are filled");
    let names: Vec<_> = objects
        .iter()
        .map(|o| {
            format!(
                "{}/{}",
                o["kind"].as_str().unwrap_or(""),
                o["metadata"]["name"].as_str().unwrap_or("")
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            "Namespace/camp-x",
            "RoleBinding/bivouac-guardian",
            "RoleBinding/bivouac-deployer",
            "ServiceAccount/bivouac-deployer",
            "ServiceAccount/default",
            "ResourceQuota/bivouac-quota",
            "LimitRange/bivouac-limits",
            "NetworkPolicy/bivouac-network",
        ]
    );
    for object in &objects[1..] {
        assert_eq!(object["metadata"]["labels"][GUARDRAIL_LABEL], "true", "{object}");
        assert_eq!(object["metadata"]["namespace"], "camp-x", "{object}");
    }
    assert_eq!(objects[0]["metadata"]["annotations"][HOSTS_ANNOTATION], "x.x.test");
}

#[test]
fn a_fork_gets_no_internet_no_secret_and_no_pull_secret_unless_that_is_said() {
    let mut policy = policy();
    let pull = |name: &str, forks| PullSecret { name: name.into(), forks };
    policy.guardrails.pull_secrets = vec![pull("own", false), pull("all", true)];
    let grant = |name: &str, forks| Grant { name: name.into(), from: name.into(), forks };
    policy.guardrails.secrets = vec![grant("own", false), grant("all", true)];
    let to = |cidr: &str, forks| EgressTo {
        peer: Peer::Cidr(cidr.into()),
        ports: vec![(443, "TCP")],
        forks,
    };
    policy.guardrails.egress.allow = vec![to("10.1.0.0/16", false), to("10.2.0.0/16", true)];
    for (untrusted, rules, pulls, grants) in [(false, 5, 2, 2), (true, 3, 1, 1)] {
        let objects = objects(&camp(untrusted), &policy, &Overrides::default()).expect("filled");
        let network = find(&objects, "NetworkPolicy", "bivouac-network").expect("there");
        let egress = network["spec"]["egress"].as_array().expect("rules");
        assert_eq!(egress.len(), rules, "{network:#}");
        assert_eq!(network.to_string().contains("0.0.0.0/0"), !untrusted);
        let account = find(&objects, "ServiceAccount", "default").expect("there");
        assert_eq!(account["imagePullSecrets"].as_array().map(Vec::len), Some(pulls));
        assert_eq!(policy.guardrails.grants_for(untrusted).count(), grants);
    }
}

#[test]
fn a_wide_block_that_is_allowed_opens_no_metadata_service_and_one_that_names_it_does() {
    let block = |cidr: &str| {
        let to = EgressTo { peer: Peer::Cidr(cidr.into()), ports: Vec::new(), forks: false };
        egress_rule(&to)["to"][0]["ipBlock"].clone()
    };
    let except4 = ["100.100.100.200/32", "168.63.129.16/32", "169.254.0.0/16", "192.0.0.192/32"];
    assert_eq!(block("0.0.0.0/0"), json!({"cidr": "0.0.0.0/0", "except": except4}));
    let except6 = ["fd00:c1::a9fe:a9fe/128", "fd00:ec2::/32", "fd20:ce::254/128"];
    assert_eq!(block("::/0"), json!({"cidr": "::/0", "except": except6}));
    assert_eq!(block("fd00::/16")["except"], json!(except6[..2]));
    assert_eq!(block("100.64.0.0/10")["except"], json!(["100.100.100.200/32"]));
    for plain in
        ["10.20.0.0/16", "2001:db8::/32", "169.254.0.0/16", "169.254.7.0/24", "168.63.129.16/32"]
    {
        assert_eq!(block(plain), json!({ "cidr": plain }));
    }
}

#[test]
fn an_override_takes_the_place_of_a_template_and_what_is_mandatory_stays() {
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: bivouac-quota, labels: {team: a}}\nspec:\n  hard: {pods: '3', services.nodeports: '9'}\n";
    let objects =
        objects(&camp(false), &policy(), &with("resource-quota.yaml.hbs", quota)).expect("filled");
    let quota = find(&objects, "ResourceQuota", "bivouac-quota").expect("there");
    let hard = json!({"pods": "3", "services.loadbalancers": "0", "services.nodeports": "0"});
    assert_eq!(quota["spec"]["hard"], hard);
    assert_eq!(quota["metadata"]["labels"]["team"], "a");
    assert_eq!(quota["metadata"]["labels"][GUARDRAIL_LABEL], "true");
}

#[test]
fn an_override_can_not_open_what_the_camp_is_fenced_in_with() {
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: bivouac-deployer}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: Group, name: 'system:authenticated'}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: bivouac-guardian}\nroleRef: {}\n";
    let filled =
        objects(&camp(false), &policy(), &with("role-bindings.yaml.hbs", binding)).expect("filled");
    let found = find(&filled, "RoleBinding", "bivouac-deployer").expect("there");
    assert_eq!(found["roleRef"]["name"], "bivouac-deployer");
    assert_eq!(found["subjects"][0]["namespace"], "camp-x");
    let network = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: bivouac-network}\nspec: {podSelector: {matchLabels: {a: b}}, policyTypes: [Ingress], egress: [{}]}\n";
    let filled = objects(&camp(false), &policy(), &with("network-policy.yaml.hbs", network))
        .expect("filled");
    let found = find(&filled, "NetworkPolicy", "bivouac-network").expect("there");
    assert_eq!(found["spec"]["podSelector"], json!({}));
    assert_eq!(found["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    let space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: camp-x, labels: {pod-security.kubernetes.io/enforce: privileged}, annotations: {bivouac.dev/ingress-class: any}}\n";
    let filled =
        objects(&camp(false), &policy(), &with("namespace.yaml.hbs", space)).expect("filled");
    assert_eq!(filled[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "baseline");
    assert_eq!(filled[0]["metadata"]["annotations"].get("bivouac.dev/ingress-class"), None);
}

#[test]
fn an_override_that_makes_no_guardrails_is_refused_with_a_reason() {
    let mut said = String::new();
    for (name, text) in [
        ("resource-quota.yaml.hbs", "# none\n"),
        (
            "resource-quota.yaml.hbs",
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: bivouac-quota}\nspec: {hard: {}, scopes: [Terminating]}\n",
        ),
        ("limit-range.yaml.hbs", "apiVersion: v1\nkind: LimitRange\nmetadata: {name: mine}\n"),
        ("more.yaml.hbs", "apiVersion: v1\nkind: Secret\nmetadata: {name: bivouac-x}\n"),
        (
            "more.yaml.hbs",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: bivouac-x}\nroleRef: {kind: ClusterRole, name: admin}\nsubjects: [{kind: Group, name: 'system:authenticated'}]\n",
        ),
        ("more.yaml.hbs", "{{nothing}}\n"),
        ("more.yaml.hbs", "kind: [\n"),
        ("notes.txt", "hello"),
    ] {
        let error = objects(&camp(false), &policy(), &with(name, text)).expect_err(text);
        // The engine's and the parser's words are theirs.
        let line = error.to_string();
        let line = line
            .split(": Error")
            .next()
            .unwrap_or(&line)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        said.push_str(&line);
        said.push('\n');
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_digest_follows_what_is_asked_for_and_not_what_a_secret_holds() {
    let digest = |object: &Value| object["metadata"]["annotations"][DIGEST_ANNOTATION].clone();
    let secret = |value: &str| {
        let source = json!({"metadata": {"name": "db"}, "data": {"password": value}});
        copy_of(&camp(false), "db", &source)
    };
    assert_eq!(digest(&secret("a")), digest(&secret("b")));
    assert_eq!(secret("a")["data"]["password"], "a");
    let of = |policy: &Policy| {
        let objects = objects(&camp(false), policy, &Overrides::default()).expect("filled");
        digest(find(&objects, "ResourceQuota", "bivouac-quota").expect("there"))
    };
    let mut other = policy();
    other.guardrails.quota.insert("pods".into(), "7".into());
    assert_ne!(of(&policy()), of(&other));
}

#[test]
fn a_missing_right_is_told_with_the_rule_to_add() {
    let held = HeldRule {
        groups: vec![String::new()],
        resources: vec!["namespaces".into()],
        names: Vec::new(),
        verbs: vec!["get".into()],
    };
    let needed = [
        Right::new("", "namespaces", "get"),
        Right::new("", "namespaces", "create"),
        Right::new("rbac.authorization.k8s.io", "clusterroles", "bind").on("view"),
    ];
    let missing = missing(&needed, &[held]);
    insta::assert_snapshot!(sentence(&missing, "bivouac"), @r#"the service may not create namespaces, bind clusterroles view: add to ClusterRole bivouac the rule {apiGroups: [""], resources: [namespaces], verbs: [create]}, {apiGroups: ["rbac.authorization.k8s.io"], resources: [clusterroles], resourceNames: [view], verbs: [bind]} (deploy/rbac.yaml has it)"#);
    let refusal = "secrets \"db\" is forbidden: User \"x\" cannot patch resource \"secrets\" in API group \"\" in the namespace \"camp\"";
    assert_eq!(right_of_refusal(refusal), Some(Right::new("", "secrets", "patch")));
    assert_eq!(right_of_refusal("no"), None);
}

#[test]
fn a_name_of_a_pull_secret_stays_a_name() {
    assert_eq!(pull_secret_name("regcred"), "bivouac-pull-regcred");
    assert!(pull_secret_name(&"a".repeat(253)).len() <= 253);
}

#[test]
fn behind_the_gate_a_camp_hears_the_gatekeepers_and_no_ingress_controller() {
    let keepers = KeeperPods {
        namespace: "bivouac-system".into(),
        labels: BTreeMap::from([("app".to_owned(), "bivouac".to_owned())]),
    };
    let peers = |camp: &Camp| {
        let gateway =
            policy::Gateway { namespace: "infra".into(), name: "g".into(), section: None };
        let url = policy::Url { gateway: Some(gateway), ..policy().url };
        let all = objects(camp, &Policy { url, ..policy() }, &Overrides::default());
        let all = all.expect("they are filled");
        let network = find(&all, "NetworkPolicy", "bivouac-network").expect("it is there");
        network["spec"]["ingress"].as_array().cloned().unwrap_or_default()
    };
    let own = json!({"from": [{"podSelector": {}}]});
    let controllers = json!({"from": [{"namespaceSelector": {"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["infra", "ingress-nginx"]}]}}]});
    let gate = json!({"from": [{
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bivouac-system"}},
        "podSelector": {"matchLabels": {"app": "bivouac"}},
    }]});
    let open = camp(false);
    assert_eq!(peers(&open), [own.clone(), controllers.clone()]);
    let both = Camp { gatekeepers: Some(keepers), ..open };
    assert_eq!(peers(&both), [own.clone(), controllers, gate.clone()]);
    let closed = Camp { closed: true, ..both };
    assert_eq!(peers(&closed), [own.clone(), gate]);
    // Without a gate nobody but the camp itself: that is better than everybody.
    assert_eq!(peers(&Camp { gatekeepers: None, ..closed }), [own]);
}
