"""Runs Syft over an image in an OCI layout. The one module of this room that touches the world.

Syft gets no network, no setting (`SYFT_*`, a configuration in the home or working folder) and nothing of ours: what it
writes depends on the image and on its version alone. How it is run and bounded: `sealgate.program`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sealgate import limits, program
from sealgate.errors import GeneratorError

Format = Literal["spdx-json", "cyclonedx-json"]
FORMATS: tuple[Format, ...] = ("spdx-json", "cyclonedx-json")

_VERSIONED: dict[Format, str] = {"spdx-json": "spdx-json@2.3", "cyclonedx-json": "cyclonedx-json@1.6"}
_PASSED = frozenset({"PATH", "LANG", "LC_ALL"})
_SET = {
    "SYFT_CHECK_FOR_APP_UPDATE": "false",
    # Its catalogers ask no service unless they are told to; where nobody listens, none can.
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
}
_OWN = ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME")


def find(environ: Mapping[str, str], *, beside: str) -> str:
    """Syft: in the folder `beside` (that of the running Python, where sealgate[sbom] puts it), or on the PATH.

    Raises `GeneratorError`.
    """
    for folders in (beside, environ.get("PATH", "")):
        if path := program.find("syft", folders):
            return path
    raise GeneratorError(
        "there is no syft beside this Python, and none on the PATH",
        hint="pip install 'sealgate[sbom]' brings it; or make the SBOM elsewhere, and `sealgate attest --type spdxjson`",
    )


def command(path: str, *, layout: str, format: Format, name: str, digest: str) -> list[str]:  # noqa: A002 - the option's name
    """The words to run: Syft over a layout (an absolute path) that holds the one image `digest`, called `name`."""
    source = ["--source-name", name, "--source-version", digest]
    return [path, "scan", f"oci-dir:{layout}", "--quiet", *source, "--output", _VERSIONED[format]]


def run(words: list[str], *, environ: Mapping[str, str], seconds: float, largest: int) -> bytes:
    """The SBOM that Syft printed, at most `limits.SBOM_BYTES`. Raises `GeneratorError`.

    `largest` is the size of the largest layer, compressed: Syft unpacks each into a file, which must be no bomb.
    """
    kept = {name: value for name, value in environ.items() if name in _PASSED}
    return program.run(
        words,
        environ=kept | _SET,
        seconds=seconds,
        most=limits.SBOM_BYTES,
        error=GeneratorError,
        hint="--sbom-timeout",
        private=_OWN,
        file_bytes=max(limits.ARCHIVE_RATIO * largest, limits.ARCHIVE_FREE_BYTES),
    )
