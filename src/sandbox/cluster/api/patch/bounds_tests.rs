//! What a JSON patch may cost.

use serde_json::json;

use super::json as json_patch;

#[test]
fn a_patch_has_at_most_ten_thousand_operations() {
    let test = json!({ "op": "test", "path": "/a", "value": 1 });
    let live = json!({ "a": 1 });
    assert_eq!(json_patch(&live, &json!(vec![test.clone(); 10_000])).unwrap(), live);
    assert_eq!(
        json_patch(&live, &json!(vec![test; 10_001])).unwrap_err().to_string(),
        "The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
}

#[test]
fn copies_of_copies_are_bounded() {
    let copy = json!({ "op": "copy", "from": "", "path": "/a" });
    let live = json!({ "a": 1, "b": [1, 2, 3] });
    assert!(json_patch(&live, &json!([copy])).is_ok());
    let doubling: Vec<_> = (0..64)
        .map(|step| json!({ "op": "copy", "from": "", "path": format!("/c{step}") }))
        .collect();
    let error = json_patch(&live, &json!(doubling)).unwrap_err().to_string();
    assert!(error.contains("exceeding the limit 3145728"), "{error}");
}
