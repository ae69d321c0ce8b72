//! PURE · an object of a chart → when it is applied, by Helm's hook annotations.

use serde_json::Value;

use crate::domain::bundle::Wave;

/// What an object's hook annotation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// No hook.
    None,
    /// Applied in this wave.
    In(Wave),
    /// Runs at moments that a camp does not have; which.
    Never(&'static str),
}

/// Reads `helm.sh/hook`. An object with several hooks takes the earliest.
pub(crate) fn hook_of(object: &Value) -> Hook {
    let annotation = object.pointer("/metadata/annotations/helm.sh~1hook").and_then(Value::as_str);
    let Some(text) = annotation else { return Hook::None };
    let mut never = None;
    let mut wave: Option<Wave> = None;
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let found = match word {
            "pre-install" | "pre-upgrade" => Wave::BeforeApply,
            "post-install" | "post-upgrade" => Wave::AfterReady,
            "test" | "test-success" | "test-failure" => {
                never = Some("test");
                continue;
            }
            "pre-delete" | "post-delete" => {
                never = Some("delete");
                continue;
            }
            "pre-rollback" | "post-rollback" => {
                never = Some("rollback");
                continue;
            }
            // `crd-install`, of Helm 2, and what we don't know: an object like others.
            _ => return Hook::None,
        };
        wave = Some(wave.map_or(found, |earlier| earlier.min(found)));
    }
    match (wave, never) {
        (Some(wave), _) => Hook::In(wave),
        (None, Some(kind)) => Hook::Never(kind),
        (None, None) => Hook::None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn install_and_upgrade_hooks_have_a_wave_and_the_others_are_left_out() {
        let hook =
            |text: &str| hook_of(&json!({"metadata": {"annotations": {"helm.sh/hook": text}}}));
        for (text, wanted) in [
            ("pre-install", Hook::In(Wave::BeforeApply)),
            ("pre-upgrade,post-install", Hook::In(Wave::BeforeApply)),
            ("post-install, post-upgrade", Hook::In(Wave::AfterReady)),
            ("test", Hook::Never("test")),
            ("pre-delete", Hook::Never("delete")),
            ("post-rollback", Hook::Never("rollback")),
            ("post-install,post-delete", Hook::In(Wave::AfterReady)),
            ("crd-install", Hook::None),
            ("", Hook::None),
        ] {
            assert_eq!(hook(text), wanted, "{text}");
        }
        assert_eq!(hook_of(&json!({"metadata": {}})), Hook::None);
    }
}
