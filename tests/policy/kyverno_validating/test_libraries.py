"""The libraries of CEL that Kyverno's image policies have: what is pure is evaluated, the rest is an error when the policy is read."""

import gzip

import pytest

from policy.kyverno_validating.scene import SIGNED, ivp
from policy.scene import load
from sealgate import limits
from sealgate.conditions import programs
from sealgate.conditions.programs import ProgramError
from sealgate.errors import PolicyUnsupportedError
from sealgate.keys.private import PrivateKey


@pytest.fixture(scope="module")
def engine():
    with programs.Programs() as found:
        yield found


def says(engine, expression, **names):
    """What one expression comes to."""
    entry = {"name": "0", "expression": expression, "where": "spec.validations[0]", "field": "expression"}
    found = programs.program({"conditions": [entry]})
    question = {"kind": "select", "names": {"object": {"n": [1, 2.0, "x"], "t": "text", **names}}, "refs": []}
    return engine.ask(found, question)["selected"]


TRUE = [
    # lists (cel-go, Kubernetes)
    "[1, 2, 3].indexOf(2) == 1", "[1, 2, 1].lastIndexOf(1) == 2", "['a'].indexOf('b') == -1", "'abc'.indexOf('c') == 2", "[true, 1].indexOf(1) == 1",
    "[1, 2, 2].isSorted()", "!['b', 'a'].isSorted()", "[].isSorted()", "[1, 2].sum() == 3", "[1.5, 2.0].sum() == 3.5", "object.n.filter(e, type(e) != string).sum() == 3.0",
    "[3, 1].min() == 1", "['a', 'c', 'b'].max() == 'c'", "[timestamp('2027-01-01T00:00:00Z'), timestamp('2026-01-01T00:00:00Z')].isSorted() == false",
    "[3, 1, 2].sort() == [1, 2, 3]", "[1, 2].reverse() == [2, 1]", "[1, 1, 2, 1].distinct() == [1, 2]", "object.n.distinct().size() == 3", "[[1], [2, [3]]].flatten() == [1, 2, [3]]",
    "[[1], [2, [3]]].flatten(2) == [1, 2, 3]", "[1, 2, 3].slice(1, 3) == [2, 3]", "lists.range(3) == [0, 1, 2]", "[1, 2].first().value() == 1", "[1, 2].last().orValue(0) == 2",
    "[{'k': 'a'}, {'k': 'b'}].map(e, e.k).distinct().size() == 2",
    # sets
    "sets.contains([1, 2, 3], [3, 1])", "!sets.contains([1], [2])", "sets.contains([1], [])", "sets.equivalent([1, 2, 2], [2, 1])", "sets.intersects(['a', 'b'], ['b'])", "!sets.intersects([], [1])",
    "!sets.contains([1], [true])", "sets.contains([dyn(1)], [1.0])", "sets.contains([{'a': [1]}], [{'a': [1]}])",
    # texts, encoders, math: cel-go's
    "'%s-%d'.format(['a', 1]) == 'a-1'", "strings.quote('a') == '\"a\"'", "'a,b'.split(',').join('-') == 'a-b'", "base64.encode(b'a') == 'YQ=='", "math.greatest(1, 2) == 2", "math.round(2.25, 1) == 2.2",
    "'TacoCat'.lowerAscii() == 'tacocat'", "object.?nothing.orValue(1) == 1", "cel.bind(x, 1, x + 1) == 2",
    # regex (Kubernetes)
    "'abc 123'.find('[0-9]+') == '123'", "'1, 2'.findAll('[0-9]') == ['1', '2']",
    # quantities
    "isQuantity('1.5Gi') && !isQuantity('1.5GiB') && !isQuantity('') && isQuantity('1e3')", "quantity('1Gi').isGreaterThan(quantity('500Mi'))", "quantity('200M').compareTo(quantity('0.2G')) == 0",
    "quantity('50M').isLessThan(quantity('100M'))", "quantity('50k').add(quantity('20k')) == quantity('70k')", "quantity('50k').sub(20000) == quantity('30k')", "quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() == 20",
    "quantity('50k').add('20k').asInteger() == 70000", "quantity('50k').asInteger() == 50000", "!quantity('100m').isInteger()", "quantity('-1').sign() == -1", "quantity('1500m').asApproximateFloat() == 1.5", "quantity('1000m') == quantity('1')",
    "quantity('1n').isLessThan(quantity('1u')) && quantity('1u').isLessThan(quantity('1m'))", "quantity('1Ki').asInteger() == 1024",
    # versions
    "isSemver('1.2.3') && !isSemver('v1.2.3') && isSemver('v1.2', true) && !isSemver('1.02.3') && !isSemver('1.0.0-01')", "semver('1.2.3').isLessThan(semver('1.10.0'))", "semver('1.0.0').isGreaterThan(semver('1.0.0-rc.1'))",
    "semver('1.0.0-alpha.2').isLessThan(semver('1.0.0-alpha.10'))", "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3", "semver('1.0.0+a').compareTo(semver('1.0.0+b')) == 0",
    "semver('v01.2', true) == semver('1.2.0')",
    # addresses
    "isIP('127.0.0.1') && isIP('::1') && !isIP('127.0.0.01') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')", "ip('::1') == ip('0:0:0:0:0:0:0:1')", "ip('127.0.0.1').family() == 4 && ip('::1').family() == 6",
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')", "ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified()", "ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()",
    "ip('169.254.1.1').isLinkLocalUnicast() && !ip('169.254.1.1').isGlobalUnicast()", "ip('10.0.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/08')", "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.0'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))", "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')", "cidr('10.1.2.3/8').ip() == ip('10.1.2.3')", "cidr('::/0').prefixLength() == 0",
    "string(ip('::0:1')) == '::1' && string(cidr('10.0.0.1/8')) == '10.0.0.1/8' && string(1) == '1' && string(object.t) == 'text'",
    "!cidr('10.0.0.0/8').containsIP('::1') && !cidr('10.0.0.0/8').containsCIDR('::/8')",
    # URLs
    "isURL('https://x.example/a') && !isURL('x.example/a') && isURL('/a') && !isURL('https://x.example:port/') && !isURL('https://[::1/')", "url('https://x.example:80/').getHost() == 'x.example:80'", "url('https://[::1]:80/').getHostname() == '::1'",
    "url('https://x.example:80/').getPort() == '80' && url('https://x.example/').getPort() == ''", "url('https://x.example/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'", "url('https://x.example/a%2Fb').getEscapedPath() == '/a%2Fb'",
    "url('https://x.example/?a=1&a=2&b').getQuery() == {'a': ['1', '2'], 'b': ['']}", "url('https://u:p@x.example/').getScheme() == 'https' && url('https://u:p@x.example/').getHostname() == 'x.example'",
    # Kyverno's
    "listObjToMap([{'name': 'a'}], [{'value': 1}], 'name', 'value') == {'a': 1}", "parseServiceAccount('system:serviceaccount:ns:sa').Name == 'sa'", "parseServiceAccount('system:serviceaccount:ns:sa').Namespace == 'ns'", "parseServiceAccount('alice').Name == ''",
    "gzip.decompress(gzip.compress('text')) == 'text'", "gzip.compress('a') == gzip.compress(b'a')", "time_parse('2006-01-02T15:04:05Z07:00', '2027-01-01T01:00:00+01:00') == '2027-01-01T00:00:00Z'", "time_parse('1', '0') == '1970-01-01T00:00:00Z'",
    "image('nginx').registry() == 'docker.io' || image('nginx').registry() == 'index.docker.io'", "image('ghcr.io/a/b:1').identifierWithSeparator() == ':1' && image('ghcr.io/a/b').identifierWithSeparator() == ':latest'", "isImage('ghcr.io/a/b:1') && !isImage('A B')", "parseImageReference('ghcr.io/a/b:1').tag() == '1'", "sha256('a').startsWith('ca978112')",
    "json.unmarshal('{\"a\": 1}').a == 1", "yaml.parse('a: [1]').a[0] == 1",
]  # fmt: skip


