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
    suite = ET.fromstring(cli("gate", "-p", policies, "-o", "junit", tmp_path / "m.yaml").out)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]


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


def test_names_that_anchors_share_are_not_written(cli, policies, tmp_path, good):
    file = tmp_path / "m.yaml"
    file.write_text(
        f"kind: Pod\nmetadata: {{name: x, annotations: {{was: &i {good.tagged}}}}}\nspec:\n  containers:\n  - {{name: c, image: *i}}\n"
    )
    before = file.read_text()
    said = cli("gate", "-p", policies, "--write", file)
    assert said.code != 0
    assert file.read_text() == before


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
