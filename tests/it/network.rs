//! The network of camps, judged by a small model of NetworkPolicy (`support/network.rs`): whom a hostile pod reaches, who
//! reaches a pod, and what somebody would have to do to open it. The table of docs/guardrails.md is the one judged here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use bivouac::app::stage::NAMESPACE;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::escape::{By as Stopped, path, rules, speaker};
use crate::support::network::{End, Network, Pod, Verdict};
use crate::support::{World, one};

/// Who stops a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// What the guardrail does not name.
    Policy,
    /// Nobody: a preview needs it, or the Repository says so.
    Allowed,
    /// Nobody, and a preview does not need it. The list for the platform team.
    Nobody,
}

use By::{Allowed, Nobody, Policy};

impl By {
    fn text(self) -> &'static str {
        match self {
            Self::Policy => "NetworkPolicy",
            Self::Allowed => "allowed",
            Self::Nobody => "**nobody**",
        }
    }
}

/// The other side.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// A pod by namespace and name.
    Pod(&'static str, &'static str),
    /// Another pod of the camp itself.
    Own,
    /// A pod of another camp of the same Repository.
    OtherCamp,
    /// The node on which the pod runs, and another one.
    OwnNode,
    OtherNode,
    /// Service `kubernetes`.
    ApiServer,
    Address(&'static str),
}

use Who::{Address, ApiServer, OtherCamp, OtherNode, Own, OwnNode};

/// A line of the table: what it is, with whom, by which ports; who stops it in a trusted camp, where
/// `isolation.egress.allow` says what [`further`] has, and in an untrusted camp.
struct Row(&'static str, &'static [Who], &'static [(&'static str, u16)], [By; 3]);

const HTTP: &[(&str, u16)] = &[("TCP", 80), ("TCP", 443), ("TCP", 8080)];
const ANY: &[(&str, u16)] = &[("TCP", 22), ("TCP", 443), ("UDP", 53), ("SCTP", 9)];

/// What the platform team allows in the second column.
fn further() -> Value {
    json!({"isolation": {"egress": {"allow": [
        {"cidr": "10.20.0.0/16", "ports": [{"port": 5432}]},
        {"cidr": "0.0.0.0/0", "ports": [{"port": 25}]},
        {"namespace": "shared", "ports": [{"port": 6379}], "forks": true},
    ]}}})
}

