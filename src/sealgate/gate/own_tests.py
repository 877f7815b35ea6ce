"""Sealgate's own tests of policies, `PolicyTest`, as a `Suite`: whole decisions, against layouts that stand beside the test."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from sealgate.errors import PolicyInvalidError
from sealgate.gate.expectations import Expectation, Subject, Suite, beside
from sealgate.policy.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sealgate.policy.model import NoMatch

VERSION = "sealgate.dev/v1alpha1"


def read(found: Mapping[str, object], path: str) -> Suite:
    """One `PolicyTest`. Raises `PolicyInvalidError`."""
    whole = Fields(found, path)
    whole.ignored("apiVersion", "kind")
    meta = whole.fields("metadata")
    name = (meta.text("name") if meta is not None else None) or path
    policies = whole.texts("policies")
    if not policies:
        whole.missing("policies")
    layouts, root, time = whole.text("layouts"), whole.text("trustedRoot"), whole.take("time")
    no_match = whole.choice("noMatch", "allow", "warn", "deny")
    namespaces = {}
    for each in whole.objects("namespaces"):
        label = each.required_text("name")
        namespaces[label] = dict(each.text_map("labels"))
        each.end()
    resources, images, expectations = list(whole.texts("manifests")), [], []
    for case in whole.objects("cases"):
        image, namespace = case.text("image"), case.text("namespace") or ""
        kind, title = case.text("kind") or "", case.text("name")
        expected = case.choice("expect", "admit", "warn", "deny")
        if expected is None:
            case.missing("expect")
        workload = case.text("workload")
        if (image is None) == (workload is None):
            raise PolicyInvalidError(f"{case.where}: either an image or a workload of the manifests")
        if image is not None:
            images.append((image, kind or "Pod", namespace or "default"))
        codes = case.texts("codes")
        case.end()
        subject = Subject(kind if image is None else "", namespace, workload or "")
        expectations.append(
            (
                Expectation(title or image or str(workload), subject, result=expected, codes=codes),
                image,
                len(images) - 1,
            )
        )
    if not expectations:
        raise PolicyInvalidError(f"{whole.at('cases')} is empty", hint="a test that expects nothing proves nothing")
    whole.end()
    numbered = [
        one._replace(subject=Subject(name=f"image-{number}")) if image is not None else one
        for one, image, number in expectations
    ]
    choices: dict[str | None, NoMatch | None] = {None: None, "allow": "allow", "warn": "warn", "deny": "deny"}
    return Suite(
        path, name, tuple(beside(path, each) for each in policies), tuple(beside(path, each) for each in resources),
        tuple(images), tuple(numbered), namespaces,
        layouts=beside(path, layouts) if layouts is not None else None,
        trusted_root=beside(path, root) if root is not None else None,
        time=_time(time, whole.at("time")), no_match=choices[no_match],
    )  # fmt: skip


def _time(value: object, where: str) -> float | None:
    """A date and time with a zone (RFC 3339); YAML may have read it already."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime.datetime) or value.tzinfo is None:
        raise PolicyInvalidError(f"{where} is no time with a zone", hint="2026-01-01T00:00:00Z")
    return value.timestamp()
