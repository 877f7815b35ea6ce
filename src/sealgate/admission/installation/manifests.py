"""The objects that the webhook needs in a cluster, as values. Pure.

The registration comes last: a webhook that is registered before it answers would stop the cluster, itself included. Its own
namespace is left out by the name label that the API server sets itself and nobody can change (K11, K23); nothing is ever left
out by a label of the object (W25) or by an expression (K24). DELETE and CONNECT are not registered (K21).

Sources: Kubernetes, "Dynamic Admission Control", "Pod Security Standards" (restricted), "RBAC good practices".
"""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

from sealgate.admission.cluster import definitions
from sealgate.admission.installation import mounts
from sealgate.admission.installation.mounts import Files
from sealgate.errors import SealgateError, UsageError
from sealgate.oci import reference

NAME = "sealgate"
OWN_SECRET = "sealgate-serving"  # noqa: S105 - the name of a Secret
"""Where the webhook keeps the certificate that it makes itself."""
TLS_SECRET = "sealgate-tls"  # noqa: S105 - the name of a Secret
NAME_LABEL = "kubernetes.io/metadata.name"
"""A namespace's name as a label, which the API server sets itself and nobody can change (Kubernetes 1.22)."""
PORT = 8443
_PROTOCOL = "TCP"
"""Said though it is the default: a port's key in server-side apply, which older API servers want to see."""
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": NAME}
_WORKLOADS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "",
        (
            "pods",
            "pods/ephemeralcontainers",
            "pods/resize",
            "podtemplates",
            "replicationcontrollers",
            "replicationcontrollers/scale",
        ),
    ),
    (
        "apps",
        (
            "deployments",
            "replicasets",
            "statefulsets",
            "daemonsets",
            "deployments/scale",
            "replicasets/scale",
            "statefulsets/scale",
        ),
    ),
    ("batch", ("jobs", "cronjobs")),
)
_RESOURCE = re.compile(
    r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+/[a-z][a-z0-9]*", re.ASCII
)
"""Of a group that is a domain, as those of CustomResourceDefinitions are; no `*`."""
POLICIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kyverno.io", ("clusterpolicies", "policies", "policyexceptions")),
    ("policies.kyverno.io", ("imagevalidatingpolicies", "namespacedimagevalidatingpolicies", "policyexceptions")),
    ("policy.sigstore.dev", ("clusterimagepolicies", "trustroots")),
    ("sealgate.dev", ("clusterimagepolicies", "imagepolicies", "policyexceptions")),
)


class Options(NamedTuple):
    """What the operator decides."""

    image: str
    """Sealgate's own, by digest."""
    namespace: str = NAME
    replicas: int = 3
    exempt: tuple[str, ...] = ()
    """Namespaces that never reach the webhook, by name."""
    resources: tuple[str, ...] = ()
    """Further resources that it is asked about: `argoproj.io/rollouts`."""
    seconds: int = 10
    serve: tuple[str, ...] = ()
    """Further words for `admission serve`."""
    files: Files = Files()
    """What it is given as files, with the words that name them."""
    allowed: tuple[str, ...] = ()
    """Further namespaces whose Secrets and ConfigMaps policies of the whole cluster may name."""
    ca_bundle: bytes = b""
    cert_manager: str | None = None
    pull_secrets: bool = False
    providers: tuple[str, ...] = ()
    """Clouds that are asked for credentials of their registries."""
    annotations: tuple[tuple[str, str], ...] = ()
    """Of the service account: by these clouds know it."""

    @property
    def own_certificate(self) -> bool:
        """Whether the webhook makes its serving certificate itself."""
        return not self.cert_manager and not self.ca_bundle


def check(options: Options) -> None:
    """Raise `UsageError` for what would leave a hole, or wedge the cluster."""
    try:
        digest = reference.parse(options.image).digest
    except SealgateError as error:
        raise UsageError(f"--image: {error.message}") from error
    if digest is None:
        raise UsageError(
            "--image names no digest", hint="NAME@sha256:…: what guards the cluster must not move with a tag"
        )
    for each in options.resources:
        if _RESOURCE.fullmatch(each) is None or len(each) > 320:
            raise UsageError(
                f"--resource {ascii(each[:100])} is not GROUP/RESOURCE",
                hint="the plural in small letters: argoproj.io/rollouts",
            )
    if options.replicas < 2:
        raise UsageError("one replica stops the cluster when its node does", hint="--replicas 3")
    if options.ca_bundle and b"-----BEGIN CERTIFICATE-----" not in options.ca_bundle:
        raise UsageError("--ca-bundle holds no certificate in PEM")
    mounts.check(options.files)
    if not all(options.allowed):
        raise UsageError("--allow-namespace needs a name")
    if not 2 <= options.seconds <= 30:
        raise UsageError("--webhook-timeout is from 2 to 30 seconds")


