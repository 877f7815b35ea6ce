"""A Sigstore in one object, for tests: certificate authority, CT log, Rekor v1 and v2, timestamps, identities, TUF.

    def test_entry_of_another(trust_service):
        made = trust_service.make_bundle(rekor=2, alter={"proof": lambda proof: proof | {"logIndex": 1}})
        ...                                       # made.json, made.artifact, made.subject, made.issuer
        root = trust_service.trusted_root()       # what believes in it

    def test_signing(trust_service, sealgate):
        files = trust_service.files(tmp_path)     # trusted_root.json, signing_config.json, PEM files
        trust_service.alter("signed-set", lambda signature: b"x" * 70)
        trust_service.fail("rekor", status=503, times=2)
        token = trust_service.token("signer@example.test")

There are several of each kind, by name: `current`, `second`, `retired` (until yesterday), `expired` (authorities whose own
certificates ended yesterday), `ecdsa` (a Rekor v2 log with such a key) and `stranger` (in no trust root). `use()` chooses
who works; under the address `service.at("second")` the ones of that name do. Nothing here uses a line of the product.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from trust_service import authority, bundles, ctlog, documents, rekor1, rekor2, timestamping
from trust_service.hooks import Alteration, Failure, Failures, Hooks
from trust_service.identities import EMAIL
from trust_service.issuer import Issuer
from trust_service.period import DAY, YEAR, Period
from trust_service.repository import Repository, targets

STRANGER = "stranger"


class Chosen(NamedTuple):
    """Who works when nobody is named: one name, or several."""

    authority: str = "current"
    ct: bundles.Names = "current"
    log: bundles.Names = "current"
    tsa: bundles.Names = "current"


class Files(NamedTuple):
    """What was written for clients."""

    trusted_root: Path
    signing_config: Path
    client_config: Path
    ca: Path
    """PEM: intermediate and root."""
    ct: Path
    rekor: Path
    tsa: Path


class Seen(NamedTuple):
    """A request that came in."""

    service: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class TrustService:
    """See the module. Everything works without HTTP; `server.serve` puts it on loopback."""

    def __init__(self, url: str = "http://trust.test") -> None:
        start = time.time() - YEAR
        self.url = url
        self._whole = Period(start)
        past = Period(start, time.time() - DAY)
        self.issuer = Issuer(f"{url}/oidc")
        self._authorities = {
            name: authority.make(name, past if name == "retired" else self._whole, certificates)
            for name, certificates in _certificates(self._whole, past).items()
        }
        self._tsas = {
            name: timestamping.TimestampAuthority(name, past if name == "retired" else self._whole, certificates)
            for name, certificates in _certificates(self._whole, past).items()
        }
        names = ("current", "second", "retired", STRANGER)
        periods = {name: past if name == "retired" else self._whole for name in names}
        self._ct_logs = {name: ctlog.make(name, period) for name, period in periods.items()}
        self._logs1 = {name: rekor1.Log(name, period) for name, period in periods.items()}
        keys = {name: ed25519.Ed25519PrivateKey.generate() for name in names}
        self._logs2 = {name: rekor2.TileLog(name, key, periods[name]) for name, key in keys.items()}
        self._logs2["ecdsa"] = rekor2.TileLog("ecdsa", ec.generate_private_key(ec.SECP256R1()), self._whole)
        self.reset()

    def reset(self) -> None:
        """As new, but for the keys and what lies in the logs."""
        self.hooks = Hooks()
        self.failures = Failures()
        self.chosen = Chosen()
        self.clock: Callable[[], float] = time.time
        self.requests: list[Seen] = []
        self.issuer.reset()
        self._repository: Repository | None = None
        for log in self._logs2.values():
            log.deduplicates, log.takes_dsse = False, "convert"

    # -- for tests

    def alter(self, name: str, alteration: Alteration) -> None:
        """From now on, `alteration(value)` is used for every object of that name: the names are in `hooks`."""
        self.hooks.add(name, alteration)

    def fail(
        self,
        service: str,
        *,
        status: int | None = None,
        times: int | None = None,
        delay: float = 0,
        body: bytes = b'{"code":13,"message":"as the test wants it"}',
        headers: Mapping[str, str] | None = None,
        path: str = "",
    ) -> None:
        """Requests to `fulcio`, `rekor`, `tsa`, `oidc` or `tuf` fail: `status` 0 closes the connection, None answers
        after `delay`. `times`: so many, None: all; `path`: only those whose path contains this.
        """
        failure = Failure(service, status, body, tuple((headers or {}).items()), delay, path)
        self.failures.add(failure, times)

    def use(self, **chosen: Any) -> None:
        """Who works from now on: `authority`, `ct`, `log`, `tsa`, by name."""
        self.chosen = self.chosen._replace(**chosen)

    def now(self) -> float:
        return self.clock()

    def set_time(self, at: float) -> None:
        """The service's clock stands still."""
        self.clock = lambda: at

    def at(self, name: str) -> str:
        """The address under which the ones of that name work."""
        return f"{self.url}/at/{name}"

    def token(self, identity: str | Mapping[str, Any] = EMAIL, **claims: Any) -> str:
        """An identity token. `identity`: an address, a URI, a name, or claims; a claim that is None is left out."""
        return self.issuer.token(identity, self.now(), self.hooks, **claims)

    def make_bundle(self, *, alter: Mapping[str, Alteration] | None = None, **options: Any) -> bundles.Made:
        """A bundle, made here; valid unless altered. `options` are those of `bundles.Options`:

        `kind` (`blob`, `dsse`), `rekor` (2, 1, None), `tsa` (default: with Rekor v2 and without a log; a name or several
        names), `identity` (as for `token`), `issuer`, `artifact`, `statement` (of `dsse`: bytes, or a dict; default:
        about the artifact), `key` (private), `managed` (no certificate), `authority`, `log`, `ct` (names), `entry_kind`
        (`dsse`, `intoto`: see `bundles`), `version` of the bundle, `at` (when it was signed).
        """
        return bundles.make(self, bundles.Options(**options), alter)

    def make_annotations(
        self, payload: bytes, *, alter: Mapping[str, Alteration] | None = None, **options: Any
    ) -> tuple[bundles.Made, dict[str, str]]:
        """A legacy signature over the layer `payload` (`bundles.simple_signing`): what it is, and its annotations."""
        made = self.make_bundle(alter=alter, **({"rekor": 1, "artifact": payload} | options))
        return made, bundles.legacy_annotations(self, payload, made, self.hooks.also(alter))

    def make_legacy_bundle(
        self, *, alter: Mapping[str, Alteration] | None = None, **options: Any
    ) -> tuple[bundles.Made, dict[str, Any]]:
        """cosign's old bundle of a file (`{"base64Signature", "cert", "rekorBundle"}`)."""
        others = {name: change for name, change in (alter or {}).items() if name != "bundle"}
        made = self.make_bundle(alter=others, **({"rekor": 1} | options))
        return made, bundles.legacy_bundle(self, made, self.hooks.also(alter))

    def trusted_root(
        self,
        *,
        authorities: Sequence[str] | None = None,
        ct: Sequence[str] | None = None,
        logs: Sequence[str] | None = None,
        tsa: Sequence[str] | None = None,
        rekor: Sequence[int] = (1, 2),
    ) -> dict[str, Any]:
        """Who is believed in: everybody but the stranger, or those named; an empty sequence: nobody of that kind."""
        logs1 = _named(self._logs1, logs) if 1 in rekor else []
        logs2 = _named(self._logs2, logs) if 2 in rekor else []
        document = documents.trusted_root(
            authorities=_named(self._authorities, authorities),
            ct_logs=_named(self._ct_logs, ct),
            logs=[*logs1, *logs2],
            timestamp_authorities=_named(self._tsas, tsa),
        )
        return self.hooks("trusted-root", document)

    def signing_config(
        self,
        *,
        rekor: int | None = 2,
        log: bundles.Names = "current",
        tsa: bundles.Names | None = "current",
        selector: str = "ANY",
    ) -> dict[str, Any]:
        """Where to sign. A name means the address of `at`, but `current` the plain one: whoever was chosen by `use`."""
        names = [] if rekor is None else [log] if isinstance(log, str) else list(log)
        stamps = [] if tsa is None else [tsa] if isinstance(tsa, str) else list(tsa)
        document = documents.signing_config(
            ca=self.url,
            oidc=self.issuer.url,
            logs=[(self._address(name), rekor or 0) for name in names],
            timestamps=[f"{self._address(name)}/api/v1/timestamp" for name in stamps],
            valid=self._whole,
            selector=selector,
        )
        return self.hooks("signing-config", document)

    def files(self, folder: Path, **signing: Any) -> Files:
        """Write what clients need into `folder`; `signing` as for `signing_config`."""
        folder.mkdir(parents=True, exist_ok=True)
        root, config = self.trusted_root(), self.signing_config(**signing)
        files = Files(
            folder / "trusted_root.json",
            folder / "signing_config.json",
            folder / "client_config.json",
            folder / "fulcio_v1.crt.pem",
            folder / "ctfe.pub",
            folder / "rekor.pub",
            folder / "tsa.certchain.pem",
        )
        files.trusted_root.write_text(json.dumps(root))
        files.signing_config.write_text(json.dumps(config))
        files.client_config.write_text(json.dumps(documents.client_config(root, config)))
        for name, text in self.pems().items():
            (folder / name).write_text(text)
        return files

    def pems(self) -> dict[str, str]:
        """The keys and certificates of those that work, as cosign 2 takes them, under their names in TUF."""
        return {
            "fulcio_v1.crt.pem": authority.pem(self.authority().chain),
            "ctfe.pub": documents.public_pem(self.ct_log().key),
            "rekor.pub": documents.public_pem(self.log1().key),
            "tsa.certchain.pem": authority.pem(self.tsa().chain),
        }

    @property
    def tuf(self) -> Repository:
        """The TUF repository under `tuf_url`; made, with one version in it, when somebody first asks for it."""
        if self._repository is None:
            self._repository = Repository()
            self.publish()
        return self._repository

    @property
    def tuf_url(self) -> str:
        return f"{self.url}/tuf"

    def publish(self, **options: Any) -> None:
        """A new version of the TUF repository, with what `trusted_root`, `signing_config` and `pems` say by now; the
        options are those of `Repository.publish`.
        """
        files = targets(self.trusted_root(), self.signing_config(), self.pems())
        self.tuf.publish(files, self.now(), **options)

    # -- who works

    def authority(self, name: str | None = None) -> authority.Authority:
        return self._authorities[name or self.chosen.authority]

    def ct_log(self, name: str | None = None) -> ctlog.CtLog:
        return self._ct_logs[name or _first(self.chosen.ct)]

    def log1(self, name: str | None = None) -> rekor1.Log:
        return self._logs1[name or _first(self.chosen.log)]

    def log2(self, name: str | None = None) -> rekor2.TileLog:
        return self._logs2[name or _first(self.chosen.log)]

    def tsa(self, name: str | None = None) -> timestamping.TimestampAuthority:
        return self._tsas[name or _first(self.chosen.tsa)]

    def issue(
        self,
        public_key: Any,
        claims: Mapping[str, Any],
        at: float,
        *,
        authority: str | None = None,
        ct: bundles.Names | None = None,
        hooks: Hooks | None = None,
    ) -> list[bytes]:
        """A certificate for the claims of a token, and its chain: DER."""
        names = ct if ct is not None else self.chosen.ct
        logs = [self._ct_logs[name] for name in ((names,) if isinstance(names, str) else names)]
        return self.authority(authority).issue(public_key, claims, at, logs, hooks or self.hooks)

    def _address(self, name: str) -> str:
        return self.url if name == "current" else self.at(name)


def _certificates(whole: Period, past: Period) -> dict[str, Period]:
    """The validity of the certificates of each authority."""
    names = ("current", "second", "retired", STRANGER)
    return dict.fromkeys(names, whole) | {"expired": past}


def _named(everybody: Mapping[str, Any], names: Sequence[str] | None) -> list[Any]:
    if names is None:
        return [one for name, one in everybody.items() if name != STRANGER]
    return [one for name, one in everybody.items() if name in names]


def _first(names: bundles.Names) -> str:
    return names if isinstance(names, str) else names[0]
