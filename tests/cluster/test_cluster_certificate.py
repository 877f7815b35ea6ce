"""The webhook's own certificate at a real API server: the Secret and the registrations as the installation makes them."""

from __future__ import annotations

import base64
import json
import time

from sealgate.admission import certificates
from sealgate.admission.cluster import issuing
from sealgate.admission.cluster.issuing import Issuer
from sealgate.admission.installation import manifests
from sealgate.admission.installation.manifests import Options
from sealgate.kubernetes import kubeconfig
from sealgate.kubernetes.client import Client
from sealgate.transport import driver
from sealgate.transport.http import HttpClient


def test_the_certificate_is_kept_and_its_authority_put_into_the_registrations(api_server):
    kube = api_server.kubectl
    options = Options(image=f"registry.example/s@sha256:{'a' * 64}", namespace="default")
    [secret] = [each for each in manifests.before(options) if each["kind"] == "Secret"]
    registered = manifests.registration(options)
    for each in registered:  # nothing may reach a webhook that is not there
        each["webhooks"][0]["rules"] = each["webhooks"][0]["rules"][-1:]
    made = [secret, *registered]
    client = Client(kubeconfig.cluster(str(api_server.kubeconfig), environ={}, context=None, insecure=False))
    http = HttpClient()
    try:
        for each in made:
            kube("apply", "--server-side", "-f", "-", input=json.dumps(each))
        names = ("sealgate.default.svc",)
        replicas = [
            Issuer(
                client, namespace="default", secret=manifests.OWN_SECRET, registration="sealgate", names=names, clock=time.time
            )
            for _ in range(2)
        ]  # fmt: skip
        for each in replicas:
            driver.run(each.step(), sender=http.send, seconds=60)
        assert replicas[0].kept == replicas[1].kept
        for each in made:  # another apply leaves what the webhook wrote
            kube("apply", "--server-side", "-f", "-", input=json.dumps(each))
        kept = issuing.read(json.loads(kube("get", "secret", manifests.OWN_SECRET, "-o", "json").stdout))
        assert kept == replicas[0].kept
        assert certificates.is_issued(kept.pair, kept.authorities, names, now=time.time())
        for each in registered:
            found = json.loads(kube("get", each["kind"], "sealgate", "-o", "json").stdout)
            [hook] = found["webhooks"]
            assert base64.b64decode(hook["clientConfig"]["caBundle"]) == kept.authorities[0].certificate
            assert hook["failurePolicy"] == "Fail"
    finally:
        http.close()
        for each in made:
            kube("delete", each["kind"], each["metadata"]["name"], check=False)