/// Whom a pod tries to reach.
#[expect(clippy::too_many_lines, reason = "a table")]
fn outward() -> Vec<Row> {
    let none = [Policy; 3];
    vec![
        Row("a pod of its own camp", &[Own], &[("TCP", 5432), ("UDP", 9)], [Allowed; 3]),
        Row("a pod of another camp, of the same Repository", &[OtherCamp], HTTP, none),
        Row("the service itself", &[Who::Pod(NAMESPACE, "bivouac")], HTTP, none),
        Row("a pod of production", &[Who::Pod("prod", "db")], &[("TCP", 5432)], none),
        Row("the ingress controller", &[Who::Pod("ingress-nginx", "controller")], HTTP, none),
        Row(
            "the cluster's DNS",
            &[Who::Pod("kube-system", "dns"), Address("169.254.20.10")],
            &[("UDP", 53), ("TCP", 53)],
            [Allowed; 3],
        ),
        Row(
            "other ports of the DNS",
            &[Who::Pod("kube-system", "dns"), Address("169.254.20.10")],
            &[("TCP", 9153), ("TCP", 8080), ("SCTP", 53)],
            none,
        ),
        Row(
            "other pods of `kube-system`, and what calls itself DNS elsewhere",
            &[Who::Pod("kube-system", "metrics"), Who::Pod("prod", "dns")],
            &[("UDP", 53), ("TCP", 53), ("TCP", 443)],
            none,
        ),
        Row("the API server: Service `kubernetes`", &[ApiServer], &[("TCP", 443)], none),
        Row(
            "another node: kubelet, API server, pods with `hostNetwork`",
            &[OtherNode, Who::Pod("kube-system", "far-exporter")],
            &[("TCP", 10250), ("TCP", 6443), ("TCP", 9100)],
            none,
        ),
        Row(
            "the node on which it runs: kubelet, pods with `hostNetwork`",
            &[OwnNode, Who::Pod("kube-system", "near-exporter")],
            &[("TCP", 10250), ("TCP", 6443), ("TCP", 9100)],
            [Nobody; 3],
        ),
        Row(
            "metadata services of clouds",
            &[
                Address("169.254.169.254"),
                Address("169.254.170.2"),
                Address("168.63.129.16"),
                Address("100.100.100.200"),
                Address("192.0.0.192"),
                Address("fd00:ec2::254"),
                Address("fd20:ce::254"),
                Address("fd00:c1::a9fe:a9fe"),
            ],
            &[("TCP", 80), ("TCP", 443), ("TCP", 25), ("UDP", 53)],
            none,
        ),
        Row(
            "the same, as IPv6 writes IPv4: mapped, compatible, NAT64, 6to4",
            &[
                Address("::ffff:169.254.169.254"),
                Address("::a9fe:a9fe"),
                Address("64:ff9b::a9fe:a9fe"),
                Address("64:ff9b:1::a9fe:a9fe"),
                Address("2002:a9fe:a9fe::1"),
            ],
            &[("TCP", 80), ("TCP", 443)],
            none,
        ),
        Row(
            "private addresses",
            &[
                Address("10.0.0.1"),
                Address("10.96.0.10"),
                Address("10.255.255.255"),
                Address("172.16.0.1"),
                Address("172.31.255.254"),
                Address("192.168.0.1"),
                Address("192.168.255.254"),
                Address("100.64.0.1"),
                Address("100.127.255.254"),
                Address("fc00::1"),
                Address("fd12:3456::1"),
                Address("fe80::1"),
                Address("fec0::1"),
            ],
            ANY,
            none,
        ),
        Row(
            "reserved addresses, which some clouds give to nodes and pods",
            &[
                Address("0.0.0.1"),
                Address("192.0.0.8"),
                Address("192.0.2.1"),
                Address("192.88.99.1"),
                Address("198.18.0.1"),
                Address("198.51.100.1"),
                Address("203.0.113.1"),
                Address("240.0.0.1"),
                Address("255.255.255.255"),
            ],
            ANY,
            none,
        ),
        Row(
            "multicast",
            &[Address("224.0.0.251"), Address("239.255.255.250"), Address("ff02::fb")],
            &[("UDP", 5353), ("UDP", 1900)],
            none,
        ),
        Row(
            "the internet",
            &[
                Address("140.82.121.4"),
                Address("172.15.255.254"),
                Address("172.32.0.1"),
                Address("192.167.255.254"),
                Address("9.255.255.255"),
                Address("11.0.0.0"),
                Address("2606:4700::1111"),
            ],
            &[("TCP", 443), ("UDP", 443), ("TCP", 22)],
            [Allowed, Allowed, Policy],
        ),
        Row(
            "public addresses that nodes, pods or the API server have",
            &[Address("34.118.224.1"), Address("2600:1900::1")],
            &[("TCP", 443), ("TCP", 10250)],
            [Nobody, Nobody, Policy],
        ),
        Row(
            "`{cidr: 10.20.0.0/16, ports: [{port: 5432}]}`",
            &[Address("10.20.0.1"), Address("10.20.255.254")],
            &[("TCP", 5432)],
            [Policy, Allowed, Policy],
        ),
        Row(
            "the same by another port, or beside it",
            &[Address("10.20.0.1"), Address("10.21.0.1")],
            &[("TCP", 22), ("UDP", 5432)],
            none,
        ),
        Row(
            "`{cidr: 0.0.0.0/0, ports: [{port: 25}]}`",
            &[Address("10.1.2.3"), OtherNode],
            &[("TCP", 25)],
            [Policy, Allowed, Policy],
        ),
        Row(
            "`{namespace: shared, ports: [{port: 6379}], forks: true}`",
            &[Who::Pod("shared", "cache")],
            &[("TCP", 6379)],
            [Policy, Allowed, Allowed],
        ),
        Row("the same by another port", &[Who::Pod("shared", "cache")], ANY, none),
    ]
}

