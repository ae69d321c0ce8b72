# What one needs while working. `.ci/run` does all of it on a new machine.

# formats, lints and tests
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo test

# writes every generated file and golden file anew
regenerate:
    cargo run -- crd > deploy/crds.yaml
    cargo run -- schema > docs/preview-file.schema.json
    BIVOUAC_REGENERATE=1 BIVOUAC_GOLDEN=write cargo test

# plays the main job
demo:
    cargo run --release -- demo
