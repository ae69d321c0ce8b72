//! A small model of what a network plugin makes of NetworkPolicy objects, as Kubernetes documents them. Pure: pods,
//! namespaces and policies in, an answer for one connection out. It knows nothing of Bivouac.
//!
//! Where plugins differ, it takes what lets more through: an `ipBlock` counts for the addresses of pods too, and pods with
//! `hostNetwork` are their node. So what it refuses is refused by every plugin that enforces policies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

type Labels = BTreeMap<String, String>;

/// A pod as the network sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) addresses: Vec<IpAddr>,
    /// Addresses of its node, from which its kubelet comes too.
    pub(crate) node: Vec<IpAddr>,
    /// It has no network of its own.
    pub(crate) host_network: bool,
    /// Named ports: name, protocol, number.
    pub(crate) ports: Vec<(String, String, u16)>,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    Pod(&'a Pod),
    /// What is no pod: a node, a machine outside, an address that means something to the cloud.
    Address(IpAddr),
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Open,
    /// A policy of the pod that connects does not let it out.
    NotOut,
    /// A policy of the pod that is connected to does not let it in.
    NotIn,
}

/// What is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// Labels of namespaces, by name.
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) policies: Vec<NetworkPolicy>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

impl Pod {
    /// Reads a pod; `nodes` are the addresses of nodes by name.
    pub(crate) fn of(pod: &core::Pod, nodes: &BTreeMap<String, Vec<IpAddr>>) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let ports = spec.containers.iter().flat_map(|container| {
            container.ports.iter().flatten().filter_map(|port| {
                let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                Some((port.name.clone()?, protocol, u16::try_from(port.container_port).ok()?))
            })
        });
        let ips = status.pod_ips.into_iter().flatten();
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            addresses: ips.map(|ip| ip.ip.parse().expect("an address")).collect(),
            node: spec.node_name.and_then(|name| nodes.get(&name).cloned()).unwrap_or_default(),
            host_network: spec.host_network == Some(true),
            ports: ports.collect(),
        }
    }
}

impl Network {
    /// Whether a new connection is let through. Answers to one that is are always let through.
    pub(crate) fn judge(&self, from: End<'_>, to: End<'_>, protocol: &str, port: u16) -> Verdict {
        // A pod can't shut itself off, and traffic to and from its own node is always allowed.
        if let (End::Pod(one), End::Pod(other)) = (from, to)
            && one == other
        {
            return Verdict::Open;
        }
        let (from, to) = (seen(from), seen(to));
        if let Seen::Pod(pod) = from
            && !is_node_of(&to, pod)
            && !self.lets(Direction::Egress, pod, &to, protocol, port)
        {
            return Verdict::NotOut;
        }
        if let Seen::Pod(pod) = to
            && !is_node_of(&from, pod)
            && !self.lets(Direction::Ingress, pod, &from, protocol, port)
        {
            return Verdict::NotIn;
        }
        Verdict::Open
    }

    /// Whether the policies of `pod` let something in or out: all, if none of them is about that direction; else what
    /// any of them allows.
    fn lets(&self, way: Direction, pod: &Pod, other: &Seen<'_>, protocol: &str, port: u16) -> bool {
        let mut about = self.policies.iter().filter(|policy| selects(policy, way, pod)).peekable();
        if about.peek().is_none() {
            return true;
        }
        // A named port is one of the pod that is connected to.
        let target = match (way, other) {
            (Direction::Ingress, _) => Some(pod),
            (Direction::Egress, Seen::Pod(other)) => Some(*other),
            (Direction::Egress, Seen::Addresses(_)) => None,
        };
        about.any(|policy| {
            let spec = policy.spec.clone().unwrap_or_default();
            let rules: Vec<_> = match way {
                Direction::Ingress => spec
                    .ingress
                    .into_iter()
                    .flatten()
                    .map(|rule| (rule.from.unwrap_or_default(), rule.ports.unwrap_or_default()))
                    .collect(),
                Direction::Egress => spec
                    .egress
                    .into_iter()
                    .flatten()
                    .map(|rule| (rule.to.unwrap_or_default(), rule.ports.unwrap_or_default()))
                    .collect(),
            };
            rules.iter().any(|(peers, ports)| {
                let is_peer = |peer| self.is_peer(peer, &pod.namespace, other);
                let is_port = |one| is_port(one, target, protocol, port);
                (peers.is_empty() || peers.iter().any(is_peer))
                    && (ports.is_empty() || ports.iter().any(is_port))
            })
        })
    }

