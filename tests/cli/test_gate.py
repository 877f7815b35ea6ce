"""`sealgate gate` against a docker-registry: what is admitted, refused, not known; every input and every output."""

import json
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from peers.images import push_image
from sealgate.gate import gating

ROOT = Path(__file__).parents[2]
REPORTS = ROOT / "tests" / "scan" / "reports"


def policy(host, key, *, name="check", images=None, spec="", block=""):
    pem = Path(key.public).read_text().strip().replace("\n", "\n              ")
    return f"""
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: {name}}}
spec:
  validationFailureAction: Enforce
  {spec}
  rules:
  - name: signed
    match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
    verifyImages:
    - imageReferences: ["{images or host + "/*"}"]
      {block}
      attestors:
      - entries:
        - keys:
            publicKeys: |-
              {pem}
"""


@pytest.fixture
def policies(tmp_path, docker_registry, key):
    """A directory with one policy: everything of the registry is signed by the good key."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "check.yaml").write_text(policy(docker_registry, key))
    return folder


@pytest.fixture
def good(docker_registry, key, sign):
    image = push_image(docker_registry, "gate/good")
    sign(image, key)
    return image


@pytest.fixture
def bad(docker_registry, other, sign):
    image = push_image(docker_registry, "gate/bad")
    sign(image, other)
    return image


def pod(*images, name="web", kind="Pod", extra=""):
    containers = "".join(f"  - name: c{number}\n    image: {image}\n" for number, image in enumerate(images))
    return f"apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n{extra}spec:\n  containers:\n{containers}"


HELM = """\
---
# Source: shop/templates/serviceaccount.yaml
apiVersion: v1
kind: ServiceAccount
metadata:
  name: shop
---
# Source: shop/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  labels:
    helm.sh/chart: shop-0.1.0
spec:
  template:
    spec:
      containers:
        - name: shop
          image: "{image}"
          imagePullPolicy: IfNotPresent
---
# Source: shop/templates/tests/test-connection.yaml
apiVersion: v1
kind: Pod
metadata:
  name: "shop-test-connection"
  annotations:
    "helm.sh/hook": test
spec:
  containers:
    - name: wget
      image: {image}
      command: ['wget']
