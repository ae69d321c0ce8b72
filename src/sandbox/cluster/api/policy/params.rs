//! The parameters of a binding: (`paramRef`, store) → objects. Pure, no I/O.

use serde_json::Value;

use super::super::convert;
use super::super::engine::selects;
use super::super::state::State;
use super::compile::Policy;

/// The objects that `params` is to be, one after the other; `null` once for a policy without parameters. `namespace` is
/// that of the request.
pub(super) fn collect(
    state: &State,
    policy: &Policy,
    binding: &Value,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    let (kind, reference) = (&policy.param_kind, &binding["spec"]["paramRef"]);
    if kind.is_null() || reference.is_null() {
        return Ok(vec![Value::Null]);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&kind["apiVersion"]), text(&kind["kind"]));
    let served = state
        .kinds
        .all()
        .find(|served| served.kind.kind == kind && served.kind.api_version() == api_version)
        .ok_or_else(|| {
            format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'")
        })?;
    let said = text(&reference["namespace"]);
    let within = match (served.kind.namespaced, said.is_empty()) {
        (true, false) => said,
        (true, true) if namespace.is_empty() => {
            return Err("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned());
        }
        (true, true) => namespace.to_owned(),
        (false, true) => String::new(),
        (false, false) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
                .to_owned());
        }
    };
    let name = text(&reference["name"]);
    let found: Vec<Value> = state
        .store
        .list(&served.resource(), Some(&within))
        .filter(|((_, own), object)| {
            if name.is_empty() { selects(&reference["selector"], object) } else { *own == name }
        })
        .map(|(_, object)| convert::from_storage(&served.kind, object))
        .collect();
    if found.is_empty() && reference["parameterNotFoundAction"] == "Deny" {
        return Err(
            "no params found for policy binding with `Deny` parameterNotFoundAction".to_owned()
        );
    }
    Ok(found)
}
