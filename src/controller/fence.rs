//! The fence: what a running apply was started for. When it differs, the run ends. I/O: reads the record, and the forge
//! once for each hint that comes meanwhile.

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::Context;
use crate::apply;
use crate::crd::{Approval, Environment, Want};
use crate::domain::id::PrNumber;
use crate::domain::pull_request::State;
use crate::forge::Forge;

/// What must stay the same while objects are written.
pub(super) struct Fence<'a> {
    context: &'a Context,
    forge: &'a Forge,
    name: String,
    number: PrNumber,
    revision: String,
    want: Want,
    approved: Option<Approval>,
    /// The newest hint that is known to change none of the above.
    harmless_hint: Mutex<Option<String>>,
}

impl<'a> Fence<'a> {
    pub(super) fn new(
        context: &'a Context,
        forge: &'a Forge,
        record: &Environment,
        number: PrNumber,
        revision: &str,
    ) -> Self {
        Self {
            context,
            forge,
            name: record.metadata.name.clone().unwrap_or_default(),
            number,
            revision: revision.to_owned(),
            want: record.spec.want,
            approved: record.spec.approved.clone(),
            harmless_hint: Mutex::new(hint(record)),
        }
    }

    async fn still_holds(&self) -> bool {
        // An unreadable record stops nothing: the run's own next write will fail if the API server is away.
        let Ok(Some(record)) = self.context.environments().get_opt(&self.name).await else {
            return true;
        };
        if record.metadata.deletion_timestamp.is_some()
            || record.spec.want != self.want
            || record.spec.approved != self.approved
        {
            return false;
        }
        let mut harmless = self.harmless_hint.lock().await;
        let now = hint(&record);
        if now == *harmless {
            return true;
        }
        match self.forge.pull_request(self.number).await {
            Ok(pull_request)
                if pull_request.state == State::Open
                    && pull_request.head.revision.as_str() == self.revision =>
            {
                *harmless = now;
                true
            }
            Ok(_) => false,
            Err(_) => true,
        }
    }
}

impl apply::Fence for Fence<'_> {
    fn holds(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.still_holds())
    }
}

fn hint(record: &Environment) -> Option<String> {
    record.metadata.annotations.as_ref()?.get(crate::crd::HINT_ANNOTATION).cloned()
}