/// Who tries to reach a pod.
fn inward() -> Vec<Row> {
    let none = [Policy; 3];
    vec![
        Row("a pod of its own camp", &[Own], HTTP, [Allowed; 3]),
        Row(
            "the ingress controller",
            &[Who::Pod("ingress-nginx", "controller")],
            &[("TCP", 80), ("TCP", 8080), ("TCP", 9999)],
            [Allowed; 3],
        ),
        Row("a pod of another camp, of the same Repository", &[OtherCamp], HTTP, none),
        Row(
            "pods of other namespaces, the service's among them",
            &[
                Who::Pod(NAMESPACE, "bivouac"),
                Who::Pod("prod", "db"),
                Who::Pod("shared", "cache"),
                Who::Pod("kube-system", "dns"),
                Who::Pod("kube-system", "metrics"),
            ],
            HTTP,
            none,
        ),
        Row(
            "another node, and pods with `hostNetwork` there",
            &[OtherNode, Who::Pod("kube-system", "far-exporter")],
            HTTP,
            none,
        ),
        Row(
            "the node on which it runs (probes of the kubelet), and pods with `hostNetwork` there",
            &[OwnNode, Who::Pod("kube-system", "near-exporter")],
            HTTP,
            [Nobody; 3],
        ),
        Row(
            "addresses outside of the cluster",
            &[Address("140.82.121.4"), Address("10.0.0.1"), Address("fd12:3456::1")],
            HTTP,
            none,
        ),
    ]
}

/// What is there, as it was read from the API.
struct Seen {
    network: Network,
    pods: BTreeMap<(String, String), Pod>,
    nodes: BTreeMap<String, Vec<IpAddr>>,
    api_server: IpAddr,
}

async fn all<K>(world: &World) -> Vec<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(world.stage.admin.clone());
    api.list(&ListParams::default()).await.expect("a list").items
}

impl Seen {
    async fn of(world: &World) -> Self {
        let mut nodes = BTreeMap::new();
        for node in all::<core::Node>(world).await {
            let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
            let parsed = addresses.iter().filter_map(|one| one.address.parse().ok());
            nodes.insert(node.metadata.name.expect("a name"), parsed.collect::<Vec<_>>());
        }
        let mut pods = BTreeMap::new();
        for pod in all::<core::Pod>(world).await {
            let seen = Pod::of(&pod, &nodes);
            if !seen.addresses.is_empty() {
                pods.insert((seen.namespace.clone(), pod.metadata.name.expect("a name")), seen);
            }
        }
        let spaces = all::<core::Namespace>(world).await.into_iter().map(|space| {
            (space.metadata.name.expect("a name"), space.metadata.labels.unwrap_or_default())
        });
        let namespaces = spaces.collect();
        let services: Api<core::Service> = Api::namespaced(world.stage.admin.clone(), "default");
        let kubernetes = services.get("kubernetes").await.expect("the API server's Service");
        let address = kubernetes.spec.and_then(|spec| spec.cluster_ip).expect("an address");
        let api_server = address.parse().expect("an address");
        let policies = all::<NetworkPolicy>(world).await;
        Self { network: Network { namespaces, policies }, pods, nodes, api_server }
    }

    fn pod(&self, namespace: &str, name: &str) -> &Pod {
        let found = self.pods.get(&(namespace.to_owned(), name.to_owned()));
        found.unwrap_or_else(|| unreachable!("no pod {namespace}/{name} has an address"))
    }

    /// The pod of the bundle in a camp: made by its Deployment.
    fn web(&self, camp: &str) -> &Pod {
        let mut of_it = self.pods.iter().filter(|((space, name), _)| space == camp && name != "db");
        of_it.next().expect("a pod of the bundle").1
    }

    /// An end, for the pod of `camp` on the other side.
    fn end(&self, who: Who, camp: &str, other_camp: &str) -> End<'_> {
        let own_node = &self.web(camp).node;
        match who {
            Who::Pod(namespace, name) => End::Pod(self.pod(namespace, name)),
            Own => End::Pod(self.pod(camp, "db")),
            OtherCamp => End::Pod(self.web(other_camp)),
            OwnNode => End::Address(own_node[0]),
            OtherNode => {
                let other = self.nodes.values().find(|addresses| *addresses != own_node);
                End::Address(other.expect("a second node")[0])
            }
            ApiServer => End::Address(self.api_server),
            Address(text) => End::Address(text.parse().expect("an address")),
        }
    }

    /// Judges a table for a camp; what is not as it says comes back, one a line.
    fn judge(&self, rows: &[Row], out: bool, column: usize, camp: &str, other: &str) -> String {
        let mut wrong = String::new();
        let own = End::Pod(self.web(camp));
        for Row(what, who, ports, by) in rows {
            for (who, (protocol, port)) in
                who.iter().flat_map(|w| ports.iter().map(move |p| (w, p)))
            {
                let there = self.end(*who, camp, other);
                let (from, to) = if out { (own, there) } else { (there, own) };
                let verdict = self.network.judge(from, to, protocol, *port);
                let expected = match (by[column], out) {
                    (Allowed | Nobody, _) => Verdict::Open,
                    (Policy, true) => Verdict::NotOut,
                    // A pod of a camp is not even let out.
                    (Policy, false) if matches!(who, OtherCamp) => Verdict::NotOut,
                    (Policy, false) => Verdict::NotIn,
                };
                if verdict != expected {
                    writeln!(
                        wrong,
                        "{what}: {who:?} {protocol} {port}: {verdict:?}, not {expected:?}"
                    )
                    .expect("a text");
                }
            }
        }
        wrong
    }
}

