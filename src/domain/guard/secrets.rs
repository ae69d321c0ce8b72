//! PURE · rules for Secrets in the bundle.

use super::Rule;
use super::look::{At, Look, short};

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    if !look.is("", "Secret") {
        return;
    }
    if look.string(root, "type") == Some("kubernetes.io/service-account-token") {
        let message = "this Secret asks for the token of a service account";
        let hint = "use a Secret of type Opaque";
        look.found(Rule::AccessControl, "/type".into(), message, hint);
    }
    for key in ["data", "stringData"] {
        let Some(values) = look.map(root, key) else { continue };
        let brought = look.brought;
        let random = brought.random.get(&look.identity);
        let mut drawn = 0;
        let mut plain: Vec<&str> = Vec::new();
        for (key, value) in values.members() {
            if random.is_some_and(|fields| fields.contains(&value.pointer())) {
                drawn += 1;
            } else if !value.value.is_null() && value.text() != Some("") {
                plain.push(key);
            }
        }
        if !plain.is_empty() {
            let message = if drawn == 0 {
                "values of this Secret stand in the repository".to_owned()
            } else {
                let names: Vec<String> = plain.iter().take(3).map(|key| short(key)).collect();
                let more = match plain.len() - names.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!(
                    "values of this Secret stand in the repository: {}{more}; the chart draws the others at random",
                    names.join(", ")
                )
            };
            let hint = "keep only values that are worth nothing; for others use a SealedSecret or an \
                        ExternalSecret";
            look.found(Rule::PlainSecret, values.pointer(), message, hint);
        }
    }
}