def before(options: Options) -> list[dict[str, Any]]:
    """Everything but the registration."""
    check(options)
    return [
        *definitions.documents(),
        _namespace(options),
        _account(options),
        *([_own_secret(options)] if options.own_certificate else []),
        *([_trust(options)] if mounts.data(options.files) else []),
        *_roles(options),
        _deployment(options),
        _budget(options),
        _service(options),
    ]


def registration(options: Options, *, own_bundle: bytes = b"") -> list[dict[str, Any]]:
    """The two webhook configurations: for when the replicas answer. `own_bundle`: the authorities that these have made."""
    check(options)
    bundle = options.ca_bundle or own_bundle
    return [
        _configuration(options, "MutatingWebhookConfiguration", bundle),
        _configuration(options, "ValidatingWebhookConfiguration", bundle),
    ]


def _meta(options: Options, name: str = NAME, *, namespaced: bool = True) -> dict[str, Any]:
    place = {"namespace": options.namespace} if namespaced else {}
    return {"name": name, **place, "labels": dict(_LABELS)}


def _namespace(options: Options) -> dict[str, Any]:
    metadata = _meta(options, options.namespace, namespaced=False)
    metadata["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _account(options: Options) -> dict[str, Any]:
    metadata = _meta(options)
    if options.annotations:
        metadata["annotations"] = dict(options.annotations)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": False,
    }


