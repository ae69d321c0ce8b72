//! PURE · what the API server says when it makes no pod for a workload, in words for people. A full quota is told with
//! its figures.

/// What stands behind a refused pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// It is a quota.
    pub(super) quota: bool,
    /// One sentence.
    pub(super) message: String,
}

/// Reads the message of a `FailedCreate` event or of the condition `ReplicaFailure`.
pub(super) fn read(message: &str) -> Refusal {
    // `Error creating: pods "web-5b-x" is forbidden: …`; a StatefulSet names itself in front of it.
    let rest = match message.find("exceeded quota: ") {
        Some(at) => &message[at..],
        None => message.split_once("is forbidden: ").map_or(message, |(_, rest)| rest),
    };
    match rest.strip_prefix("exceeded quota: ").and_then(quota) {
        Some(message) => Refusal { quota: true, message },
        None => Refusal {
            quota: rest.contains("exceeded quota"),
            message: format!("its pods are refused: {}", rest.trim()),
        },
    }
}

/// `NAME, requested: a=1,b=2, used: a=0,b=1, limited: a=3,b=3`.
fn quota(text: &str) -> Option<String> {
    let (name, rest) = text.split_once(", requested: ")?;
    let (requested, rest) = rest.split_once(", used: ")?;
    let (used, limited) = rest.split_once(", limited: ")?;
    // What follows the list belongs to whoever wrapped the message.
    let limited = limited.split_whitespace().next().unwrap_or(limited);
    let pairs = |list: &str| -> Vec<(String, String)> {
        list.split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let (used, limited) = (pairs(used), pairs(limited));
    let of = |list: &[(String, String)], key: &str| {
        list.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    let figures: Vec<String> = pairs(requested)
        .into_iter()
        .map(|(key, asked)| {
            let used = of(&used, &key).unwrap_or_else(|| "?".into());
            let most = of(&limited, &key).unwrap_or_else(|| "?".into());
            format!("{key}: {asked} more is asked for, {used} of {most} is used")
        })
        .collect();
    (!figures.is_empty()).then(|| format!("quota {name} is full: {}", figures.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_quota_is_told_with_its_figures() {
        let said = "Error creating: pods \"web-7c-x\" is forbidden: exceeded quota: camp, requested: limits.memory=2Gi,pods=1, used: limits.memory=3Gi,pods=3, limited: limits.memory=4Gi,pods=10";
        assert_eq!(
            read(said),
            Refusal {
                quota: true,
                message: "quota camp is full: limits.memory: 2Gi more is asked for, 3Gi of 4Gi is used; pods: 1 more is asked for, 3 of 10 is used".into()
            }
        );
        let wrapped = "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=1, limited: cpu=1";
        assert!(read(wrapped).message.starts_with("quota q is full: cpu: 1 more"), "{wrapped}");
    }

    #[test]
    fn another_refusal_keeps_its_words() {
        let said = "pods \"web-7c-x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
        let refusal = read(said);
        assert!(!refusal.quota);
        assert_eq!(
            refusal.message,
            "its pods are refused: violates PodSecurity \"restricted:latest\": runAsNonRoot != true"
        );
        for odd in ["", "exceeded quota: ", "exceeded quota: x, requested: , used: , limited: "] {
            assert!(read(odd).message.starts_with("its pods are refused"), "{odd}");
        }
    }
}
