"""What is expected of a provenance: the shapes that builders write, and everything that is not quite what was asked for."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealgate.errors import StatementInvalidError, UsageError
from sealgate.evidence import provenance as reading
from sealgate.evidence import statement as statements
from sealgate.verification import provenance
from sealgate.verification.findings import CODES, PROVENANCE

V01, V02, V1 = (f"https://slsa.dev/provenance/{version}" for version in ("v0.1", "v0.2", "v1"))
REPOSITORY = "github.com/shop/app"
TAG = "refs/tags/v1.2.3"
GENERATOR = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0"
BUILDKIT_V1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"


def generator(ref=TAG):
    """As slsa-github-generator's container workflow writes it (v0.2)."""
    uri = f"git+https://{REPOSITORY}@{ref}"
    return V02, {
        "builder": {"id": GENERATOR},
        "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
        "invocation": {
            "configSource": {
                "uri": uri,
                "digest": {"sha1": "4b22" * 10},
                "entryPoint": ".github/workflows/release.yml",
            },
            "parameters": {},
            "environment": {"github_ref": ref, "github_ref_type": "tag", "github_event_name": "push"},
        },
        "metadata": {"completeness": {"parameters": True, "environment": False, "materials": False}},
        "materials": [{"uri": uri, "digest": {"sha1": "4b22" * 10}}],
    }


def github(ref=TAG):
    """As actions/attest-build-provenance writes it (v1)."""
    return V1, {
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {"ref": ref, "repository": f"https://{REPOSITORY}", "path": ".github/workflows/release.yml"}
            },
            "internalParameters": {"github": {"event_name": "push", "repository_id": "1", "repository_owner_id": "2"}},
            "resolvedDependencies": [{"uri": f"git+https://{REPOSITORY}@{ref}", "digest": {"gitCommit": "4b22" * 10}}],
        },
        "runDetails": {
            "builder": {"id": f"https://{REPOSITORY}/.github/workflows/release.yml@{ref}"},
            "metadata": {"invocationId": f"https://{REPOSITORY}/actions/runs/1/attempts/1"},
        },
    }


def delegated(ref=TAG):
    """As slsa-github-generator's own builders write it (v1)."""
    return V1, {
        "buildDefinition": {
            "buildType": "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0",
            "externalParameters": {"inputs": {}, "vars": {}},
            "internalParameters": {
                "GITHUB_REF": ref,
                "GITHUB_REF_TYPE": "tag",
                "GITHUB_WORKFLOW_REF": f"shop/app/.github/workflows/release.yml@{ref}",
            },
            "resolvedDependencies": [{"uri": f"git+https://{REPOSITORY}@{ref}", "digest": {"sha1": "4b22" * 10}}],
        },
        "runDetails": {"builder": {"id": GENERATOR}},
    }


def buildkit_v1(ref=TAG):
    """As BuildKit writes it for a build from a repository (docs/attestations/slsa-definitions.md)."""
    uri = f"https://{REPOSITORY}.git#{ref}"
    return V1, {
        "buildDefinition": {
            "buildType": BUILDKIT_V1,
            "externalParameters": {
                "configSource": {"uri": uri, "digest": {"sha1": "4b22" * 10}, "path": "Dockerfile"},
                "request": {"frontend": "dockerfile.v0", "args": {}, "locals": []},
            },
            "internalParameters": {"builderPlatform": "linux/amd64"},
            "resolvedDependencies": [
                {"uri": "pkg:docker/alpine@3.17?platform=linux%2Famd64", "digest": {"sha256": "8914" * 16}},
                {"uri": "https://github.com/another/library.git#main", "digest": {"sha1": "1111" * 10}},
                {"uri": uri, "digest": {"sha1": "4b22" * 10}},
            ],
        },
        "runDetails": {"builder": {"id": f"https://{REPOSITORY}/actions/runs/3709599520"}},
    }


def buildkit_v0_2(ref=TAG):
    uri = f"https://{REPOSITORY}.git#{ref}:images/app"
    return V02, {
        "builder": {"id": f"https://{REPOSITORY}/actions/runs/3709599520"},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": [{"uri": "pkg:docker/alpine@3.17", "digest": {"sha256": "8914" * 16}}, {"uri": uri}],
        "invocation": {"configSource": {"uri": uri, "entryPoint": "Dockerfile"}, "parameters": {}},
    }


