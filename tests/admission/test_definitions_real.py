"""The definitions of our own policies at a real API server, and the status that is written there."""

from __future__ import annotations

import json
import time

import pytest

from sealgate.admission import definitions
from sealgate.admission.cluster import RESOURCES
from sealgate.admission.reporting import Reporter, State
from sealgate.errors import PolicyInvalidError
from sealgate.kubernetes import kubeconfig
from sealgate.kubernetes.client import Client
from sealgate.transport import driver
from sealgate.transport.http import HttpClient

[IMAGE_POLICY] = [each for each in RESOURCES if each.kind == "ImagePolicy"]
POLICY = {
    "apiVersion": "sealgate.dev/v1alpha1", "kind": "ImagePolicy", "metadata": {"name": "one", "namespace": "default"},
    "spec": {"images": ["registry.example/**"], "require": {"signature": {"key": "k"}}, "requires": {"misspelt": 1}},
}  # fmt: skip


@pytest.fixture
def defined(api_server):
    kube = api_server.kubectl
    for each in definitions.documents():
        kube("apply", "-f", "-", input=json.dumps(each))
        kube("wait", "--for=condition=Established", "--timeout=30s", f"crd/{each['metadata']['name']}")
    time.sleep(1)
    yield api_server
    for each in definitions.documents():
        kube("delete", "crd", each["metadata"]["name"], check=False)


def test_what_is_unknown_is_kept_for_the_reader_and_what_has_another_type_is_refused(defined):
    kube = defined.kubectl
    kube("apply", "-f", "-", input=json.dumps(POLICY))
    found = json.loads(kube("get", "imagepolicy", "one", "-o", "json").stdout)
    assert found["spec"] == POLICY["spec"]
    for change in ({"images": []}, {"images": "x"}, {"action": "sometimes"}, {"digests": {"verify": "yes"}}):
        bad = {**POLICY, "metadata": {"name": "two"}, "spec": {**POLICY["spec"], **change}}
        assert kube("apply", "-f", "-", input=json.dumps(bad), check=False).returncode != 0
    for name in definitions.documents():
        crd = json.loads(kube("get", "crd", name["metadata"]["name"], "-o", "json").stdout)
        conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
        assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_status_is_written(defined):
    kube = defined.kubectl
    kube("apply", "-f", "-", input=json.dumps(POLICY))
    client = Client(kubeconfig.cluster(str(defined.kubeconfig), environ={}, context=None, insecure=False))
    reporter = Reporter(client, clock=time.time)
    http = HttpClient()
    try:
        for error, status in ((PolicyInvalidError("no field 'requires'"), "False"), (None, "True")):
            reporter.set({1: State(IMAGE_POLICY, "default", "one", "1", error)})
            driver.run(reporter.step(), sender=http.send, seconds=30)
            found = json.loads(kube("get", "imagepolicy", "one", "-o", "json").stdout)
            [ready] = found["status"]["conditions"]
            assert (ready["type"], ready["status"], ready["observedGeneration"]) == ("Ready", status, 1)
            assert found["spec"] == POLICY["spec"]
    finally:
        http.close()
