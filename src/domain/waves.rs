//! PURE · what the annotations of an object ask for (wave, hook, prune), and a bundle → the steps of its apply.
//!
//! Everything is read from the objects themselves, so a stored bundle has the same steps as the one that was rendered:
//! what the preview file says of hooks is written into their annotations by rendering.

mod asked;
mod plan;

pub use self::asked::{
    ASKING, Asked, BadAnnotation, DEFAULT_TIMEOUT, DeleteAfter, HOOK, HOOK_RETRIES, HOOK_RUN,
    HOOK_TIMEOUT, MAX_RETRIES, MAX_TIMEOUT, Moment, Timing, WAVE, asked, seconds_of,
};
pub use self::plan::{
    AWAKE, HookRecord, HookState, Plan, Step, is_hook, is_runner, number_of, plan, records, run_id,
};
