"""Where a registry's credentials come from: the command line, docker's config.json, podman's auth.json, their helpers.

A key of such a file counts only when it names exactly the registry that is asked: its canonical `host[:port]`, compared
for equality (bypass T12). Nothing here is ever shown: no message has a content of a file or an answer of a helper.

Sources: docker/cli `config.json`, docker-credential-helpers (the protocol), containers-auth.json(5). Order as in
go-containerregistry, which cosign uses; unlike there, podman's file is asked too when docker's has nothing for the host.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sealgate import limits, strictjson
from sealgate.errors import ContentError, DeadlineError, InvalidReferenceError, UnavailableError, UsageError
from sealgate.oci.reference import HUB, parse_registry

_HUB_KEY = "https://index.docker.io/v1/"
"""Docker Hub in docker's config.json and in its helpers."""
_NOT_FOUND = "credentials not found in native keychain"
"""What every helper built from docker-credential-helpers says when it has nothing."""


class Credentials(NamedTuple):
    """A user name and password, or one of the two tokens. Its text never shows them."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    """A refresh token, exchanged at the token service."""
    registry_token: str = ""
    """A bearer token, sent to the registry as it is."""

    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        import base64

        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def __repr__(self) -> str:
        return "Credentials(…)"


Lookup = Callable[[str, str], Credentials | None]
"""As `Keychain.lookup`."""


class _File(NamedTuple):
    """One file of credentials, as it is."""

    path: str
    document: dict[str, Any]
    namespaces: bool
    """Whether a key may name a part of a registry (podman) or a registry and one repository only (docker)."""


class Keychain:
    """What one run knows of credentials. Files are read at most once, when first needed; helpers are asked once each.

    `explicit` (`--registry-username`, `--registry-password`, `--registry-token`) is used for every registry, and then no
    file is read. `environ` says where the files and the helpers are.
    """

    def __init__(self, *, environ: Mapping[str, str], explicit: Credentials | None) -> None:
        self._environ = environ
        self._explicit = explicit
        self._files: list[_File] | None = None
        self._answers: dict[tuple[str, str], Credentials | None] = {}
        self._lock = threading.Lock()

    def lookup(self, reference_host: str, repository: str) -> Credentials | None:
        """Credentials for a repository of a canonical registry (`Reference.registry`); None: anonymous. It blocks.

        Raises `UsageError` (a file that cannot be read, a helper that is not there), `UnavailableError` and
        `DeadlineError` (a helper that fails).
        """
        if self._explicit is not None:
            return self._explicit
        with self._lock:
            if self._files is None:
                self._files = list(_load_files(self._environ))
            for file in self._files:
                found = self._ask_helpers(file, reference_host, repository) or _find(file, reference_host, repository)
                if found is not None:
                    return found
        return None

    def _ask_helpers(self, file: _File, host: str, repository: str) -> Credentials | None:
        for helper, server in _helpers(file, host, repository):
            if (helper, server) not in self._answers:
                self._answers[helper, server] = _get(helper, server, file.path, self._environ)
            found = self._answers[helper, server]
            if found is not None:
                return found
        return None


def config_path(environ: Mapping[str, str]) -> str:
    """Docker's config.json: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`."""
    directory = environ.get("DOCKER_CONFIG") or os.path.join(_home(environ), ".docker")
    return os.path.join(directory, "config.json")


def store_login(path: str, host: str, credentials: Credentials, *, environ: Mapping[str, str]) -> str:
    """Keep credentials of `host` for `docker`, `cosign` and us; unknown fields of the file stay. Says where they went.

    They go to the helper that the file names for the host, else into the file (mode 0600, replaced atomically). Raises
    `UsageError`, `UnavailableError`, `InvalidReferenceError`.
    """
    registry = parse_registry(host)
    file = _read(path, namespaces=False) or _File(path, {}, namespaces=False)
    key = _server(registry)
    helper = _helper_of(file, registry)
    if helper is not None:
        import json

        token = credentials.identity_token
        entry = {
            "ServerURL": key,
            "Username": "<token>" if token else credentials.username,
            "Secret": token or credentials.password,
        }
        status, _ = _run(helper, "store", json.dumps(entry), path, environ)
        if status:
            raise UnavailableError(f"docker-credential-{helper} did not store the credentials of {registry}")
        kept: dict[str, str] = {}
    else:
        kept = _entry(credentials)
    auths = _section(file, "auths")
    for other in [other for other in auths if _names(other, registry)]:
        del auths[other]
    auths[key] = kept
    _write(path, {**file.document, "auths": auths})
    return f"docker-credential-{helper}" if helper is not None else path


