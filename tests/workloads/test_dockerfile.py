"""Images of Dockerfiles: everything that BuildKit would pull, or a refusal (X08)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import LimitError, SealgateError, WorkloadInvalidError
from sealgate.workloads import dockerfile


def names(text: str, **build_args: str) -> list[str]:
    return dockerfile.find(text.encode(), build_args).names()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a/b", ["a/b"]),
        ("from a/b\nFrOm c/d", ["a/b", "c/d"]),
        ("\ufeffFROM a/b", ["a/b"]),
        ("FROM a/b\r\nRUN x\r\n", ["a/b"]),
        ("  \tFROM\ta/b  \n", ["a/b"]),
        ("FROM --platform=linux/arm64 a/b", ["a/b"]),
        ("FROM --platform=$BUILDPLATFORM a/b AS x", ["a/b"]),
        ("FROM a/b AS X\nFROM x\nFROM c/d as y", ["a/b", "c/d"]),
        ("FROM scratch\nCOPY --from=a/b /x /x", ["a/b"]),
        ("FROM a/b AS x\nFROM scratch\nCOPY --from=x / /\nCOPY --from=0 / /\nCOPY --from=X / /", ["a/b"]),
        ("FROM a/b AS x\nFROM scratch\nCOPY --link --chown=1:1 --from=c/d / /", ["a/b", "c/d"]),
        ("FROM a/b\nRUN --mount=type=bind,from=c/d,target=/x make", ["a/b", "c/d"]),
        ("FROM a/b\nRUN --mount=type=cache,target=/x --mount=target=/y,FROM=c/d make", ["a/b", "c/d"]),
        ("FROM a/b AS x\nFROM c/d\nRUN --mount=from=x,target=/x make", ["a/b", "c/d"]),
        ("FROM a/b\nONBUILD COPY --from=c/d / /", ["a/b", "c/d"]),
        ("FROM a/b\nONBUILD RUN --mount=from=c/d make", ["a/b", "c/d"]),
        ("FR\\\nOM a/b", ["a/b"]),
        ("FROM \\\n# comment\n\n  # comment\n  a/b", ["a/b"]),
        ("FROM \\  \n a/b \\\n AS x\nFROM x", ["a/b"]),
        ("# escape=`\nFROM a/b\nRUN dir C:\\\nFROM c/d", ["a/b", "c/d"]),
        ("# escape=`\nFROM `\na/b", ["a/b"]),
        ("#  Escape = `\n#syntax=docker/dockerfile:1\nFROM a/b\nRUN x `\nFROM c/d", ["a/b"]),
        ("FROM a/b\nRUN x \\\\\nFROM c/d", ["a/b", "c/d"]),
        ("FROM a/b\nRUN x \\\nFROM c/d", ["a/b"]),
        ("FROM a/b\nRUN <<EOF\nFROM c/d\nEOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nRUN <<A cat <<B\nFROM c/d\nA\nFROM c/d\nB\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nRUN cat <<-'EOF' > /x\n\tFROM c/d\n\tEOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nCOPY <<EOF /x\nFROM c/d\nEOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nONBUILD RUN <<EOF\nFROM c/d\nEOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nRUN cat <<EOF > ${HOME}/x\nFROM c/d\nEOF\nFROM e/f", ["a/b", "e/f"]),
        ('FROM a/b\nRUN echo "<<EOF"\nFROM e/f', ["a/b", "e/f"]),
        ("FROM a/b\nRUN echo a\\ <<EOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nRUN cat<<EOF\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nRUN echo $(( 1 << 3 ))\nFROM e/f", ["a/b", "e/f"]),
        ("FROM a/b\nLABEL x=<<EOF\nFROM e/f", ["a/b", "e/f"]),
        (("FROM a/b\nENV FROM=c/d\nUSER x\nWORKDIR /\nEXPOSE 1\nVOLUME /x\nSTOPSIGNAL 9\nCMD x\nENTRYPOINT x\n"
         'HEALTHCHECK NONE\nSHELL ["x"]\nMAINTAINER x\nADD x y\nARG x'), ["a/b"]),
        ("#!/usr/bin/env docker\nFROM a/b", ["a/b"]),
        ("# a comment\n# another=one\nFROM a/b", ["a/b"]),
    ],
)  # fmt: skip
def test_X08_what_the_builder_would_pull(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("ARG V=1\nFROM a/b:$V", {}, ["a/b:1"]),
        ("ARG V=1\nFROM a/b:${V}", {"V": "2"}, ["a/b:2"]),
        ("ARG V\nFROM a/b:$V", {"V": "2"}, ["a/b:2"]),
        ("ARG R=a I=$R/b\nARG V='1' W=\"2\"\nFROM $I:${V}-$W", {}, ["a/b:1-2"]),
        ("ARG V=1\nARG V\nFROM a/b:$V", {}, ["a/b:1"]),
        ("ARG V\nFROM a/b:${V:-3}", {}, ["a/b:3"]),
        ("ARG V=\nFROM a/b:${V:-3}", {}, ["a/b:3"]),
        ("ARG V=\nFROM a/b${V-:3}", {}, ["a/b"]),
        ("ARG V=1 W=2\nFROM a/b${V:+:$W}", {}, ["a/b:2"]),
        ("ARG V\nFROM a/b${V:+:$V}", {}, ["a/b"]),
        ("ARG V W=9\nFROM a/b:${V:-${W:-x}}", {}, ["a/b:9"]),
        ("ARG V=1\nFROM a/b:${V:-$NOPE}", {}, ["a/b:1"]),
        ("ARG V=1\nFROM a/b AS x\nARG V=2\nFROM c/d:$V", {}, ["a/b", "c/d:1"]),
        ("FROM a/b:$TARGETARCH", {"TARGETARCH": "arm64"}, ["a/b:arm64"]),
        ("FROM \"a/b\"\nFROM 'c/d'", {}, ["a/b", "c/d"]),
        ("ARG S=x\nFROM a/b AS x\nFROM $S", {}, ["a/b"]),
    ],
)
def test_X08_arguments_are_replaced_as_the_builder_does(text, args, expected):
    assert names(text, **args) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "RUN x",
        "FROM",
        "FROM a b",
        "FROM a as 1x",
        "FROM a isnt x",
        "FROM --what=x a",
        "FROM a\nFORM b",
        "FROM a\nFROM\u00a0b",
        "// syntax=evil/frontend\nFROM a",
        "# syntax=evil/frontend\nFROM a",
        "# syntax=docker/dockerfile.evil\nFROM a",
        "# comment\n# syntax=evil/frontend\nFROM a",
        "#!/bin/x\n# escape=`\nFROM a",
        "# unknown=x\n# escape=`\nFROM a",
        "\n# escape=`\nFROM a",
        "# escape=x\nFROM a",
        "# escape=`\n# escape=`\nFROM a",
        "FROM $X",
        "FROM a:$TARGETARCH",
        "FROM a/b:${V",
        "FROM a/b:${V:?x}",
        "ARG V=1\nFROM a/b:${V#1}",
        "ARG V=1\nFROM a/b:${V/1/2}",
        "ARG V=1\nFROM a/b:$1",
        "ARG V=1\nFROM a/b:$",
        "ARG V\nFROM a/b:$V",
        "ARG V=\nFROM $V",
        "ARG A=x\\ B=y\nFROM a/$A",
        "ARG 'A=x\nFROM a",
        "ARG\nFROM a",
        "ARG 1=x\nFROM a",
        "FROM a\\b",
        "FROM 'a",
        "FROM a\nCOPY --from=0 / /",
        "FROM a\nCOPY --from=-1 / /",
        "FROM a\nCOPY --from=$X / /",
        "FROM a\nCOPY --from / /",
        "FROM a\nCOPY --from=b --from=c / /",
        "FROM a\nADD --from=b / /",
        "FROM a\nCOPY --from=x / /\nFROM b AS x",
        "FROM a AS x\nCOPY --from=x / /",
        "FROM a\nRUN --mount=from=$X,target=/x y",
        'FROM a\nRUN --mount="from=\\"b\\"" y',
        "FROM a\nRUN --mount=from=b,from=c y",
        "FROM a\nRUN --mount=from=x y\nFROM b AS x",
        "FROM a\nRUN --x\\ --mount=from=b y",
        "FROM a\nRUN --mount='from=b y",
        "FROM a\nONBUILD FROM b",
        "FROM a\nONBUILD ONBUILD RUN x",
        "FROM a\nONBUILD WHAT x",
        "FROM a\nRUN <<EOF\nFROM b",
        "FROM a\nRUN it's <<EOF\nFROM b\nEOF",
        "FROM a\nRUN <<$X\nFROM b\n$X",
        "FROM a\nRUN echo ${X:-a <<CMD}\nFROM b\nCMD}\n",
        'FROM a\nRUN ["<<EOF"]\nFROM b',
        "# syntax=docker/dockerfile:1.2\nFROM a\nRUN <<EOF\nFROM b\nEOF",
        "FROM a\nRUN x\x1c<<CMD\nFROM b\nCMD",
        "FROM a\x00",
        "\\\nFROM",
    ],
)
def test_X08_what_is_not_understood_is_refused(text):
    with pytest.raises(WorkloadInvalidError):
        names(text)


def test_bytes_that_are_not_utf8_are_refused():
    with pytest.raises(WorkloadInvalidError):
        dockerfile.find(b"FROM a\xff", {})


def test_a_file_that_is_too_large_is_refused():
    with pytest.raises(LimitError):
        dockerfile.find(b"FROM a", {}, limit=5)
    assert dockerfile.find(b"FROM a", {}, limit=6).names() == ["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a\nFROM b", "b"),
        ("FROM a AS x\nFROM b\nFROM x", "a"),
        ("FROM a AS x\nFROM x AS y\nFROM y", "a"),
        ("FROM a\nFROM scratch", None),
    ],
)
def test_the_base_is_what_lies_below_the_last_stage(text, expected):
    base = dockerfile.find(text.encode(), {}).base
    assert (base.image if base else None) == expected


def test_places_and_the_frontend():
    found = dockerfile.find(b"# syntax=docker/dockerfile:1\nFROM a\nCOPY \\\n --from=b / /", {})
    assert found.frontend == "docker/dockerfile:1"
    assert [(image.image, image.line, image.instruction) for image in found.images] == [
        ("a", 2, "FROM"), ("b", 3, "COPY --from"),
    ]  # fmt: skip


PIECES = st.sampled_from(
    ["FROM ", "a/b", "\n", "\\\n", " ", "AS x", "RUN ", "<<EOF", "EOF", "\nEOF\n", "COPY --from=", "$V", "${V:-", "}", '"', "'",
     "# escape=`\n", "`\n", "ARG V=1\n", "--mount=from=", "ONBUILD ", "\t", "#", "0", "["]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=80))
def test_any_text_ends_in_an_answer_or_an_error_of_ours(text):
    try:
        found = dockerfile.find(text.encode("utf-8", "surrogatepass"), {})
    except SealgateError:
        return
    assert all(image.image for image in found.images)


@given(st.lists(PIECES, max_size=8).map("".join))
def test_a_last_line_of_its_own_is_seen_or_the_file_is_refused(text):
    """Whatever stands before, an image is not hidden: two lines that end every heredoc of these pieces go between."""
    try:
        found = dockerfile.find(f"FROM a\n{text}\n\nFROM last/image\n".encode(), {})
    except SealgateError:
        return
    continued = text.rstrip("\n\t ").endswith("\\") or "`" in text
    assert "last/image" in found.names() or continued or "<<EOF" in text
