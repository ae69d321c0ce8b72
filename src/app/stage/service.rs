//! The service as a world of its own has it: its settings, and whom it talks to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::replicas::Around;
use super::{Addresses, GATE, GATEKEEPER, LEASE, NAMESPACE, SIGN_IN, Wiring, prometheus};
use crate::app::{CONNECT, Peers, TOTAL};
use crate::config::{FiguresSettings, Settings};
use crate::domain::naming::{Instance, Label};
use crate::gate::Origin;
use crate::render::tools::{NoTools, Tools};
use crate::sandbox::cluster::api::ApiServer;
use crate::seams::{BoxError, Clock, Rng};

/// The settings that the service has in a world of its own.
pub(super) fn settings(folder: &Path, addresses: Option<&Addresses>) -> Result<Settings, BoxError> {
    Ok(Settings {
        instance: Instance {
            name: Label::parse("demo").ok_or("the instance's name is a label")?,
            own_namespace: NAMESPACE.into(),
            target: "sandbox".into(),
            namespace_prefix: "camp-".into(),
        },
        service_account: Some((NAMESPACE.into(), "bivouac".into())),
        listen: addresses
            .map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)), |addresses| addresses.service),
        metrics_listen: None,
        cache_dir: folder.join("cache"),
        sweep_interval: Duration::from_secs(300),
        lease: Some(LEASE.into()),
        replica: String::new(),
        guardrails: "bivouac-guardrails".into(),
        ingress_namespaces: vec!["ingress-nginx".into()],
        gate_service: Some(GATE.into()),
        gate_listen: Some(GATEKEEPER),
        gate_url: Some(Origin::parse(SIGN_IN)?),
        gate_drain: Duration::from_secs(120),
        max_environments: None,
        allow_http: true,
        // Names below .localhost are this machine.
        probe_address: None,
        figures: Some(FiguresSettings {
            url: prometheus::URL.into(),
            query: prometheus::QUERY.into(),
        }),
        notify_private: false,
        private_registries: false,
    })
}

/// Writes a kubeconfig of the administrator, and says where.
pub(super) fn kubeconfig(
    folder: &Path,
    cluster: &ApiServer,
    address: SocketAddr,
    elsewhere: Option<&Path>,
) -> std::io::Result<PathBuf> {
    let file = folder.join("kubeconfig");
    if let Some(given) = elsewhere {
        std::fs::copy(given, &file)?;
    } else {
        let own = cluster.kubeconfig(&address.to_string(), &cluster.admin_token());
        std::fs::write(&file, own)?;
    }
    Ok(file)
}

/// A world of its own starts no process.
pub(super) fn no_tools() -> Arc<dyn Tools> {
    Arc::new(NoTools::because("charts and overlays are not rendered in the sandbox"))
}

/// Whom the service talks to.
pub(super) fn peers(
    around: &Around,
    wiring: Wiring,
    clock: &Clock,
    rng: &Rng,
    tools: &Arc<dyn Tools>,
) -> Result<Peers, BoxError> {
    let Around { home, github, previews, notices, prometheus, registry, services, wires } = around;
    let fetch: Arc<dyn crate::seams::Fetch> = match wiring {
        Wiring::InProcess => Arc::new(github.clone()),
        Wiring::Sockets => Arc::new(crate::source::GixFetch::new(crate::source::Schemes {
            http: true,
            file: false,
        })),
    };
    Ok(Peers {
        target: home.clone(),
        home: home.clone(),
        forge: match wiring {
            Wiring::InProcess => wires.to_forge(github.transport()),
            Wiring::Sockets => crate::forge::https_transport(true, CONNECT, TOTAL)?,
        },
        previews: match wiring {
            Wiring::InProcess => previews.transport(),
            Wiring::Sockets => crate::probe::https_transport(None)?,
        },
        notices: match wiring {
            Wiring::InProcess => notices.transport(),
            Wiring::Sockets => crate::controller::notices_transport(false)?,
        },
        // Neither this nor the registry of a world of its own has a socket.
        prometheus: prometheus.transport(),
        registries: registry.transport(),
        services: services.clone(),
        fetch,
        tools: tools.clone(),
        clock: clock.clone(),
        rng: rng.fork(),
    })
}
