"""Patterns of image names in every dialect: the truth table, and what holds for all of them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import PolicyInvalidError
from sealgate.oci.reference import parse
from sealgate.policy import patterns

D = "@sha256:" + "ab" * 32
Y, N = True, False


def fits(pattern: str, image: str, dialect: str, *, excuse: bool = False) -> bool:
    found = patterns.PatternSet([[patterns.expression(pattern, dialect, excuse=excuse)]])
    return bool(found.matching(patterns.candidates(parse(image), dialect)))


@pytest.mark.parametrize(
    ("pattern", "image", "kyverno", "sigstore"),
    [
        ("*", "nginx", Y, Y), ("*", "ghcr.io/o/a:1", Y, N), ("docker.io/library/*", "nginx", Y, Y),
        ("docker.io/nginx*", "docker.io/library/nginx", Y, Y), ("docker.io/*", "index.docker.io/library/nginx", Y, Y),
        ("index.docker.io/library/*", "nginx", Y, Y), ("docker.io/*", f"nginx{D}", Y, Y), ("ghcr.io/o/app:*", "ghcr.io/o/app:v1", Y, Y),
        ("ghcr.io/o/app:*", f"ghcr.io/o/app{D}", Y, Y), ("ghcr.io/o/app:*", f"ghcr.io/o/app:v1{D}", Y, Y),
        ("ghcr.io/o/*", "ghcr.io/o/a/b/c:1", Y, N), ("ghcr.io/o/**", "ghcr.io/o/a/b/c:1", Y, Y),
        ("registry.k8s.io/*:*", "evil.example.com/registry.k8s.io/x:1", N, N), ("ghcr.io/*/*", "ghcr.io/foo", N, N),
        ("ghcr.io/o/app", "ghcr.io/o/app", Y, Y), ("ghcr.io/o/app", f"ghcr.io/o/app{D}", Y, N), ("ghcr.io/o/app*", "ghcr.io/o/app-evil", Y, Y),
        ("ghcr.io/o/a?p", "ghcr.io/o/app", Y, None), ("*.example.com/*", "attacker.io/x.example.com/evil", N, N),
    ],
)  # fmt: skip
def test_R01_R02_R03_R04_P20_the_truth_table(pattern, image, kyverno, sigstore):
    if pattern != "*.example.com/*":
        assert fits(pattern, image, "kyverno") is kyverno
    if sigstore is not None:
        assert fits(pattern, image, "sigstore") is sigstore


def test_R02_kyvernos_star_crosses_from_the_host_and_lint_says_so():
    assert fits("*.example.com/*", "attacker.io/x.example.com/evil", "kyverno")
    assert [code for code, _ in patterns.weaknesses("*.example.com/*", "kyverno")] == ["pattern-foreign-host"]
    assert patterns.weaknesses("registry.example.com/*", "kyverno") == []


@pytest.mark.parametrize(
    ("pattern", "example", "advice"),
    [
        ("*myregistry.com/*", "evilmyregistry.com/x", "write myregistry.com/*"), ("*ghcr.io/o/*", "evilghcr.io/o/x", "write ghcr.io/o/*"),
        ("*.example.com/*", "evil.example/x.example.com/x", "name each registry"), ("*/nirmata/*", "evilx/nirmata/x", "begin it with"),
        ("*registry/*", "evilregistry/x", "begin it with"), ("docker.io*", "docker.io.evil.example/x", "write docker.io/*"),
        ("r*.example.com/a/*", "revil.example.com/a/x", "write r.example.com/a/*"), ("*", None, None),
    ],
)  # fmt: skip
def test_R02_lint_names_a_registry_that_fits_and_what_to_write(pattern, example, advice):
    if example is None:
        assert patterns.weaknesses(pattern, "kyverno") == []
        return
    [(_, message)] = patterns.weaknesses(pattern, "kyverno")
    assert advice in message
    assert f"{example.partition('/')[0]}/" in message or example.partition("/x.")[0] in message
    if "." in example.partition("/")[0]:
        assert fits(pattern, example, "kyverno") is Y


@pytest.mark.parametrize(
    ("pattern", "image", "demand", "excuse"),
    [
        ("r.io/app:1", "r.io/app:1", Y, Y), ("r.io/app:1", "r.io/app:2", N, N), ("r.io/app:1", f"r.io/app{D}", Y, N),
        ("r.io/app:1", f"r.io/app:1{D}", Y, N), ("r.io/app:1", f"r.io/app:2{D}", Y, N), ("r.io/app", "r.io/app:1", Y, N),
        ("r.io/app*", "r.io/app:1", Y, Y), ("r.io/app*", f"r.io/app{D}", Y, Y), ("r.io/*", "r.io/a/b:1", Y, Y),
        (f"r.io/app{D}", f"r.io/app{D}", Y, Y), (f"r.io/app{D}", f"r.io/app:1{D}", Y, N), (f"r.io/app{D}", "r.io/app:1", N, N),
        ("r.io/app@*", f"r.io/app{D}", Y, Y), ("r.io/app@*", "r.io/app:1", N, N),
    ],
)  # fmt: skip
def test_R01_demands_err_to_more_checking_and_excuses_to_less_excusing(pattern, image, demand, excuse):
    assert fits(pattern, image, "kyverno") is demand
    assert fits(pattern, image, "kyverno", excuse=True) is excuse


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        "docker.io/nginx",
        "docker.io/library/nginx",
        "index.docker.io/nginx",
        "registry-1.docker.io/library/nginx",
    ],
)
@pytest.mark.parametrize(
    "pattern", ["docker.io/*", "docker.io/library/*", "index.docker.io/*", "docker.io/nginx*", "nginx*"]
)
def test_R04_docker_hub_has_one_name(name, pattern):
    assert fits(pattern, name, "kyverno")
    assert not fits(pattern, f"quay.io/{name.rpartition('/')[2]}", "kyverno")


@pytest.mark.parametrize("pattern", ["", "a b", "a\n", "a" * 513, "é", "a\0", "a\t"])
@pytest.mark.parametrize("dialect", ["kyverno", "sigstore", "containers", "sealgate"])
def test_what_is_no_pattern(pattern, dialect):
    with pytest.raises(PolicyInvalidError) as caught:
        patterns.expression(pattern, dialect)
    assert caught.value.code == "policy-invalid"


_PATTERNS = st.text(string.ascii_lowercase[:3] + "*?/.:@()[]+|\\^$", min_size=1, max_size=20)
_IMAGES = st.builds(
    lambda host, path, end: f"{host}/{path}{end}",
    st.sampled_from(["a.io", "b.a.io", "docker.io", "c:5000"]),
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", ":a", ":b", D, f":a{D}"]),
)


def _naive(pattern: str, text: str) -> bool:
    """Kyverno's wildcards, by the book."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_naive(pattern[1:], text[index:]) for index in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _naive(pattern[1:], text[1:])


