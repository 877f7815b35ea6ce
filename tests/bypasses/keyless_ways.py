"""Ways of supplying a trust root, for the alteration table: the same question is asked once a way, and the answer is the same.

`file`, `tuf`, `environment`, `chain`, `roots` are options and variables of the commands, in process; `library` is
`sealgate.blocking`. A way says whom it can name: a PEM file has neither periods nor a log of tiles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import sealgate
from bypasses import scene
from bypasses.keyless_forms import IMAGE_SIGNATURE, PREDICATE, Evidence, Form, public_pem
from sealgate import blocking
from trust_service import authority, documents


class Roots(NamedTuple):
    """Who is believed in, by name; what is a list names several, and PEM files have the first."""

    authorities: tuple[str, ...] = ("current",)
    ct: tuple[str, ...] = ("current",)
    logs: tuple[str, ...] = ("current",)
    tsa: tuple[str, ...] = ("current",)


class Asked(NamedTuple):
    """Who must have signed; None: whoever did."""

    subject: str | None = None
    subject_regexp: str | None = None
    issuer: str | None = None
    issuer_regexp: str | None = None
    workflow: tuple[tuple[str, str], ...] = ()
    """Flags `--certificate-github-workflow-…` and their values."""
    stamped: bool = False
    """`--use-signed-timestamps`."""


class Answer(NamedTuple):
    """What a verification said."""

    accepted: bool
    exit_code: int
    codes: frozenset[str]
    """Of findings that failed."""
    words: str


WAYS = ("file", "tuf", "environment", "chain", "roots", "library")
WINDOWED = ("file", "tuf", "library")
"""The ways in which a key or an authority has a time."""
_EXTENSIONS = {
    "trigger": "githubWorkflowTrigger", "sha": "githubWorkflowSha", "name": "githubWorkflowName",
    "repository": "githubWorkflowRepository", "ref": "githubWorkflowRef",
}  # fmt: skip


def can(way: str, form: Form) -> bool:
    """Whether evidence of the form can be verified so."""
    if form.rekor == 2 and way in {"environment", "roots"}:
        return False  # a key alone names no log of tiles, which has an origin
    return not (form.managed and way in {"chain", "roots"})  # own authorities say nothing about keys


class Asker:
    """Asks one question in every way; `folder` takes its files."""

    def __init__(self, service: Any, folder: Path) -> None:
        self._service = service
        self._folder = folder
        self._number = 0
        self._homes: dict[str, Path] = {}

    def ask(self, evidence: Evidence, way: str, roots: Roots = Roots(), asked: Asked = Asked()) -> Answer:  # noqa: B008 - values
        """Verify `evidence`, believing in `roots`."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        if way == "library":
            return self._library(evidence, folder, roots, asked)
        options, environ = getattr(self, f"_{way}")(folder, roots)
        who = self._who(evidence, asked, folder)
        if evidence.form.managed and way in {"environment", "tuf"}:
            who.append("--require-tlog")  # else a key alone asks for nothing
        if way == "chain" and evidence.form.rekor == 2 and roots.tsa:  # it asks for a timestamp too
            (folder / "tsa.pem").write_text(authority.pem(self._service.tsa(roots.tsa[0]).chain))
            options += ["--timestamp-certificate-chain", folder / "tsa.pem"]
        if asked.stamped:
            who.append("--use-signed-timestamps")
        command, *rest = evidence.form.arguments(evidence, folder / "evidence")
        before = len(self._service.requests)
        words = [str(word) for word in (command, "-o", "verdict", *who, *options, *rest)]
        said = scene.run(words, environ={"HOME": str(folder / "nobody")} | environ)
        assert len(self._service.requests) == before, "nobody is asked while verifying (L08)"
        codes: frozenset[str] = frozenset()
        if said.stdout:
            codes = _failed(said.verdict)
        return Answer(said.exit_code == 0, said.exit_code, codes, said.stderr)

    # -- whom to believe

    def _document(self, roots: Roots) -> dict[str, Any]:
        return self._service.trusted_root(
            authorities=roots.authorities, ct=roots.ct, logs=roots.logs, tsa=roots.tsa
        )  # fmt: skip

    def _file(self, folder: Path, roots: Roots) -> tuple[list[Any], dict[str, str]]:
        (folder / "root.json").write_text(json.dumps(self._document(roots)))
        return ["--trusted-root", folder / "root.json"], {}

    def _tuf(self, folder: Path, roots: Roots) -> tuple[list[Any], dict[str, str]]:
        from trust_service.repository import Repository

        document = json.dumps(self._document(roots))
        if document not in self._homes:
            repository = Repository()
            repository.publish({"trusted_root.json": document.encode()}, self._service.now())
            self._service._repository = repository
            (folder / "tuf-root.json").write_bytes(repository.root)
            home = folder / "home"
            words = ["initialize", "--mirror", self._service.tuf_url, "--root", str(folder / "tuf-root.json")]
            said = scene.run(words, environ={"HOME": str(home)})
            assert said.exit_code == 0, said.err
            self._homes[document] = home
        return [], {"HOME": str(self._homes[document])}

    def _environment(self, folder: Path, roots: Roots) -> tuple[list[Any], dict[str, str]]:
        names = {"SIGSTORE_ROOT_FILE": self._authority_pem(roots), **self._logs(roots)}
        return [], _written(folder, names)

    def _chain(self, folder: Path, roots: Roots) -> tuple[list[Any], dict[str, str]]:
        (folder / "chain.pem").write_text(self._authority_pem(roots))
        options, environ = self._file(folder, roots)
        return [*options, "--certificate-chain", folder / "chain.pem"], environ

    def _roots(self, folder: Path, roots: Roots) -> tuple[list[Any], dict[str, str]]:
        *below, anchor = self._service.authority(roots.authorities[0]).chain
        (folder / "roots.pem").write_text(authority.pem([anchor]))
        options: list[Any] = ["--ca-roots", folder / "roots.pem"]
        if below:
            (folder / "below.pem").write_text(authority.pem(below))
            options += ["--ca-intermediates", folder / "below.pem"]
        return options, _written(folder, self._logs(roots))

    def _authority_pem(self, roots: Roots) -> str:
        return authority.pem(self._service.authority(roots.authorities[0]).chain)

    def _logs(self, roots: Roots) -> dict[str, str]:
        service = self._service
        names = {
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE": documents.public_pem(service.ct_log(roots.ct[0]).key),
            "SIGSTORE_REKOR_PUBLIC_KEY": documents.public_pem(service.log1(roots.logs[0]).key),
        }
        if roots.tsa:
            names["SIGSTORE_TSA_CERTIFICATE_FILE"] = authority.pem(service.tsa(roots.tsa[0]).chain)
        return names

    # -- who signed

    def _who(self, evidence: Evidence, asked: Asked, folder: Path) -> list[Any]:
        if evidence.form.managed:
            (folder / "key.pub").write_bytes(public_pem(evidence.made))
            return ["--key", folder / "key.pub"]
        asked = _filled(asked, evidence)
        flags = {
            "--certificate-identity": asked.subject,
            "--certificate-identity-regexp": asked.subject_regexp,
            "--certificate-oidc-issuer": asked.issuer,
            "--certificate-oidc-issuer-regexp": asked.issuer_regexp,
        } | {f"--certificate-github-workflow-{name}": value for name, value in asked.workflow}
        return [word for flag, value in flags.items() if value is not None for word in (flag, value)]

    def _library(self, evidence: Evidence, folder: Path, roots: Roots, asked: Asked) -> Answer:
        root = sealgate.parse_trust_root(json.dumps(self._document(roots)).encode())
        options: dict[str, Any] = {"trust_root": root, "require": "any", "use_signed_timestamps": asked.stamped}
        if evidence.form.managed:
            options["keys"] = [sealgate.PublicKey.from_pem(public_pem(evidence.made))]
        else:
            asked = _filled(asked, evidence)
            pattern = sealgate.identity(
                asked.subject,
                subject_regexp=asked.subject_regexp,
                issuer=asked.issuer,
                issuer_regexp=asked.issuer_regexp,
                extensions={_EXTENSIONS[name]: value for name, value in asked.workflow},
            )
            options["identities"] = [pattern]
        form = evidence.form
        if form.command == "verify":
            verdict = blocking.verify(form.arguments(evidence, folder)[-1], **options)
        elif form.command == "verify-attestation":
            image = form.arguments(evidence, folder)[-1]
            verdict = blocking.verify_attestation(image, predicate_type=PREDICATE, **options)
        elif form.dsse:
            verdict = blocking.verify_blob_attestation(
                evidence.content, attestations=[evidence.raw], predicate_type=PREDICATE, **options
            )
        else:
            verdict = blocking.verify_blob(evidence.content, bundles=[evidence.raw], **options)
        codes = frozenset(
            finding.code for report in verdict.signatures for finding in report.findings if finding.outcome == "failed"
        )
        return Answer(verdict.accepted, verdict.exit_code, codes, verdict.summary)


def _filled(asked: Asked, evidence: Evidence) -> Asked:
    """With whoever signed where nobody is asked for."""
    if asked.subject is None and asked.subject_regexp is None:
        asked = asked._replace(subject=evidence.made.subject)
    if asked.issuer is None and asked.issuer_regexp is None:
        asked = asked._replace(issuer=evidence.made.issuer)
    return asked


def _failed(verdict: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        finding["code"]
        for report in verdict["signatures"]
        for finding in report["findings"]
        if finding["outcome"] == "failed"
    )


def _written(folder: Path, names: Mapping[str, str]) -> dict[str, str]:
    for name, text in names.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in names}


__all__ = ["IMAGE_SIGNATURE", "WAYS", "WINDOWED", "Answer", "Asked", "Asker", "Roots", "can"]
