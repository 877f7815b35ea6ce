"""A log of tiles that has our entry already: read out of its tiles, and nobody else's entry is taken for ours."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import LimitError, LogAnswerError, LogRefusedError, LogUnavailableError
from sealgate.evidence import base64
from sealgate.signing import rekor, tiles
from sealgate.signing.service import address
from sealgate.transport import driver
from sealgate.transport.message import Response, Tls
from sealgate.trust import merkle
from trust.recordings import root_of
from trust_service.hooks import Hooks
from trust_service.merkle import Tree

SERVICE = rekor.log(address("https://log.test/below", what="it"), 2, Tls()).service
TREE = Tree()
for _each in range(70_000):
    TREE.append(b"leaf %d" % _each)


@st.composite
def leaves(draw):
    edges = [1, 2, 3, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, TREE.size]
    size = draw(st.sampled_from(edges) | st.integers(1, TREE.size))
    return draw(st.sampled_from([0, size - 1, size // 2]) | st.integers(0, size - 1)), size


@given(leaves())
def test_the_path_of_any_leaf_in_a_tree_of_any_size(leaf):
    index, size = leaf

    def hashed(step):
        found = TREE.levels[step[-1].level][step[-1].number]
        for node in reversed(step[:-1]):
            found = tiles._inner(TREE.levels[node.level][node.number], found)
        return found

    path = [hashed(step) for step in tiles.path_of(index, size)]
    assert path == TREE.proof(index, size)
    assert merkle.root_of(merkle.leaf_hash(TREE.leaves[index]), index, size, path) == TREE.root(size)


class Served:
    """A log of the trust service behind a sender; `change` alters its answers, by the end of the path."""

    def __init__(self, log, *, gone=False):
        self.log = log
        self.gone = gone
        """Partial tiles are there no more where there are full ones."""
        self.size = log.tree.size
        self.change = {}
        self.asked = []

    def __call__(self, request, deadline):
        path = str(request.url).partition("https://log.test/below/api/v2/")[2]
        self.asked.append(path)
        status, body = self.answer(path)
        for name, change in self.change.items():
            if name in path:
                status, body = change(status, body)
        if len(body) > request.limit:
            raise LimitError("more than asked for")
        return Response(status, (), body)

    def answer(self, path):
        if path == "checkpoint":
            return 200, self.log.checkpoint(Hooks(), self.size).encode()
        match = re.fullmatch(r"tile/(entries|\d+)/((?:x\d{3}/)*)(\d{3})(?:\.p/(\d+))?", path)
        number = int("".join(re.findall(r"\d+", match[2])) + match[3])

        def cut(width):
            if match[1] == "entries":
                return self.log.entries(number, width)
            return self.log.tile(int(match[1]), number, width)

        full = cut(256)
        data = full if not match[4] else None if self.gone and full else cut(int(match[4]))
        return (404, b"") if data is None else (200, data)


@pytest.fixture(scope="module")
def grown():
    """A service, its log, which has 600 leaves, and its root."""
    from trust_service.service import TrustService

    service = TrustService()
    log = service.log2()
    for number in range(600 - log.tree.size):
        log.tree.append(b"leaf %d" % number)
    return service, log, root_of(service.trusted_root())


def existing(served, root, index, leaf):
    conflict = Response(409, (("x-log-index", str(index)),) if index is not None else (), b"")
    return driver.run(tiles.existing(SERVICE, conflict, leaf, root), sender=served)


@pytest.mark.parametrize(("index", "size"), [(1, 600), (255, 600), (256, 600), (599, 600), (3, 4), (0, 1), (511, 512)])
def test_an_entry_that_stands_already_is_proved(grown, index, size):
    _, log, root = grown
    served = Served(log)
    served.size = size
    found = existing(served, root, index, log.tree.leaves[index])
    proof = found["inclusionProof"]
    assert (found["logIndex"], proof["treeSize"]) == (str(index), str(size))
    assert found["logId"]["keyId"] == base64.encode(log.log_id)
    assert [base64.encode(each) for each in log.tree.proof(index, size)] == proof["hashes"]
    assert len(served.asked) == len(set(served.asked))


def test_a_partial_tile_that_is_gone_is_asked_for_in_full(grown):
    _, log, root = grown
    served = Served(log, gone=True)
    served.size = 500  # the second tile was partial then, and is full now
    assert existing(served, root, 300, log.tree.leaves[300])["inclusionProof"]["treeSize"] == "500"


def test_a_checkpoint_that_comes_a_moment_later_is_waited_for(grown, monkeypatch):
    monkeypatch.setattr(tiles, "_PAUSE", 0.001)
    _, log, root = grown
    served = Served(log)
    served.size = 300

    def later(status, body):
        served.size = 600
        return status, body

    served.change = {"checkpoint": later}
    assert existing(served, root, 400, log.tree.leaves[400])["inclusionProof"]["treeSize"] == "600"
    assert served.asked.count("checkpoint") == 2
    served = Served(log)
    served.size = 300
    with pytest.raises(LogUnavailableError, match="no checkpoint that covers it"):
        existing(served, root, 400, log.tree.leaves[400])


def flipped(status, body):
    return status, body[:-1] + bytes([body[-1] ^ 1])


BAD = {
    "another entry there": {"index": 7},
    "no index": {"index": None},
    "an index that is none": {"index": "-1"},
    "an index beyond": {"index": 10**30},
    "a checkpoint that is none": {"change": {"checkpoint": lambda status, body: (200, b"not a note")}},
    "a checkpoint in other bytes": {"change": {"checkpoint": lambda status, body: (200, b"\xff" * 80)}},
    "a checkpoint that nobody signed": {"change": {"checkpoint": lambda status, body: (200, body.replace(b"600", b"601"))}},
    "entries cut off": {"change": {"entries": lambda status, body: (200, body[:20])}},
    "no entries": {"change": {"entries": lambda status, body: (200, b"")}},
    "a tile cut off": {"change": {"tile/0": lambda status, body: (200, body[:40])}},
    "a tile of others": {"change": {"tile/0": flipped, "tile/1": flipped}},
    "a tile too long": {"change": {"tile/0": lambda status, body: (200, body * 40)}},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_L01_L15_no_other_entry_is_taken_for_ours(grown, name):
    _, log, root = grown
    served = Served(log)
    index = BAD[name].get("index", 400)
    served.change = BAD[name].get("change", {})
    with pytest.raises(LogAnswerError):
        existing(served, root, index, log.tree.leaves[400])
    served.change = {}
    assert existing(served, root, 400, log.tree.leaves[400])["logIndex"] == "400"


def test_a_log_that_is_not_in_the_root_proves_nothing(grown):
    service, log, root = grown
    other = root_of(service.trusted_root(logs=["second"]))
    with pytest.raises(LogAnswerError, match="no log of the trust root"):
        existing(Served(log), other, 400, log.tree.leaves[400])
    assert existing(Served(log), root, 400, log.tree.leaves[400])


@pytest.mark.parametrize(
    ("status", "error"), [(404, LogRefusedError), (403, LogRefusedError), (302, LogUnavailableError)]
)
@pytest.mark.parametrize("where", ["checkpoint", "entries", "tile/0"])
def test_tiles_that_cannot_be_had(grown, where, status, error):
    _, log, root = grown
    served = Served(log)
    served.change = {where: lambda _, body: (status, b"")}
    with pytest.raises(error):
        existing(served, root, 400, log.tree.leaves[400])
