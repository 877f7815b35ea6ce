"""The policy that this software was begun with, to the letter."""

from __future__ import annotations

_TEXT = """\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: check-image-signature
spec:
  validationFailureAction: Enforce
  rules:
  - name: verify-signature
    match:
      any:
      - resources:
          kinds:
          - Pod
    verifyImages:
    - image: "*myregistry.com/*"
      key: |-
"""
PLACEHOLDER = "-----BEGIN PUBLIC KEY-----\nYOUR-PUBLIC-KEY-HERE\n-----END PUBLIC KEY-----"


def seed(pem: str, pattern: str = "*myregistry.com/*") -> str:
    """The policy, with a key filled in."""
    return _TEXT.replace("*myregistry.com/*", pattern) + "".join(f"        {line}\n" for line in pem.splitlines())
