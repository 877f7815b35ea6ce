"""Who certificates name, and who is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate import limits
from sealgate.errors import UsageError
from sealgate.trust import identity
from sealgate.trust.failure import TrustFailure
from sealgate.trust.identity import Identity, IdentityPattern
from trust_service import der

ISSUER = "https://token.actions.example"
WORKFLOW = "https://github.com/org/repo/.github/workflows/x.yml@refs/heads/main"
EXTENSIONS = (("githubWorkflowTrigger", "push"), ("sourceRepositoryIdentifier", "1001"))
SIGNER = Identity(WORKFLOW, "uri", ISSUER, EXTENSIONS)
MAIL = ("email", "alice@corp.test")


def pattern(subject=None, subject_regexp=None, issuer=ISSUER, issuer_regexp=None, extensions=(), *, anchored=False):
    return IdentityPattern.parse(
        subject=subject,
        subject_regexp=subject_regexp,
        issuer=issuer,
        issuer_regexp=issuer_regexp,
        extensions=extensions,
        anchored=anchored,
    )


def code_of(asked, who=SIGNER):
    failure = asked.mismatch(who)
    return failure.code if failure else None


def refused(names, extensions=()):
    with pytest.raises(TrustFailure) as caught:
        identity.read(names, extensions)
    return caught.value.code


def test_what_fulcio_writes_is_read():
    said = [("1", b"https://a"), ("8", der.utf8("https://a")), ("24", der.utf8("sub")), ("2", b"push"), ("99", b"\0")]
    found = identity.read([MAIL], said)
    assert found == Identity(*MAIL[::-1], "https://a", (("githubWorkflowTrigger", "push"), ("tokenSubject", "sub")))
    assert found.describe() == "alice@corp.test (issuer: https://a)"


def test_a_certificate_without_issuer_has_none():
    assert identity.read([MAIL], []) == Identity("alice@corp.test", "email", "", ())


@pytest.mark.parametrize("number", ["1", "8"])
def test_either_extension_names_the_issuer(number):
    content = b"https://a" if number == "1" else der.utf8("https://a")
    assert identity.read([MAIL], [(number, content)]).issuer == "https://a"


def test_C10_two_issuers_are_refused():
    assert identity.read([MAIL], [("1", b"https://a"), ("8", der.utf8("https://a"))]).issuer == "https://a"
    assert refused([MAIL], [("1", b"https://a"), ("8", der.utf8("https://b"))]) == "identity-malformed"
    assert refused([MAIL], [("1", b"https://a/"), ("8", der.utf8("https://a"))]) == "identity-malformed"
    assert refused([MAIL], [("8", der.utf8(""))]) == "identity-malformed"
    assert refused([MAIL], [("1", b"")]) == "identity-malformed"


@pytest.mark.parametrize(
    "content",
    [
        b"https://a",  # raw, where DER belongs
        der.tlv(0x13, b"https://a"),  # PrintableString
        der.utf8("https://a") + b"\0",
        der.utf8("https://a")[:-1],
        b"\x0c\x81\x09https://a",  # not the shortest length
        b"\x0c\x82\x00\x09https://a",
        b"\x0c\x80https://a\0\0",
        b"\x0c\x82\x00\xc8" + b"a" * 200,
        b"\x0c\x83\x01\x00\x00" + b"a" * 65536,
        b"\x0c\x82",
        der.tlv(0x0C, b"https://\xff"),
        der.utf8("https://a\0"),
        der.utf8("https://a\n"),
        b"\x0c",
        b"",
        der.utf8("a" * (limits.IDENTITY_BYTES + 1)),
    ],
)
def test_extensions_that_are_no_text_are_refused(content):
    assert refused([MAIL], [("8", content)]) == "certificate-malformed"


def test_long_texts_have_long_lengths():
    for size in (127, 128, 255, 256, limits.IDENTITY_BYTES - 4):
        text = "a" * size
        assert identity.read([MAIL], [("9", der.utf8(text))]).extensions == (("buildSignerURI", text),)


def test_raw_extensions_are_raw():
    assert identity.read([MAIL], [("4", "ship it 🚢".encode())]).extensions[0][1] == "ship it 🚢"
    assert refused([MAIL], [("4", b"\xff")]) == "certificate-malformed"
    assert refused([MAIL], [("4", b"a\0b")]) == "certificate-malformed"
    assert refused([MAIL], [("4", der.utf8("release"))]) == "certificate-malformed"


@pytest.mark.parametrize("names", [[], [MAIL, MAIL], [MAIL, ("uri", "https://a")]])
def test_C09_exactly_one_name(names):
    assert refused(names) == "identity-malformed"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("email", "alice@corp.test", "mailto:alice@corp.test"),
        ("email", "a.b+c@corp.test", "alice"),
        ("email", "ALICE@corp.test", "alice@corp.test@evil.test"),
        ("email", "alice@corp.test", "alice @corp.test"),
        ("uri", "mailto:alice@corp.test", "alice@corp.test"),
        ("uri", "spiffe://corp.test/ci", "//corp.test/ci"),
        ("uri", WORKFLOW, "alice!corp.test"),
        ("uri", WORKFLOW, WORKFLOW + " x"),
        ("uri", WORKFLOW, WORKFLOW + "\n"),
        ("uri", WORKFLOW, "https:"),
        ("othername", "alice!corp.test", "alice@corp.test"),
        ("othername", "alice!corp.test", "alice@evil.test!corp.test"),
        ("othername", "alice!corp.test", "alice"),
        ("othername", "system:ci!corp.test", "https://github.com/org!corp.test"),
        ("othername", "alice!corp.test", "alice\0!corp.test"),
        ("othername", "alice!corp.test", "alice\u202e!corp.test"),
        ("othername", "alice!corp.test", ""),
    ],
)
def test_C09_no_kind_of_name_passes_for_another(kind, good, bad):
    assert identity.read([(kind, good)], []).kind == kind
    assert refused([(kind, bad)]) == "identity-malformed"


def test_long_names_are_refused():
    begin = "https://corp.test/"
    longest = begin + "a" * (limits.IDENTITY_BYTES - len(begin))
    assert identity.read([("uri", longest)], []).subject == longest
    assert refused([("uri", longest + "a")]) == "identity-malformed"


def test_C09_names_of_other_kinds_are_refused():
    assert refused([("a DNSName", "corp.test")]) == "identity-malformed"


@pytest.mark.parametrize(
    "who",
    [
        Identity("mailto:alice@corp.test", "uri", ISSUER, ()),
        Identity("ALICE@corp.test", "email", ISSUER, ()),
        Identity("alice!corp.test", "othername", ISSUER, ()),
        Identity("alice@corp.test.evil.test", "email", ISSUER, ()),
    ],
)
def test_C09_an_address_means_exactly_this_address(who):
    asked = pattern("alice@corp.test")
    assert code_of(asked, Identity("alice@corp.test", "email", ISSUER, ())) is None
    assert code_of(asked, who) == "identity-mismatch"


EVIL = [
    "https://evil.test/?{}",
    "https://evil.test/#{}",
    "https://evil.test@{}",
    "{}.evil.test",
    "{}x",
    "x{}",
    "{}/",
    "{}\n",
    "\n{}",
]


@pytest.mark.parametrize("field", ["subject", "issuer"])
@pytest.mark.parametrize("form", EVIL)
def test_C04_C05_C17_only_the_exact_name_will_do(field, form):
    exact = pattern(WORKFLOW)
    regexp = pattern(
        None, r"https://github\.com/org/repo/\.github/workflows/x\.yml@refs/heads/main", None,
        r"https://token\.actions\.example", anchored=True,
    )  # fmt: skip
    other = SIGNER._replace(**{field: form.format(getattr(SIGNER, field))})
    code = {"subject": "identity-mismatch", "issuer": "issuer-mismatch"}[field]
    for asked in (exact, regexp):
        assert code_of(asked) is None
        assert code_of(asked, other) == code


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), ISSUER.replace("https", "http"), ISSUER + ":443", ""])
def test_C05_C17_issuers_are_compared_byte_by_byte(issuer):
    assert code_of(pattern(WORKFLOW)) is None
    assert code_of(pattern(WORKFLOW), SIGNER._replace(issuer=issuer)) == "issuer-mismatch"
    assert code_of(pattern(WORKFLOW, issuer="https://token")) == "issuer-mismatch"


def test_C04_regular_expressions_of_policies_match_the_whole():
    asked = pattern(None, "https://github.com/org/repo", anchored=True)
    evil = SIGNER._replace(subject="https://evil.io/https://github.com/org/repo")
    assert code_of(asked, SIGNER._replace(subject="https://github.com/org/repo")) is None
    assert code_of(asked, SIGNER) == "identity-mismatch"
    assert code_of(asked, evil) == "identity-mismatch"
    either = pattern(None, "a|https://github.com/org/repo", anchored=True)
    assert code_of(either, evil) == "identity-mismatch"


def test_C04_regular_expressions_of_flags_match_anywhere_and_it_is_said():
    asked = pattern(None, "github.com/org", None, "^https://token")
    assert code_of(asked) is None
    assert asked.unanchored() == {"identity": "github.com/org", "issuer": "^https://token"}
    assert pattern(None, "github.com/org", anchored=True).unanchored() == {}


@pytest.mark.parametrize(
    ("regexp", "anchored"),
    [
        ("^a$", True),
        (r"\Aa\z", True),
        ("^(a|b)$", True),
        ("^[|]$", True),
        (r"^a\|b$", True),
        (r"^\Qa|b\E$", True),
        ("^a|b$", False),
        ("^a", False),
        ("a$", False),
        (r"^a\$", False),
        (r"\^a$", False),
        ("^[a$]", False),
        ("^", False),
        ("$", False),
        ("(^a$)", False),
        ("^(a)|(b)$", False),
        ("^[]|]$", True),
        (r"^[\]|]$", True),
        (r"^[[:alpha:]|]$", True),
        (r"^\(|\)$", False),
    ],
)
def test_whether_a_regular_expression_is_anchored(regexp, anchored):
    assert pattern(None, regexp).unanchored() == ({} if anchored else {"identity": regexp})


@given(st.text(alphabet="^$|()[]\\QEab.*", max_size=12))
def test_no_regular_expression_is_called_anchored_that_is_not(regexp):
    try:
        asked = pattern(None, regexp)
    except UsageError as error:
        assert error.code == "usage"
        return
    if not asked.unanchored():
        for text in ("x", "a", "b", "ab", "|", ""):
            for around in (f"x{text}", f"{text}x"):
                whole = pattern(None, regexp, anchored=True)
                assert code_of(asked, SIGNER._replace(subject=around)) == code_of(
                    whole, SIGNER._replace(subject=around)
                )


def test_C16_extensions_are_compared_exactly():
    assert code_of(pattern(WORKFLOW, extensions=EXTENSIONS)) is None
    assert code_of(pattern(WORKFLOW, extensions=[("sourceRepositoryIdentifier", "1002")])) == "extension-mismatch"
    assert code_of(pattern(WORKFLOW, extensions=[("sourceRepositoryIdentifier", "100")])) == "extension-mismatch"
    assert code_of(pattern(WORKFLOW, extensions=[("githubWorkflowTrigger", "Push")])) == "extension-mismatch"
    assert code_of(pattern(WORKFLOW, extensions=[("githubWorkflowRef", "refs/heads/main")])) == "extension-mismatch"


def test_C02_regular_expressions_alone_are_looked_at():
    assert code_of(pattern(None, "org/repo", None, "actions")) is None
    assert code_of(pattern(None, "org/other", None, "actions")) == "identity-mismatch"
    assert code_of(pattern(None, "org/repo", None, "accounts")) == "issuer-mismatch"


def test_no_issuer_asked_for_means_any_and_none():
    asked = pattern(WORKFLOW, issuer=None)
    assert code_of(asked) is None
    assert code_of(asked, SIGNER._replace(issuer="")) is None
    assert "any" in asked.describe()


def test_a_regular_expression_never_matches_a_missing_issuer():
    asked = pattern(WORKFLOW, None, None, ".*")
    assert code_of(asked) is None
    assert code_of(asked, SIGNER._replace(issuer="")) == "issuer-mismatch"


@pytest.mark.parametrize(
    ("regexp", "code"), [(".*", None), ("^$", None), (".+", "issuer-mismatch"), ("a", "issuer-mismatch")]
)
def test_C17_to_cosign_s_flags_a_missing_issuer_is_an_empty_one(regexp, code):
    asked = pattern(WORKFLOW, None, None, regexp)._replace(missing=True)
    assert code_of(asked, SIGNER._replace(issuer="")) == code
    exact = pattern(WORKFLOW)._replace(missing=True)
    assert (code_of(exact), code_of(exact, SIGNER._replace(issuer=""))) == (None, "issuer-mismatch")
    assert code_of(asked, SIGNER._replace(subject="")) == "identity-mismatch"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"issuer_regexp": "x", "issuer": None},
        {"subject": ""},
        {"subject_regexp": ""},
        {"subject": "a", "issuer": ""},
        {"subject": "a", "subject_regexp": "a"},
        {"subject": "a", "issuer_regexp": "a"},
        {"subject_regexp": "("},
        {"subject_regexp": "(?=a)"},
        {"subject_regexp": "a" * (limits.REGEXP_BYTES + 1)},
        {"subject_regexp": "((a{100}){100}){100}"},
        {"subject_regexp": r"(\pL|x){100}"},
        {"subject_regexp": "\udcff"},
        {"subject": "a", "extensions": [("githubWorkflow", "a")]},
        {"subject": "a", "extensions": [("githubWorkflowRef", "")]},
        {"subject": "a", "extensions": [("githubWorkflowRef", "a"), ("githubWorkflowRef", "b")]},
    ],
)
def test_C18_what_cannot_be_meant_is_a_usage_error(given):
    pattern("a")
    with pytest.raises(UsageError) as caught:
        pattern(**given)
    assert caught.value.code == "usage"


def test_a_bad_regular_expression_says_why_and_nothing_else(capfd):
    with pytest.raises(UsageError) as caught:
        pattern(None, "(a")
    assert "missing" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_patterns_are_equal_when_they_ask_for_the_same():
    assert len({pattern("a", extensions=EXTENSIONS), pattern("a", extensions=EXTENSIONS[::-1])}) == 1
    assert pattern("a") != pattern(None, "a")
    assert pattern(None, "a") != pattern(None, "a", anchored=True)


def test_what_is_asked_for_in_words():
    assert pattern("a", extensions=EXTENSIONS[:1]).describe() == f"a (issuer: {ISSUER}, githubWorkflowTrigger: push)"
    assert pattern(None, "^a$", None, "^b$").describe() == "/^a$/ (issuer: /^b$/)"


def test_words_of_mismatches_name_both_sides():
    for asked in (
        pattern("b"),
        pattern(WORKFLOW, issuer="https://b"),
        pattern(WORKFLOW, extensions=[("buildTrigger", "b")]),
    ):
        failure = asked.mismatch(SIGNER)
        assert "b" in failure.message
        assert failure.message.startswith(("is by ", "has "))
