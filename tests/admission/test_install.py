"""The objects that the webhook needs in a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from sealgate.admission import application
from sealgate.admission.installation import manifests
from sealgate.admission.installation.manifests import Options
from sealgate.cli.__main__ import parser
from sealgate.errors import UsageError

DIGEST = "sha256:" + "a" * 64
OPTIONS = Options(image=f"registry.example/sealgate@{DIGEST}", ca_bundle=b"-----BEGIN CERTIFICATE-----\n")


def hooks(options: Options = OPTIONS) -> list[dict]:
    return [hook for each in manifests.registration(options) for hook in each["webhooks"]]


def resources(hook: dict) -> set[str]:
    return {name for rule in hook["rules"] for name in rule["resources"]}


def test_K01_K04_subresources_that_carry_images_or_start_them_are_registered():
    for hook in hooks():
        assert {
            "pods",
            "pods/ephemeralcontainers",
            "deployments/scale",
            "replicationcontrollers",
            "podtemplates",
        } <= resources(hook)


def test_K14_further_resources_are_registered_by_their_name_alone(sealgate):
    more = ("--resource", "argoproj.io/rollouts", "--resource", "serving.knative.dev/services")
    done = sealgate("admission", "install", "--image", OPTIONS.image, *more, check=True)
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        [found] = [each for each in yaml.safe_load_all(done.stdout) if each["kind"] == kind]
        added = [
            (rule["apiGroups"], rule["resources"], rule["operations"]) for rule in found["webhooks"][0]["rules"][-2:]
        ]
        assert added == [
            (["argoproj.io"], ["rollouts"], ["CREATE", "UPDATE"]),
            (["serving.knative.dev"], ["services"], ["CREATE", "UPDATE"]),
        ]
    for wrong in (
        "rollouts",
        "*/*",
        "argoproj.io/*",
        "argoproj.io/",
        "/pods",
        "argoproj.io/Rollouts",
        "apps/deployments",
    ):
        done = sealgate("admission", "install", "--image", OPTIONS.image, "--resource", wrong, check=False)
        assert (done.returncode, done.stdout, "[usage]" in done.stderr) == (2, "", True), wrong


def test_P05_what_is_registered_is_served():
    registered = {hook["clientConfig"]["service"]["path"] for hook in hooks()}
    assert registered == set(application.PATHS)
    [service] = [each for each in manifests.before(OPTIONS) if each["kind"] == "Service"]
    [port] = service["spec"]["ports"]
    for hook in hooks():
        named = hook["clientConfig"]["service"]
        place = (service["metadata"]["name"], service["metadata"]["namespace"], port["port"])
        assert (named["name"], named["namespace"], named["port"]) == place


def test_K12_K24_the_webhook_fails_closed_and_no_expression_can_skip_it():
    for hook in hooks():
        assert hook["failurePolicy"] == "Fail"
        assert hook["matchPolicy"] == "Equivalent"
        assert hook["timeoutSeconds"] == 10
        assert "matchConditions" not in hook


def test_K21_neither_delete_nor_connect_is_registered():
    for hook in hooks():
        for rule in hook["rules"]:
            assert rule["operations"] == ["CREATE", "UPDATE"]


def test_K11_K23_W25_namespaces_are_left_out_by_name_alone():
    for hook in hooks(OPTIONS._replace(exempt=("kube-system",))):
        assert "objectSelector" not in hook
        [expression] = hook["namespaceSelector"]["matchExpressions"]
        assert expression == {
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "sealgate"],
        }
    [expression] = hooks()[0]["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["sealgate"]


def test_the_pod_is_restricted():
    [deployment] = [each for each in manifests.before(OPTIONS) if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert deployment["spec"]["replicas"] == 3
    assert any(each["kind"] == "PodDisruptionBudget" for each in manifests.before(OPTIONS))


def test_ports_name_their_protocol_which_server_side_apply_knows_them_by():
    by_kind = {each["kind"]: each for each in manifests.before(OPTIONS)}
    [container] = by_kind["Deployment"]["spec"]["template"]["spec"]["containers"]
    ports = [*container["ports"], *by_kind["Service"]["spec"]["ports"]]
    assert [each["protocol"] for each in ports] == ["TCP", "TCP"]


def rules(kind: str, options: Options = OPTIONS) -> list[dict]:
    return [rule for each in manifests.before(options) if each["kind"] == kind for rule in each["rules"]]


def test_P23_it_may_read_secrets_of_its_own_namespace_alone_unless_asked_otherwise():
    assert not any("secrets" in rule["resources"] for rule in rules("ClusterRole"))
    assert rules("Role") == [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}]
    [pulling] = [
        rule for rule in rules("ClusterRole", OPTIONS._replace(pull_secrets=True)) if "secrets" in rule["resources"]
    ]
    assert pulling["verbs"] == ["get"]
    for rule in rules("ClusterRole") + rules("Role"):
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        written = set(rule["verbs"]) - {"get", "list", "watch"}
        if written:  # nothing but the status of our own policies, and Events
            own = ("sealgate.dev", ["clusterimagepolicies/status", "imagepolicies/status", "policyexceptions/status"])
            assert (rule["apiGroups"][0], rule["resources"], written) in [
                (*own, {"patch"}),
                ("", ["events"], {"create"}),
            ]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example/sealgate:1"},
        {"replicas": 1},
        {"seconds": 31},
        {"seconds": 1},
        {"ca_bundle": b"x"},
        {"image": "::"},
    ],
)
def test_what_would_leave_a_hole_is_refused(change):
    with pytest.raises(UsageError) as caught:
        manifests.registration(OPTIONS._replace(**change))
    assert caught.value.code == "usage"
    assert manifests.registration(OPTIONS)


def test_the_registration_is_printed_last(sealgate, tmp_path, authority):
    done = sealgate("admission", "install", "--image", OPTIONS.image, "--ca-bundle", authority.certificate, check=True)
    kinds = [each["kind"] for each in yaml.safe_load_all(done.stdout)]
    assert kinds[:4] == ["CustomResourceDefinition"] * 3 + ["Namespace"]
    assert kinds[-2:] == ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]
    assert len(kinds) == 14


def test_what_the_webhook_is_started_with_is_what_the_command_takes(sealgate, running_trust_service, tmp_path):
    root = tmp_path / "root.json"
    root.write_text(json.dumps(running_trust_service.trusted_root()))
    more = ("--mutate", "pods", "--no-match", "warn", "--tlog", "require", "--known-good", "60")
    documents = printed(sealgate, *more, "--trusted-root", root)
    [deployment] = [each for each in documents if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    words = pod["containers"][0]["args"]
    assert words[-10:] == [*more, "--trusted-root", "/trust/trusted_root.json"]
    assert parser("admission").parse_args(words[1:]).mutate == "pods"
    assert parser("admission").parse_args(printed_words(printed(sealgate))[1:]).mutate == "all"
    [trust] = [each for each in documents if each["kind"] == "ConfigMap"]
    assert trust["data"] == {"trusted_root.json": root.read_text()}
    [volume] = [each for each in pod["volumes"] if each["name"] == "trust"]
    assert volume["configMap"]["name"] == trust["metadata"]["name"]
    # Another one makes other Pods, for it is read once.
    root.write_text(root.read_text() + "\n")
    [other] = [each for each in printed(sealgate, "--trusted-root", root) if each["kind"] == "Deployment"]
    annotations = [each["spec"]["template"]["metadata"]["annotations"] for each in (deployment, other)]
    assert annotations[0] != annotations[1]
    root.write_text("{}")
    done = sealgate("admission", "install", "--image", OPTIONS.image, "--trusted-root", root)
    assert (done.returncode, "--trusted-root" in done.stderr) == (2, True)


def printed(sealgate, *arguments) -> list[dict]:
    done = sealgate("admission", "install", "--image", OPTIONS.image, *arguments, check=True)
    return list(yaml.safe_load_all(done.stdout))


def printed_words(documents: list[dict]) -> list[str]:
    [deployment] = [each for each in documents if each["kind"] == "Deployment"]
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_definitions_alone_need_no_image(sealgate):
    done = sealgate("admission", "install", "--definitions", check=True)
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(done.stdout)]
    assert names == [f"{each}.sealgate.dev" for each in ("imagepolicies", "clusterimagepolicies", "policyexceptions")]
    done = sealgate("admission", "install")
    assert (done.returncode, "--image is missing" in done.stderr) == (2, True)


def test_without_an_authority_the_webhook_makes_its_own_and_may_write_nothing_else(sealgate):
    done = sealgate("admission", "install", "--image", OPTIONS.image, check=True)
    documents = list(yaml.safe_load_all(done.stdout))
    [secret] = [each for each in documents if each["kind"] == "Secret"]
    assert secret["metadata"]["name"] == "sealgate-serving"
    assert "data" not in secret
    [deployment] = [each for each in documents if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert "sealgate/sealgate-serving" in pod["containers"][0]["args"]
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]
    writing = [
        (rule["resources"], rule.get("resourceNames"))
        for each in documents
        if each["kind"] in {"Role", "ClusterRole"}
        for rule in each["rules"]
        if set(rule["verbs"]) & {"update", "delete", "*"}
    ]
    registered = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"]
    assert writing == [(registered, ["sealgate"]), (["secrets"], ["sealgate-serving"])]
    both = ("--ca-bundle", "/dev/null", "--cert-manager", "a/b")
    assert sealgate("admission", "install", "--image", OPTIONS.image, *both, check=False).returncode == 2


def installed(sealgate, *options: str) -> tuple[dict, dict]:
    """The service account and the Deployment that are printed."""
    done = sealgate("admission", "install", "--image", OPTIONS.image, *options, check=True)
    documents = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    return documents["ServiceAccount"], documents["Deployment"]["spec"]["template"]


def test_clouds_are_asked_when_that_is_said_and_know_the_service_account(sealgate):
    account, template = installed(
        sealgate, "--registry-credentials", "azure,amazon,default",
        "--account-annotation", "eks.amazonaws.com/role-arn=arn:aws:iam::1:role/a=b",
    )  # fmt: skip
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a=b"}
    arguments = template["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--registry-credentials") + 1] == "amazon,azure"
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    account, template = installed(sealgate)
    assert "annotations" not in account["metadata"]
    assert "--registry-credentials" not in template["spec"]["containers"][0]["args"]
    assert "azure.workload.identity/use" not in template["metadata"]["labels"]


@pytest.mark.parametrize(
    "wrong", [("--registry-credentials", "aws"), ("--account-annotation", "name"), ("--account-annotation", "=x")]
)
def test_a_cloud_or_an_annotation_that_is_none(sealgate, wrong):
    assert sealgate("admission", "install", "--image", OPTIONS.image, *wrong, check=False).returncode == 2


def test_what_registries_and_clients_need_is_mounted_and_no_secret_passes_through(sealgate, tmp_path, authority):
    ca, deny = authority.certificate, tmp_path / "deny"
    deny.write_text(f"digest {DIGEST} recalled\n")
    documents = printed(
        sealgate, "--registry-secret", "pull", "--registry-cacert", ca, "--registry-client-secret", "shown",
        "--registry-server-name", "registry.example", "--registry-realm", "auth.example", "--registry-realm", "b.example",
        "--client-ca", ca, "--client-name=-kube", "--deny", deny, "--allow-local-registries",
    )  # fmt: skip
    [config] = [each for each in documents if each["kind"] == "ConfigMap"]
    pem = Path(ca).read_text(encoding="utf-8")
    assert config["data"] == {"deny": deny.read_text(), "registry-ca.crt": pem, "client-ca.crt": pem}
    [deployment] = [each for each in documents if each["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    volumes = {each["name"]: each for each in template["spec"]["volumes"]}
    assert volumes["trust"]["configMap"] == {"name": "sealgate"}
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert volumes["registry"]["secret"] == {"secretName": "pull", "items": items}
    assert [each["key"] for each in volumes["registry-client"]["secret"]["items"]] == ["tls.crt", "tls.key"]
    [container] = template["spec"]["containers"]
    places = {each["name"]: each for each in container["volumeMounts"]}
    assert all(places[name]["readOnly"] for name in ("trust", "registry", "registry-client"))
    # The command takes these words, and means the files that are mounted.
    words = parser("admission").parse_args(container["args"][1:])
    inside = {places[each]["mountPath"] for each in ("trust", "registry", "registry-client")}
    assert {
        words.registry_config,
        words.registry_cacert.rpartition("/")[0],
        words.registry_client_key.rpartition("/")[0],
    } == inside
    assert (words.client_ca, words.deny) == ("/trust/client-ca.crt", "/trust/deny")
    assert (words.registry_client_cert, words.registry_server_name) == ("/registry-client/tls.crt", "registry.example")
    assert (words.registry_realm, words.client_name) == (["auth.example", "b.example"], ["-kube"])
    assert (words.allow_local_registries, words.allow_insecure_registry, words.allow_http_registry) == (
        True,
        False,
        False,
    )
    # Mounted by name: it has no further right, and another authority makes other Pods.
    assert [each for each in documents if each["kind"] == "Role"] == [
        each for each in printed(sealgate) if each["kind"] == "Role"
    ]
    assert not [
        each for each in documents if each["kind"] == "Secret" and each["metadata"]["name"] != "sealgate-serving"
    ]
    assert set(template["metadata"]["annotations"]) == {
        f"sealgate.dev/{each}" for each in ("deny", "registry-cacert", "client-ca")
    }
    assert not any(each["kind"] == "ConfigMap" for each in printed(sealgate))


def test_registries_that_are_asked_without_care_are_said_so(sealgate):
    words = parser("admission").parse_args(
        printed_words(printed(sealgate, "--allow-insecure-registry", "--allow-http-registry"))[1:]
    )
    assert (words.allow_insecure_registry, words.allow_http_registry, words.allow_local_registries) == (
        True,
        True,
        False,
    )


def test_P23_further_namespaces_may_be_read_by_a_role_in_each_of_them(sealgate):
    documents = printed(sealgate, "--allow-namespace", "keys", "--allow-namespace", "sealgate")
    roles = {each["metadata"]["namespace"]: each for each in documents if each["kind"] == "Role"}
    assert set(roles) == {"sealgate", "keys"}
    assert roles["keys"]["rules"] == [{"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}]
    [binding] = [
        each for each in documents if each["kind"] == "RoleBinding" and each["metadata"]["namespace"] == "keys"
    ]
    assert binding["roleRef"]["kind"] == "Role"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "sealgate", "namespace": "sealgate"}]
    assert parser("admission").parse_args(printed_words(documents)[1:]).allow_namespace == ["keys"]
    assert not any(
        "secrets" in rule["resources"] for each in documents if each["kind"] == "ClusterRole" for rule in each["rules"]
    )
    assert parser("admission").parse_args(printed_words(printed(sealgate))[1:]).allow_namespace == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--registry-cacert", "KEY"), "--registry-cacert has a private key"),
        (("--client-ca", "BROKEN"), "--client-ca holds no certificates"),
        (("--client-ca", "EMPTY"), "--client-ca is empty"),
        (("--client-name", "kube"), "--client-name needs the authority"),
        (("--deny", "BROKEN"), "--deny"),
        (("--registry-secret", "team/pull"), "--registry-secret names no Secret"),
        (("--registry-client-secret", ""), "--registry-client-secret names no Secret"),
        (("--allow-namespace", ""), "--allow-namespace needs a name"),
    ],
)
def test_what_no_replica_could_start_with_is_refused(sealgate, tmp_path, authority, options, said):
    issued = authority.issue("x.example")
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "KEY").write_bytes(Path(issued.certificate).read_bytes() + Path(issued.key).read_bytes())
    (tmp_path / "BROKEN").write_text(broken)
    (tmp_path / "EMPTY").write_text("")
    words = [str(tmp_path / each) if each.isupper() else each for each in options]
    done = sealgate("admission", "install", "--image", OPTIONS.image, *words, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert not done.stdout
    assert printed(sealgate, "--registry-cacert", authority.certificate, "--registry-secret", "pull")
