"""Which packages of an SBOM a pattern means (`sbom find`). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from sealgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sealgate.sbom.document import Package

_GLOB = frozenset("*?[")
_CHARS = 1000


def matcher(pattern: str) -> Callable[[Package], bool]:
    """What tells whether a package is meant.

    `log4j` is a part of a name or purl, in whatever case; `log4j*` a whole name; `log4j@2.14.1` and `@2.*` ask for the
    version too; `pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1` is a purl, of which what is left out is not compared.
    Raises `UsageError`.
    """
    if not pattern.strip() or len(pattern) > _CHARS:
        raise UsageError(f"what to look for is a text of at most {_CHARS} characters")
    if pattern.startswith("pkg:"):
        return _by_purl(pattern)
    name, at, version = pattern.rpartition("@")
    if not at or "/" in version:  # `@shop/basket` is a name
        name, version = pattern, ""
    meets_name, meets_version = _name(name), _version(version)
    return lambda package: meets_version(package.version) and meets_name(package)


def _name(text: str) -> Callable[[Package], bool]:
    wanted = text.casefold()
    if not wanted:
        return lambda _: True
    if _GLOB & set(wanted):
        from fnmatch import fnmatchcase

        return lambda package: any(fnmatchcase(name, wanted) for name in _names(package))
    return lambda package: wanted in package.name.casefold() or wanted in unquote(package.purl).casefold()


def _names(package: Package) -> Iterable[str]:
    """The name, and the purl's name with and without its namespace."""
    yield package.name.casefold()
    path = unquote(package.purl.partition("?")[0].partition("#")[0]).casefold().removeprefix("pkg:")
    if path:
        path = path.partition("/")[2]
        path = path.rpartition("@")[0] or path
        yield path
        yield path.rpartition("/")[2]


def _version(text: str) -> Callable[[str], bool]:
    if not text:
        return lambda _: True
    if _GLOB & set(text):
        from fnmatch import fnmatchcase

        return lambda version: fnmatchcase(version, text)
    return lambda version: version == text


def _by_purl(pattern: str) -> Callable[[Package], bool]:
    from packageurl import PackageURL

    try:
        wanted = PackageURL.from_string(pattern)
    except ValueError as error:
        raise UsageError(f"not a package URL: {pattern[:200]!a}", hint="pkg:TYPE/NAMESPACE/NAME@VERSION") from error
    asked = dict(wanted.qualifiers) if isinstance(wanted.qualifiers, dict) else {}
    needle = unquote(wanted.name).casefold()

    def meets(package: Package) -> bool:
        if needle not in unquote(package.purl).casefold():  # parsing each takes much longer
            return False
        try:
            found = PackageURL.from_string(package.purl)
        except ValueError:
            return False
        given = found.qualifiers if isinstance(found.qualifiers, dict) else {}
        return (
            (found.type, found.namespace, found.name) == (wanted.type, wanted.namespace, wanted.name)
            and wanted.version in {None, found.version}
            and wanted.subpath in {None, found.subpath}
            and all(given.get(name) == value for name, value in asked.items())
        )

    return meets
