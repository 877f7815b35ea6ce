"""Where the API server is for a program outside the cluster: a kubeconfig.

What would weaken the connection is refused unless it is asked for by an option of ours (`insecure`); what is not known here
(`auth-provider`, `username`, a proxy) is refused rather than left out. Certificates and keys that stand in the file are put
into files in memory, since TLS takes them from files; they end with the process. A credential plugin
(`exec`) runs without a shell, bounded, with the environment that the file adds.

Sources: Kubernetes, "Organizing Cluster Access Using kubeconfig Files"; client.authentication.k8s.io/v1 ExecCredential.
"""

from __future__ import annotations

import datetime
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from sealgate import limits, program, strictjson, strictyaml
from sealgate.errors import ClusterConfigError, ContentError, NotFoundError, ProtocolError
from sealgate.kubernetes.client import Cluster
from sealgate.kubernetes.inside import TokenFile, check_token
from sealgate.transport.message import Tls
from sealgate.transport.url import parse_url

_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_CLUSTER = frozenset(
    {
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "insecure-skip-tls-verify",
        "tls-server-name",
        "extensions",
    }
)
_USER = frozenset(
    {
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "token",
        "tokenFile",
        "exec",
        "extensions",
    }
)


def path(environ: Mapping[str, str]) -> str:
    """The file that is meant when none is named: `KUBECONFIG`, else `~/.kube/config`. Raises `ClusterConfigError`."""
    named = [each for each in (environ.get("KUBECONFIG") or "").split(os.pathsep) if each]
    if len(named) > 1:
        raise ClusterConfigError("KUBECONFIG names several files", hint="--kubeconfig FILE names one")
    return named[0] if named else os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".kube", "config")


def cluster(
    file: str,
    *,
    environ: Mapping[str, str],
    context: str | None,
    insecure: bool,
    clock: Callable[[], float] = time.time,
) -> Cluster:
    """The cluster of a context (the current one, when None). Raises `NotFoundError`, `ClusterConfigError`.

    `insecure`: whether the file may switch the check of the server's certificate off.
    """
    read = _Reader(file, environ, clock)
    chosen = context if context is not None else read.text(read.document, "current-context", "")
    if not chosen:
        raise read.wrong("no context is current", hint="--context NAME")
    place = read.named("contexts", chosen, "context")
    server = read.named("clusters", read.text(place, "cluster", f"context {chosen}"), "cluster")
    user_name = read.text(place, "user", f"context {chosen}")
    user = read.named("users", user_name, "user") if user_name else {}
    read.only(server, _CLUSTER, "cluster")
    read.only(user, _USER, "user")
    skips = server.get("insecure-skip-tls-verify", False)
    if not isinstance(skips, bool):
        raise read.wrong("insecure-skip-tls-verify is neither true nor false")
    if skips and not insecure:
        raise read.wrong(
            "the server's certificate would not be checked (insecure-skip-tls-verify)",
            hint="certificate-authority-data, or --insecure-skip-tls-verify if that is meant",
        )
    try:
        url = parse_url(read.text(server, "server", "cluster"))
    except ProtocolError as error:
        raise read.wrong("the cluster's server is no address that can be used") from error
    if url.scheme != "https":
        raise read.wrong("the API server is not asked over plain http", hint="https://")
    if "?" in url.target:
        raise read.wrong("the cluster's server is no address that can be used")
    credentials = read.user(user)
    tls = Tls(
        ca_file=None if skips else read.file(server, "certificate-authority"),
        client_cert=credentials.certificate, client_key=credentials.key,
        server_name=read.text(server, "tls-server-name", "cluster") or None, insecure_skip_verify=skips,
    )  # fmt: skip
    return Cluster(url, tls, credentials.token, read.text(place, "namespace", "context") or "default")


class _Credentials(NamedTuple):
    token: Callable[[], str | None] | None = None
    certificate: str | None = None
    key: str | None = None