    fn is_peer(&self, peer: &NetworkPolicyPeer, own: &str, other: &Seen<'_>) -> bool {
        if let Some(block) = &peer.ip_block {
            return other.addresses().iter().any(|address| is_in_block(block, *address));
        }
        let Seen::Pod(other) = other else { return false };
        let in_namespace = match &peer.namespace_selector {
            Some(selector) => {
                let none = Labels::new();
                matches(selector, self.namespaces.get(&other.namespace).unwrap_or(&none))
            }
            None => other.namespace == own,
        };
        in_namespace
            && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &other.labels))
    }
}

/// An end of a connection as policies see it.
enum Seen<'a> {
    Pod(&'a Pod),
    Addresses(Vec<IpAddr>),
}

impl Seen<'_> {
    fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Pod(pod) => &pod.addresses,
            Self::Addresses(addresses) => addresses,
        }
    }
}

fn seen(end: End<'_>) -> Seen<'_> {
    match end {
        End::Pod(pod) if pod.host_network => Seen::Addresses(pod.node.clone()),
        End::Pod(pod) => Seen::Pod(pod),
        // An IPv4 address in IPv6's clothes leaves the machine as IPv4.
        End::Address(address) => Seen::Addresses(vec![address.to_canonical()]),
    }
}

fn is_node_of(other: &Seen<'_>, pod: &Pod) -> bool {
    match other {
        Seen::Addresses(all) => all.iter().any(|address| pod.node.contains(address)),
        Seen::Pod(_) => false,
    }
}

/// Whether a policy isolates a pod in a direction.
fn selects(policy: &NetworkPolicy, way: Direction, pod: &Pod) -> bool {
    let Some(spec) = &policy.spec else { return false };
    if policy.metadata.namespace.as_deref() != Some(&*pod.namespace) {
        return false;
    }
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let is_about = match way {
        // Without types: always ingress, and egress where a rule for it is there.
        Direction::Ingress => types.is_empty() || types.iter().any(|one| one == "Ingress"),
        Direction::Egress if types.is_empty() => {
            spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())
        }
        Direction::Egress => types.iter().any(|one| one == "Egress"),
    };
    is_about && spec.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels))
}

/// An empty selector selects everything.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let mut words = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    words.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value
                .is_some_and(|value| expression.values.iter().flatten().any(|one| one == value));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => unreachable!("no operator of a selector: {other}"),
            }
        })
}

fn is_port(one: &NetworkPolicyPort, target: Option<&Pod>, protocol: &str, port: u16) -> bool {
    if one.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match &one.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            (*first..=one.end_port.unwrap_or(*first)).contains(&i32::from(port))
        }
        Some(IntOrString::String(name)) => target.is_some_and(|target| {
            target.ports.iter().any(|(n, p, number)| n == name && p == protocol && *number == port)
        }),
    }
}

fn is_in_block(block: &IPBlock, address: IpAddr) -> bool {
    is_in(&block.cidr, address) && !block.except.iter().flatten().any(|cidr| is_in(cidr, address))
}