"""


# -- outcomes


def test_a_text_that_cannot_be_compiled_stops_the_gate_before_anything_is_judged(
    cli, tmp_path, key, docker_registry, good
):
    own = {
        "apiVersion": "sealgate.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "own"},
        "spec": {"images": [f"{docker_registry}/**"], "require": {"any": [
            {"signature": {"key": Path(key.public).read_text()}},
            {"attestation": {"type": "https://example.com/score", "by": {"key": Path(key.public).read_text()}}},
        ]}},
    }  # fmt: skip
    attestation = own["spec"]["require"]["any"][1]["attestation"]
    file = tmp_path / "own.json"
    for text, code in (("predicate.score > 5", 0), ("predicate.score >", 2), ("predicate.score > 5", 0)):
        attestation["conditions"] = [{"cel": text}]
        file.write_text(json.dumps(own))
        said = cli("gate", "-p", file, "-", input=pod(good.reference))
        assert said.code == code, said.err
        if code:
            assert "spec.require.any[1].attestation.conditions[0].cel: is not CEL" in said.err
            assert "policy-invalid" in said.err


def test_a_signed_image_is_admitted_and_says_with_what(cli, policies, good):
    said = cli("gate", "-p", policies, "-", input=pod(good.tagged))
    assert said.code == 0, said.err
    assert said.out.split() == ["admit", "Pod/default/web", good.tagged, good.digest, "accepted"]
    assert "1 of 1 images admitted" in said.err
    assert "check/signed" in said.err


def test_an_image_by_somebody_else_is_refused(cli, policies, good, bad):
    said = cli("gate", "-p", policies, "-", input=pod(good.tagged, bad.tagged))
    assert said.code == 16
    assert [line.split()[0] for line in said.out.splitlines()] == ["admit", "deny"]
    assert said.out.splitlines()[1].endswith("signature-key-mismatch")
    assert "1 of 2 images admitted" in said.err


def test_what_does_not_exist_is_refused(cli, policies, docker_registry):
    said = cli("gate", "-p", policies, "-", input=pod(f"{docker_registry}/gate/nothing:1"))
    assert (said.code, said.out.split()[-1]) == (16, "image-not-found")


def test_a_registry_that_is_down_is_not_known_and_a_refusal_beside_it_counts_more(
    cli, tmp_path, docker_registry, key, bad
):
    (tmp_path / "p.yaml").write_text(policy("127.0.0.1:1", key, images="127.0.0.1:*"))
    said = cli("gate", "-p", tmp_path / "p.yaml", "-", input=pod("127.0.0.1:1/a/b:1"))
    assert (said.code, said.out.split()[-1]) == (14, "registry-unreachable")
    both = cli(
        "gate", "-p", tmp_path / "p.yaml", "-", input=pod("127.0.0.1:1/a/b:1") + "---\n" + pod(bad.tagged, name="two")
    )
    assert both.code == 16


def test_what_cosign_signed_is_admitted(cli, policies, docker_registry, key, cosign2, cosign3, password):
    offline = ("--tlog-upload=false", "-y")
    one, two = push_image(docker_registry, "gate/cosign2"), push_image(docker_registry, "gate/cosign3")
    environ = {"COSIGN_PASSWORD": password}
    cosign2("sign", "--key", key.private, *offline, one.reference, env=environ, check=True)
    cosign3(
        "sign", "--key", key.private, "--use-signing-config=false", *offline, two.reference, env=environ, check=True
    )
    said = cli("gate", "-p", policies, "-", input=pod(one.tagged, two.tagged))
    assert said.code == 0, said.err


@pytest.mark.parametrize("what", ["missing", "empty", "broken", "unknown"])
def test_policies_that_cannot_be_read_stop_everything(cli, tmp_path, good, policies, what):
    place = tmp_path / "other.yaml"
    texts = {"empty": "", "broken": "kind: [", "unknown": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n"}
    if what in texts:
        place.write_text(texts[what])
    said = cli("gate", "-p", policies, "-p", place, "-", input=pod(good.tagged))
    assert said.code in {1, 2}
    assert said.out == ""
    assert cli("gate", "-p", policies, "-", input=pod(good.tagged)).code == 0


IMAGE_POLICY = """
apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata: {name: ivp}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
  matchImageReferences: [{glob: "REGISTRY/*"}]
  attestors: [{name: us, cosign: {key: {data: PEM}}}]
  validations:
  - expression: images.containers.map(each, verifyImageSignatures(each, [attestors.us])).all(count, count > 0)
    message: an image is not signed by us
