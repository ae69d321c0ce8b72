//! (roles, bindings, user, attributes) → allowed or not, and what may be granted on. Pure, no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::super::status::GroupResource;
use super::super::store::Store;

/// The group of RBAC's own kinds.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
/// Who is in it may do everything, and RBAC is not asked.
pub(crate) const MASTERS: &str = "system:masters";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }
}

/// What is asked. With a `path` it is no resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) path: Option<String>,
}

impl Attributes {
    /// `deployments/scale` or `deployments`, as a rule writes it.
    pub(crate) fn combined(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The sentence of a refusal.
    pub(crate) fn refusal(&self, user: &User) -> String {
        let name = &user.name;
        if let Some(path) = &self.path {
            return format!("User {name:?} cannot {} path {path:?}", self.verb);
        }
        let mut text = format!(
            "User {name:?} cannot {} resource {:?} in API group {:?}",
            self.verb,
            self.combined(),
            self.group
        );
        if self.namespace.is_empty() {
            text.push_str(" at the cluster scope");
        } else {
            let _ = write!(text, " in the namespace {:?}", self.namespace);
        }
        text
    }
}

/// One rule of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) urls: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) verbs: Vec<String>,
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    value[key]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn resource_matches(rule: &str, wanted: &str) -> bool {
    // `*/scale` covers that subresource of every resource.
    rule == "*"
        || rule == wanted
        || rule.strip_prefix("*/").is_some_and(|sub| {
            wanted.split_once('/').is_some_and(|(_, wanted_sub)| wanted_sub == sub)
        })
}

fn url_matches(rule: &str, path: &str) -> bool {
    rule == "*"
        || rule == path
        || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

impl Rule {
    /// The rules of a role or cluster role.
    pub(crate) fn all_of(role: &Value) -> Vec<Self> {
        role["rules"]
            .as_array()
            .map(|rules| rules.iter().map(Self::of).collect())
            .unwrap_or_default()
    }

    fn of(value: &Value) -> Self {
        Self {
            groups: strings(value, "apiGroups"),
            resources: strings(value, "resources"),
            urls: strings(value, "nonResourceURLs"),
            names: strings(value, "resourceNames"),
            verbs: strings(value, "verbs"),
        }
    }

    fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        if let Some(path) = &asked.path {
            return self.urls.iter().any(|url| url_matches(url, path));
        }
        let combined = asked.combined();
        has(&self.groups, &asked.group)
            && self.resources.iter().any(|rule| resource_matches(rule, &combined))
            && (self.names.is_empty() || self.names.contains(&asked.name))
    }

    /// As the real server prints it in an escalation error.
    fn compact(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(key, list)| format!("{key}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }

    /// One rule for each single thing that this one grants.
    fn pieces(&self) -> Vec<Self> {
        let mut pieces = Vec::new();
        for verb in &self.verbs {
            for group in &self.groups {
                for resource in &self.resources {
                    let base = Self {
                        groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        verbs: vec![verb.clone()],
                        ..Self::default()
                    };
                    if self.names.is_empty() {
                        pieces.push(base);
                    } else {
                        pieces.extend(
                            self.names
                                .iter()
                                .map(|name| Self { names: vec![name.clone()], ..base.clone() }),
                        );
                    }
                }
            }
            pieces.extend(self.urls.iter().map(|url| Self {
                urls: vec![url.clone()],
                verbs: vec![verb.clone()],
                ..Self::default()
            }));
        }
        pieces
    }

    /// Whether `self` grants all of `piece`, a rule of one thing.
    fn covers(&self, piece: &Self) -> bool {
        let all = |mine: &[String], theirs: &[String]| theirs.iter().all(|t| has(mine, t));
        all(&self.verbs, &piece.verbs)
            && if piece.urls.is_empty() {
                all(&self.groups, &piece.groups)
                    && piece.resources.iter().all(|wanted| {
                        self.resources.iter().any(|mine| resource_matches(mine, wanted))
                    })
                    && (self.names.is_empty()
                        || (!piece.names.is_empty()
                            && piece.names.iter().all(|name| self.names.contains(name))))
            } else {
                piece.urls.iter().all(|url| self.urls.iter().any(|mine| url_matches(mine, url)))
            }
    }
}

fn quoted(list: &[String]) -> String {
    let all: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", all.join(" "))
}

/// What of `wanted` is not granted by `held`, printed one rule a line; empty when all is.
pub(crate) fn not_held(held: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let mut missing: BTreeMap<Rule, BTreeSet<String>> = BTreeMap::new();
    for piece in wanted.iter().flat_map(Rule::pieces) {
        if !held.iter().any(|rule| rule.covers(&piece)) {
            let Rule { groups, resources, urls, names, verbs } = piece;
            missing
                .entry(Rule { groups, resources, urls, names, verbs: Vec::new() })
                .or_default()
                .extend(verbs);
        }
    }
    missing
        .into_iter()
        .map(|(rule, verbs)| Rule { verbs: verbs.into_iter().collect(), ..rule }.compact())
        .collect()
}

/// The sentence of an escalation error.
pub(crate) fn escalation(user: &User, missing: &[String]) -> String {
    format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        missing.join("\n")
    )
}

#[derive(Clone, Debug)]
struct Binding {
    subjects: Vec<Value>,
    role_kind: String,
    role: String,
    namespace: String,
}

impl Binding {
    fn of(value: &Value) -> Self {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        Self {
            subjects: value["subjects"].as_array().cloned().unwrap_or_default(),
            role_kind: text(&value["roleRef"]["kind"]),
            role: text(&value["roleRef"]["name"]),
            namespace: text(&value["metadata"]["namespace"]),
        }
    }

    fn names(&self, user: &User) -> bool {
        self.subjects.iter().any(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["kind"].as_str() {
                Some("User") => name == user.name,
                Some("Group") => user.groups.iter().any(|g| g == name),
                Some("ServiceAccount") => {
                    let namespace = subject["namespace"].as_str().unwrap_or(&self.namespace);
                    user.name == format!("system:serviceaccount:{namespace}:{name}")
                }
                _ => false,
            }
        })
    }
}

/// Roles and bindings of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    roles: BTreeMap<(String, String), Vec<Rule>>,
    cluster_roles: BTreeMap<String, Vec<Rule>>,
    bindings: BTreeMap<String, Vec<Binding>>,
    cluster_bindings: Vec<Binding>,
}

