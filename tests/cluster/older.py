"""The command `sealgate` for API servers before 1.21, which the tests may find: there a budget is of policy/v1beta1, with the same fields."""

from __future__ import annotations

from sealgate.admission.installation import applying, manifests
from sealgate.cli.__main__ import main
from sealgate.kubernetes.resource import Resource

_budget = manifests._budget
manifests._budget = lambda options: _budget(options) | {"apiVersion": "policy/v1beta1"}
applying.RESOURCES["PodDisruptionBudget"] = Resource(
    "policy", "v1beta1", "poddisruptionbudgets", "PodDisruptionBudget", namespaced=True
)

if __name__ == "__main__":
    main()