def google(ref=TAG):
    """Google Cloud Build (v1)."""
    return V1, {
        "buildDefinition": {
            "buildType": "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
            "externalParameters": {
                "buildConfigSource": {"path": "cloudbuild.yaml", "ref": ref, "repository": f"git+https://{REPOSITORY}"},
                "substitutions": {},
            },
            "resolvedDependencies": [{"uri": f"git+https://{REPOSITORY}@{ref}", "digest": {"gitCommit": "4b22" * 10}}],
        },
        "runDetails": {"builder": {"id": "https://cloudbuild.googleapis.com/GoogleHostedWorker"}},
    }


def v0_1(ref=TAG):
    return V01, {
        "builder": {"id": GENERATOR},
        "recipe": {"type": "https://example.com/make@v1", "definedInMaterial": 1, "entryPoint": "all"},
        "materials": [{"uri": "pkg:docker/alpine@3.17"}, {"uri": f"git+https://{REPOSITORY}@{ref}"}],
    }


SHAPES = {shape.__name__: shape for shape in (generator, github, delegated, buildkit_v1, buildkit_v0_2, google, v0_1)}


def judge(said, **expected):
    """The findings, by code."""
    predicate_type, predicate = said
    document = {
        "_type": statements.STATEMENT_V1,
        "subject": [{"digest": {"sha256": "ab" * 32}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    found = statements.parse(json.dumps(document).encode())
    wanted = provenance.expected(predicate_type, **expected)
    findings = provenance.judge(wanted, found)
    assert findings, "something was expected, and nothing was said"
    assert all(finding.code in CODES for finding in findings)
    assert all((finding.code in PROVENANCE) == (finding.outcome == "failed") for finding in findings)
    return [finding.code for finding in findings]


def without(said, *path):
    """The same without one member."""
    kind, predicate = said[0], copy.deepcopy(said[1])
    place = predicate
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return kind, predicate


def changed(said, *path, to):
    kind, predicate = said[0], copy.deepcopy(said[1])
    place = predicate
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return kind, predicate


@pytest.mark.parametrize("shape", SHAPES)
class TestShapes:
    def test_the_source_and_the_tag(self, shape):
        said = SHAPES[shape]()
        found = judge(said, source_uri=REPOSITORY, source_tag="v1.2.3", source_versioned_tag="v1.2")
        assert found == ["source-verified", "source-ref-verified", "source-ref-verified"]

    def test_a_branch_is_no_tag(self, shape):
        said = SHAPES[shape]("refs/heads/v1.2.3")
        assert judge(said, source_uri=REPOSITORY, source_branch="v1.2.3") == ["source-verified", "source-ref-verified"]
        assert judge(said, source_uri=REPOSITORY, source_tag="v1.2.3") == ["source-verified", "source-ref-mismatch"]
        versioned = judge(said, source_uri=REPOSITORY, source_versioned_tag="v1")
        assert versioned == ["source-verified", "source-ref-mismatch"]
        assert judge(SHAPES[shape](), source_uri=REPOSITORY, source_branch="v1.2.3")[1] == "source-ref-mismatch"

    @pytest.mark.parametrize(
        "other",
        [
            "github.com/shop/app2",
            "github.com/shop/ap",
            "github.com/shop",
            "github.com/Shop/app",
            "GitHub.com/shop/app",
            "github.com.evil.example/shop/app",
            "evil.example/github.com/shop/app",
            "githüb.com/shop/app",
            "http://github.com/shop/app",
            "git+ssh://github.com/shop/app",
        ],
    )
    def test_another_repository(self, shape, other):
        assert judge(SHAPES[shape](), source_uri=other) == ["source-mismatch"]

    @pytest.mark.parametrize(
        "same",
        [
            "https://github.com/shop/app",
            "git+https://github.com/shop/app",
            "github.com/shop/app.git",
            "github.com/shop/app/",
        ],
    )
    def test_the_spellings_of_the_option(self, shape, same):
        assert judge(SHAPES[shape](), source_uri=same) == ["source-verified"]

    def test_the_builder(self, shape):
        said = SHAPES[shape]()
        builder = reading.read(statements.Statement("", (), said[0], said[1], b"")).builder_id
        assert judge(said, builder_id=builder) == ["builder-verified"]
        assert judge(said, builder_id=builder + "0") == ["builder-mismatch"]
        assert judge(said, builder_id=builder.partition("@")[0][:-1]) == ["builder-mismatch"]
        assert judge(said, builder_id=builder.upper()) == ["builder-mismatch"]


class TestSource:
    def test_what_started_the_build_and_what_was_built_must_agree(self):
        other = "git+https://github.com/evil/app@refs/tags/v1.2.3"
        assert judge(generator(), source_uri=REPOSITORY) == ["source-verified"]
        assert judge(changed(generator(), "materials", 0, "uri", to=other), source_uri=REPOSITORY) == [
            "source-mismatch"
        ]
        said = changed(generator(), "invocation", "configSource", "uri", to=other)
        assert judge(said, source_uri=REPOSITORY) == ["source-mismatch"]
        assert judge(said, source_uri="github.com/evil/app") == ["source-mismatch"]

    def test_only_the_first_dependency_is_the_source(self):
        kind, predicate = generator()
        evil = {"uri": "git+https://github.com/evil/app@refs/tags/v1.2.3"}
        assert judge((kind, predicate | {"materials": [*predicate["materials"], evil]}), source_uri=REPOSITORY) == [
            "source-verified"
        ]
        assert judge((kind, predicate | {"materials": [evil, *predicate["materials"]]}), source_uri=REPOSITORY) == [
            "source-mismatch"
        ]

    def test_two_refs_are_none(self):
        said = changed(generator(), "materials", 0, "uri", to=f"git+https://{REPOSITORY}@refs/heads/main")
        assert judge(said, source_uri=REPOSITORY, source_tag="v1.2.3") == ["source-mismatch"]
        said = changed(generator(), "invocation", "environment", "github_ref", to="refs/heads/main")
        assert judge(said, source_uri=REPOSITORY, source_tag="v1.2.3") == ["source-mismatch"]
        said = changed(delegated(), "buildDefinition", "internalParameters", "GITHUB_REF", to="refs/heads/main")
        assert judge(said, source_uri=REPOSITORY) == ["source-mismatch"]

    def test_a_build_of_another_commit_has_no_tag(self):
        # slsa-github-generator's builders may build another commit than the one that started them.
        uri = f"git+https://{REPOSITORY}"
        said = changed(delegated(), "buildDefinition", "resolvedDependencies", 0, "uri", to=uri)
        assert judge(said, source_uri=REPOSITORY) == ["source-verified"]
        assert judge(said, source_uri=REPOSITORY, source_tag="v1.2.3") == ["source-verified", "provenance-unclear"]

    def test_buildkit_must_have_fetched_what_it_was_told_to_build(self):
        said = changed(
            buildkit_v1(), "buildDefinition", "resolvedDependencies", 2, "uri", to="https://github.com/evil/app.git"
        )
        assert judge(said, source_uri=REPOSITORY) == ["provenance-unclear"]
        other_ref = f"https://{REPOSITORY}.git#refs/heads/main"
        said = changed(buildkit_v1(), "buildDefinition", "resolvedDependencies", 2, "uri", to=other_ref)
        assert judge(said, source_uri=REPOSITORY) == ["provenance-unclear"]

    def test_a_short_ref_is_neither_tag_nor_branch(self):
        said = buildkit_v1("v1.2.3")
        assert judge(said, source_uri=REPOSITORY) == ["source-verified"]
        assert judge(said, source_uri=REPOSITORY, source_tag="v1.2.3")[1] == "source-ref-mismatch"
        assert judge(said, source_uri=REPOSITORY, source_branch="v1.2.3")[1] == "source-ref-mismatch"

    def test_what_a_client_says_of_a_local_folder_is_no_source(self):
        said = without(buildkit_v1(), "buildDefinition", "externalParameters", "configSource")
        said[1]["runDetails"]["metadata"] = {
            "buildkit_metadata": {"vcs": {"source": f"https://{REPOSITORY}.git", "revision": "4b22" * 10}}
        }
        assert judge(said, source_uri=REPOSITORY) == ["provenance-unclear"]

    @pytest.mark.parametrize(
        "uri",
        [
            "git+https://github.com@evil.example/shop/app@refs/tags/v1.2.3",
            "git+https://github.com/shop/app@evil.example/@refs/tags/v1.2.3",
            "git+https://user@github.com/shop/app@refs/tags/v1.2.3",
            "git+https://github.com/shop/app/../../evil/app@refs/tags/v1.2.3",
            "git+https://github.com/shop/app%2f..@refs/tags/v1.2.3",
            "git+https://github.com/shop/app?x=@refs/tags/v1.2.3",
            "git+https://github.com:443/shop/app@refs/tags/v1.2.3",
            "git+git+https://github.com/shop/app@refs/tags/v1.2.3",
            "git+https://github.com/shop/app @refs/tags/v1.2.3",
            "github.com/shop/app@refs/tags/v1.2.3",
            "https://evil.example/#https://github.com/shop/app@refs/tags/v1.2.3",
        ],
    )
    def test_W10_sources_that_look_alike(self, uri):
        said = changed(generator(), "materials", 0, "uri", to=uri)
        said = changed(said, "invocation", "configSource", "uri", to=uri)
        found = judge(said, source_uri=REPOSITORY, source_tag="v1.2.3")
        assert "source-ref-verified" not in found
        assert found[0] in PROVENANCE or found[1] in PROVENANCE


class TestBuilder:
    def test_a_version_is_compared_where_it_is_asked_for(self):
        name = GENERATOR.partition("@")[0]
        assert judge(generator(), builder_id=name) == ["builder-verified"]
        assert judge(generator(), builder_id=f"{name}@v2.0.0") == ["builder-verified"]
        assert judge(generator(), builder_id=f"{name}@refs/tags/v2.0.0") == ["builder-verified"]
        for version in ("v2.0", "v2", "v2.0.01", "2.0.0", "refs/heads/v2.0.0", "tags/v2.0.0", "V2.0.0"):
            assert judge(generator(), builder_id=f"{name}@{version}") == ["builder-mismatch"], version

    @pytest.mark.parametrize("actual", [f"{GENERATOR}@x", "https://b.example@", "@v1", "https://b.example @v1"])
    def test_what_cannot_be_told_apart_matches_nothing(self, actual):
        said = changed(generator(), "builder", "id", to=actual)
        assert judge(said, builder_id=GENERATOR) == ["builder-mismatch"]
        assert judge(said, builder_id="https://b.example") == ["builder-mismatch"]

    def test_a_version_that_is_missing(self):
        said = changed(generator(), "builder", "id", to="https://b.example")
        assert judge(said, builder_id="https://b.example") == ["builder-verified"]
        assert judge(said, builder_id="https://b.example@v1") == ["builder-mismatch"]

    def test_the_build_type(self):
        kind = "https://github.com/slsa-framework/slsa-github-generator/container@v1"
        assert judge(generator(), build_type=kind) == ["build-type-verified"]
        for other in (kind + "0", kind[:-1], kind.upper(), kind.partition("@")[0]):
            assert judge(generator(), build_type=other) == ["build-type-mismatch"]

    def test_all_of_them_are_judged(self):
        found = judge(github(), source_uri=REPOSITORY, builder_id="https://b.example", build_type="https://t.example")
        assert found == ["source-verified", "builder-mismatch", "build-type-mismatch"]


MISSING = {
    "v0.2 builder": (without(generator(), "builder"), "builder_id", GENERATOR),
    "v0.2 builder id": (without(generator(), "builder", "id"), "builder_id", GENERATOR),
    "empty builder id": (changed(generator(), "builder", "id", to=""), "builder_id", GENERATOR),
    "v0.2 build type": (without(generator(), "buildType"), "build_type", "https://t.example"),
    "v0.2 materials": (without(generator(), "materials"), "source_uri", REPOSITORY),
    "v0.2 no materials": (changed(generator(), "materials", to=[]), "source_uri", REPOSITORY),
    "v0.2 no uri": (changed(generator(), "materials", to=[{}]), "source_uri", REPOSITORY),
    "v0.2 invocation": (without(generator(), "invocation"), "source_uri", REPOSITORY),
    "v0.2 config": (without(generator(), "invocation", "configSource"), "source_uri", REPOSITORY),
    "v1 run": (without(github(), "runDetails"), "builder_id", GENERATOR),
    "v1 definition": (without(github(), "buildDefinition"), "source_uri", REPOSITORY),
    "v1 no type": (without(github(), "buildDefinition", "buildType"), "build_type", "https://t.example"),
    "v1 workflow": (without(github(), "buildDefinition", "externalParameters"), "source_uri", REPOSITORY),
    "v1 dependencies": (without(github(), "buildDefinition", "resolvedDependencies"), "source_uri", REPOSITORY),
    "v0.1 no index": (without(v0_1(), "recipe", "definedInMaterial"), "source_uri", REPOSITORY),
    "v0.1 far index": (changed(v0_1(), "recipe", "definedInMaterial", to=2), "source_uri", REPOSITORY),
    "v0.1 true": (changed(v0_1(), "recipe", "definedInMaterial", to=True), "source_uri", REPOSITORY),
    "nothing": ((V1, {}), "source_uri", REPOSITORY),
    "null": ((V1, None), "builder_id", GENERATOR),
    "a text": ((V1, "buildDefinition"), "builder_id", GENERATOR),
    "a list for an object": ((V02, {"builder": [GENERATOR]}), "builder_id", GENERATOR),
    "a number for a text": ((V02, {"builder": {"id": 1}}), "builder_id", GENERATOR),
    "an object for a list": ((V02, {"materials": {}}), "source_uri", REPOSITORY),
}


class TestMissing:
    """What is not there satisfies nobody."""

    @pytest.mark.parametrize("case", MISSING)
    def test_it_is_a_failure(self, case):
        said, name, value = MISSING[case]
        assert judge(said, **{name: value}) == ["provenance-unclear"]

    @given(st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["builder", "id", "buildDefinition", "runDetails", "materials", "invocation", "configSource", "uri", "recipe", "workflow", "externalParameters", "resolvedDependencies"]), inner, max_size=4)), st.sampled_from([V01, V02, V1]))  # fmt: skip
    def test_anything_is_judged(self, predicate, kind):
        found = judge((kind, predicate), source_uri=REPOSITORY, builder_id=GENERATOR, build_type="https://t.example")
        assert set(found) <= PROVENANCE

    def test_another_predicate_is_not_read(self):
        with pytest.raises(StatementInvalidError):
            reading.read(statements.Statement("", (), "https://spdx.dev/Document", generator()[1], b""))


