"""JSON that means one thing only: bypasses M03, W17, W18, D11."""

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sealgate import limits, strictjson
from sealgate.errors import JsonAmbiguousError, JsonInvalidError, LimitError, SealgateError

LIMIT = 1 << 20
GOOD = "sha256:" + "a" * 64
EVIL = "sha256:" + "e" * 64


def parse(data):
    return strictjson.parse(data if isinstance(data, bytes) else data.encode(), limit=LIMIT, what="the document")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(f'{{"docker-manifest-digest":"{EVIL}","docker-manifest-digest":"{GOOD}"}}', id="payload-twice"),
        pytest.param(f'{{"image":{{"x":"{EVIL}","x":"{GOOD}"}}}}', id="nested"),
        pytest.param('{"Critical":{"type":"e"},"critical":{"type":"g"}}', id="Critical-critical"),
        pytest.param('{"layers":[1],"Layers":[2]}', id="layers-Layers"),
        pytest.param('{"layers":[1],"LAYERS":[2]}', id="layers-LAYERS"),
        pytest.param('{"digest":"a","digest":"a"}', id="equal-values"),
        pytest.param('{"digest":"a","\\u0064igest":"b"}', id="one-escaped"),
        pytest.param('{"a\\u0000":1,"a\\u0000":2}', id="with-nul"),
        pytest.param('{"key":1,"\\u212Aey":2}', id="kelvin-sign-folds-to-k-in-Go"),
        pytest.param('{"signature":1,"\\u017Fignature":2}', id="long-s-folds-to-s-in-Go"),
        pytest.param('[{"a":1},{"a":1,"a":2}]', id="in-a-list"),
        pytest.param('{"":1,"":2}', id="empty-keys"),
    ],
)
def test_M03_keys_that_two_parsers_read_differently(document):
    with pytest.raises(JsonAmbiguousError) as caught:
        parse(document)
    assert caught.value.code == "json-ambiguous"
    assert caught.value.message.startswith("the document: an object has")


def test_M03_twin_the_same_key_in_different_objects():
    document = '{"layers":[{"digest":"a"},{"digest":"a"}],"config":{"digest":"a","Size":1}}'
    assert parse(document) == json.loads(document)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_W17_numbers_that_are_none(number):
    with pytest.raises(JsonAmbiguousError) as caught:
        parse(f'{{"threshold":{number}}}')
    assert caught.value.code == "json-ambiguous"


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-" + "9" * 40, "0." + "1" * 60, "1" * 5000])
def test_W17_numbers_without_end(number):
    with pytest.raises(LimitError) as caught:
        parse(f'{{"logIndex":{number}}}')
    assert caught.value.code == "limit-exceeded"


@pytest.mark.parametrize("number", ["01", "+1", "1.", ".5", "0x10", "1_000", "--1", "1e", "\u0661"])
def test_W17_numbers_of_other_languages(number):
    with pytest.raises(JsonInvalidError) as caught:
        parse(f"[{number}]")
    assert caught.value.code == "json-invalid"


@pytest.mark.parametrize(
    ("text", "value"), [("1e2", 100.0), ("1.0", 1.0), ("-0", 0), ("true", True), ("1", 1), ("9" * 40, int("9" * 40))]
)
def test_W17_twin_numbers_keep_their_type(text, value):
    (found,) = parse(f"[{text}]")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte-order-mark"),
        pytest.param('{"a":1}'.encode("utf-16"), id="utf-16"),
        pytest.param('{"a":1}'.encode("utf-16-le"), id="utf-16-le"),
        pytest.param('{"a":1}'.encode("utf-32-be"), id="utf-32"),
        pytest.param(b'{"a":"\xff"}', id="not-utf-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate-as-utf-8"),
        pytest.param(b'{"a":"\x00"}', id="raw-nul"),
        pytest.param(b'{"a":1}\x00', id="trailing-nul"),
        pytest.param(b'{"a":1}{"a":2}', id="two-documents"),
        pytest.param(b'{"a":1} x', id="trailing-text"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"a":1,}', id="trailing-comma"),
        pytest.param(b"{'a':1}", id="single-quotes"),
        pytest.param(b'{"a":1}//', id="comment"),
        pytest.param(b'\xc2\xa0{"a":1}', id="space-of-unicode"),
    ],
)
def test_W18_bytes_that_are_not_strict_json(data):
    with pytest.raises(JsonInvalidError) as caught:
        parse(data)
    assert caught.value.code == "json-invalid"