/// Whether an address is in a block such as `10.0.0.0/8`.
fn is_in(cidr: &str, address: IpAddr) -> bool {
    let (base, length) = cidr.split_once('/').expect("a length");
    let length: u32 = length.parse().expect("a number");
    let same = |base: u128, address: u128, bits: u32| {
        let rest = bits - length;
        base.checked_shr(rest).unwrap_or(0) == address.checked_shr(rest).unwrap_or(0)
    };
    match (base.parse().expect("an address"), address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            same(base.to_bits().into(), address.to_bits().into(), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => same(base.to_bits(), address.to_bits(), 128),
        _ => false,
    }
}

/// The examples of <https://kubernetes.io/docs/concepts/services-networking/network-policies/>.
mod documented {
    use super::Verdict::{NotIn, NotOut, Open};
    use super::*;

    fn labels(words: &[(&str, &str)]) -> Labels {
        words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn pod(namespace: &str, words: &[(&str, &str)], address: &str) -> Pod {
        Pod {
            namespace: namespace.to_owned(),
            labels: labels(words),
            addresses: vec![address.parse().expect("an address")],
            node: vec!["192.168.49.2".parse().expect("an address")],
            ..Pod::default()
        }
    }

    fn address(text: &str) -> End<'static> {
        End::Address(text.parse().expect("an address"))
    }

    /// Policies of namespace `default`, written as specs, among namespaces with labels.
    fn network(specs: &[&str]) -> Network {
        let policies = specs.iter().map(|spec| {
            let spec = serde_saphyr::from_str(spec).expect("a spec");
            let mut policy = NetworkPolicy { spec: Some(spec), ..NetworkPolicy::default() };
            policy.metadata.namespace = Some("default".to_owned());
            policy
        });
        let policies = policies.collect();
        let spaces = [
            ("default", labels(&[])),
            ("myproject", labels(&[("project", "myproject")])),
            ("other", labels(&[("namespace", "backend")])),
        ];
        let namespaces = spaces.into_iter().map(|(name, words)| (name.to_owned(), words)).collect();
        Network { namespaces, policies }
    }

    const FIRST: &str = "
podSelector: {matchLabels: {role: db}}
policyTypes: [Ingress, Egress]
ingress:
  - from:
      - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
      - namespaceSelector: {matchLabels: {project: myproject}}
      - podSelector: {matchLabels: {role: frontend}}
    ports: [{protocol: TCP, port: 6379}]
egress:
  - to: [{ipBlock: {cidr: 10.0.0.0/24}}]
    ports: [{protocol: TCP, port: 5978}]
";

    #[test]
    fn the_first_example() {
        let network = network(&[FIRST]);
        let db = pod("default", &[("role", "db")], "10.244.0.2");
        let web = pod("default", &[("role", "web")], "10.244.0.3");
        let front = pod("default", &[("role", "frontend")], "10.244.0.4");
        let theirs = pod("myproject", &[("role", "any")], "10.244.0.5");
        let lookalike = pod("other", &[("role", "frontend")], "10.244.0.6");
        let [front, theirs, web, lookalike] = [&front, &theirs, &web, &lookalike].map(End::Pod);
        for (from, port, verdict) in [
            (front, 6379, Open),
            (front, 6380, NotIn),
            (theirs, 6379, Open),
            (web, 6379, NotIn),
            (lookalike, 6379, NotIn),
            (address("172.17.0.9"), 6379, Open),
            (address("172.17.2.9"), 6379, Open),
            (address("172.17.1.9"), 6379, NotIn),
            (address("172.18.0.9"), 6379, NotIn),
        ] {
            assert_eq!(network.judge(from, End::Pod(&db), "TCP", port), verdict, "{from:?} {port}");
        }
        assert_eq!(network.judge(front, End::Pod(&db), "UDP", 6379), NotIn);
        for (to, port, verdict) in [
            (address("10.0.0.7"), 5978, Open),
            (address("10.0.0.7"), 443, NotOut),
            (address("10.0.1.7"), 5978, NotOut),
            (web, 5978, NotOut),
        ] {
            assert_eq!(network.judge(End::Pod(&db), to, "TCP", port), verdict, "{to:?} {port}");
        }
        // Nothing selects it: all is allowed.
        assert_eq!(network.judge(web, address("1.1.1.1"), "UDP", 9), Open);
        assert_eq!(network.judge(address("1.1.1.1"), web, "TCP", 9), Open);
    }

    #[test]
    fn two_selectors_of_one_peer_narrow_and_two_peers_add_up() {
        let and = "
podSelector: {}
ingress: [{from: [{namespaceSelector: {matchLabels: {project: myproject}}, podSelector: {matchLabels: {role: client}}}]}]";
        let or = "
podSelector: {}
ingress: [{from: [{namespaceSelector: {matchLabels: {project: myproject}}}, {podSelector: {matchLabels: {role: client}}}]}]";
        let db = pod("default", &[], "10.244.0.2");
        let client = pod("myproject", &[("role", "client")], "10.244.0.3");
        let other = pod("myproject", &[("role", "other")], "10.244.0.4");
        let near = pod("default", &[("role", "client")], "10.244.0.5");
        for (spec, verdicts) in [(and, [Open, NotIn, NotIn]), (or, [Open, Open, Open])] {
            let network = network(&[spec]);
            let found = [&client, &other, &near]
                .map(|from| network.judge(End::Pod(from), End::Pod(&db), "TCP", 1));
            assert_eq!(found, verdicts, "{spec}");
        }
    }

    #[test]
    fn the_default_policies() {
        let one = pod("default", &[], "10.244.0.2");
        let far = pod("other", &[], "10.244.0.3");
        for (specs, out, into) in [
            (vec![], Open, Open),
            (vec!["{podSelector: {}, policyTypes: [Ingress]}"], Open, NotIn),
            (vec!["{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}"], Open, Open),
            (vec!["{podSelector: {}, policyTypes: [Egress]}"], NotOut, Open),
            (vec!["{podSelector: {}, policyTypes: [Egress], egress: [{}]}"], Open, Open),
            (vec!["{podSelector: {}, policyTypes: [Ingress, Egress]}"], NotOut, NotIn),
            // They add up: one that opens all opens all.
            (
                vec![
                    "{podSelector: {}, policyTypes: [Ingress, Egress]}",
                    "{podSelector: {}, policyTypes: [Egress], egress: [{}]}",
                ],
                Open,
                NotIn,
            ),
            // What types say nothing is about ingress, and about egress if it has a rule.
            (vec!["{podSelector: {}}"], Open, NotIn),
            (vec!["{podSelector: {}, egress: []}"], Open, NotIn),
            (vec!["{podSelector: {}, egress: [{ports: [{port: 5}]}]}"], NotOut, NotIn),
            // Rules of a direction that the types do not name count for nothing.
            (vec!["{podSelector: {}, policyTypes: [Egress], ingress: [{}]}"], NotOut, Open),
        ] {
            let network = network(&specs);
            let (one, far) = (End::Pod(&one), End::Pod(&far));
            assert_eq!(network.judge(one, far, "TCP", 80), out, "out: {specs:?}");
            assert_eq!(network.judge(far, one, "TCP", 80), into, "in: {specs:?}");
        }
    }

    #[test]
    fn a_range_of_ports() {
        let network = network(&["
podSelector: {matchLabels: {role: db}}
policyTypes: [Egress]
egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{protocol: TCP, port: 32000, endPort: 32768}]}]"]);
        let db = pod("default", &[("role", "db")], "10.244.0.2");
        for (port, verdict) in
            [(31999, NotOut), (32000, Open), (32500, Open), (32768, Open), (32769, NotOut)]
        {
            let found = network.judge(End::Pod(&db), address("10.0.0.1"), "TCP", port);
            assert_eq!(found, verdict, "{port}");
        }
    }

    #[test]
    fn a_named_port_is_the_one_of_the_pod_that_is_connected_to() {
        let network = network(&[
            "{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: web}]}], egress: [{ports: [{port: web}]}]}",
        ]);
        let from = pod("default", &[], "10.244.0.2");
        let mut to = pod("default", &[], "10.244.0.3");
        to.ports = vec![("web".into(), "TCP".into(), 8080), ("web".into(), "UDP".into(), 9)];
        let open = |port, protocol| network.judge(End::Pod(&from), End::Pod(&to), protocol, port);
        assert_eq!(open(8080, "TCP"), Open);
        assert_eq!(open(9, "TCP"), NotOut);
        assert_eq!(open(9, "UDP"), NotOut, "no protocol is TCP");
        assert_eq!(network.judge(End::Pod(&from), address("1.1.1.1"), "TCP", 8080), NotOut);
        assert_eq!(network.judge(address("1.1.1.1"), End::Pod(&to), "TCP", 8080), Open);
    }

    #[test]
    fn expressions_of_selectors() {
        let of = |expression: &str| {
            network(&[&format!(
                "{{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{matchExpressions: [{expression}]}}}}]}}]}}"
            )])
        };
        let db = pod("default", &[], "10.244.0.2");
        let (backend, plain) = (pod("other", &[], "10.244.0.3"), pod("default", &[], "10.244.0.4"));
        for (expression, of_backend, of_plain) in [
            ("{key: namespace, operator: In, values: [frontend, backend]}", Open, NotIn),
            ("{key: namespace, operator: NotIn, values: [frontend, backend]}", NotIn, Open),
            ("{key: namespace, operator: Exists}", Open, NotIn),
            ("{key: namespace, operator: DoesNotExist}", NotIn, Open),
        ] {
            let network = of(expression);
            let into = |from| network.judge(End::Pod(from), End::Pod(&db), "TCP", 1);
            assert_eq!((into(&backend), into(&plain)), (of_backend, of_plain), "{expression}");
        }
    }

    #[test]
    fn both_sides_have_to_allow_it() {
        let network = network(&[
            "{podSelector: {matchLabels: {a: '1'}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}",
            "{podSelector: {matchLabels: {a: '2'}}, policyTypes: [Ingress]}",
        ]);
        let one = pod("default", &[("a", "1")], "10.244.0.2");
        let two = pod("default", &[("a", "2")], "10.244.0.3");
        let three = pod("default", &[("a", "3")], "10.244.0.4");
        let [one, two, three] = [&one, &two, &three].map(End::Pod);
        assert_eq!(network.judge(one, three, "TCP", 1), Open);
        assert_eq!(network.judge(one, two, "TCP", 1), NotIn, "out, and not in");
        assert_eq!(network.judge(three, two, "TCP", 1), NotIn);
        assert_eq!(network.judge(two, one, "TCP", 1), Open);
        assert_eq!(network.judge(two, two, "TCP", 1), Open, "a pod can't shut itself off");
        assert_eq!(network.judge(one, address("1.1.1.1"), "TCP", 1), NotOut);
    }

    #[test]
    fn the_own_node_and_what_runs_on_its_network_always_pass() {
        let network = network(&["{podSelector: {}, policyTypes: [Ingress, Egress]}"]);
        let shut = pod("default", &[], "10.244.0.2");
        let mut host = pod("default", &[], "192.168.49.2");
        host.host_network = true;
        let mut far = host.clone();
        far.node = vec!["192.168.49.3".parse().expect("an address")];
        let (one, host, far) = (End::Pod(&shut), End::Pod(&host), End::Pod(&far));
        for node in [address("192.168.49.2"), host] {
            assert_eq!(network.judge(one, node, "TCP", 10250), Open, "{node:?}");
            assert_eq!(network.judge(node, one, "TCP", 80), Open, "{node:?}");
        }
        for node in [address("192.168.49.3"), far] {
            assert_eq!(network.judge(one, node, "TCP", 10250), NotOut, "{node:?}");
            assert_eq!(network.judge(node, one, "TCP", 80), NotIn, "{node:?}");
        }
        // A policy selects it by its labels, and does nothing.
        assert_eq!(network.judge(host, address("1.1.1.1"), "TCP", 443), Open);
    }

    #[test]
    fn blocks_of_both_families() {
        let network = network(&["
podSelector: {}
policyTypes: [Egress]
egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}}, {ipBlock: {cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}}]}]"]);
        let one = pod("default", &[], "10.244.0.2");
        for (to, verdict) in [
            ("1.1.1.1", Open),
            ("255.255.255.255", Open),
            ("169.254.169.254", NotOut),
            ("::ffff:169.254.169.254", NotOut),
            ("::ffff:1.1.1.1", Open),
            ("2001:db8::1", Open),
            ("2001:db8:1::1", NotOut),
            ("2001:db9::1", NotOut),
        ] {
            assert_eq!(network.judge(End::Pod(&one), address(to), "TCP", 80), verdict, "{to}");
        }
    }
}
