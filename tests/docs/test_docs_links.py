"""A link in the documentation leads to a page that is there, and to a heading that it has."""

import re

import pytest

from peers.programs import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WAITING: set[str] = set()
"""Pages that others are writing. An entry that is there already does no harm; the set is empty when all are."""

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def _prose(path):
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def _anchors(path):
    """The names of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", _prose(path), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        count = sum(1 for anchor in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", anchor))
        found.add(f"{name}-{count}" if count else name)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    broken = []
    for link in _LINK.findall(_CODE.sub("", _prose(path))):
        if link.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            if target.relative_to(ROOT).as_posix() not in WAITING:
                broken.append(link)
        elif anchor and (target.suffix != ".md" or anchor not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_every_page_of_the_documentation_can_be_reached_from_the_readme():
    reached, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = _LINK.findall(_CODE.sub("", _prose(page)))
        names = [link.partition("#")[0] for link in links if not link.startswith("https://")]
        queue += [(page.parent / name).resolve() for name in names if name.endswith(".md")]
    assert set((ROOT / "docs").rglob("*.md")) <= reached
