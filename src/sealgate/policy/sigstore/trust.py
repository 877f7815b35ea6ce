"""policy-controller's `TrustRoot`: whom policies believe in that name it by `trustRootRef`. Pure, but for the clock of TUF.

Keys and certificates in the object itself, or a whole TUF repository in it, whose metadata is verified from its root and
must not have expired. Of a repository at an address, what `sealgate initialize` left counts: policies fetch nothing.

Source: sigstore/policy-controller, pkg/apis/policy/v1alpha1/trustroot_types.go; pkg/tuf/repo.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealgate import limits
from sealgate.errors import PolicyInvalidError, PolicyUnsupportedError, SealgateError
from sealgate.evidence import base64
from sealgate.policy import material
from sealgate.policy.attestors import NO_ROOT
from sealgate.policy.fields import Fields
from sealgate.policy.reading import Loaded
from sealgate.trust import root as roots
from sealgate.trust.root import TrustRoot

if TYPE_CHECKING:
    from sealgate.policy.attestors import Settings
    from sealgate.policy.reading import Context, Source
    from sealgate.trust.root import Authority, Log

_KINDS = ("remote", "repository", "sigstoreKeys")
_ELSEWHERE = {"mirror": "remote", "mirrorFS": "repository", "root": "remote or repository"} | dict.fromkeys(
    ("certificateAuthorities", "tLogs", "ctLogs", "timestampAuthorities"), "sigstoreKeys"
)
_HASHES = ("sha-256", "SHA256", "sha256", "SHA2_256")


def read(source: Source, context: Context) -> Loaded:
    """No rules: what is wrong with it is said at once, though, and not when a policy asks for it."""
    parse(source, context.settings)
    return Loaded()


def named(name: str, context: Context, where: str) -> TrustRoot:
    """The trust root that a policy names. Raises `PolicyInvalidError`."""
    try:
        return parse(context.references.trust_root(name), context.settings)
    except PolicyInvalidError as error:
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def composed(
    base: TrustRoot | None, *, issuers: TrustRoot | None = None, anchors: tuple[Authority, ...] | None = None,
    logs: TrustRoot | None = None, stamps: TrustRoot | None = None,
) -> TrustRoot | None:  # fmt: skip
    """What one authority believes in: each part of its own where it names one, else the operator's.

    None: nothing of its own. With authorities of its own, and no CT log for them, no SCT can be asked for.
    """
    if issuers is None and anchors is None and logs is None and stamps is None:
        return None
    operators = base or NO_ROOT
    signers = issuers or operators
    believed, ct_logs = signers.certificate_authorities, signers.ct_logs
    if anchors is not None:
        believed = anchors
        ct_logs = issuers.ct_logs if issuers is not None else ()
    return TrustRoot(
        believed, ct_logs, (logs or operators).logs, (stamps or issuers or operators).timestamp_authorities
    )


def parse(source: Source, settings: Settings) -> TrustRoot:
    """The trust root of an object; `settings` say where repositories are kept. Raises `PolicyInvalidError`."""
    top = Fields(source.document, source.where)
    top.ignored("apiVersion", "kind", "metadata", "status")
    if not source.name:
        raise PolicyInvalidError(f"{source.where}: missing field(s): metadata.name")
    if not top.has("spec"):
        raise PolicyInvalidError(f"{source.where}: missing field(s): spec")
    top.end()
    spec = Fields(top.take("spec"), f"{source.where}: spec", elsewhere=_ELSEWHERE)
    given = [name for name in _KINDS if spec.has(name)]
    if len(given) != 1:
        said = f"got both: {', '.join(given)}" if given else f"got neither: {', '.join(_KINDS)}"
        raise PolicyInvalidError(f"{spec.where}: expected exactly one, {said}")
    remote = spec.fields("remote")
    if remote is not None:
        return spec.done(remote.done(_remote(remote, settings)))
    keys = spec.fields("sigstoreKeys")
    repository = spec.fields("repository")
    if keys is not None:
        return spec.done(keys.done(_keys(keys)))
    if repository is not None:
        return spec.done(repository.done(_repository(repository)))
    raise PolicyInvalidError(f"{spec.where}: nothing is in it")


# -- keys and certificates


def _keys(fields: Fields) -> TrustRoot:
    found = TrustRoot(
        tuple(_authority(each, timestamps=False) for each in fields.objects("certificateAuthorities")),
        tuple(_log(each) for each in fields.objects("ctLogs")),
        tuple(_log(each) for each in fields.objects("tLogs")),
        tuple(_authority(each, timestamps=True) for each in fields.objects("timestampAuthorities")),
    )
    if found == NO_ROOT:
        raise PolicyInvalidError(f"{fields.where}: it names nobody")
    for name, logs in (("ctLogs", found.ct_logs), ("tLogs", found.logs)):
        if len({log.log_id for log in logs}) != len(logs):
            raise PolicyInvalidError(f"{fields.at(name)}: one log stands there twice")
    return found


def _authority(fields: Fields, *, timestamps: bool) -> Authority:
    subject = fields.fields("subject")
    organization = common_name = ""
    if subject is not None:
        organization = subject.text("organization", blank=True) or ""
        common_name = subject.text("commonName", blank=True) or ""
        subject.end()
    uri = fields.text("uri", blank=True) or ""
    chain = material.chain(_pem(fields, "certChain"), fields.at("certChain"), timestamps=timestamps)
    return fields.done(
        chain._replace(
            uri=uri, organization=organization or chain.organization, common_name=common_name or chain.common_name
        )
    )


def _log(fields: Fields) -> Log:
    hashing = fields.text("hashAlgorithm")
    if hashing not in _HASHES:
        raise PolicyInvalidError(f"{fields.at('hashAlgorithm')} is {hashing!r}", hint="sha-256")
    url = fields.text("baseURL", blank=True) or ""
    found = material.log(_pem(fields, "publicKey"), fields.at("publicKey"))
    return fields.done(found._replace(base_url=url or found.base_url))


def _pem(fields: Fields, name: str) -> bytes:
    """Base64 of PEM, as the API server keeps bytes; PEM itself is taken too."""
    text = fields.text(name)
    if text is None:
        raise PolicyInvalidError(f"{fields.where}: missing field(s): {name}")
    if text.lstrip().startswith("-----BEGIN"):
        return text.encode("utf-8", "replace")
    return base64.decode("".join(text.split()), what=fields.at(name), error=PolicyInvalidError)


# -- a repository


def _remote(fields: Fields, settings: Settings) -> TrustRoot:
    mirror, root = _required(fields, "mirror"), _required(fields, "root")
    for name, kept in (("targets", "targets"), ("trustedRootTarget", "trusted_root.json")):
        if (fields.text(name) or kept) != kept:
            raise PolicyUnsupportedError(f"{fields.at(name)}: only {kept} is kept of a repository", hint="repository")
    return settings.kept(mirror, root, fields.where)


def _repository(fields: Fields) -> TrustRoot:
    from sealgate.truststore import archive

    target = fields.text("trustedRootTarget") or "trusted_root.json"
    targets = fields.text("targets") or "targets"
    root = base64.decode("".join(_required(fields, "root").split()), what=fields.at("root"), error=PolicyInvalidError)
    packed = base64.decode(
        "".join(_required(fields, "mirrorFS").split()), what=fields.at("mirrorFS"), error=PolicyInvalidError
    )
    try:
        raw = archive.target(packed, root=root, targets=targets, name=target)
        if len(raw) > limits.TRUST_ROOT_BYTES:
            raise PolicyInvalidError(f"{fields.where}: {target} is larger than {limits.TRUST_ROOT_BYTES} bytes")
        return roots.parse(raw)
    except PolicyInvalidError:
        raise
    except SealgateError as error:
        raise PolicyInvalidError(f"{fields.where}: {error.message} [{error.code}]", hint=error.hint) from error


def _required(fields: Fields, name: str) -> str:
    found = fields.text(name)
    if found is None:
        raise PolicyInvalidError(f"{fields.where}: missing field(s): {name}")
    return found
