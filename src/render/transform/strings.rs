//! PURE · every string of an object with its JSON pointer, keys in sorted order.

use serde_json::Value;

use crate::domain::document::pointer_token;

/// Calls `see` with the pointer of each string below `value`.
pub(super) fn each(value: &Value, pointer: &mut String, see: &mut impl FnMut(&str, &str)) {
    let length = pointer.len();
    match value {
        Value::String(text) => see(pointer, text),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                each(element, pointer, see);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            for name in names {
                pointer.push('/');
                pointer.push_str(&pointer_token(name));
                each(&members[name], pointer, see);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}