"""


@pytest.fixture
def image_policy(tmp_path, docker_registry, key):
    """A file with an ImageValidatingPolicy: everything of the registry is signed by the good key."""
    place = tmp_path / "ivp.yaml"
    pem = json.dumps(Path(key.public).read_text())
    place.write_text(IMAGE_POLICY.replace("REGISTRY", docker_registry).replace("PEM", pem))
    return place


def test_an_image_validating_policy_is_judged(cli, image_policy, good, bad):
    said = cli("gate", "-p", image_policy, "-", input=pod(good.tagged))
    assert said.code == 0, said.err
    assert said.out.split() == ["admit", "Pod/default/web", good.tagged, good.digest, "accepted"]
    said = cli("gate", "-p", image_policy, "-", input=pod(bad.tagged))
    assert (said.code, said.out.split()[-1]) == (16, "signature-key-mismatch")
    assert "an image is not signed by us" in said.err
    said = cli("gate", "-p", image_policy, "-", input=pod(good.tagged, bad.tagged))
    assert said.code == 16
    assert [line.split()[-1] for line in said.out.splitlines()] == ["policy-not-met", "signature-key-mismatch"]
    assert cli("gate", "-p", image_policy, "-", input=HELM.format(image=good.tagged)).code == 0
    assert cli("gate", "-p", image_policy, "-", input=HELM.format(image=bad.tagged)).code == 16


def test_images_that_an_image_validating_policy_finds_are_judged(cli, image_policy, good, bad):
    text = (
        image_policy.read_text()
        .replace("images.containers", "images.task")
        .replace("resources: [pods]", "resources: [tasks]")
    )
    text = text.replace('apiGroups: [""]', "apiGroups: [x.example]")
    image_policy.write_text(text + "  images: [{name: task, expression: 'object.spec.steps.map(step, step.uses)'}]\n")
    task = "apiVersion: x.example/v1\nkind: Task\nmetadata: {name: t}\nspec: {steps: [{uses: '%s'}]}\n"
    for image, code in ((good, 0), (bad, 16)):
        said = cli("gate", "-p", image_policy, "-", input=task % image.tagged)
        assert said.code == code, said.err
        assert image.tagged in said.out


@pytest.mark.parametrize(
    ("namespace", "options", "code"),
    [
        ("kyverno", (), 0), ("team-a", (), 16), ("default", (), 0), ("team-a", ("-n", "team-a"), 0),
        ("team-a", ("--policy-namespace", "team-a"), 0), ("kyverno", ("--policy-namespace", "team-a"), 16),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["kyverno.io/v2", "policies.kyverno.io/v1"])
def test_P08_an_exception_of_another_namespace_excuses_nothing(
    cli, policies, image_policy, tmp_path, bad, kind, namespace, options, code
):
    which, spec = {
        "kyverno.io/v2": (policies, "{match: {any: [{resources: {kinds: [Pod]}}]}, exceptions: [{policyName: check, ruleNames: [signed]}]}"),
        "policies.kyverno.io/v1": (image_policy, "{policyRefs: [{name: ivp, kind: ImageValidatingPolicy}]}"),
    }[kind]  # fmt: skip
    place = tmp_path / "exception.yaml"
    place.write_text(
        f"apiVersion: {kind}\nkind: PolicyException\nmetadata: {{name: e, namespace: {namespace}}}\nspec: {spec}\n"
    )
    said = cli("gate", "-p", which, "-p", place, *options, "-", input=pod(bad.tagged))
    assert said.code == code, said.err
    assert said.out.split()[-1] == ("image-exempted" if code == 0 else "signature-key-mismatch")


def test_a_set_without_any_policy_denies(cli, tmp_path, good):
    (tmp_path / "s.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: kyverno}\n")
    said = cli("gate", "-p", tmp_path / "s.yaml", "-", input=pod(good.tagged))
    assert (said.code, said.out.split()[-1]) == (16, "no-policies")


@pytest.mark.parametrize(
    ("no_match", "code", "word"), [(None, 0, "admit"), ("allow", 0, "admit"), ("warn", 0, "warn"), ("deny", 16, "deny")]
)
def test_P15_what_no_policy_is_about_is_reported(cli, policies, no_match, code, word):
    options = ("--no-match", no_match) if no_match else ()
    said = cli("gate", "-p", policies, *options, "-", input=pod("elsewhere.example.com/x:1"))
    assert said.code == code
    assert said.out.split() == [word, "Pod/default/web", "elsewhere.example.com/x:1", "-", "image-unmatched"]


def test_the_deny_list_is_above_every_policy(cli, policies, tmp_path, good):
    (tmp_path / "deny").write_text(f"digest {good.digest}  recalled\n")
    said = cli("gate", "-p", policies, "--deny", tmp_path / "deny", "-", input=pod(good.tagged))
    assert (said.code, said.out.split()[-1]) == (16, "denied-digest")


def test_a_log_entry_is_asked_for_where_it_must_be(cli, policies, good):
    said = cli("gate", "-p", policies, "--tlog", "require", "-", input=pod(good.tagged))
    assert said.code == 2
    assert "[policy-invalid]" in said.err
    assert cli("gate", "-p", policies, "--tlog", "ignore", "-", input=pod(good.tagged)).code == 0


def test_P09_labels_of_a_namespace_count_when_the_namespace_is_there(cli, tmp_path, docker_registry, key, bad):
    text = policy(docker_registry, key).replace(
        "kinds: [Pod]", "kinds: [Pod], namespaceSelector: {matchLabels: {env: prod}}"
    )
    (tmp_path / "p.yaml").write_text(text)

    def said(labels):
        namespace = (
            f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {labels}}}\n---\n" if labels else ""
        )
        return cli("gate", "-p", tmp_path / "p.yaml", "-n", "shop", "-", input=namespace + pod(bad.tagged))

    assert said("{env: prod}").out.split()[-1] == "signature-key-mismatch"
    assert said("{env: dev}").out.split()[-1] == "image-unmatched"
    undecided = said(None)
    assert (undecided.code, undecided.out.split()[-1]) == (14, "policy-undecided")


def test_an_image_that_stands_in_many_objects_is_asked_for_once(
    cli, policies, docker_registry, key, sign, start_registry
):
    registry = start_registry()
    image = push_image(registry.host, "gate/once")
    sign(image, key)
    (policies / "check.yaml").write_text(policy(registry.host, key))
    before = registry.log.read_text(errors="replace").count("GET /v2/gate/once")
    assert cli("gate", "-p", policies, "-", input=pod(image.tagged)).code == 0
    alone = registry.log.read_text(errors="replace").count("GET /v2/gate/once") - before
    many = "---\n".join(pod(image.tagged, image.tagged, name=f"p{number}") for number in range(5))
    assert cli("gate", "-p", policies, "-", input=many).code == 0
    assert registry.log.read_text(errors="replace").count("GET /v2/gate/once") - before - alone == alone


# -- inputs


def test_helm_output_kustomize_lists_json_and_directories(cli, policies, tmp_path, good):
    folder = tmp_path / "manifests"
    (folder / "deep" / ".hidden").mkdir(parents=True)
    (folder / "helm.yaml").write_text(HELM.replace("{image}", good.tagged))
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{n}"},
            "spec": {"containers": [{"name": "c", "image": good.tagged}]},
        }
        for n in "ab"
    ]
    (folder / "deep" / "stream.json").write_text("\n".join(map(json.dumps, pods)))
    (folder / "list.yml").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    (folder / "deep" / ".hidden" / "no.yaml").write_text("not: [read")
    (folder / "README.md").write_text("not read")
    said = cli("gate", "-p", policies, folder)
    assert said.code == 0, said.err
    assert [line.split()[1] for line in said.out.splitlines()] == [
        "Deployment/default/shop", "Pod/default/shop-test-connection", "Pod/default/pa", "Pod/default/pb", "Pod/default/pa", "Pod/default/pb",
    ]  # fmt: skip


def test_a_template_that_was_not_rendered_is_refused_with_what_to_do(cli, policies):
    said = cli("gate", "-p", policies, "-", input="kind: Pod\nspec: {containers: [{image: {{ .Values.image }} }]}\n")
    assert said.code != 0
    assert "helm template" in said.err


def test_compose_and_dockerfiles(cli, policies, tmp_path, good, bad, docker_registry, key):
    text = policy(docker_registry, key).replace("kinds: [Pod]", 'kinds: ["*"]')
    (policies / "check.yaml").write_text(text)
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  web:\n    image: {good.tagged}\n  other:\n    image: {bad.tagged}\n"
    )
    said = cli("gate", "-p", policies, tmp_path / "compose.yaml")
    assert said.code == 16
    assert [line.split()[0] for line in said.out.splitlines()] == ["admit", "deny"]
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE} AS one\nFROM one\n")
    assert cli("gate", "-p", policies, "--build-arg", f"BASE={good.tagged}", tmp_path / "Dockerfile").code == 0
    assert cli("gate", "-p", policies, "--build-arg", f"BASE={bad.tagged}", tmp_path / "Dockerfile").code == 16
    assert cli("gate", "-p", policies, tmp_path / "Dockerfile").code not in {0, 16}
    assert cli("gate", "-p", policies, "--build-arg", "BASE", tmp_path / "Dockerfile").code == 2


def test_manifests_without_an_image_and_that_are_missing(cli, policies, tmp_path):
    said = cli("gate", "-p", policies, "-", input="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    assert (said.code, said.out) == (0, "")
    assert "nothing was judged" in said.err
    assert cli("gate", "-p", policies, tmp_path / "missing.yaml").code != 0
    assert cli("gate", "-p", policies, "-", "-").code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert cli("gate", "-p", policies, empty).code != 0


# -- outputs


def test_json_is_what_its_schema_says(cli, policies, good, bad):
    schema = json.loads((ROOT / "docs" / "decision.schema.json").read_bytes())
    verdict = json.loads((ROOT / "docs" / "verdict.schema.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    said = cli(
        "gate", "-p", policies, "-o", "json", "-", input=pod(good.tagged, bad.tagged, "x.example.com/y:1", "No/Name")
    )
    found = json.loads(said.out)
    from referencing import Registry, Resource

    registry = Registry().with_resource(verdict["$id"], Resource.from_contents(verdict))
    jsonschema.Draft202012Validator(schema, registry=registry).validate(found)
    [decision] = found
    assert (decision["outcome"], decision["file"]) == ("deny", "-")
    assert [image["severity"] for image in decision["images"]] == ["none", "deny", "none", "deny"]
    assert decision["images"][0]["digest"] == good.digest
    assert (ROOT / "docs" / "decision.schema.json").read_bytes() == (
        Path(gating.__file__).parent / "decision.schema.json"
    ).read_bytes()


def test_sarif_and_junit(cli, policies, good, bad, tmp_path):
    (tmp_path / "m.yaml").write_text(pod(good.tagged, bad.tagged, "127.0.0.1:1/x:1"))
    (policies / "down.yaml").write_text(
        (policies / "check.yaml").read_text().replace("name: check", "name: down").replace(bad.host, "127.0.0.1:1")
    )
    [run] = json.loads(cli("gate", "-p", policies, "-o", "sarif", tmp_path / "m.yaml").out)["runs"]
    assert [each["ruleId"] for each in run["results"]] == ["signature-key-mismatch", "registry-unreachable"]
    assert (
        run["results"][0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "Pod/web: containers[1].image"
    )
    lines = [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in run["results"]]
    assert [(tmp_path / "m.yaml").read_text().splitlines()[each - 1].split()[-1] for each in lines] == [
        bad.tagged,
        "127.0.0.1:1/x:1",
    ]
    suite = ET.fromstring(cli("gate", "-p", policies, "-o", "junit", tmp_path / "m.yaml").out)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]


@pytest.mark.parametrize(
    ("no_match", "level", "count"), [("allow", "note", 0), ("warn", "warning", 0), ("deny", "error", 1)]
)
def test_what_no_policy_is_about_is_told_in_every_output(cli, policies, no_match, level, count):
    words = ("gate", "-p", policies, "--no-match", no_match, "-")
    manifest = pod("elsewhere.example.com/x:1")
    said = cli(*words, input=manifest)
    assert said.out.split()[-1] == "image-unmatched"
    assert "no policy is about this image (kyverno)" in said.err
    [ruling] = json.loads(cli(*words, "-o", "json", input=manifest).out)[0]["images"][0]["rulings"]
    assert (ruling["code"], ruling["outcome"]) == ("image-unmatched", "unmatched")
    [run] = json.loads(cli(*words, "-o", "sarif", input=manifest).out)["runs"]
    [result] = run["results"]
    assert (result["ruleId"], result["level"]) == ("image-unmatched", level)
    assert "elsewhere.example.com/x:1" in result["message"]["text"]
    suite = ET.fromstring(cli(*words, "-o", "junit", input=manifest).out)
    [[told]] = suite
    assert (suite.get("failures"), told.tag) == (str(count), "failure" if count else "system-out")
    assert "no policy is about this image" in (told.get("message") or told.text)


def test_warnings_stand_in_every_output(cli, policies, bad):
    file = policies / "check.yaml"
    file.write_text(file.read_text().replace("Action: Enforce", "Action: Audit\n  emitWarning: true"))
    file.write_text(file.read_text().replace("attestors:", "mutateDigest: false\n      attestors:"))
    words = ("gate", "-p", policies, "-")
    said = cli(*words, input=pod(bad.tagged))
    assert (said.code, said.out.split()[0], said.out.split()[-1]) == (0, "warn", "signature-key-mismatch")
    [run] = json.loads(cli(*words, "-o", "sarif", input=pod(bad.tagged)).out)["runs"]
    assert [(each["ruleId"], each["level"]) for each in run["results"]] == [("signature-key-mismatch", "warning")]
    [[told]] = ET.fromstring(cli(*words, "-o", "junit", input=pod(bad.tagged)).out)
    assert (told.tag, "[signature-key-mismatch]" in told.text, "check/signed" in told.text) == (
        "system-out",
        True,
        True,
    )


def test_what_is_asked_of_logs_is_said_at_the_start_and_of_every_image(cli, policies, good):
    for tlog, start in (
        ("auto", "no log is believed in, so none is asked for"),
        ("ignore", "log entries are never asked for"),
    ):
        said = cli("gate", "-p", policies, "--tlog", tlog, "-", input=pod(good.tagged))
        assert said.err.startswith(f"transparency log: {start}")
        assert "    transparency log: not asked for" in said.err.splitlines()
        explained = cli("policy", "explain", policies, good.tagged, "--tlog", tlog)
        assert explained.err.startswith(f"transparency log: {start}")
        assert "transparency log: not asked for" in explained.out
    required = cli("gate", "-p", policies, "--tlog", "require", "-", input=pod(good.tagged))
    assert (required.code, "no log is believed in" in required.err) == (2, True)


def test_images_that_only_a_policy_finds_are_judged_and_never_written(cli, tmp_path, docker_registry, key, good, bad):
    text = policy(docker_registry, key, block="mutateDigest: false").replace("kinds: [Pod]", "kinds: [DataVolume]")
    extractor = "{DataVolume: [{path: /spec/source/registry/url, jmesPath: \"trim_prefix(@, 'docker://')\"}]}"
    (tmp_path / "p.yaml").write_text(
        text.replace("    verifyImages:", f"    imageExtractors: {extractor}\n    verifyImages:")
    )
    volume = (
        "apiVersion: cdi.kubevirt.io/v1beta1\nkind: DataVolume\nmetadata: {name: NAME}\n"
        "spec: {source: {registry: {url: 'docker://IMAGE'}}}\n"
    )
    made = {
        name: volume.replace("NAME", name).replace("IMAGE", image.tagged)
        for name, image in (("good", good), ("bad", bad))
    }
    said = cli("gate", "-p", tmp_path / "p.yaml", "-", input="---\n".join(made.values()))
    assert [(line.split()[0], line.split()[-1]) for line in said.out.splitlines()] == [
        ("admit", "accepted"), ("deny", "signature-key-mismatch")
    ]  # fmt: skip
    assert "by their form" not in said.err
    assert cli("gate", "-p", tmp_path / "p.yaml", "--write", "-", input=made["good"]).out == made["good"]
    rollout = pod(good.tagged).replace("v1\nkind: Pod", "example.com/v1\nkind: Runner")
    assert "by their form" in cli("gate", "-p", tmp_path / "p.yaml", "-", input=rollout).err


# -- writing


def test_P03_write_puts_the_digest_that_was_verified_behind_the_name(cli, policies, tmp_path, good):
    file = tmp_path / "m.yaml"
    text = HELM.replace("{image}", good.tagged)
    file.write_text(text)
    file.chmod(0o640)
    said = cli("gate", "-p", policies, "--write", file)
    assert said.code == 0, said.err
    assert f"Wrote {file}" in said.err
    assert file.read_text() == text.replace(good.tagged, f"{good.tagged}@{good.digest}")
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["m.yaml"]
    again = cli("gate", "-p", policies, "--write", file)
    assert again.code == 0
    assert "Wrote" not in again.err
    piped = cli("gate", "-p", policies, "--write", "-", input=text)
    assert piped.out == file.read_text()


def test_nothing_is_written_when_anything_is_refused(cli, policies, tmp_path, good, bad):
    (tmp_path / "a.yaml").write_text(pod(good.tagged))
    (tmp_path / "b.yaml").write_text(pod(bad.tagged))
    said = cli("gate", "-p", policies, "--write", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert said.code == 16
    assert (tmp_path / "a.yaml").read_text() == pod(good.tagged)
    assert cli("gate", "-p", policies, "--write", "-", input=pod(good.tagged, bad.tagged)).out == ""


def test_what_no_policy_asked_about_stays_as_it_is(cli, policies, good):
    text = pod(good.tagged, "elsewhere.example.com/x:1")
    said = cli("gate", "-p", policies, "--write", "-", input=text)
    assert said.out == text.replace(good.tagged, f"{good.tagged}@{good.digest}")


def test_a_name_that_an_anchor_shares_is_written_once(cli, policies, tmp_path, good):
    file = tmp_path / "m.yaml"
    text = (
        "kind: Pod\nmetadata: {name: x}\nspec:\n  initContainers:\n  - name: i\n    image: &it  IMAGE  # kept\n"
        "  containers:\n  - {name: c, image: *it}\n---\nkind: Pod\nmetadata: {name: y}\n"
        "spec: {containers: [{name: c, image: !!str 'IMAGE'}]}\n"
    )
    file.write_text(text.replace("IMAGE", good.tagged))
    said = cli("gate", "-p", policies, "--write", file)
    assert said.code == 0, said.err
    assert file.read_text() == text.replace("IMAGE", f"{good.tagged}@{good.digest}")
    assert "Wrote" not in cli("gate", "-p", policies, "--write", file).err


def test_a_name_that_comes_by_a_merge_key_is_written(cli, policies, tmp_path, good):
    file = tmp_path / "compose.yaml"
    text = (
        "x-image: &image {image: NONE}\nx-common: &common\n  <<: *image\n  restart: always\n  image: IMAGE\n"
        "services:\n  a:\n    <<: *common\n  b:\n    <<: [*common, *image]\n"
    ).replace("NONE", "elsewhere.example.com/x:1")
    file.write_text(text.replace("IMAGE", good.tagged))
    said = cli("gate", "-p", policies, "--write", file)
    assert said.code == 0, said.err
    assert file.read_text() == text.replace("IMAGE", f"{good.tagged}@{good.digest}")


def test_names_that_anchors_share_with_something_else_are_not_written(cli, policies, tmp_path, good):
    file = tmp_path / "m.yaml"
    file.write_text(
        f"kind: Pod\nmetadata: {{name: x, annotations: {{was: &i {good.tagged}}}}}\nspec:\n  containers:\n  - {{name: c, image: *i}}\n"
    )
    before = file.read_text()
    said = cli("gate", "-p", policies, "--write", file)
    assert said.code != 0
    assert "workload-invalid" in said.err
    assert file.read_text() == before


@pytest.mark.parametrize("kind", ["Pod", "List"])
def test_X09_a_digest_that_nobody_may_write_is_missing_here_too(cli, tmp_path, docker_registry, key, good, kind):
    for block, code in (
        ("mutateDigest: false", 16),
        ("verifyDigest: false", 0),
        ("mutateDigest: false\n      verifyDigest: false", 0),
    ):
        (tmp_path / "p.yaml").write_text(policy(docker_registry, key, block=block))
        words = ("gate", "-p", tmp_path / "p.yaml")
        text = pod(good.tagged)
        if kind == "List":
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                 "spec": {"template": {"spec": {"containers": [{"name": "c", "image": good.tagged}]}}}}]})  # fmt: skip
        said = cli(*words, "-", input=text)
        assert (said.code, said.out.split()[-1]) == (code, "digest-missing" if code else "accepted")
        pinned = cli(*words, "--write", "-", input=text)
        assert (pinned.code, good.reference.partition("@")[2] in pinned.out) == (0, True)
        assert cli(*words, "-", input=pinned.out).code == 0
    (tmp_path / "p.yaml").write_text(policy(docker_registry, key).replace("Action: Enforce", "Action: Audit"))
    assert cli(*words, "-", input=text).out.split()[-1] == "accepted"  # which nothing would refuse
    compose = f"services: {{a: {{image: {good.tagged}}}}}\n"
    (tmp_path / "p.yaml").write_text(policy(docker_registry, key, block="mutateDigest: false"))
    assert cli(*words, "-", input=compose).code == 0


# -- layouts


@pytest.fixture
def layout(cli, tmp_path, good):
    folder = tmp_path / "layouts" / "registry.example.com" / "shop" / "app"
    folder.parent.mkdir(parents=True)
    assert cli("copy", good.tagged, f"oci:{folder}:1.0").code == 0
    return folder


def test_layouts_stand_for_repositories(cli, tmp_path, key, layout, good):
    (tmp_path / "p.yaml").write_text(policy("registry.example.com", key))
    manifest = pod("registry.example.com/shop/app:1.0")
    offline = cli("gate", "-p", tmp_path / "p.yaml", "--offline", tmp_path / "layouts", "-", input=manifest)
    assert offline.code == 0, offline.err
    single = cli(
        "gate",
        "-p",
        tmp_path / "p.yaml",
        "--layout",
        f"registry.example.com/shop/app=oci:{layout}",
        "-",
        input=manifest,
    )
    assert single.code == offline.code
    assert good.digest in offline.out
    missing = cli(
        "gate",
        "-p",
        tmp_path / "p.yaml",
        "--offline",
        tmp_path / "layouts",
        "-",
        input=pod("registry.example.com/other:1"),
    )
    assert (missing.code, missing.out.split()[-1]) == (14, "unavailable")
    assert cli("gate", "-p", tmp_path / "p.yaml", "--layout", "nonsense", "-", input=manifest).code == 2
    assert cli("gate", "-p", tmp_path / "p.yaml", "--offline", tmp_path / "nowhere", "-", input=manifest).code != 0


# -- the scan gate


def report(path, image, severity):
    document = json.loads((REPORTS / "trivy.json").read_bytes())
    document["CreatedAt"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document["ArtifactName"] = image.tagged
    config = json.loads(image.raw)["config"]["digest"]
    document["Metadata"] |= {"ImageID": config, "RepoDigests": [image.reference], "RepoTags": [image.tagged]}
    rows = document["Results"][0]["Vulnerabilities"]
    document["Results"] = [
        {"Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [rows[0] | {"Severity": severity}]}
    ]
    path.write_text(json.dumps(document))
    return path


def test_a_scan_report_is_asked_for_beside_the_policies(cli, policies, tmp_path, good, docker_registry):
    options = ("-p", policies, "--scan-report", report(tmp_path / "r.json", good, "MEDIUM"))
    assert cli("gate", *options, "-", input=pod(good.tagged)).code == 0
    strict = cli("gate", *options, "--fail-on", "medium", "-", input=pod(good.tagged))
    assert (strict.code, strict.out.split()[-1]) == (16, "vulnerabilities-found")
    elsewhere = push_image(docker_registry, "gate/unscanned")
    (policies / "check.yaml").write_text(
        (policies / "check.yaml").read_text().replace(f"{docker_registry}/*", f"{docker_registry}/gate/good*")
    )
    other = cli("gate", *options, "-", input=pod(good.tagged, elsewhere.tagged))
    assert other.code == 16
    assert [line.split()[-1] for line in other.out.splitlines()] == ["accepted", "report-unbound"]
    assert cli("gate", "-p", policies, "--fail-on", "low", "-", input=pod(good.tagged)).code == 2
