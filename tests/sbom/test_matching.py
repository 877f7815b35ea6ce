"""Which packages a pattern means."""

import pytest

from sealgate.errors import UsageError
from sealgate.sbom.document import Package
from sealgate.sbom.matching import matcher

LOG4J = Package("log4j-core", "2.14.1", "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", ())
BASKET = Package("@shop/basket", "1.4.0", "pkg:npm/%40shop/basket@1.4.0", ())
SSL = Package("libssl3", "3.0.11-1~deb12u2", "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&upstream=openssl", ())
BARE = Package("Thing", "", "", ())
ALL = {"log4j": LOG4J, "basket": BASKET, "ssl": SSL, "bare": BARE}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("log4j", {"log4j"}),
        ("LOG4J", {"log4j"}),
        ("apache", {"log4j"}),  # of the purl
        ("openssl", {"ssl"}),  # the source package
        ("thing", {"bare"}),
        ("nothing", set()),
        ("log4j-*", {"log4j"}),
        ("log*core", {"log4j"}),
        ("og4j*", set()),  # a whole name
        ("org.apache.*", {"log4j"}),
        ("@shop/basket", {"basket"}),
        ("@shop/basket@1.4.0", {"basket"}),
        ("@shop/basket@1.4.1", set()),
        ("log4j@2.14.1", {"log4j"}),
        ("log4j@2.14", set()),
        ("log4j@2.*", {"log4j"}),
        ("@2.14.1", {"log4j"}),
        ("@*", {"log4j", "basket", "ssl", "bare"}),
        ("*", {"log4j", "basket", "ssl", "bare"}),
        ("pkg:maven/org.apache.logging.log4j/log4j-core", {"log4j"}),
        ("pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", {"log4j"}),
        ("pkg:maven/org.apache.logging.log4j/log4j-core@2.17.0", set()),
        ("pkg:maven/log4j-core", set()),
        ("pkg:npm/%40shop/basket", {"basket"}),
        ("pkg:deb/debian/libssl3?arch=amd64", {"ssl"}),
        ("pkg:deb/debian/libssl3?arch=arm64", set()),
    ],
)
def test_a_pattern_means_these_packages(pattern, expected):
    meets = matcher(pattern)
    assert {name for name, package in ALL.items() if meets(package)} == expected


@pytest.mark.parametrize("pattern", ["", "  ", "x" * 1001, "pkg:", "pkg:maven"])
def test_what_is_no_pattern(pattern):
    with pytest.raises(UsageError) as caught:
        matcher(pattern)
    assert caught.value.code == "usage"
    assert matcher("x" * 1000)(LOG4J) is False


def test_a_package_whose_purl_is_none_is_found_by_its_name_alone():
    junk = Package("junk", "1", "pkg:::log4j", ())
    assert not matcher("pkg:maven/a/log4j")(junk)
    assert matcher("junk")(junk)