@pytest.mark.parametrize("expression", TRUE)
def test_what_is_pure_is_evaluated(engine, expression):
    assert says(engine, expression) is True


NONE = [
    "[].min() == 1", "[1, 'a'].isSorted()", "[object, object].sort() == []", "['a'].sum() == 1", "[9223372036854775807, 1].sum() == 0", "[1].slice(1, 3) == []", "[1].slice(-1, 1) == []", "lists.range(10001) == []", "lists.range(-1) == []",
    "quantity('x') == quantity('x')", "quantity('1').isLessThan(semver('1.0.0'))", "semver('1').major() == 1", "quantity('1.5').asInteger() == 1", "object.t.sign() == 1", "ip('1.2.3') == ip('1.2.3')", "cidr('10.0.0.0/8').containsIP('x')",
    "url('x.example') == url('y')", "url('https://x.example/\\n').getHost() == 'x'", "object.family() == 4", "string({'kind': 'x'}) == ''", "string(object) == ''", "{'kind': 'ip', 'value': 'x'}.family() == 4", "{'kind': 'quantity', 'value': '1/0'}.sign() == 1", "{'kind': 'semver'}.major() == 1",
    "listObjToMap([{}], [], 'a', 'b') == {}", "listObjToMap([{}], [{}], 'a', 'b') == {}", "gzip.decompress(b'x') == ''", "time_parse('Jan 2006', 'Jan 2027') == ''", "time_parse('1', '99999999999999999999') == ''", "[[1]].flatten(-1) == []",
]  # fmt: skip


