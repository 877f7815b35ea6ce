"""Reviews that are malformed, huge or strange: always an answer, never a pod by accident, never 5xx (K17)."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from admission.place import Digests, Static, by_key, patched, pod, recorded, rule, updated
from sealgate import limits
from sealgate.admission.webhook import Own
from sealgate.admission.webhook import Settings as WebhookSettings
from sealgate.digest import Digest
from sealgate.keys.private import PrivateKey


def _raw(review, old, new):
    text = json.dumps(review)
    assert text.count(old) == 1, text.count(old)
    return text.replace(old, new).encode()


def test_K17_the_same_key_twice_is_refused_with_its_uid(place, scene):
    review = pod(scene.name)
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    image = f'"image": "{scene.name}"'
    for twice in (f'{image}, "image": "{evil}"', f'"image": "{evil}", {image}'):
        answer = place.ask("/validate", _raw(review, image, twice))
        answer.is_denied("json-ambiguous")
        assert answer.response["uid"] == review["request"]["uid"]
    place.validate(review).is_allowed()


def test_K17_keys_in_other_letters_are_refused_where_images_stand_and_harmless_in_labels(place, scene):
    review = pod(scene.name)
    review["request"]["object"]["metadata"]["labels"] = {"App": "a", "app": "b"}
    place.validate(review).is_allowed()
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    for container in (
        {"name": "x", "image": scene.name, "Image": evil},
        {"name": "x", "image": scene.name, "IMAGE": evil},
    ):
        review["request"]["object"]["spec"]["containers"] = [container]
        place.validate(review).is_denied("workload-invalid")


_BROKEN = {
    "object of null": lambda r: r.update(object=None),
    "object of nothing": lambda r: r.update(object={}),
    "object as text": lambda r: r.update(object="x"),
    "object as list": lambda r: r.update(object=[]),
    "operation in small letters": lambda r: r.update(operation="create"),
    "no operation": lambda r: r.pop("operation"),
    "no kind": lambda r: r.pop("kind"),
    "no resource": lambda r: r.pop("resource"),
    "kind as text": lambda r: r.update(kind="Pod"),
    "another kind": lambda r: r["kind"].update(kind="Deployment"),
    "no version": lambda r: r["resource"].update(version=""),
    "containers as map": lambda r: r["object"]["spec"].update(containers={"a": {"image": "x"}}),
    "container as text": lambda r: r["object"]["spec"].update(containers=["x"]),
    "no containers": lambda r: r["object"]["spec"].update(containers=[]),
    "spec of null": lambda r: r["object"].update(spec=None),
    "volumes as text": lambda r: r["object"]["spec"].update(volumes="x"),
    "volume without reference": lambda r: r["object"]["spec"].update(volumes=[{"name": "v", "image": {}}]),
    "old object as text": lambda r: r.update(oldObject="x"),
    "old object of another kind": lambda r: r.update(oldObject={"kind": "Node", "apiVersion": "v1"}),
    "user as text": lambda r: r.update(userInfo="admin"),
    "groups as text": lambda r: r.update(userInfo={"username": "x", "groups": "system:masters"}),
    "dry run as text": lambda r: r.update(dryRun="false"),
    "namespace as number": lambda r: r.update(namespace=1),
    "subresource as list": lambda r: r.update(subResource=[]),
    "a list of pods": lambda r: (r["kind"].update(kind="PodList"), r.update(object={"kind": "PodList", "apiVersion": "v1", "items": []})),
}  # fmt: skip


@pytest.mark.parametrize("case", _BROKEN)
def test_K17_P07_broken_reviews_with_a_uid_are_denied(place, scene, case):
    review = pod(scene.name)
    _BROKEN[case](review["request"])
    for path in ("/mutate", "/validate"):
        answer = place.ask(path, review)
        assert answer.status == 200
        assert answer.response["allowed"] is False
        assert answer.response["uid"] == review["request"]["uid"]
    assert "[" in answer.message


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b"\xff\xfe{}", b"{" * 10_000, b"[" * 100_000, b'{"request": null}', b'{"request": {"uid": 7}}',
        b'{"request": {"uid": ""}}', b'{"request": {"uid": "a\\nb"}}', b'{"request": {"uid": "' + b"a" * 200 + b'"}}', b"\x1f\x8b\x08",
    ],
)  # fmt: skip
def test_K17_what_has_no_uid_gets_400(place, body):
    for path in ("/mutate", "/validate"):
        assert place.ask(path, body).status == 400


def test_K17_other_versions_of_reviews_are_denied(place, scene):
    for change in (
        {"apiVersion": "admission.k8s.io/v1beta1"},
        {"apiVersion": "v1"},
        {"kind": "ConversionReview"},
        {"kind": None},
    ):
        place.ask("/validate", pod(scene.name) | change).is_denied("review-invalid")
    place.validate(pod(scene.name)).is_allowed()


def test_K17_depth_and_encodings(place, scene):
    review = json.dumps(pod(scene.name))
    deep = review.replace('"spec": {', '"spec": {"x": ' + "[" * 500 + "]" * 500 + ", ", 1)
    place.ask("/validate", deep.encode()).is_denied("limit-exceeded")
    place.ask("/validate", review.replace('"spec": {', '"spec": {"x": "\\ud800", ', 1).encode()).is_denied(
        "json-ambiguous"
    )
    place.ask("/validate", review.replace('"spec": {', '"spec": {"x": NaN, ', 1).encode()).is_denied("json-ambiguous")
    assert place.ask("/validate", review.replace("default", "d\xe9fault", 1).encode("latin-1")).status == 400
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert place.ask("/validate", review.encode(), headers=headers).status == 415
    assert place.ask("/validate", review.encode(), headers={"Content-Type": "text/yaml"}).status == 415
    assert place.ask("/validate", None, method="GET").status == 405
    assert place.ask("/other", review.encode()).status == 405


def test_K17_three_megabytes_are_read_and_more_is_not(place, scene):
    review = pod(scene.name)
    review["request"]["object"]["metadata"]["annotations"] = {"a": ""}
    room = limits.REVIEW_BYTES - len(json.dumps(review))
    review["request"]["object"]["metadata"]["annotations"] = {"a": "x" * room}
    assert len(json.dumps(review)) == limits.REVIEW_BYTES
    place.validate(review).is_allowed()
    review["request"]["object"]["metadata"]["annotations"] = {"a": "x" * (room + 1)}
    assert place.ask("/validate", review).status == 413
    place.validate(pod(scene.name)).is_allowed()


def test_K17_ten_thousand_annotations_and_five_hundred_containers(place, scene):
    review = pod(*[scene.name] * 500)
    review["request"]["object"]["metadata"]["annotations"] = {f"example.com/{number}": "x" for number in range(10_000)}
    place.validate(review).is_allowed()
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    review = pod(*[scene.name] * 499, evil)
    refused = place.validate(review)
    refused.is_denied("no-signature")
    assert "containers[499]" in refused.message
    refused = place.validate(pod(*[evil] * 500))
    refused.is_denied("no-signature")
    assert len(refused.message) <= limits.MESSAGE_CHARS
    assert "and 492 more" in refused.message


def test_D10_W34_strangers_choose_neither_labels_of_metrics_nor_what_a_terminal_does(place, scene):
    answer = place.validate(pod("registry.example.com/\x1b[31mevil:1"))
    assert answer.response["allowed"] is False
    assert "\x1b" not in answer.message
    for number in range(20):
        place.ask(f"/random-{number}", None, method="GET", headers={})
        place.validate(pod(f"{scene.registry.host}/none/{number}:1"))
    text = place.get("/metrics").body.decode()
    assert "random-" not in text
    assert "none/" not in text


def test_a_refusal_names_image_policy_and_why_and_what_is_allowed_has_no_status(place, scene):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    refused = place.validate(pod(scene.name, evil))
    refused.is_denied("no-signature")
    assert refused.message.startswith(f"image {evil} (containers[1].image): policy check-image/verify-signature: ")
    assert "hint: " in refused.message
    assert refused.response["auditAnnotations"]["outcome"] == "deny"
    assert refused.response["auditAnnotations"]["codes"] == "no-signature"
    allowed = place.validate(pod(scene.name))
    assert "status" not in allowed.response
    assert allowed.response["auditAnnotations"]["outcome"] == "admit"


def test_audit_admits_in_silence_and_warn_with_a_warning(start, scene, signed):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    place = start(rule(signed, action="audit"))
    answer = place.validate(pod(evil))
    answer.is_allowed()
    assert not answer.warnings
    assert "no-signature" in answer.response["auditAnnotations"]["audited"]
    place = start(rule(signed, action="warn"))
    answer = place.validate(pod(evil))
    answer.is_allowed()
    assert any("no-signature" in each for each in answer.warnings)
    assert not place.mutate(pod(f"{scene.registry.host}/team/app:evil")).patch
    assert place.metric("sealgate_decisions_total", code="no-signature", effect="warn") == 2


@pytest.mark.parametrize("action", ["audit", "warn"])
def test_a_policy_that_denies_nothing_yet_takes_no_digest_away_from_another(start, scene, signed, action):
    stranger = by_key(PrivateKey.generate().public_key.pem())
    place = start(rule(signed), rule(stranger, policy="new", action=action))
    created = pod(scene.tag)
    answer = place.mutate(created)
    answer.is_allowed()
    assert [step["value"] for step in answer.patch] == [f"{scene.tag}@{scene.image.digest}"]
    place.validate(patched(created, answer.patch)).is_allowed()
    place.validate(created).is_denied("digest-missing")
    alone = start(rule(stranger, action=action)).mutate(created)
    alone.is_allowed()
    assert not alone.patch  # nobody has verified it


@pytest.mark.parametrize("first", ["audit", "warn", "enforce"])
def test_a_missing_digest_weighs_what_the_strictest_policy_says(start, scene, signed, first):
    second = "enforce" if first != "enforce" else "audit"
    place = start(rule(signed, policy="a", action=first), rule(signed, policy="b", action=second))
    place.validate(pod(f"{scene.tag}@{scene.image.digest}")).is_allowed()
    refused = place.validate(pod(scene.tag))
    refused.is_denied("digest-missing")
    assert f"policy {'a' if first == 'enforce' else 'b'}/" in refused.message


def test_a_warning_is_one_line_and_a_refusal_may_have_several(start, scene):
    static = Static(False, "first line\nsecond line", "static")
    warned = start(rule(static, action="warn")).validate(pod(scene.name))
    warned.is_allowed()
    assert any("first line second line" in each for each in warned.warnings)
    refused = start(rule(static)).validate(pod(scene.name))
    assert "first line\nsecond line" in refused.message


@pytest.mark.parametrize("action", ["enforce", "warn", "audit"])
def test_a_missing_digest_is_counted_by_what_follows_from_it(start, scene, signed, action):
    place = start(rule(signed, action=action))
    place.mutate(pod(scene.tag)).is_allowed()
    assert place.metric("sealgate_decisions_total", code="digest-missing") == 0
    answer = place.validate(pod(scene.tag, f"{scene.registry.host}/team/app:evil"))
    assert answer.response["allowed"] is (action != "enforce")
    effect = "deny" if action == "enforce" else action
    assert place.metric("sealgate_decisions_total", code="digest-missing", effect=effect) == 2
    assert place.metric("sealgate_decisions_total", code="no-signature", effect=effect) == 1
    alone = place.validate(pod(scene.tag)).response["auditAnnotations"]
    assert alone["outcome"] == {"enforce": "deny", "warn": "warn", "audit": "admit"}[action]
    assert place.log()[-1]["outcome"] == alone["outcome"]


def test_images_that_a_policy_skips_or_that_none_is_about_get_no_digest(start, scene, signed):
    other = f"{scene.registry.host}/team/other:1"
    place = start(rule(signed, f"{scene.registry.host}/team/app*", skip=(f"{scene.registry.host}/team/app:skipped",)))
    for image in (other, f"{scene.registry.host}/team/app:skipped"):
        created = pod(image)
        answer = place.mutate(created)
        answer.is_allowed()
        assert not answer.patch
        validated = place.validate(created)
        validated.is_allowed()
        assert validated.response["auditAnnotations"].get("unmatched") == ("1" if image == other else None)
    assert not scene.registry.asked("*", "*team/other*")
    assert place.metric("sealgate_images_total", state="unmatched") == 2


def test_a_policy_that_writes_no_digests_and_wants_none_leaves_the_tag(start, scene, signed):
    place = start(rule(signed, digests=Digests(mutate=False, verify=False)))
    created = pod(scene.tag)
    assert not place.mutate(created).patch
    place.validate(created).is_allowed()
    place = start(rule(signed, digests=Digests(mutate=False, verify=True)))
    assert not place.mutate(created).patch
    place.validate(created).is_denied("digest-missing")


def test_P15_no_policies_at_all_admit_nothing(start, scene):
    start().validate(pod(scene.name)).is_denied("no-policies")


def test_mutate_pods_leaves_templates_their_tags_and_judges_them_all_the_same(start, scene, signed):
    place = start(rule(signed), webhook=WebhookSettings(mutate="pods"))
    template = recorded("05-")
    template["request"]["object"]["spec"]["template"]["spec"]["containers"][0]["image"] = scene.tag
    assert not place.mutate(template).patch
    place.validate(template).is_allowed()
    template["request"]["object"]["spec"]["template"]["spec"]["containers"][0]["image"] = (
        f"{scene.registry.host}/team/app:evil"
    )
    place.validate(template).is_denied("no-signature")
    assert place.mutate(pod(scene.tag)).patch
    place = start(rule(signed))
    template["request"]["object"]["spec"]["template"]["spec"]["containers"][0]["image"] = scene.tag
    answer = place.mutate(template)
    assert answer.patch
    place.validate(patched(template, answer.patch)).is_allowed()


def test_K23_namespaces_are_exempt_by_name_when_configured_and_it_is_said(start, scene, signed):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    review = pod(evil)
    for which in ("namespace",):
        review["request"][which] = "kube-system"
    place = start(rule(signed), webhook=WebhookSettings(exempt=frozenset({"kube-system"})))
    answer = place.validate(review)
    answer.is_allowed()
    assert answer.response["auditAnnotations"]["outcome"] == "exempt"
    assert place.metric("sealgate_reviews_total", outcome="exempt") == 1
    assert place.log()[-1]["outcome"] == "exempt"
    place.validate(pod(evil)).is_denied("no-signature")  # default is not exempt
    start(rule(signed)).validate(review).is_denied("no-signature")  # nothing is exempt by itself


def test_K11_labels_of_a_namespace_exempt_nothing(start, scene, signed):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    labels = {"policy.sigstore.dev/include": "false", "admission.gatekeeper.sh/ignore": "yes"}
    place = start(rule(signed), namespaces={"default": labels}, webhook=WebhookSettings(exempt=frozenset({""})))
    place.validate(pod(evil)).is_denied("no-signature")


def test_K23_the_webhooks_own_image_is_known_by_namespace_and_digest(start, scene, signed):
    evil = f"{scene.registry.host}/team/app@{scene.evil.digest}"
    own = Own("default", Digest.parse(scene.evil.digest))
    place = start(rule(signed), webhook=WebhookSettings(own=(own,)))
    answer = place.validate(pod(evil))
    answer.is_allowed()
    assert answer.response["auditAnnotations"]["own"] == "containers[0].image"
    elsewhere = pod(evil)
    elsewhere["request"]["namespace"] = "team-b"
    place.validate(elsewhere).is_denied("no-signature")
    place.validate(pod(f"{scene.registry.host}/team/app:evil")).is_denied("no-signature")  # by its tag it is anybody's


def test_K19_with_an_authority_for_clients_reviews_are_taken_from_those_alone_who_show_a_certificate(
    start, scene, signed, authority, tmp_path
):
    place = start(rule(signed), client_ca=str(authority.certificate), client_names=frozenset({"kube-apiserver"}))
    review = pod(scene.name)
    before = len(scene.registry.asked())
    assert place.ask("/validate", review).status == 403
    for name, status in (("somebody", 403), ("kube-apiserver", 200)):
        issued = authority.issue(name, client=True)
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.load_cert_chain(issued.certificate, issued.key)
        connection = place.connect(context)
        answer = place.ask("/validate", review, connection=connection)
        connection.close()
        assert answer.status == status
        if status == 403:
            assert len(scene.registry.asked()) == before
    answer.is_allowed()
    assert place.get("/healthz").status == 200
    assert place.get("/readyz").status == 200


def test_K19_more_reviews_at_once_than_there_is_room_for_are_denied_and_not_begun(place, scene, monkeypatch):
    monkeypatch.setattr(limits, "REVIEWS", 0)
    before = len(scene.registry.asked())
    place.validate(pod(scene.name)).is_denied("overloaded")
    assert len(scene.registry.asked()) == before
    monkeypatch.undo()
    place.validate(pod(scene.name)).is_allowed()


def test_D14_a_head_without_an_end_and_a_body_that_does_not_come(start, scene, signed, monkeypatch):
    monkeypatch.setattr(limits, "REVIEW_READ_SECONDS", 0.5)
    place = start(rule(signed), insecure_http=True)
    host, _, port = place.running.address.rpartition(":")
    with socket.create_connection((host, int(port)), 20) as sock:
        sock.sendall(b"POST /validate HTTP/1.1\r\n")
        sent = 0
        answer = b""
        try:
            while sent < limits.HEADER_BYTES * 4:
                sock.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")
                sent += 1013
            answer = sock.recv(100)
        except OSError:
            pass
        assert answer[:12] in {b"", b"HTTP/1.1 400"}
    with socket.create_connection((host, int(port)), 20) as sock:
        sock.sendall(
            b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection((host, int(port)), 20) as sock:
        sock.sendall(b"POST /validate HT")
        assert sock.recv(100) == b""
    place.validate(pod(scene.name)).is_allowed()


def test_a_fault_inside_denies_and_is_counted(place, scene, monkeypatch):
    from sealgate.admission import webhook

    def broken(*_, **__):
        raise RuntimeError("a secret word")

    monkeypatch.setattr(webhook.answers, "of", broken)
    answer = place.validate(pod(scene.name))
    answer.is_denied("internal-error")
    assert place.metric("sealgate_faults_total") == 1
    assert "a secret word" not in json.dumps(place.log()) + answer.message


def test_the_log_says_who_asked_for_what_and_what_came_of_it(place, scene):
    review = pod(scene.name)
    place.validate(review)
    line = place.log()[-1]
    assert (line["event"], line["uid"], line["outcome"]) == ("review", review["request"]["uid"], "admit")
    assert (line["object"], line["operation"], line["user"]) == ("Pod/default/plain", "CREATE", "admin")
    assert scene.name in line["images"][0]


def test_static_policies_need_no_signature_and_the_image_must_exist_all_the_same(start, scene):
    place = start(rule(Static(True, "allowed", "static"), digests=Digests()))
    place.mutate(pod(scene.tag)).is_allowed()
    place.validate(pod(f"{scene.registry.host}/team/app@sha256:{'0' * 64}")).is_denied("image-not-found")


def test_updates_are_patched_where_they_change(place, scene):
    base = pod(scene.tag, scene.tag)
    evil_first = updated(
        base, lambda new: new["spec"]["containers"][1].update(image=f"{scene.registry.host}/team/app:v1 ".strip())
    )
    assert not place.mutate(evil_first).patch
    scene.honest.put_manifest("team/app", scene.image.raw, "v2")
    changed = updated(base, lambda new: new["spec"]["containers"][1].update(image=f"{scene.registry.host}/team/app:v2"))
    answer = place.mutate(changed)
    assert [step["path"] for step in answer.patch] == ["/spec/containers/1/image"]
