"""That what is converted loads, as it was and as it is written. Pure.

Nobody is judged by it, so that whom the operator believes in and what policies refer to are stood in for: by keys and
certificates that are nobody's (their private halves were never kept), and by whatever entry of a Secret is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError
from sealgate.policy import compiling, reading
from sealgate.policy.attestors import Settings
from sealgate.policy.reading import Context, Source
from sealgate.policy.sigstore import trust

if TYPE_CHECKING:
    from sealgate.trust.root import TrustRoot

_KEY = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEP7zQi4qJoOx227id40SeGVUgsIVq
ORukLU+Gqwpo5p8UOTJ00bA8BU8AopVeAvonRQOoGJLvqL0viIE2X1XKoA==
-----END PUBLIC KEY-----
"""
_AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBJDCBzKADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBm5vYm9keTAg
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowETEPMA0GA1UEAwwGbm9i
b2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEP7zQi4qJoOx227id40SeGVUg
sIVqORukLU+Gqwpo5p8UOTJ00bA8BU8AopVeAvonRQOoGJLvqL0viIE2X1XKoKMT
MBEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBDs12+cZSGPiEu
aHEk80JDqMqKUVCf4FNco4U8LmIhLgIgG8K7ZaF7Nif7HbY5ni1Ux32bH1G0a8Fj
z9j6Rtk8Jm8=
-----END CERTIFICATE-----
"""
_TIMES = """\
-----BEGIN CERTIFICATE-----
MIIBLTCB1KADAgECAgECMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBm5vYm9keTAg
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowEjEQMA4GA1UEAwwHbm8g
dGltZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM8jXUOwpaE90mukzGDPP7tj
dNQJVv2vHtS52RV9fjCth9ypgeSTQVvn/eeMpfDfyfjbPcewPYM+Eufsk1JPmC2j
GjAYMBYGA1UdJQEB/wQMMAoGCCsGAQUFBwMIMAoGCCqGSM49BAMCA0gAMEUCIHqB
Ikc3ReG9fCWBTiRXdDpfnZtTzLkQY3osJSBLIQGRAiEA1A5jAZguR82JaoFRvx4H
bwkCCPAii7Ac2rozdNP9Zz8=
-----END CERTIFICATE-----
"""
_LOG = {"hashAlgorithm": "sha-256", "publicKey": _KEY}
_ROOT: dict[str, Any] = {
    "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "nobody"},
    "spec": {"sigstoreKeys": {
        "certificateAuthorities": [{"certChain": _AUTHORITY}], "ctLogs": [_LOG], "tLogs": [_LOG],
        "timestampAuthorities": [{"certChain": _TIMES + _AUTHORITY}],
    }},
}  # fmt: skip


class _Entries(Mapping[str, bytes]):
    """A Secret with one entry, whatever it is called."""

    def __getitem__(self, name: str) -> bytes:
        return _KEY.encode()

    def __iter__(self) -> Iterator[str]:
        return iter(("cosign.pub",))

    def __len__(self) -> int:
        return 1


class _Standing:
    """A `References` in which everything is there. What stands among the policies is taken from there."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._roots = {each.name: each for each in sources if each.kind == "TrustRoot"}

    def secret(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """As `reading.References`."""
        return _Entries()

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """As `reading.References`; texts that are kept elsewhere are not converted."""
        raise PolicyUnsupportedError(f"the ConfigMap {namespace}/{name} is not looked into", hint="put its text here")

    def trust_root(self, name: str) -> Source:
        """As `reading.References`."""
        return self._roots.get(name) or Source("", _ROOT)


def _root() -> TrustRoot:
    return trust.parse(Source("", _ROOT), Settings())


def check(sources: Iterable[Source], made: Iterable[tuple[Source, Mapping[str, Any]]]) -> None:
    """Raises `PolicyInvalidError` for the first that does not load.

    `made`: what is written, with what it was made of. That it does not load is what the other grammar cannot say.
    """
    sources = list(sources)
    context = Context(Settings(_root()), _Standing(sources), "kyverno")
    read = [reading.read(source, context) for source in sources if reading.is_policy(source)]
    for looked in compiling.look([each.rules for each in read if each is not None]):
        for error in looked.errors:
            raise error
    for source, document in made:
        try:
            reading.read(Source("", document), context)
        except PolicyInvalidError as error:
            message = f"{source.where}: what it would become does not load: {error.message}"
            raise PolicyUnsupportedError(message, hint=error.hint) from error
