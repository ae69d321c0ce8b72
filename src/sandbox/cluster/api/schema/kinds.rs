//! The table of built-in kinds: those that an API server with default settings serves. In: nothing; out: [`Row`]s. No I/O.

use k8s_openapi::schemars::SchemaGenerator;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, Resource, SubResourceScope};

use super::builtin::Generate;

/// One built-in kind, before its schema is made.
pub(super) struct Row {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) namespaced: bool,
    pub(super) short_names: &'static [&'static str],
    pub(super) categories: &'static [&'static str],
    pub(super) subresources: &'static [&'static str],
    pub(super) generate: Generate,
}

trait Scope {
    const NAMESPACED: bool;
}

impl Scope for NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl Scope for ClusterResourceScope {
    const NAMESPACED: bool = false;
}

impl Scope for SubResourceScope {
    const NAMESPACED: bool = true;
}

macro_rules! row {
    ($($path:ident)::+, $short:expr, $categories:expr, $subresources:expr) => {
        Row {
            group: <k8s_openapi::$($path)::+ as Resource>::GROUP,
            version: <k8s_openapi::$($path)::+ as Resource>::VERSION,
            kind: <k8s_openapi::$($path)::+ as Resource>::KIND,
            plural: <k8s_openapi::$($path)::+ as Resource>::URL_PATH_SEGMENT,
            namespaced: <<k8s_openapi::$($path)::+ as Resource>::Scope as Scope>::NAMESPACED,
            short_names: $short,
            categories: $categories,
            subresources: $subresources,
            generate: |generator: &mut SchemaGenerator| {
                generator.subschema_for::<k8s_openapi::$($path)::+>()
            },
        }
    };
}