/// Makes a pod outside of camps, as whoever runs the cluster does.
async fn neighbour(world: &World, namespace: &str, name: &str, labels: Value, spec: Value) {
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let made = world.as_admin("POST", "/api/v1/namespaces", &space).await;
    assert!(matches!(made.code, 201 | 409), "{}", made.body);
    let mut pod = json!({"metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    let pods: Api<core::Pod> = Api::namespaced(world.stage.admin.clone(), namespace);
    let pod = serde_json::from_value(pod).expect("a pod");
    // A namespace has its service account a moment later.
    let accounts: Api<core::ServiceAccount> = Api::namespaced(world.stage.admin.clone(), namespace);
    world
        .until(&format!("{namespace} has its account"), async || {
            accounts.get_opt("default").await.expect("an answer").map(drop)
        })
        .await;
    world.sleep(Duration::from_secs(1)).await;
    pods.create(&PostParams::default(), &pod).await.expect("a pod");
}

/// Waits until every pod has an address, and looks.
async fn look(world: &World) -> Seen {
    world
        .until("every pod has an address", async || {
            let pods = all::<core::Pod>(world).await;
            let addressed = pods
                .iter()
                .all(|pod| pod.status.as_ref().is_some_and(|status| status.pod_ips.is_some()));
            (addressed && !pods.is_empty()).then_some(())
        })
        .await;
    Seen::of(world).await
}

/// Three camps of one Repository, the last one of a fork, with a second pod in each; and neighbours of every kind.
async fn neighbourhood(world: &World) -> [String; 3] {
    let (trusted, _) = world.camp("sparks").await;
    let (other, _) = world.camp("kettle").await;
    let (fork, _) = world.approved_fork().await;
    let camps = [trusted, other, fork].map(|number| world.stage.namespace_of(number));
    let plain = || json!({});
    for camp in &camps {
        neighbour(world, camp, "db", json!({"app": "db"}), plain()).await;
    }
    let dns = || json!({"k8s-app": "kube-dns"});
    neighbour(world, "kube-system", "dns", dns(), plain()).await;
    neighbour(world, "kube-system", "metrics", json!({"k8s-app": "metrics-server"}), plain()).await;
    neighbour(world, "ingress-nginx", "controller", plain(), plain()).await;
    neighbour(world, NAMESPACE, "bivouac", plain(), plain()).await;
    neighbour(world, "prod", "db", json!({"app": "db"}), plain()).await;
    neighbour(world, "prod", "dns", dns(), plain()).await;
    neighbour(world, "shared", "cache", plain(), plain()).await;
    // On the network of the node where the camp's pod is, and of another.
    let pods: Api<core::Pod> = Api::namespaced(world.stage.admin.clone(), &camps[0]);
    let web = pods.list(&ListParams::default()).await.expect("a list").items;
    let of_bundle = web.iter().find(|pod| pod.metadata.name.as_deref() != Some("db"));
    let own = of_bundle.and_then(|pod| pod.spec.as_ref()?.node_name.clone()).expect("a node");
    let nodes = all::<core::Node>(world).await.into_iter().filter_map(|node| node.metadata.name);
    let far = nodes.into_iter().find(|name| *name != own).expect("a second node");
    for (name, node) in [("near-exporter", own), ("far-exporter", far)] {
        let spec = json!({"hostNetwork": true, "nodeName": node});
        neighbour(world, "kube-system", name, plain(), spec).await;
    }
    camps
}

#[tokio::test(start_paused = true)]
async fn a_hostile_pod_reaches_names_its_camp_and_the_internet_and_nothing_of_the_cluster() {
    let world = World::anywhere(11).await;
    let [trusted, other, fork] = neighbourhood(&world).await;
    let seen = look(&world).await;
    let (out, into) = (outward(), inward());
    assert_eq!(seen.judge(&out, true, 0, &trusted, &other), "", "out of a trusted camp");
    assert_eq!(seen.judge(&into, false, 0, &trusted, &other), "", "into a trusted camp");

    world.policy(further()).await;
    let seen = world
        .until("the guardrails are as the Repository says", async || {
            let seen = look(&world).await;
            let allowed = |camp: &String| {
                let policies = &seen.network.policies;
                let own =
                    policies.iter().filter(|one| one.metadata.namespace.as_ref() == Some(camp));
                own.clone().count() == 1
                    && format!("{own:?}", own = own.collect::<Vec<_>>()).contains("shared")
            };
            [&trusted, &other, &fork].into_iter().all(allowed).then_some(seen)
        })
        .await;
    for (column, camp) in [(1, &trusted), (2, &fork)] {
        assert_eq!(seen.judge(&out, true, column, camp, &other), "", "out, column {column}");
        assert_eq!(seen.judge(&into, false, column, camp, &other), "", "into, column {column}");
    }

    // It is the guardrail that does it: without it every line says that nobody stops it.
    let open = Seen { network: Network { policies: Vec::new(), ..seen.network }, ..seen };
    for (rows, out) in [(&out, true), (&into, false)] {
        let stopped = rows.iter().filter(|row| row.3[0] == Policy);
        let tried = stopped.map(|row| row.1.len() * row.2.len()).sum::<usize>();
        assert_eq!(open.judge(rows, out, 0, &trusted, &other).lines().count(), tried);
    }
}

#[test]
fn the_table_of_the_documentation_is_the_one_that_is_judged() {
    let page = include_str!("../../docs/guardrails.md");
    let mut table = String::from(
        "| out of a pod, to | trusted | with `allow` | fork, bot |\n| --- | --- | --- | --- |\n",
    );
    let line = |Row(what, _, _, by): Row| {
        let [one, two, three] = by.map(By::text);
        format!("| {what} | {one} | {two} | {three} |\n")
    };
    table.extend(outward().into_iter().map(line));
    table.push_str(
        "\n| into a pod, from | trusted | with `allow` | fork, bot |\n| --- | --- | --- | --- |\n",
    );
    table.extend(inward().into_iter().map(line));
    assert!(page.contains(&table), "docs/guardrails.md does not have this table:\n{table}");
}

/// Kinds by which somebody could open what is shut, or go around it.
const OPENERS: [(&str, &str, &str); 12] = [
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("cilium.io/v2", "CiliumEnvoyConfig", "ciliumenvoyconfigs"),
    ("cilium.io/v2", "CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies"),
    ("cilium.io/v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"),
    ("crd.antrea.io/v1beta1", "NetworkPolicy", "networkpolicies"),
    ("crd.projectcalico.org/v1", "NetworkPolicy", "networkpolicies"),
    ("projectcalico.org/v3", "NetworkPolicy", "networkpolicies"),
    ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition", "network-attachment-definitions"),
    ("k8s.ovn.org/v1", "EgressFirewall", "egressfirewalls"),
    ("k8s.ovn.org/v1", "UserDefinedNetwork", "userdefinednetworks"),
    ("networking.gke.io/v1alpha1", "FQDNNetworkPolicy", "fqdnnetworkpolicies"),
    ("networking.k8s.aws/v1alpha1", "ApplicationNetworkPolicy", "applicationnetworkpolicies"),
];

/// Defines the kinds of network plug-ins, loosely.
async fn define(world: &World) {
    for (version, kind, plural) in OPENERS.into_iter().skip(1) {
        let (group, version) = version.split_once('/').expect("a group");
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
        });
        let at = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let made = world.as_admin("POST", at, &definition).await;
        assert!(matches!(made.code, 201 | 409), "{}", made.body);
    }
    world.sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_adds_a_policy_to_a_camp_whatever_the_deployers_role_and_the_kind() {
    let world = World::anywhere(12).await;
    define(&world).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.stage.namespace_of(number);
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    for (wide, by) in [(false, Stopped::Rbac), (true, Stopped::Policy)] {
        if wide {
            world.widen(number).await;
        }
        for (version, kind, plural) in OPENERS {
            let at = path(&format!("{version}|{plural}/x"), &camp);
            let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
            let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": spec});
            let answer = world.as_user(&deployer, "PATCH", &at, &object).await;
            assert_eq!(speaker(&answer), Some(by), "{version} {kind}: {}", answer.body["message"]);
            let found = rules(&object, &camp, "x.example.com");
            assert!(found.contains("BV001"), "{version} {kind}: {found:?}");
        }
    }
}

const OPEN: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{}]
  egress: [{}]