@given(_PATTERNS, _IMAGES)
def test_P20_an_excuse_fits_what_kyverno_would_and_nothing_else(pattern, image):
    found = any(_naive(pattern, text) for text in patterns.candidates(parse(image), "kyverno"))
    assert fits(pattern, image, "kyverno", excuse=True) is found


@given(_PATTERNS, _IMAGES)
def test_P20_a_demand_fits_at_least_what_an_excuse_does(pattern, image):
    if fits(pattern, image, "kyverno", excuse=True):
        assert fits(pattern, image, "kyverno")


def test_P20_a_star_may_stand_for_a_port():
    assert fits("c:*@*", f"c:5000/a{D}", "kyverno")
    assert not fits("c:*@*", "c:5000/a:1", "kyverno")


@given(_IMAGES, st.sampled_from(["kyverno", "sealgate", "containers"]))
def test_the_host_alone_covers_all_of_it_and_no_look_alike(image, dialect):
    reference = parse(image)
    host = "docker.io" if reference.hub else reference.registry
    pattern = {"kyverno": f"{host}/*", "sealgate": f"{host}/**", "containers": host}[dialect]
    assert fits(pattern, image, dialect)
    assert not fits(pattern, f"evil{image}", dialect)
    assert not fits(pattern, f"evil.example.com/{reference.repository}", dialect)


def test_D09_D12_many_patterns_of_many_stars_forget_nothing():
    """RE2 answers "nothing" when it runs out of memory; then they are tried one by one."""
    several = [[patterns.expression(f"*{'a?b*' * 40}{index}*", "kyverno")] for index in range(150)]
    several.append([patterns.expression("r.example.com/*", "kyverno")])
    found = patterns.PatternSet(several)
    for image in ("r.example.com/" + "acb" * 40 + ":1", "r.example.com/" + "ab" * 60 + "7"):
        assert 150 in found.matching(patterns.candidates(parse(image), "kyverno"))