impl Snapshot {
    /// What the store says now. Aggregated cluster roles hold the rules of those they select.
    pub(crate) fn of(store: &Store) -> Self {
        let mut found = Self::default();
        let resource = |name| GroupResource::new(GROUP, name);
        for (key, role) in store.list(&resource("roles"), None) {
            found.roles.insert(key.clone(), Rule::all_of(role));
        }
        let cluster = resource("clusterroles");
        for ((_, name), role) in store.list(&cluster, None) {
            let mut rules = Rule::all_of(role);
            for selector in
                role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten()
            {
                let wanted = selector["matchLabels"].as_object();
                let selected = store.list(&cluster, None).filter(|(_, other)| {
                    wanted.is_some_and(|labels| {
                        labels.iter().all(|(k, v)| other["metadata"]["labels"][k] == *v)
                    })
                });
                rules.extend(selected.flat_map(|(_, other)| Rule::all_of(other)));
            }
            found.cluster_roles.insert(name.clone(), rules);
        }
        for ((namespace, _), binding) in store.list(&resource("rolebindings"), None) {
            found.bindings.entry(namespace.clone()).or_default().push(Binding::of(binding));
        }
        found.cluster_bindings = store
            .list(&resource("clusterrolebindings"), None)
            .map(|(_, binding)| Binding::of(binding))
            .collect();
        found
    }

    /// The rules of a role, by what a `roleRef` says; `None` when there is no such role.
    pub(crate) fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<&Vec<Rule>> {
        if kind == "ClusterRole" {
            self.cluster_roles.get(name)
        } else {
            self.roles.get(&(namespace.to_owned(), name.to_owned()))
        }
    }

    /// All rules that hold for `user` in `namespace` (empty: for the whole cluster).
    pub(crate) fn rules_for(&self, user: &User, namespace: &str) -> Vec<Rule> {
        if user.is_master() {
            let all = || vec!["*".to_owned()];
            return vec![
                Rule { groups: all(), resources: all(), verbs: all(), ..Rule::default() },
                Rule { urls: all(), verbs: all(), ..Rule::default() },
            ];
        }
        let inside = self.bindings.get(namespace).into_iter().flatten();
        let mut rules = Vec::new();
        for binding in self.cluster_bindings.iter().chain(inside) {
            if binding.names(user)
                && let Some(found) =
                    self.role(&binding.role_kind, &binding.namespace, &binding.role)
            {
                rules.extend(found.iter().cloned());
            }
        }
        rules
    }

