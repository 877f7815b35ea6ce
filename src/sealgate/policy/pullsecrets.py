"""Registry credentials out of Secrets: what a policy, a pod or a service account names. Pure.

An entry counts for exactly its registry, and for what is below its path. A Secret that a policy names and that is not there, or
is none, is a problem that stays with the policy: its images are refused, and no registry is asked as somebody else instead.

Sources: Kubernetes, "Pull an Image from a Private Registry"; kubernetes.io/dockerconfigjson.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sealgate import limits, strictjson
from sealgate.errors import (
    ContentError,
    InvalidReferenceError,
    PolicyInvalidError,
    PullSecretError,
    PullSecretMissingError,
)
from sealgate.evidence import base64
from sealgate.oci.credentials import Credentials, Lookup
from sealgate.oci.reference import parse_registry
from sealgate.policy.model import Note
from sealgate.policy.reading import AbsentError, UnsettledError

if TYPE_CHECKING:
    from sealgate.oci.host import RegistrySettings
    from sealgate.policy.reading import Context

Entry = tuple[str, str, Credentials]
"""Registry, the beginning of a repository (`""`: every one), credentials."""
JSON_KEY, OLD_KEY = ".dockerconfigjson", ".dockercfg"
_FORMS = {"kubernetes.io/dockerconfigjson": JSON_KEY, "kubernetes.io/dockercfg": OLD_KEY}


class PullSecrets:
    """The credentials of some Secrets: `lookup` is what `oci` asks, `scope` names them without showing any."""

    def __init__(
        self, owner: str, entries: Sequence[Entry], *, providers: frozenset[str] = frozenset(),
        problem: PullSecretError | None = None,
    ) -> None:  # fmt: skip
        """`owner`: a namespace, or several: the same entries of another owner are another scope.

        Of `entries`, the longest beginning of a repository wins. `providers`: clouds that are asked where they have nothing.
        `problem`: why they cannot be had; nothing may be asked then.
        """
        self.problem = problem
        self._providers = providers
        self._entries = sorted(entries, key=lambda entry: -len(entry[1]))
        told = hashlib.sha256()
        for registry, path, credentials in self._entries:
            for part in (registry, path, *credentials):
                told.update(len(part).to_bytes(4) + part.encode())
        self.scope = f"{owner}/{told.hexdigest()}" + "".join(f" {name}" for name in sorted(providers))

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"PullSecrets({len(self)} entries)"

    def lookup(self, registry: str, repository: str) -> Credentials | None:
        """Credentials of a repository of a canonical registry; None: anonymous. Raises what is the `problem`."""
        if self.problem is not None:  # nobody should have asked
            raise type(self.problem)(self.problem.message, hint=self.problem.hint)
        for host, path, credentials in self._entries:
            if host == registry and (not path or repository == path or repository.startswith(f"{path}/")):
                return credentials
        return None

    def over(self, settings: RegistrySettings) -> RegistrySettings:
        """The settings with which one asks with these first: Secrets, then what would ask anyway, then the clouds."""
        exchange = settings.exchange
        if self._providers and settings.clouds is not None:
            exchange = settings.clouds(self._providers)
        return settings._replace(credentials=self.before(settings.credentials), exchange=exchange)

    def before(self, others: Lookup | None) -> Lookup:
        """These, and where they have nothing the others."""

        def lookup(registry: str, repository: str) -> Credentials | None:
            own = self.lookup(registry, repository)
            return own if own is not None or others is None else others(registry, repository)

        return lookup


def named(
    secrets: Sequence[tuple[str, str]], context: Context, where: str, notes: list[Note], *,
    providers: Iterable[str] = (), tenant: bool = False,
) -> PullSecrets | None:  # fmt: skip
    """What the Secrets hold that a policy names, by (namespace, name), and the clouds; None: it names none, or a person's own
    credentials stand for them.

    Raises `UnsettledError`, above all for one that it may not name. `tenant`: a policy of a namespace. It may not make the
    webhook ask a cloud as itself (K16); which clouds are asked for everybody is the operator's to say.
    """
    clouds = frozenset(providers) - {"default"}
    if clouds and tenant:
        message = f"providers of a policy of a namespace are the operator's to name: --registry-credentials {','.join(sorted(clouds))}"
        notes.append(Note("difference", message, where))
        clouds = frozenset()
    if not secrets and not clouds:
        return None
    if len(secrets) > limits.PULL_SECRETS:
        problem = PullSecretError(f"{where}: more than {limits.PULL_SECRETS} pull secrets")
        return PullSecrets("policy", (), problem=problem)
    entries: list[Entry] = []
    absent = 0
    for namespace, name in secrets:
        try:
            data = context.references.secret(namespace, name)
        except AbsentError as error:
            if not context.personal:
                return PullSecrets("policy", (), problem=PullSecretMissingError(error.message, hint=error.hint))
            absent += 1
            message = (
                f"the Secret {namespace}/{name} is not beside the policies: registries are asked as whoever judges"
            )
            notes.append(Note("credentials-elsewhere", message, where))
            continue
        except UnsettledError:
            raise
        except PolicyInvalidError as error:
            return PullSecrets("policy", (), problem=PullSecretError(error.message, hint=error.hint))
        try:
            entries += entries_in(data, f"{namespace}/{name}")
        except PullSecretError as error:
            return PullSecrets("policy", (), problem=error)
    if absent == len(secrets) and not clouds:
        return None
    owner = "policy:" + ",".join(sorted({namespace for namespace, _ in secrets}))
    return PullSecrets(owner, entries, providers=clouds)


def entries_of(secret: Mapping[str, Any], where: str) -> list[Entry]:
    """The entries of one Secret as the cluster gives it. Raises `PullSecretError`, which shows nothing of it."""
    key = _FORMS.get(str(secret.get("type")))
    data = secret.get("data")
    value = data.get(key) if key is not None and isinstance(data, Mapping) else None
    if key is None or not isinstance(value, str):
        raise _none(where)
    return entries_in({key: base64.decode(value, what=f"the Secret {where}", error=PullSecretError)}, where)


def entries_in(data: Mapping[str, bytes], where: str) -> list[Entry]:
    """The entries in the data of one Secret, which the API server keeps to the form of its type. Raises as `entries_of`."""
    key = next((each for each in (JSON_KEY, OLD_KEY) if each in data), None)
    if key is None:
        raise _none(where)
    try:
        document = strictjson.parse_object(data[key], limit=limits.CONFIG_FILE_BYTES, what=f"the Secret {where}")
    except ContentError as error:
        raise PullSecretError(f"the Secret {where} holds no configuration of docker") from error
    auths = document.get("auths", {}) if key == JSON_KEY else document
    if not isinstance(auths, dict):
        raise PullSecretError(f"the Secret {where} holds no configuration of docker")
    return [found for name, entry in auths.items() if (found := _entry(name, entry, where)) is not None]


def _none(where: str) -> PullSecretError:
    return PullSecretError(f"the Secret {where} is no pull secret", hint="type: kubernetes.io/dockerconfigjson")


def _entry(name: str, entry: Any, where: str) -> tuple[str, str, Credentials] | None:
    text = name.removeprefix("https://").removeprefix("http://")
    host, _, path = text.partition("/")
    path = path.strip("/")
    if path in {"v1", "v2"}:  # https://index.docker.io/v1/
        path = ""
    try:
        registry = parse_registry(host)
    except InvalidReferenceError:  # a pattern, or nothing that an image could name
        return None
    if not isinstance(entry, dict):
        raise PullSecretError(f"the Secret {where} holds an entry that is no object")
    username, password, auth = entry.get("username", ""), entry.get("password", ""), entry.get("auth", "")
    if not all(isinstance(each, str) for each in (username, password, auth)):
        raise PullSecretError(f"the Secret {where} holds an entry that is no text")
    if auth:
        raw = base64.decode(auth, what=f"an entry of the Secret {where}", error=PullSecretError)
        try:
            username, colon, password = raw.decode().partition(":")
        except UnicodeDecodeError as error:
            raise PullSecretError(f"the Secret {where} holds an entry that is no text") from error
        if not colon:
            raise PullSecretError(f"the Secret {where} holds an entry without a password")
    return (registry, path, Credentials(username, password)) if username else None