class _Reader:
    """One kubeconfig."""

    def __init__(self, file: str, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        self._file = file
        self._folder = os.path.dirname(os.path.abspath(file))
        self._environ = environ
        self._clock = clock
        self.document = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            with open(self._file, "rb") as handle:
                raw = handle.read(limits.KUBECONFIG_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"there is no kubeconfig {self._file}", hint="--kubeconfig FILE") from None
        except (OSError, ValueError) as error:
            raise self.wrong(getattr(error, "strerror", None) or "the name is no path") from error
        try:
            documents = strictyaml.parse(raw, limit=limits.KUBECONFIG_BYTES, what=self._file, error=ContentError)
        except ContentError as error:
            raise ClusterConfigError(error.message) from error
        if len(documents) != 1 or not isinstance(documents[0], dict):
            raise self.wrong("it is no single object")
        return documents[0]

    def wrong(self, why: str, *, hint: str | None = None) -> ClusterConfigError:
        """What is wrong with the file. Never a value of it: it may be a secret."""
        return ClusterConfigError(f"the kubeconfig {self._file}: {why}", hint=hint)

    def text(self, holder: Mapping[str, Any], name: str, where: str) -> str:
        """A text; `""` when it is not there."""
        found = holder.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise self.wrong(f"{where}: {name} is no text".lstrip(": "))
        return found

    def named(self, group: str, name: str, inner: str) -> dict[str, Any]:
        """The entry of a name in one of the three lists; there is exactly one."""
        entries = self.document.get(group) or []
        found = (
            [each for each in entries if isinstance(each, dict) and each.get("name") == name]
            if isinstance(entries, list)
            else []
        )
        if len(found) != 1 or not isinstance(found[0].get(inner), dict):
            raise self.wrong(f"{group} does not have {name[:80]!a} exactly once")
        result: dict[str, Any] = found[0][inner]
        return result

    def only(self, holder: Mapping[str, Any], known: frozenset[str], what: str) -> None:
        """Refuse what would be left out."""
        for name, value in holder.items():
            if name not in known and value not in (None, "", [], {}):
                raise self.wrong(f"{what}: {str(name)[:60]!a} is not used here, and it is there")

    def file(self, holder: Mapping[str, Any], name: str) -> str | None:
        """A file that is named (relative to the kubeconfig), or whose content stands there; None when neither."""
        data = self.text(holder, f"{name}-data", "")
        if data:  # as kubectl: the data wins
            import base64
            import binascii

            try:
                return _keep(base64.b64decode(data, validate=True), name)
            except (binascii.Error, ValueError) as error:
                raise self.wrong(f"{name}-data is not base64") from error
        named = self.text(holder, name, "")
        return os.path.join(self._folder, named) if named else None

    def user(self, user: Mapping[str, Any]) -> _Credentials:
        """How one shows who one is: one way, not several."""
        certificate, key = self.file(user, "client-certificate"), self.file(user, "client-key")
        if (certificate is None) != (key is None):
            raise self.wrong("user: client-certificate and client-key belong together")
        token, token_file = self.text(user, "token", "user"), self.text(user, "tokenFile", "user")
        plugin = user.get("exec")
        if plugin is not None:
            if token or token_file or certificate:
                raise self.wrong("user: exec stands beside other credentials")
            return self._plugin(plugin)
        if token_file:  # as kubectl: it wins over the token
            return _Credentials(TokenFile(os.path.join(self._folder, token_file)), certificate, key)
        if token:
            checked = check_token(token, f"the kubeconfig {self._file}")
            return _Credentials(lambda: checked, certificate, key)
        return _Credentials(None, certificate, key)

    def _plugin(self, plugin: Any) -> _Credentials:
        if not isinstance(plugin, dict):
            raise self.wrong("user: exec is no object")
        version, command = plugin.get("apiVersion"), plugin.get("command")
        if version not in _EXEC_VERSIONS:
            raise self.wrong("user: exec speaks a version that is not known", hint=" or ".join(_EXEC_VERSIONS))
        words = plugin.get("args") or []
        if (
            not isinstance(command, str)
            or not command
            or not isinstance(words, list)
            or not all(isinstance(each, str) for each in words)
        ):
            raise self.wrong("user: exec names no command and arguments")
        added = {}
        variables = plugin.get("env") or []
        if not isinstance(variables, list):
            raise self.wrong("user: exec: env is no list of names and values")
        for each in variables:
            if (
                not isinstance(each, dict)
                or not isinstance(each.get("name"), str)
                or not isinstance(each.get("value"), str)
            ):
                raise self.wrong("user: exec: env is no list of names and values")
            added[each["name"]] = each["value"]
        if plugin.get("interactiveMode") == "Always":
            raise self.wrong("user: exec wants a person at a terminal")
        if plugin.get("provideClusterInfo"):
            raise self.wrong("user: exec wants to be told of the cluster, which is not done here")
        found = self._program(command)
        run = _Plugin([found, *words], {**self._environ, **added}, version, command, self._clock)
        return _Credentials(run)

    def _program(self, command: str) -> str:
        """As kubectl: with a slash, relative to the kubeconfig; else on the PATH."""
        if os.sep in command:
            return os.path.join(self._folder, command)
        found = program.find(command, self._environ.get("PATH", ""))
        if found is None:
            self._no_program(command)
        return found

    def _no_program(self, command: str) -> NoReturn:
        raise self.wrong(f"the credential plugin {command[:80]!a} is not on the PATH")


class _Plugin:
    """A credential plugin; its token is used until it says, and for a minute when it does not say."""

    def __init__(
        self, words: list[str], environ: Mapping[str, str], version: str, name: str, clock: Callable[[], float]
    ) -> None:
        self._words = words
        self._environ = environ
        self._version = version
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0

    def __call__(self) -> str:
        """The token of now. Raises `ClusterConfigError`."""
        with self._lock:
            if self._token is None or self._clock() >= self._until:
                self._token, self._until = self._ask()
            return self._token

    def _ask(self) -> tuple[str, float]:
        info = {"apiVersion": self._version, "kind": "ExecCredential", "spec": {"interactive": False}}
        environ = {**self._environ, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        what = f"the credential plugin {self._name}"
        raw = program.run(
            self._words,
            environ=environ,
            seconds=limits.EXEC_SECONDS,
            most=limits.CLUSTER_TOKEN_BYTES,
            error=ClusterConfigError,
        )
        try:
            answer = strictjson.parse_object(raw, limit=limits.CLUSTER_TOKEN_BYTES, what=what)
        except ContentError as error:
            raise ClusterConfigError(f"{what} answers with no ExecCredential") from error
        status = answer.get("status")
        if (
            answer.get("kind") != "ExecCredential"
            or answer.get("apiVersion") != self._version
            or not isinstance(status, dict)
        ):
            raise ClusterConfigError(f"{what} answers with no ExecCredential")
        token, end = status.get("token"), status.get("expirationTimestamp")
        if not isinstance(token, str):
            raise ClusterConfigError(
                f"{what} gives no token", hint="plugins that give client certificates are not used here"
            )
        return check_token(token, what), self._end(end, what)

    def _end(self, end: Any, what: str) -> float:
        if end is None:
            return self._clock() + limits.TOKEN_SECONDS
        try:
            found = datetime.datetime.fromisoformat(end)
            if found.tzinfo is None:
                raise ValueError(end)
        except (TypeError, ValueError) as error:
            raise ClusterConfigError(f"{what} says no time that can be read until which its token is good") from error
        return found.timestamp() - 10.0


_kept: list[int] = []
"""Files in memory that TLS reads; they end with the process, however it ends."""


def _keep(data: bytes, name: str) -> str:
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create(name, os.MFD_CLOEXEC)
        with open(handle, "wb", closefd=False) as file:
            file.write(data)
        _kept.append(handle)
        return f"/proc/self/fd/{handle}"
    import atexit  # pragma: no cover - not on Linux
    import tempfile  # pragma: no cover

    handle, found = tempfile.mkstemp(prefix=name)  # pragma: no cover - mode 0600
    with os.fdopen(handle, "wb") as file:  # pragma: no cover
        file.write(data)
    atexit.register(os.unlink, found)  # pragma: no cover
    return found  # pragma: no cover
