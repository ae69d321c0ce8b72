//! PURE · the JSON Schema of the preview file, for editors and other checkers.

use serde_json::{Value, json};

/// JSON Schema (draft 2020-12) of `.bivouac.yaml`. It accepts every file that is valid; what it can't say (names that
/// differ, paths that exist) is left to `bivouac check`.
#[must_use]
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Bivouac preview file",
        "description": "What is rendered for a pull request. Lies at the root of the repository as .bivouac.yaml.",
        "type": "object",
        "additionalProperties": false,
        "required": ["apps"],
        "properties": {
            "apps": {
                "description": "What to render, in this order.",
                "type": "array",
                "minItems": 1,
                "maxItems": 20,
                "items": {"$ref": "#/$defs/app"},
            },
            "lifetime": {
                "description": "How long the environment stands; can only shorten what the Repository allows.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "ttl": {
                        "description": "A time from 1m to 366d, as 90m, 24h, 7d or 1d12h.",
                        "type": "string",
                        "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
                        "minLength": 2,
                        "examples": ["24h", "1d12h"],
                    },
                },
            },
        },
        "$defs": {
            "app": {
                "description": "One part of the environment.",
                "type": "object",
                "additionalProperties": false,
                "required": ["name", "path"],
                "properties": {
                    "name": {
                        "description": "Name of the part; becomes the label bivouac.dev/app of its objects.",
                        "type": "string",
                        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                        "maxLength": 30,
                    },
                    "path": {
                        "description": "File or directory, relative to the root of the repository; . is the root.",
                        "type": "string",
                        "minLength": 1,
                        "pattern": "^[^/\\\\]([^\\\\]*)$",
                        "examples": ["deploy/preview"],
                    },
                },
            },
        },
    })
}
