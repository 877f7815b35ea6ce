"""Images of Compose files, and that whatever is only known where Compose runs is refused."""

import pytest
import yaml

from sealgate.errors import WorkloadInvalidError
from sealgate.workloads import compose


def read(text):
    document = yaml.safe_load(text)
    assert compose.is_compose(document)
    return compose.read(document, what="compose.yaml")


def test_every_service_has_its_image():
    found = read("""
name: shop
services:
  web: {image: "registry.example.com/web:1.0", build: ., ports: ["80:80"]}
  db:
    image: postgres:16
  odd/name~x: {image: "registry.example.com/odd:1"}
volumes: {data: {}}
""")
    assert [(each.image, each.where, each.pointer) for each in found.images] == [
        ("registry.example.com/web:1.0", "services.web.image", "/services/web/image"),
        ("postgres:16", "services.db.image", "/services/db/image"),
        ("registry.example.com/odd:1", "services.odd/name~x.image", "/services/odd~1name~0x/image"),
    ]
    assert (found.workload.kind, found.workload.name, found.known) == ("Compose", "shop", True)


@pytest.mark.parametrize(
    "text",
    [
        "services: {web: {image: 'registry.example.com/web:${TAG}'}}", "services: {web: {image: '$IMAGE'}}",
        "services: {web: {image: '${IMAGE:-nginx}'}}", "services: {web: {image: '$$$IMAGE'}}",
        "services: {web: {build: .}}", "services: {web: {}}", "services: {web: {image: ''}}", "services: {web: {image: ' x'}}",
        "services: {web: {image: 1.10}}", "services: {web: [image]}", "services: {}", "services: []", "services: {1: {image: x}}",
        "include: [other.yaml]\nservices: {web: {image: x}}", "services: {web: {image: x, extends: {file: a, service: b}}}",
    ],
)  # fmt: skip
def test_what_is_only_known_where_compose_runs_is_refused(text):
    with pytest.raises(WorkloadInvalidError) as error:
        read(text)
    assert error.value.code == "workload-invalid"
    assert "compose.yaml" in error.value.message


def test_a_doubled_dollar_is_one():
    [image] = read("services: {web: {image: 'registry.example.com/a$$b:1'}}").images
    assert image.image == "registry.example.com/a$b:1"  # a name that is none, which the gate then refuses


@pytest.mark.parametrize("text", ["kind: Pod\nservices: {}", "apiVersion: v1\nservices: {}", "a: 1", "[]", "x"])
def test_other_documents_are_none(text):
    assert not compose.is_compose(yaml.safe_load(text))


def test_images_that_are_mounted_are_images():
    found = read("""
services:
  web:
    image: nginx:1
    volumes: [data:/var, {type: image, source: "evil.example/x:1", target: /m}, {type: bind, source: /a, target: /b}]
""")
    assert [(each.image, each.where, each.pointer) for each in found.images] == [
        ("nginx:1", "services.web.image", "/services/web/image"),
        ("evil.example/x:1", "services.web.volumes[1].source", "/services/web/volumes/1/source"),
    ]


@pytest.mark.parametrize("mount", ["{type: image}", "{type: image, source: '${X}'}", "{type: '${T}', source: x}"])
def test_mounts_that_are_only_known_where_compose_runs_are_refused(mount):
    read("services: {web: {image: x, volumes: [{type: bind, source: x, target: /m}]}}")
    with pytest.raises(WorkloadInvalidError, match=r"volumes\[0\]"):
        read(f"services: {{web: {{image: x, volumes: [{mount}]}}}}")
