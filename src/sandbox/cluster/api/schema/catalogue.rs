//! The catalogue of kinds: names, scope, subresources, schema. In: the table of built-in kinds; out: look-ups. No I/O.

use std::sync::{Arc, OnceLock};

use super::Schema;
use super::kinds::{BODIES, KINDS, Row};

/// One kind at one version.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, as `v1`.
    pub version: String,
    /// The kind, as `Deployment`.
    pub kind: String,
    /// The resource's name in paths, as `deployments`.
    pub plural: String,
    /// The resource's name for one, as `deployment`.
    pub singular: String,
    /// As `deploy`.
    pub short_names: Vec<String>,
    /// As `all`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// As `status`, `scale`.
    pub subresources: Vec<String>,
    /// What its objects look like.
    pub schema: Arc<Schema>,
}

impl Kind {
    /// `apiVersion` of its objects: `apps/v1`, or `v1` in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether it has this subresource.
    #[must_use]
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|own| own == subresource)
    }
}

/// All kinds that are built in.
#[derive(Debug)]
pub struct Catalogue {
    kinds: Vec<Arc<Kind>>,
    bodies: Vec<Arc<Kind>>,
}

impl Catalogue {
    /// The built-in kinds, made once a process; schemas are made when first asked for.
    #[must_use]
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: OnceLock<Arc<Catalogue>> = OnceLock::new();
        Arc::clone(BUILTIN.get_or_init(|| {
            Arc::new(Self {
                kinds: KINDS.iter().map(kind_of).collect(),
                bodies: BODIES.iter().map(kind_of).collect(),
            })
        }))
    }

    /// Every kind with a path of its own, in the order of discovery.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.iter()
    }

    /// The kind served at this path.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind of this name; bodies of subresources (`Scale`, `Eviction`, `TokenRequest`) too.
    #[must_use]
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds
            .iter()
            .chain(&self.bodies)
            .find(|row| row.group == group && row.version == version && row.kind == kind)
    }
}

fn kind_of(row: &Row) -> Arc<Kind> {
    let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Arc::new(Kind {
        group: row.group.to_owned(),
        version: row.version.to_owned(),
        kind: row.kind.to_owned(),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        short_names: own(row.short_names),
        categories: own(row.categories),
        namespaced: row.namespaced,
        subresources: own(row.subresources),
        schema: Arc::new(Schema::of_builtin(row.generate)),
    })
}