def _own_secret(options: Options) -> dict[str, Any]:
    """Empty, and not touched by another apply: the webhook writes it, and needs no right to create any."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": _meta(options, OWN_SECRET), "type": "Opaque"}


def _trust(options: Options) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(options), "data": mounts.data(options.files)}


def _roles(options: Options) -> list[dict[str, Any]]:
    """Least privilege: policies and namespaces are watched, Secrets and ConfigMaps read by name in its own namespace, and
    in those that are allowed.

    Written is the status of our own policies, and Events.
    """
    watched = [
        {"apiGroups": [group], "resources": list(names), "verbs": ["get", "list", "watch"]} for group, names in POLICIES
    ]
    rules = [*watched, {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}]
    own = [name for group, names in POLICIES if group == definitions.GROUP for name in names]
    rules += [
        {"apiGroups": [definitions.GROUP], "resources": [f"{name}/status" for name in own], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    if options.pull_secrets:
        rules.append({"apiGroups": [""], "resources": ["secrets", "serviceaccounts"], "verbs": ["get"]})
    if options.own_certificate:
        names = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]
        rules.append(
            {
                "apiGroups": ["admissionregistration.k8s.io"], "resources": names, "resourceNames": [NAME],
                "verbs": ["get", "update"],
            }
        )  # fmt: skip
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": options.namespace}
    reading = {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}
    inside = [reading]
    if options.own_certificate:
        inside.append({"apiGroups": [""], "resources": ["secrets"], "resourceNames": [OWN_SECRET], "verbs": ["update"]})
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": _meta(options, namespaced=False), "rules": rules},
        {
            "apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding", "metadata": _meta(options, namespaced=False),
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME}, "subjects": [subject],
        },
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": _meta(options), "rules": inside},
        {
            "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": _meta(options),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME}, "subjects": [subject],
        },
        *(each for namespace in allowed(options) for each in _reading(options, namespace, subject, reading)),
    ]  # fmt: skip


def allowed(options: Options) -> list[str]:
    """Further namespaces that it may read Secrets and ConfigMaps of."""
    return sorted({*options.allowed} - {options.namespace})


def _reading(
    options: Options, namespace: str, subject: dict[str, str], rule: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    group = "rbac.authorization.k8s.io"
    metadata = {**_meta(options), "namespace": namespace}
    binding = {"roleRef": {"apiGroup": group, "kind": "Role", "name": NAME}, "subjects": [subject]}
    return (
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, **binding},
    )


def _deployment(options: Options) -> dict[str, Any]:
    selector = {"app.kubernetes.io/name": NAME}
    own = options.own_certificate
    tmp: dict[str, Any] = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - in the container
    mounted = [tmp] if own else [{"name": "tls", "mountPath": "/tls", "readOnly": True}, tmp]
    volumes: list[dict[str, Any]] = [] if own else [{"name": "tls", "secret": {"secretName": TLS_SECRET}}]
    for volume, place in mounts.mounted(options.files, NAME):
        volumes.append(volume)
        mounted.append(place)
    arguments = [
        "admission", "serve", "--policies", "cluster:", "--policy-namespace", options.namespace, "--listen", f":{PORT}",
        *(("--tls-secret", f"{options.namespace}/{OWN_SECRET}") if own else ("--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key")),
        "--drain", "10", "--review-timeout", str(options.seconds),
        "--own-image", f"{options.namespace}@{reference.parse(options.image).digest}", *options.serve,
        *mounts.words(options.files), *(word for name in allowed(options) for word in ("--allow-namespace", name)),
    ]  # fmt: skip
    if options.pull_secrets:
        arguments.append("--pull-secrets")
    if options.providers:
        arguments += ["--registry-credentials", ",".join(options.providers)]
    # Azure's workload identity is given to pods that ask for it, and to no others.
    asks = {"azure.workload.identity/use": "true"} if "azure" in options.providers else {}
    probe = {"scheme": "HTTPS", "port": PORT}
    container = {
        "name": NAME,
        "image": options.image,
        "args": arguments,
        "ports": [{"name": "https", "containerPort": PORT, "protocol": _PROTOCOL}],
        "readinessProbe": {"httpGet": {**probe, "path": "/readyz"}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {**probe, "path": "/healthz"}, "periodSeconds": 10, "failureThreshold": 6},
        "startupProbe": {"httpGet": {**probe, "path": "/healthz"}, "periodSeconds": 2, "failureThreshold": 60},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounted,
    }  # fmt: skip
    pod = {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        "priorityClassName": "system-cluster-critical",
        "terminationGracePeriodSeconds": 45,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ],
        "containers": [container],
        "volumes": [*volumes, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }  # fmt: skip
    found: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(options),
        "spec": {
            "replicas": options.replicas,
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": _LABELS | asks}, "spec": pod},
        },
    }
    if annotations := mounts.fingerprints(options.files):
        found["spec"]["template"]["metadata"]["annotations"] = annotations
    return found


def _budget(options: Options) -> dict[str, Any]:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": _meta(options), "spec": spec}


def _service(options: Options) -> dict[str, Any]:
    port = {"name": "https", "port": 443, "targetPort": PORT, "protocol": _PROTOCOL}
    spec = {"selector": {"app.kubernetes.io/name": NAME}, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(options), "spec": spec}


def _configuration(options: Options, kind: str, bundle: bytes) -> dict[str, Any]:
    path = "mutate" if kind.startswith("Mutating") else "validate"
    config: dict[str, Any] = {
        "service": {"name": NAME, "namespace": options.namespace, "path": f"/{path}", "port": 443}
    }
    metadata = _meta(options, namespaced=False)
    if bundle:
        config["caBundle"] = base64.b64encode(bundle).decode()
    elif options.cert_manager:
        metadata["annotations"] = {"cert-manager.io/inject-ca-from": options.cert_manager}
    hook: dict[str, Any] = {
        "name": f"{path}.sealgate.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": config,
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": options.seconds,
        "namespaceSelector": {
            "matchExpressions": [
                {"key": NAME_LABEL, "operator": "NotIn", "values": sorted({options.namespace, *options.exempt})}
            ]
        },
        "rules": [
            {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": list(names), "scope": "Namespaced"}
            for group, names in _WORKLOADS
        ]
        + [
            {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [name], "scope": "*"}
            for group, name in sorted({tuple(each.split("/")) for each in options.resources})
        ],
    }  # fmt: skip
    if path == "mutate":
        hook["reinvocationPolicy"] = "IfNeeded"
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "webhooks": [hook]}
