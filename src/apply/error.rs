//! What can go wrong between a bundle and a running camp. No I/O.

use kube::core::Status;

use crate::domain::finding::Finding;

/// Who has to do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A person: shown, and tried again when something changes.
    UserMustAct,
    /// Nobody: tried again with growing pauses.
    Transient,
    /// Something that is on its way: tried again soon.
    Waiting,
}

/// Why a camp could not be made, changed or taken down.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The namespace is there and is not ours.
    #[error(
        "namespace {namespace} exists and was not made by this installation for this environment: it is neither used nor deleted; delete it yourself, or give this installation another --namespace-prefix"
    )]
    NamespaceTaken {
        /// Its name.
        namespace: String,
    },
    /// The cluster does not know a kind of the bundle.
    #[error(
        "{object} ({origin}): the cluster knows no {kind} in {api_version}; when its operator is installed, the camp goes on by itself"
    )]
    KindUnknown {
        /// Kind and name.
        object: String,
        /// File and line.
        origin: String,
        /// `group/version`.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// The API server would refuse objects of the bundle, or lacks their kinds: nothing of it was written.
    #[error("the cluster refuses the bundle: {}", first_of(findings))]
    RefusedWhole {
        /// Everything that is wrong, by file and line.
        findings: Vec<Finding>,
        /// A kind is missing: when it appears, the bundle may pass.
        lacks_kinds: bool,
    },
    /// The API server refused an object of the bundle.
    #[error("{object} ({origin}): the cluster refused it: {message}")]
    Refused {
        /// Kind and name.
        object: String,
        /// File and line.
        origin: String,
        /// What the API server said.
        message: String,
    },
    /// The API server refused an object as it does for a moment in a fresh camp: rights, service account or quota are
    /// on their way.
    #[error("{object} ({origin}): the camp was made a moment ago, and the cluster says: {message}")]
    Settling {
        /// Kind and name.
        object: String,
        /// File and line.
        origin: String,
        /// What the API server said.
        message: String,
    },
    /// The service may not do what it has to.
    #[error(
        "the service may not {what}: {message}; add the rule to its role (deploy/rbac.yaml has them all)"
    )]
    NotAllowed {
        /// What it tried.
        what: String,
        /// What the API server said.
        message: String,
    },
    /// The service looked before it began, and may not do what it would have to.
    #[error("{sentence}")]
    MissingRight {
        /// What, and the rule to add.
        sentence: String,
    },
    /// The camp is there and can't be used yet.
    #[error("the camp is not prepared yet: {what}")]
    NotPrepared {
        /// What is missing.
        what: String,
    },
    /// Something newer is to be done.
    #[error("superseded by a newer revision or request")]
    Superseded,
    /// The API server could not be asked, or failed.
    #[error("failed to {what}")]
    Cluster {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// Who has to act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::NamespaceTaken { .. }
            | Self::KindUnknown { .. }
            | Self::RefusedWhole { .. }
            | Self::Refused { .. }
            | Self::MissingRight { .. }
            | Self::NotAllowed { .. } => Class::UserMustAct,
            Self::Settling { .. } | Self::NotPrepared { .. } | Self::Superseded => Class::Waiting,
            Self::Cluster { .. } => Class::Transient,
        }
    }

    /// An error of the service's own calls.
    pub(super) fn own(what: impl Into<String>, error: kube::Error) -> Self {
        let what = what.into();
        match status(&error) {
            Some(status) if status.code == 403 && !is_terminating(status) => {
                Self::NotAllowed { what, message: status.message.clone() }
            }
            _ => Self::Cluster { what, source: Box::new(error) },
        }
    }
}

/// The first finding, and how many there are besides.
fn first_of(findings: &[Finding]) -> String {
    match findings {
        [] => "it did not say why".to_owned(),
        [only] => only.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.message, rest.len()),
    }
}

/// 403 that a fresh camp gives for a moment: the authoriser's cache does not know the binding yet, the service account
/// of pods is not made, a quota is not counted. What a policy or Pod Security says is none of these.
pub(super) fn is_settling(status: &Status) -> bool {
    let message = &status.message;
    let right = message.contains("is forbidden: User \"") && message.contains("\" cannot ");
    let account = message.contains("error looking up service account ");
    let quota = message.contains("status unknown for quota: ");
    status.code == 403 && (right || account || quota)
}

/// The API server's answer, when there was one.
pub(super) fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// 404: it is not there.
pub(super) fn is_not_found(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| status.code == 404)
}

/// 403 because the namespace is going away; no right is missing.
pub(super) fn is_terminating(status: &Status) -> bool {
    status.message.contains("because it is being terminated")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_settling() {
        let said = |code: u16, message: &str| {
            let status = Status { code, message: message.into(), ..Status::default() };
            is_settling(&status)
        };
        for message in [
            "configmaps \"page\" is forbidden: User \"system:serviceaccount:camp:bivouac-deployer\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"camp\"",
            "pods \"web\" is forbidden: error looking up service account camp/default: serviceaccount \"default\" not found",
            "pods \"web\" is forbidden: status unknown for quota: camp, resources: requests.cpu",
        ] {
            assert!(said(403, message), "{message}");
            assert!(!said(422, message), "{message}");
        }
        for message in [
            "pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": privileged",
            "pods \"web\" is forbidden: exceeded quota: camp, requested: cpu=9, used: cpu=0, limited: cpu=1",
            "ingresses.networking.k8s.io \"web\" is forbidden: ValidatingAdmissionPolicy 'hosts' with binding 'hosts' denied request: no",
            "unable to create new content in namespace camp because it is being terminated",
        ] {
            assert!(!said(403, message), "{message}");
        }
    }
}