    /// Whether `user` may do it.
    pub(crate) fn allows(&self, user: &User, asked: &Attributes) -> bool {
        user.is_master()
            || self.rules_for(user, &asked.namespace).iter().any(|rule| rule.allows(asked))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world() -> Snapshot {
        let mut store = Store::new(100);
        let mut put = |resource: &str, namespace: &str, name: &str, mut value: Value| {
            value["metadata"] =
                json!({"name": name, "namespace": namespace, "labels": {"for": name}});
            store.put(&GroupResource::new(GROUP, resource), (namespace.into(), name.into()), value);
        };
        let rule = |groups: &[&str], resources: &[&str], verbs: &[&str], names: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names});
        put(
            "clusterroles",
            "",
            "reader",
            json!({"rules": [rule(&["", "apps"], &["pods", "deployments"], &["get", "list"], &[])]}),
        );
        put(
            "clusterroles",
            "",
            "all",
            json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"for": "reader"}}]}}),
        );
        put(
            "roles",
            "a",
            "one",
            json!({"rules": [rule(&[""], &["configmaps"], &["patch"], &["mine"]), rule(&["apps"], &["*/scale"], &["*"], &[])]}),
        );
        let binding = |kind: &str, role: &str, subject: Value| json!({"roleRef": {"kind": kind, "name": role}, "subjects": [subject]});
        put(
            "rolebindings",
            "a",
            "sa",
            binding("Role", "one", json!({"kind": "ServiceAccount", "name": "bot"})),
        );
        put(
            "rolebindings",
            "a",
            "read",
            binding("ClusterRole", "all", json!({"kind": "User", "name": "ann"})),
        );
        put(
            "clusterrolebindings",
            "",
            "g",
            binding("ClusterRole", "reader", json!({"kind": "Group", "name": "readers"})),
        );
        Snapshot::of(&store)
    }

    fn user(name: &str, groups: &[&str]) -> User {
        User {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).into()).collect(),
            ..User::default()
        }
    }

    fn ask(verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: None,
        }
    }

    #[test]
    fn who_may_do_what() {
        let world = world();
        let bot = user("system:serviceaccount:a:bot", &[]);
        for (who, asked, allowed) in [
            (user("ann", &[]), ask("get", "", "pods", "a", "p"), true),
            (user("ann", &[]), ask("get", "", "pods", "b", "p"), false),
            (user("ann", &[]), ask("delete", "", "pods", "a", "p"), false),
            (user("bob", &["readers"]), ask("list", "apps", "deployments", "", ""), true),
            (user("bob", &[]), ask("list", "apps", "deployments", "", ""), false),
            (bot.clone(), ask("patch", "", "configmaps", "a", "mine"), true),
            (bot.clone(), ask("patch", "", "configmaps", "a", "other"), false),
            (bot.clone(), ask("update", "apps", "deployments/scale", "a", "w"), true),
            (bot, ask("update", "apps", "deployments", "a", "w"), false),
            (user("root", &[MASTERS]), ask("nuke", "x", "y", "", ""), true),
        ] {
            assert_eq!(world.allows(&who, &asked), allowed, "{who:?} {asked:?}");
        }
    }

    #[test]
    fn what_one_does_not_hold_one_cannot_grant() {
        let world = world();
        let held = world.rules_for(&user("ann", &[]), "a");
        let wanted = Rule::all_of(
            &json!({"rules": [{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "list"]}]}),
        );
        let missing = not_held(&held, &wanted);
        assert_eq!(missing, [r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}"#]);
        assert_eq!(
            escalation(&user("ann", &["g"]), &missing),
            "user \"ann\" (groups=[\"g\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
        );
    }

    #[test]
    fn refusals_name_user_verb_and_place() {
        let bot = user("system:serviceaccount:a:b", &[]);
        assert_eq!(
            ask("patch", "apps", "deployments", "x", "web").refusal(&bot),
            "User \"system:serviceaccount:a:b\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"x\""
        );
        assert_eq!(
            ask("get", "", "nodes/status", "", "n").refusal(&bot),
            "User \"system:serviceaccount:a:b\" cannot get resource \"nodes/status\" in API group \"\" at the cluster scope"
        );
    }
}