";

#[tokio::test(start_paused = true)]
async fn a_bundle_with_a_policy_of_its_own_is_refused_whole_and_the_network_stays_shut() {
    let world = World::anywhere(13).await;
    // The Repository may even allow the kind.
    world.policy(json!({"isolation": {"allowedKinds": ["NetworkPolicy.networking.k8s.io", "Deployment.apps", "Service",
        "ConfigMap", "Ingress.networking.k8s.io"]}})).await;
    let (number, head) = world.camp("sparks").await;
    let camp = world.stage.namespace_of(number);
    world.push("sparks", &one("deploy/preview/open.yaml", OPEN));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("BV001") && comment.contains("deploy/preview/open.yaml"), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.revision.as_deref(), Some(&*head), "what stood goes on");

    let seen = look(&world).await;
    let in_camp = |one: &&NetworkPolicy| one.metadata.namespace.as_ref() == Some(&camp);
    let names: Vec<_> =
        seen.network.policies.iter().filter(in_camp).map(|one| one.metadata.name.clone()).collect();
    assert_eq!(names, [Some("bivouac-network".to_owned())]);
    let metadata = End::Address("169.254.169.254".parse().expect("an address"));
    let pod = End::Pod(seen.web(&camp));
    assert_eq!(seen.network.judge(pod, metadata, "TCP", 80), Verdict::NotOut);
    // Policies add up: it had opened everything.
    let mut opened = seen.network.clone();
    let mut open: NetworkPolicy = serde_saphyr::from_str(OPEN).expect("a policy");
    open.metadata.namespace = Some(camp.clone());
    opened.policies.push(open);
    assert_eq!(opened.judge(pod, metadata, "TCP", 80), Verdict::Open);
}