class TestVersions:
    @pytest.mark.parametrize(
        ("tag", "wanted", "meets"),
        [
            ("v1.2.3", "v1", True),
            ("v1.2.3", "v1.2", True),
            ("v1.2.3", "v1.2.3", True),
            ("v1.2.3+build", "v1.2.3", True),
            ("v1.2.3", "v1.2.3+other", True),
            ("v1", "v1.0", True),
            ("v1", "v1.0.0", True),
            ("v1.2.3-rc.1", "v1.2.3-rc.1", True),
            ("v1.2.3-rc.1", "v1.2.3-rc.2", False),
            ("v1.2.3-rc.1", "v1.2.3", False),
            ("v1.2.30", "v1.2.3", False),
            ("v1.20.3", "v1.2", False),
            ("v11.2.3", "v1", False),
            ("v1.02.3", "v1", False),
            ("1.2.3", "v1", False),
            ("v1.2.3.4", "v1", False),
            ("v1.2.3-", "v1", False),
            ("v1-rc", "v1", False),
            ("v١.2.3", "v1", False),
            ("latest", "v1", False),
        ],
    )
    def test_a_tag_within_a_version(self, tag, wanted, meets):
        found = judge(generator(f"refs/tags/{tag}"), source_uri=REPOSITORY, source_versioned_tag=wanted)
        assert found[-1] == ("source-ref-verified" if meets else "source-ref-mismatch")