def erase_login(path: str, host: str, *, environ: Mapping[str, str]) -> bool:
    """Forget the credentials of `host`, in the file and in its helper; False when there were none. Raises as above."""
    registry = parse_registry(host)
    file = _read(path, namespaces=False)
    if file is None:
        return False
    helper = _helper_of(file, registry)
    erased = False
    if helper is not None:
        status, _ = _run(helper, "erase", _server(registry), path, environ)
        erased = status == 0
    auths = _section(file, "auths")
    found = [key for key in auths if _names(key, registry)]
    if found:
        for key in found:
            del auths[key]
        _write(path, {**file.document, "auths": auths})
    return erased or bool(found)


# -- files


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _load_files(environ: Mapping[str, str]) -> Iterator[_File]:
    docker = _read(config_path(environ), namespaces=False)
    if docker is not None:
        yield docker
    paths = [environ.get("REGISTRY_AUTH_FILE", "")]
    if environ.get("XDG_RUNTIME_DIR"):
        paths.append(os.path.join(environ["XDG_RUNTIME_DIR"], "containers", "auth.json"))
    # One of the two: REGISTRY_AUTH_FILE stands in for the default place.
    for path in [path for path in paths if path][:1]:
        podman = _read(path, namespaces=True)
        if podman is not None:
            yield podman


def _read(path: str, *, namespaces: bool) -> _File | None:
    try:
        with open(path, "rb") as stream:
            data = stream.read(limits.CONFIG_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read the credentials in {path}: {error.strerror}") from error
    if len(data) <= limits.CONFIG_FILE_BYTES and not data.strip():
        return None
    try:
        document = strictjson.parse_object(data, limit=limits.CONFIG_FILE_BYTES, what=path)
    except ContentError as error:
        raise UsageError(f"cannot read the credentials: {error.message}") from None
    return _File(path, document, namespaces)


def _section(file: _File, name: str) -> dict[str, Any]:
    found = file.document.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise UsageError(f"{file.path}: '{name}' is not an object")
    return dict(found)


def _write(path: str, document: dict[str, Any]) -> None:
    """Replace atomically, readable for the owner only; through a link the file it leads to."""
    import json
    import secrets

    path = os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(8)}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent="\t", ensure_ascii=False)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


# -- keys and entries


def _server(registry: str) -> str:
    """How docker's file and helpers call a registry."""
    return _HUB_KEY if registry == HUB else registry


def _split_key(key: str) -> tuple[str, str] | None:
    """The canonical registry and the namespace that a key names; None for one that names no registry."""
    rest = re.sub("^https?://", "", key)
    host, _, path = rest.partition("/")
    if path.rstrip("/") in {"v1", "v2"} or (rest != key and not path):
        path = ""
    elif rest != key:
        return None  # a URL of something else on that host
    try:
        return parse_registry(host), path
    except InvalidReferenceError:
        return None


def _names(key: str, registry: str) -> bool:
    return _split_key(key) == (registry, "")


def _candidates(section: dict[str, Any], host: str, repository: str, *, namespaces: bool) -> list[str]:
    """Keys that cover the repository: the longest namespace first, the usual spelling before others."""
    found = []
    for key in section:
        named = _split_key(key)
        if named is None or named[0] != host:
            continue
        scope = named[1]
        if scope in {"", repository} or (namespaces and repository.startswith(f"{scope}/")):
            found.append((-len(scope), key != _server(host), key))
    return [key for _, _, key in sorted(found)]


def _find(file: _File, host: str, repository: str) -> Credentials | None:
    auths = _section(file, "auths")
    for key in _candidates(auths, host, repository, namespaces=file.namespaces):
        found = _parse_entry(auths[key], key, file.path)
        if found is not None:
            return found
    return None


def _parse_entry(entry: object, key: str, path: str) -> Credentials | None:
    import base64

    if not isinstance(entry, dict):
        raise UsageError(f"{path}: the entry of {ascii(key[:100])} is not an object")
    fields = {
        name: entry.get(name) or "" for name in ("auth", "username", "password", "identitytoken", "registrytoken")
    }
    if not all(isinstance(value, str) for value in fields.values()):
        raise UsageError(f"{path}: the entry of {ascii(key[:100])} has fields that are not text")
    username, password = fields["username"], fields["password"]
    if fields["auth"]:
        try:
            text = base64.b64decode(fields["auth"], validate=True).decode("utf-8")
        except ValueError:
            text = ""
        username, colon, password = text.partition(":")
        password = password.rstrip("\0")
        if not colon or not username:
            raise UsageError(f"{path}: 'auth' of {ascii(key[:100])} is not base64 of user:password")
    return _checked(username, password, fields["identitytoken"], fields["registrytoken"], path)