#[tokio::test(start_paused = true)]
async fn pods_that_no_policy_would_hold_are_not_made() {
    let world = World::anywhere(14).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.stage.namespace_of(number);
    let deployer = format!("system:serviceaccount:{camp}:bivouac-deployer");
    let seen = look(&world).await;
    // On the network of the node it would reach what it likes.
    let web = seen.web(&camp);
    let host = Pod { host_network: true, addresses: web.node.clone(), ..web.clone() };
    let metadata = End::Address("169.254.169.254".parse().expect("an address"));
    assert_eq!(seen.network.judge(End::Pod(web), metadata, "TCP", 80), Verdict::NotOut);
    assert_eq!(seen.network.judge(End::Pod(&host), metadata, "TCP", 80), Verdict::Open);

    let multus = json!({"k8s.v1.cni.cncf.io/networks": "kube-system/macvlan"});
    for (what, annotations, spec, by) in [
        ("hostNetwork", json!({}), json!({"hostNetwork": true}), Stopped::PodSecurity),
        ("a second network", multus, json!({}), Stopped::Policy),
    ] {
        let mut whole = json!({"containers": [{"name": "c", "image": "nginx:1"}]});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "annotations": annotations}, "spec": whole});
        let answer = world.as_user(&deployer, "PATCH", &path("v1|pods/x", &camp), &pod).await;
        assert_eq!(speaker(&answer), Some(by), "{what}: {}", answer.body["message"]);
        let found = rules(&pod, &camp, "x.example.com");
        assert!(found.contains("BV004"), "{what}: {found:?}");
    }

    let host = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostNetwork: true, containers: [{name: c, image: 'nginx:1'}]}\n";
    world.push("sparks", &one("deploy/preview/host.yaml", host));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("BV004") && comment.contains("hostNetwork"), "{comment}");
    let pods: Api<core::Pod> = Api::namespaced(world.stage.admin.clone(), &camp);
    let hosts = pods.list(&ListParams::default()).await.expect("a list").items;
    assert!(!hosts.is_empty());
    assert!(
        hosts.iter().all(|pod| pod.spec.as_ref().and_then(|spec| spec.host_network) != Some(true))
    );
}