/// Kinds that have a path of their own.
pub(super) const KINDS: &[Row] = &[
    row!(api::core::v1::Binding, &[], &[], &[]),
    row!(api::core::v1::ComponentStatus, &["cs"], &[], &[]),
    row!(api::core::v1::ConfigMap, &["cm"], &[], &[]),
    row!(api::core::v1::Endpoints, &["ep"], &[], &[]),
    row!(api::core::v1::Event, &["ev"], &[], &[]),
    row!(api::core::v1::LimitRange, &["limits"], &[], &[]),
    row!(api::core::v1::Namespace, &["ns"], &[], &["finalize", "status"]),
    row!(api::core::v1::Node, &["no"], &[], &["proxy", "status"]),
    row!(api::core::v1::PersistentVolumeClaim, &["pvc"], &[], &["status"]),
    row!(api::core::v1::PersistentVolume, &["pv"], &[], &["status"]),
    row!(
        api::core::v1::Pod,
        &["po"],
        &["all"],
        &[
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
            "status"
        ]
    ),
    row!(api::core::v1::PodTemplate, &[], &[], &[]),
    row!(api::core::v1::ReplicationController, &["rc"], &["all"], &["scale", "status"]),
    row!(api::core::v1::ResourceQuota, &["quota"], &[], &["status"]),
    row!(api::core::v1::Secret, &[], &[], &[]),
    row!(api::core::v1::ServiceAccount, &["sa"], &[], &["token"]),
    row!(api::core::v1::Service, &["svc"], &["all"], &["proxy", "status"]),
    row!(api::admissionregistration::v1::MutatingAdmissionPolicy, &[], &["api-extensions"], &[]),
    row!(
        api::admissionregistration::v1::MutatingAdmissionPolicyBinding,
        &[],
        &["api-extensions"],
        &[]
    ),
    row!(
        api::admissionregistration::v1::MutatingWebhookConfiguration,
        &[],
        &["api-extensions"],
        &[]
    ),
    row!(
        api::admissionregistration::v1::ValidatingAdmissionPolicy,
        &[],
        &["api-extensions"],
        &["status"]
    ),
    row!(
        api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
        &[],
        &["api-extensions"],
        &[]
    ),
    row!(
        api::admissionregistration::v1::ValidatingWebhookConfiguration,
        &[],
        &["api-extensions"],
        &[]
    ),
    row!(
        apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
        &["crd", "crds"],
        &["api-extensions"],
        &["status"]
    ),
    row!(
        kube_aggregator::pkg::apis::apiregistration::v1::APIService,
        &[],
        &["api-extensions"],
        &["status"]
    ),
    row!(api::apps::v1::ControllerRevision, &[], &[], &[]),
    row!(api::apps::v1::DaemonSet, &["ds"], &["all"], &["status"]),
    row!(api::apps::v1::Deployment, &["deploy"], &["all"], &["scale", "status"]),
    row!(api::apps::v1::ReplicaSet, &["rs"], &["all"], &["scale", "status"]),
    row!(api::apps::v1::StatefulSet, &["sts"], &["all"], &["scale", "status"]),
    row!(api::authentication::v1::SelfSubjectReview, &[], &[], &[]),
    row!(api::authentication::v1::TokenReview, &[], &[], &[]),
    row!(api::authorization::v1::LocalSubjectAccessReview, &[], &[], &[]),
    row!(api::authorization::v1::SelfSubjectAccessReview, &[], &[], &[]),
    row!(api::authorization::v1::SelfSubjectRulesReview, &[], &[], &[]),
    row!(api::authorization::v1::SubjectAccessReview, &[], &[], &[]),
    row!(api::autoscaling::v2::HorizontalPodAutoscaler, &["hpa"], &["all"], &["status"]),
    row!(api::autoscaling::v1::HorizontalPodAutoscaler, &["hpa"], &["all"], &["status"]),
    row!(api::batch::v1::CronJob, &["cj"], &["all"], &["status"]),
    row!(api::batch::v1::Job, &[], &["all"], &["status"]),
    row!(api::certificates::v1::CertificateSigningRequest, &["csr"], &[], &["approval", "status"]),
    row!(api::certificates::v1::ClusterTrustBundle, &[], &[], &[]),
    row!(api::certificates::v1::PodCertificateRequest, &[], &[], &["status"]),
    row!(api::coordination::v1::Lease, &[], &[], &[]),
    row!(api::discovery::v1::EndpointSlice, &[], &[], &[]),
    row!(api::events::v1::Event, &["ev"], &[], &[]),
    row!(api::flowcontrol::v1::FlowSchema, &[], &[], &["status"]),
    row!(api::flowcontrol::v1::PriorityLevelConfiguration, &[], &[], &["status"]),
    row!(api::networking::v1::Ingress, &["ing"], &[], &["status"]),
    row!(api::networking::v1::IngressClass, &[], &[], &[]),
    row!(api::networking::v1::IPAddress, &["ip"], &[], &[]),
    row!(api::networking::v1::NetworkPolicy, &["netpol"], &[], &[]),
    row!(api::networking::v1::ServiceCIDR, &[], &[], &["status"]),
    row!(api::node::v1::RuntimeClass, &[], &[], &[]),
    row!(api::policy::v1::PodDisruptionBudget, &["pdb"], &[], &["status"]),
    row!(api::rbac::v1::ClusterRoleBinding, &[], &[], &[]),
    row!(api::rbac::v1::ClusterRole, &[], &[], &[]),
    row!(api::rbac::v1::RoleBinding, &[], &[], &[]),
    row!(api::rbac::v1::Role, &[], &[], &[]),
    row!(api::resource::v1::DeviceClass, &[], &[], &[]),
    row!(api::resource::v1::DeviceTaintRule, &[], &[], &["status"]),
    row!(api::resource::v1::ResourceClaim, &[], &[], &["status"]),
    row!(api::resource::v1::ResourceClaimTemplate, &[], &[], &[]),
    row!(api::resource::v1::ResourceSlice, &[], &[], &[]),
    row!(api::scheduling::v1::PriorityClass, &["pc"], &[], &[]),
    row!(api::storage::v1::CSIDriver, &[], &[], &[]),
    row!(api::storage::v1::CSINode, &[], &[], &[]),
    row!(api::storage::v1::CSIStorageCapacity, &[], &[], &[]),
    row!(api::storage::v1::StorageClass, &["sc"], &[], &[]),
    row!(api::storage::v1::VolumeAttachment, &[], &[], &["status"]),
    row!(api::storage::v1::VolumeAttributesClass, &["vac"], &[], &[]),
    row!(api::storagemigration::v1::StorageVersionMigration, &[], &[], &["status"]),
];

/// Kinds that are only met as bodies of a subresource.
pub(super) const BODIES: &[Row] = &[
    row!(api::autoscaling::v1::Scale, &[], &[], &[]),
    row!(api::policy::v1::Eviction, &[], &[], &[]),
    row!(api::authentication::v1::TokenRequest, &[], &[], &[]),
];

/// The metadata of every object.
pub(super) const OBJECT_META: Generate = |generator: &mut SchemaGenerator| {
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>()
};
