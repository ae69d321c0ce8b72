//! Identity of a camp: by which labels a namespace is known as ours. No I/O.

use std::collections::BTreeMap;

/// Label with the name of the installation.
pub(super) const INSTANCE_LABEL: &str = "bivouac.dev/instance";
/// Label with the name of the Environment.
pub(super) const ENVIRONMENT_LABEL: &str = "bivouac.dev/environment";
/// Label with the UID of the Environment: a record that was deleted and made again does not own the old camp.
pub(super) const ENVIRONMENT_UID_LABEL: &str = "bivouac.dev/environment-uid";
/// Which camp: all that is needed to make it, to know it again and to take it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampId {
    /// Name of the installation.
    pub instance: String,
    /// Name of the Environment.
    pub environment: String,
    /// UID of the Environment.
    pub environment_uid: String,
    /// Name of the namespace, as recorded.
    pub namespace: String,
}

/// The labels that make a namespace ours.
#[must_use]
pub fn labels(camp: &CampId) -> BTreeMap<String, String> {
    let CampId { instance, environment, environment_uid, namespace: _ } = camp;
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), "bivouac".to_owned()),
        (INSTANCE_LABEL.to_owned(), instance.clone()),
        (ENVIRONMENT_LABEL.to_owned(), environment.clone()),
        (ENVIRONMENT_UID_LABEL.to_owned(), environment_uid.clone()),
    ])
}

impl CampId {
    /// Whether a namespace with these labels is this camp's.
    #[must_use]
    pub fn owns(&self, found: Option<&BTreeMap<String, String>>) -> bool {
        let has = |key: &str, value: &str| {
            found.and_then(|labels| labels.get(key)).is_some_and(|found| found == value)
        };
        has(INSTANCE_LABEL, &self.instance) && has(ENVIRONMENT_UID_LABEL, &self.environment_uid)
    }
}