def _checked(username: str, password: str, identity: str, token: str, where: str) -> Credentials | None:
    """Credentials that can be sent; None when there are none."""
    if not (username or identity or token):
        return None
    if ":" in username or not all(char.isprintable() for char in username):
        raise UsageError(f"{where}: a user name with a colon or a control character cannot be sent")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"{where}: a registry token with characters that cannot be sent")
    return Credentials(username, password, identity, token)


def _entry(credentials: Credentials) -> dict[str, str]:
    """The entry of docker's file."""
    import base64

    found = {}
    if credentials.username:
        pair = f"{credentials.username}:{credentials.password}"
        found["auth"] = base64.b64encode(pair.encode()).decode("ascii")
    if credentials.identity_token:
        found["identitytoken"] = credentials.identity_token
    if credentials.registry_token:
        found["registrytoken"] = credentials.registry_token
    return found


# -- helpers


def _helpers(file: _File, host: str, repository: str) -> Iterator[tuple[str, str]]:
    """Which helper to ask by which name, in order; with `credsStore` the repository first, as cosign does."""
    section = _section(file, "credHelpers")
    for key in _candidates(section, host, repository, namespaces=file.namespaces):
        scope = (_split_key(key) or ("", ""))[1]
        yield _helper_name(section[key], file.path), f"{host}/{scope}" if scope else _server(host)
        return
    store = file.document.get("credsStore")
    if store:
        name = _helper_name(store, file.path)
        yield name, f"{host}/{repository}"
        yield name, _server(host)


def _helper_of(file: _File, registry: str) -> str | None:
    section = _section(file, "credHelpers")
    for key, name in section.items():
        if _names(key, registry):
            return _helper_name(name, file.path)
    store = file.document.get("credsStore")
    return _helper_name(store, file.path) if store else None


def _helper_name(name: object, path: str) -> str:
    if not isinstance(name, str) or re.fullmatch("[a-z0-9_][a-z0-9_.-]{0,63}", name) is None:
        raise UsageError(
            f"{path}: a credential helper's name is not one", hint="lower-case letters, digits, '_', '.', '-'"
        )
    return name


def _get(helper: str, server: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """Ask `docker-credential-NAME get` for a server."""
    program = f"docker-credential-{helper}"
    status, output = _run(helper, "get", server, path, environ)
    if status:
        if _NOT_FOUND in output.decode("utf-8", "replace"):
            return None
        raise UnavailableError(
            f"{program} failed with exit code {status} when asked for {server}",
            hint=f"try it: echo {server} | {program} get",
        )
    try:
        answer = strictjson.parse_object(output, limit=limits.HELPER_BYTES, what=f"the answer of {program}")
    except ContentError as error:
        raise UnavailableError(error.message) from None
    username, secret = answer.get("Username") or "", answer.get("Secret") or ""
    if not isinstance(username, str) or not isinstance(secret, str):
        raise UnavailableError(f"the answer of {program} has fields that are not text")
    if username == "<token>":
        return _checked("", "", secret, "", program)
    return _checked(username, secret, "", "", program)


def _run(helper: str, action: str, text: str, path: str, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """Run a helper, `text` on its standard input; exit code and what it printed, both bounded."""
    import contextlib
    import signal
    import subprocess

    from sealgate import program as programs

    program = programs.find(f"docker-credential-{helper}", environ.get("PATH", ""))
    if program is None:
        raise UsageError(
            f"{path} names the credential helper docker-credential-{helper}, which is not on the PATH",
            hint="install it, or remove 'credsStore' or the entry of 'credHelpers' from the file",
        )
    expired = threading.Event()
    try:
        process = subprocess.Popen(
            [program, action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"cannot run {program}: {error.strerror}") from error

    def stop() -> None:
        # The whole session: a child of the helper may hold its output open.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def expire() -> None:
        expired.set()
        stop()

    timer = threading.Timer(limits.HELPER_SECONDS, expire)
    timer.daemon = True
    timer.start()
    with process:
        try:
            stdin, stdout = process.stdin, process.stdout
            if stdin is not None:
                with contextlib.suppress(BrokenPipeError), stdin:
                    stdin.write(text.encode())
            output = stdout.read(limits.HELPER_BYTES + 1) if stdout is not None else b""
            if len(output) > limits.HELPER_BYTES:
                stop()
                raise UnavailableError(f"docker-credential-{helper} answers more than {limits.HELPER_BYTES} bytes")
            status = process.wait()
        except BaseException:
            stop()
            raise
        finally:
            timer.cancel()
    if expired.is_set():
        raise DeadlineError(f"docker-credential-{helper} did not answer within {limits.HELPER_SECONDS:g} s")
    return status, output
