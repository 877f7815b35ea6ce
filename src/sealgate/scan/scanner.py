"""Runs the user's own scanner. The one module of this room that touches the world.

It gets an environment of what it needs and nothing of ours (no password, no token); no configuration or ignore file that lies
about makes findings vanish. How it is run and bounded: `sealgate.program`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sealgate import limits, program
from sealgate.errors import ScannerError, UsageError

Name = Literal["trivy", "grype"]
NAMES: tuple[Name, ...] = ("trivy", "grype")

_PASSED = frozenset(
    """PATH HOME USER TMPDIR LANG LC_ALL XDG_CACHE_HOME XDG_RUNTIME_DIR DOCKER_CONFIG REGISTRY_AUTH_FILE SSL_CERT_FILE
    SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy
    TRIVY_CACHE_DIR TRIVY_CACHE_BACKEND TRIVY_DB_REPOSITORY TRIVY_JAVA_DB_REPOSITORY TRIVY_SKIP_DB_UPDATE
    TRIVY_SKIP_JAVA_DB_UPDATE TRIVY_OFFLINE_SCAN TRIVY_USERNAME TRIVY_PASSWORD TRIVY_REGISTRY_TOKEN TRIVY_INSECURE
    GRYPE_DB_CACHE_DIR GRYPE_DB_AUTO_UPDATE GRYPE_DB_UPDATE_URL GRYPE_DB_VALIDATE_AGE GRYPE_DB_MAX_ALLOWED_BUILT_AGE
    GRYPE_REGISTRY_AUTH_AUTHORITY GRYPE_REGISTRY_AUTH_USERNAME GRYPE_REGISTRY_AUTH_PASSWORD GRYPE_REGISTRY_AUTH_TOKEN
    GRYPE_REGISTRY_INSECURE_SKIP_TLS_VERIFY GRYPE_REGISTRY_INSECURE_USE_HTTP GRYPE_REGISTRY_CA_CERT""".split()
)


class Scanner(NamedTuple):
    """A scanner that is there."""

    name: Name
    path: str


def find(environ: Mapping[str, str], *, wanted: str | None = None) -> Scanner:
    """The scanner on the PATH: `wanted`, or the first of Trivy and Grype. Raises `ScannerError`."""
    names = [name for name in NAMES if wanted in {None, name}]
    for name in names:
        if path := program.find(name, environ.get("PATH", "")):
            return Scanner(name, path)
    raise ScannerError(
        f"no {' or '.join(names)} on the PATH", hint="install one, or give a report that it made: --report FILE"
    )


def command(scanner: Scanner, *, reference: str | None, layout: tuple[str, str] | None, digest: str) -> list[str]:
    """The words to run: an image of a registry by its digest, or of a layout as (`oci` or `oci-archive`, path)."""
    import os

    if layout is None:
        if reference is None or "@sha256:" not in reference or reference.startswith("-"):
            raise UsageError("a scanner is asked for a digest, never for a tag")
        where = reference if scanner.name == "trivy" else f"registry:{reference}"
    elif scanner.name == "grype":
        kind = "oci-dir" if layout[0] == "oci" else "oci-archive"
        where = f"{kind}:{os.path.abspath(layout[1])}"
    elif layout[0] != "oci":
        raise UsageError("trivy reads no OCI archives", hint="unpack it, use grype, or give a report: --report FILE")
    else:
        where = f"{os.path.abspath(layout[1])}@{digest}"
    if scanner.name == "grype":
        return [scanner.path, "--quiet", "-o", "json", where]
    options = ["--quiet", "--format", "json", "--scanners", "vuln", "--list-all-pkgs"]
    return [scanner.path, "image", *options, *(["--input"] if layout is not None else []), where]


def run(words: list[str], *, environ: Mapping[str, str], seconds: float) -> bytes:
    """What the scanner printed, at most `limits.SCAN_REPORT_BYTES`. Raises `ScannerError`."""
    return program.run(
        words,
        environ={name: value for name, value in environ.items() if name in _PASSED},
        seconds=seconds,
        most=limits.SCAN_REPORT_BYTES,
        error=ScannerError,
        hint="--scan-timeout",
    )