class TestUsage:
    def test_nothing_expected_is_nothing(self):
        assert provenance.expected("https://spdx.dev/Document") is None

    @pytest.mark.parametrize(
        "expected",
        [
            {"source_tag": "v1"},
            {"source_branch": "main"},
            {"source_versioned_tag": "v1"},
            {"source_uri": ""},
            {"source_uri": "github.com"},
            {"source_uri": "https://github.com/"},
            {"source_uri": "github.com/shop/app@refs/tags/v1"},
            {"source_uri": "https://user@github.com/shop/app"},
            {"source_uri": "github.com/shop/app#main"},
            {"source_uri": "github.com/shop/ app"},
            {"source_uri": REPOSITORY, "source_tag": "refs/tags/v1"},
            {"source_uri": REPOSITORY, "source_tag": ""},
            {"source_uri": REPOSITORY, "source_versioned_tag": "1.2"},
            {"source_uri": REPOSITORY, "source_versioned_tag": "latest"},
            {"builder_id": "a@b@c"},
            {"builder_id": "https://b.example@"},
            {"build_type": "a\nb"},
        ],
    )
    def test_what_no_provenance_could_meet(self, expected):
        with pytest.raises(UsageError):
            provenance.expected(V1, **expected)

    def test_other_types_have_no_source(self):
        with pytest.raises(UsageError, match="is none"):
            provenance.expected("https://spdx.dev/Document", builder_id="https://b.example")
        assert provenance.expected(V1, builder_id="https://b.example") is not None