@pytest.mark.parametrize("expression", NONE)
def test_D12_what_has_no_answer_is_no_yes(engine, expression):
    with pytest.raises(ProgramError, match="has no answer"):
        says(engine, expression)
    assert says(engine, "1 == 1") is True


def test_D12_values_are_bounded(engine):
    long = "1" * (limits.PROGRAM_VALUE_CHARS + 1)
    assert says(engine, f"isQuantity('{long[1:]}') && !isQuantity('{long}')")
    assert says(engine, f"!isSemver('1.2.3-{long}') && !isIP('{long}')")
    with pytest.raises(ProgramError, match="has no answer"):
        says(engine, "lists.range(200).map(i, lists.range(200)).flatten().size() == 40000")
    tower = "quantity('9999999999999999999999999999999999999999999999999999e99')"
    assert says(engine, f"{tower}.add({tower}).isGreaterThan({tower})")


def test_D12_a_small_text_that_grows_large_has_no_answer(engine):
    bomb = gzip.compress(b"a" * (limits.CONDITION_DOCUMENT_BYTES + 1))
    literal = "".join(f"\\x{byte:02x}" for byte in bomb[: limits.PROGRAM_CHARS // 8])
    with pytest.raises(ProgramError, match="has no answer"):
        says(engine, f"gzip.decompress(b'{literal}').size() > 0")
    import base64

    encoded = base64.b64encode(bomb).decode()
    with pytest.raises(ProgramError, match="has no answer"):
        says(engine, "gzip.decompress(base64.decode(object.bomb)).size() > 0", bomb=encoded)
    small = base64.b64encode(gzip.compress(b"small")).decode()
    assert says(engine, "gzip.decompress(base64.decode(object.bomb)) == 'small'", bomb=small)


KEY = PrivateKey.generate()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("[1].sortBy(e, e) == [1]", "sortBy is not evaluated here"), ("format.dns1123Label().validate('a').hasValue()", "format is not evaluated here"),
        ("jmespath('a', object) == 1", "jmespath is not evaluated here"), ("http.Get('https://x.example').a == 1", "http asks somebody"), ("resource.List('v1', 'pods', '').size() == 1", "resource asks somebody"),
        ("globalContext.Get('a', '') == 1", "globalContext asks somebody"), ("generator.Apply('a', [])", "generator asks somebody"), ("random('[a-z]') == 'a'", "random asks somebody"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "place",
    ["validations[0].expression", "validations[0].messageExpression", "variables[0].expression", "matchConditions[0].expression", "auditAnnotations[0].valueExpression", "images[0].expression", "matchImageReferences[0].expression", "attestors[0].cosign.key.expression"],
)  # fmt: skip
def test_what_reaches_elsewhere_is_an_error_when_the_policy_is_read(call, said, place):
    document = ivp(SIGNED, keys={"k": KEY})
    spec = document["spec"]
    assert load(document).rules
    name, _, field = place.rpartition(".")
    entries = {
        "validations[0]": {"expression": SIGNED} | {field: call}, "variables[0]": {"name": "v", field: call}, "matchConditions[0]": {"name": "c", field: call},
        "auditAnnotations[0]": {"key": "k", field: call}, "images[0]": {"name": "x", field: call}, "matchImageReferences[0]": {field: call},
    }  # fmt: skip
    if name in entries:
        spec[name.removesuffix("[0]")] = [entries[name]]
    else:
        spec["attestors"][0]["cosign"]["key"] = {"expression": call}
    with pytest.raises(PolicyUnsupportedError) as raised:
        load(document)
    assert said in raised.value.message
    assert f"spec.{place}" in raised.value.message