@pytest.mark.parametrize("text", [r'{"a":"\ud800"}', r'{"\udc00":1}', r'["x",{"a":["\udfff\ud83d"]}]'])
def test_W18_lone_surrogates(text):
    with pytest.raises(JsonAmbiguousError) as caught:
        parse(text)
    assert caught.value.code == "json-ambiguous"


def test_W18_twin_pairs_of_surrogates_and_escapes():
    assert parse(r'{"a":"\ud83d\ude00 \u0000 \u00e9"}') == {"a": "\U0001f600 \x00 é"}
    assert parse('{"a":"é😀"}') == {"a": "é😀"}


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 65 + b"]" * 65, b'{"a":[' * 33 + b"]}" * 33, b'"\\"",' + b"[" * 65],
    ids=["lists", "objects", "one-too-deep", "mixed", "after-an-escaped-quote"],
)
def test_D11_nested_too_deeply(data):
    with pytest.raises(LimitError) as caught:
        parse(data)
    assert caught.value.code == "limit-exceeded"


def test_D11_twin_as_deep_as_allowed():
    depth = limits.JSON_DEPTH
    assert parse("[" * depth + "]" * depth) == json.loads("[" * depth + "]" * depth)
    assert parse("[" + "[]," * 1000 + "[]]") == [[]] * 1001
    assert parse(json.dumps("[" * 1000)) == "[" * 1000


def test_the_limit_is_in_bytes_and_named():
    document = '"é"'.encode()
    assert strictjson.parse(document, limit=len(document), what="the document") == "é"
    with pytest.raises(LimitError, match=f"the document is larger than {len(document) - 1} bytes"):
        strictjson.parse(document, limit=len(document) - 1, what="the document")


@pytest.mark.parametrize("document", ["[]", '"{}"', "1", "null", "true"])
def test_parse_object_wants_an_object(document):
    with pytest.raises(JsonInvalidError, match="the document is not a JSON object"):
        strictjson.parse_object(document.encode(), limit=LIMIT, what="the document")
    assert strictjson.parse_object(b"{}", limit=LIMIT, what="the document") == {}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def folded(value):
    """Whether an object has keys that differ in case only."""
    if isinstance(value, dict):
        return len({key.casefold() for key in value}) < len(value) or any(map(folded, value.values()))
    return isinstance(value, list) and any(map(folded, value))


@given(VALUES, st.booleans())
def test_what_is_written_is_read_again(value, ascii_only):
    assume(not folded(value))
    assert parse(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789.eE-+\\ustrflnan \u017f', max_size=80))
def test_any_bytes_give_what_json_gives_or_a_named_error(data):
    try:
        found = parse(data)
    except SealgateError as error:
        assert error.code in {"json-invalid", "json-ambiguous", "limit-exceeded"}
    else:
        assert found == json.loads(data)


_TRICKY = st.text(alphabet='{}[]"\\é,:', max_size=6)
_NESTED = st.recursive(
    _TRICKY | st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TRICKY, inner, max_size=2)
)


@given(_NESTED, st.booleans(), st.sampled_from([(",", ":"), (" ,\n", " : ")]))
def test_nesting_is_counted_outside_strings_only(value, ascii_only, separators):
    def depth(part):
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    around = limits.JSON_DEPTH - depth(value)
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    many = "[]," * limits.JSON_DEPTH  # the depth is looked at when there are many brackets
    deepest = f"[{many}{'[' * (around - 1)}{text}{']' * (around - 1)}]"
    assert len(parse(deepest)) == limits.JSON_DEPTH + 1
    with pytest.raises(LimitError, match="nested deeper"):
        parse(f"[{deepest}]")
