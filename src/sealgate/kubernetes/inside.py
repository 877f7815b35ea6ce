"""Where the API server is for a program that runs in a pod.

The kubelet renews the service account's token; so it is read anew for every request. The authority is the cluster's own and
no other one.

Source: Kubernetes, "Accessing the Kubernetes API from a Pod"; "Bound service account tokens".
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sealgate import limits
from sealgate.errors import ClusterConfigError, ProtocolError
from sealgate.kubernetes.client import Cluster
from sealgate.transport.message import Tls
from sealgate.transport.url import parse_url

FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


def is_inside(environ: Mapping[str, str]) -> bool:
    """Whether this is a pod."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST"))


def cluster(environ: Mapping[str, str], *, folder: str = FOLDER) -> Cluster:
    """The cluster of this pod. Raises `ClusterConfigError`."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT") or "443"
    if not host:
        raise ClusterConfigError("this is not a pod: KUBERNETES_SERVICE_HOST is not set", hint="--kubeconfig FILE")
    try:
        server = parse_url(f"https://[{host}]:{port}/" if ":" in host else f"https://{host}:{port}/")
    except ProtocolError as error:
        raise ClusterConfigError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no address") from error
    authority = os.path.join(folder, "ca.crt")
    if not os.path.isfile(authority):
        raise ClusterConfigError(
            f"the cluster's authority is not at {authority}", hint="automountServiceAccountToken: true"
        )
    token = TokenFile(os.path.join(folder, "token"))
    token()  # a pod without one says so at its start
    namespace = read_text(os.path.join(folder, "namespace"), 1024)
    return Cluster(server, Tls(ca_file=authority), token, namespace)


class TokenFile:
    """A token that somebody else renews in a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self) -> str:
        """The token of now. Raises `ClusterConfigError`."""
        return check_token(read_text(self._path, limits.CLUSTER_TOKEN_BYTES), self._path)

    def __repr__(self) -> str:
        return f"TokenFile({self._path!r})"


def check_token(token: str, where: str) -> str:
    """A token that can stand in a header. Raises `ClusterConfigError`, which does not show it."""
    if (
        not token
        or not token.isascii()
        or not token.isprintable()
        or " " in token
        or len(token) > limits.CLUSTER_TOKEN_BYTES
    ):
        raise ClusterConfigError(f"{where} holds no token that can be used")
    return token


def read_text(path: str, most: int) -> str:
    """A small file, without the blanks around it. Raises `ClusterConfigError`."""
    try:
        with open(path, "rb") as file:
            raw = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise ClusterConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no path'}") from error
    if len(raw) > most:
        raise ClusterConfigError(f"{path} is larger than {most} bytes")
    try:
        return raw.decode().strip()
    except UnicodeDecodeError as error:
        raise ClusterConfigError(f"{path} is no text") from error
