"""Rego: what is true passes; what is false, undefined, an error or not available does not."""

import json

import pytest

P = "package signature\n"


@pytest.mark.parametrize(
    "source",
    [
        "default allow = false\nallow { input.predicate.level == 3 }",
        "default allow := false\nallow if { input.predicate.level == 3 }",
        "import rego.v1\ndefault allow := false\nallow if input.predicate.level == 3",
        "import future.keywords.every\nallow { every t in input.predicate.tags { t != `c` } }",
        'deny[m] { input.predicate.level > 3; m := "high" }\nallow { count(deny) == 0 }',
        'deny contains "high" if input.predicate.level > 3\nallow if count(deny) == 0',
        'allow { startswith(input.predicate.name, "a"); regex.match(`^a..$`, input.predicate.name) }',
        "ok(x) = y { y := x == 3 }\nallow { ok(input.predicate.level) }",
        "allow { print(input.predicate.level); true }",
        'allow { json["unmarshal"]("[1]")[0] == 1 }',
        "allow = input._type == `https://in-toto.io/Statement/v1`",
        "allow { data.sealgate.now_ns == 1700000000000000000 }",
    ],
)
def test_what_is_true_passes(say, source):
    assert say("rego", P + source).outcome == "passed"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("default allow = false\nallow { input.predicate.level == 4 }", "allow is false"),
        ("allow { input.predicate.level == 4 }", "allow is undefined"),
        ("allow { input.predicate.missing == 3 }", "allow is undefined"),
        ("allow { input.predicate.missing != 3 }", "allow is undefined"),
        ("allow { count(input.predicate.missing) == 0 }", "allow is undefined"),
        ("permit = true", "allow is undefined"),
        ('allow = "true"', "allow is not true or false"),
        ("allow = 1", "allow is not true or false"),
        ("allow contains true if true", "allow is not true or false"),
        ("allow = {}", "allow is not true or false"),
        ("allow = null", "allow is not true or false"),
    ],
)
def test_what_is_not_exactly_true_fails(say, source, message):
    result = say("rego", P + source)
    assert result.outcome == "failed"
    assert message in result.message


@pytest.mark.parametrize(
    "source",
    [
        "allow { not 1 / 0 == 1 }",
        'allow { not to_number("x") == 1 }',
        "allow = true { input.predicate.level == 3 }\nallow = false { input.predicate.level == 3 }",
        "allow { allow }",
        "allow {",
        'allow = "unclosed',
    ],
)
def test_errors_are_no_yes(say, source):
    assert say("rego", P + source).outcome == "error"


@pytest.mark.parametrize(
    "package", ["package other", "package signature.inner", 'package signature["x"]', "allow = true"]
)
def test_another_package_is_an_error(say, package):
    result = say("rego", f"{package}\nallow = true")
    assert (result.outcome, "signature" in result.message) == ("error", True)
    assert say("rego", "# of cosign\npackage signature\nallow = true").outcome == "passed"


UNAVAILABLE = [
    'http.send({"method": "get", "url": "http://127.0.0.1:1/"})',
    'net.cidr_contains("10.0.0.0/8", "10.1.1.1")',
    'net.lookup_ip_addr("localhost")',
    'time.parse_rfc3339_ns("2020-01-01T00:00:00Z")',
    "time.now_ns()",
    "opa.runtime()",
    'opa["runtime"]()',
    "opa . runtime ()",
    "opa[`runtime`]()",
    'io.jwt.decode("x")',
    'rand.intn("a", 2)',
    'uuid.rfc4122("a")',
    'crypto.x509.parse_certificates("x")',
    "json.match_schema({}, {})",
    'trace("x")',
    "nosuch(1)",
    'time[concat("", ["now", "_ns"])]()',
]


@pytest.mark.parametrize("call", UNAVAILABLE)
@pytest.mark.parametrize(
    "rest",
    [
        "default allow = true\nallow = false {{ {} }}",
        "deny[m] {{ m := {} }}\nallow {{ count(deny) == 0 }}",
        "allow {{ not {} }}",
    ],
)
def test_P24_functions_that_are_not_available_are_refused_before_anything_is_evaluated(say, call, rest):
    result = say("rego", P + rest.format(call))
    assert result.outcome == "error"
    assert any(word in result.message for word in ("not available", "does not have", "neither", "computed"))


def test_a_refused_function_in_a_string_or_comment_is_none(say):
    assert say("rego", P + '# http.send(1)\nallow { "opa.runtime()" != `http.send(1)` }').outcome == "passed"


def test_builtins_cannot_be_replaced(say):
    assert say("rego", P + "f(x) = true\nallow { regex.is_valid(1) with regex.is_valid as f }").outcome == "error"
    assert say("rego", P + "f(x) = true\nallow { not http.send({}) with http.send as f }").outcome == "error"


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "é", "☃", "a/b", "\u2028", "a\u0001b"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_strings_are_equal_however_they_are_written(say, value, ascii_only):
    literal = json.dumps(value, ensure_ascii=ascii_only)
    assert say("rego", f"{P}allow {{ input.predicate.name == {literal} }}", {"name": value}).outcome == "passed"
    assert say("rego", f"{P}allow {{ input.predicate.name != {literal} }}", {"name": value}).outcome == "failed"


def test_strings_with_escapes_are_not_looked_into(say):
    policy = P + 'allow { not endswith(input.predicate.name, "n") }'
    assert say("rego", policy, {"name": "app"}).outcome == "passed"
    result = say("rego", policy, {"name": "app\n"})
    assert (result.outcome, "not exact" in result.message) == ("error", True)


def test_numbers_are_not_cut(say):
    big = 12345678901234567890123
    assert say("rego", f"{P}allow {{ input.predicate.n == {big} }}", {"n": big}).outcome == "passed"
    assert say("rego", f"{P}allow {{ input.predicate.n == {big} }}", {"n": big + 1}).outcome == "failed"


def test_nul_does_not_end_a_string(say):
    policy = P + 'allow { input.predicate.name == "app" }'
    assert say("rego", policy, {"name": "app"}).outcome == "passed"
    assert say("rego", policy, {"name": "app\0evil"}).outcome == "failed"


@pytest.mark.parametrize("number", ["1e22", "-0.5", "1.50", "1e-7", "0", "-9223372036854775809"])
def test_numbers_however_they_are_written(say, number):
    raw = b'{"predicate": {"n": %s}}' % number.encode()
    same, larger = (f"{P}allow {{ input.predicate.n {sign} {number} }}" for sign in ("==", ">"))
    assert (say("rego", same, raw=raw).outcome, say("rego", larger, raw=raw).outcome) == ("passed", "failed")


def test_patterns_are_not_matched_beyond_ascii(say):
    policy = P + "allow { regex.match(`^.$`, input.predicate.name) }"
    assert say("rego", policy, {"name": "a"}).outcome == "passed"
    assert say("rego", policy, {"name": "é"}).outcome == "error"
