"""Policies of the cluster behind the face of `standing.Standing`: watched on a thread of their own, taken over at once.

A slow API server stops no review that way. Before everything was listed once there is nothing in force, and the webhook does
not start.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from sealgate.errors import ClusterUnavailableError, PolicyInvalidError, SealgateError
from sealgate.transport import driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealgate.admission.cluster.policies import ClusterPolicies
    from sealgate.admission.standing import Force
    from sealgate.transport.driver import Sender

_YEARS = 10 * 365 * 24 * 3600.0


class _Policies(Protocol):
    def __call__(self, changed: Callable[[ClusterPolicies], object], /) -> ClusterPolicies: ...


class ClusterStanding:
    """Holds the policies of the cluster that are in force."""

    def __init__(self, make: _Policies, *, sender: Sender, seconds: float) -> None:
        """Waits until everything was listed once, at most `seconds`. Raises why that was not."""
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._newest: tuple[Force, SealgateError | None] | None = None
        self._failure: BaseException | None = None
        policies = make(self._take)
        self._policies = policies
        self._thread = threading.Thread(target=self._run, args=(policies, sender), name="sealgate cluster", daemon=True)
        self._thread.start()
        self._arrived.wait(seconds)
        self._unread: SealgateError | None = None
        self.force: Force
        """What is in force; replaced as soon as it was read, before the cluster is told of it."""
        self.broken: SealgateError | None = None
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None:
            if isinstance(self._failure, SealgateError):
                raise self._failure
            told = next(iter(policies.errors.values()), None)
            raise told or ClusterUnavailableError("the policies of the cluster could not be listed in time")
        self.broken = self._unread = newest[1]

    def _run(self, policies: ClusterPolicies, sender: Sender) -> None:
        try:
            driver.run(policies.run(), sender=sender, seconds=_YEARS)
        except BaseException as error:  # noqa: BLE001 - told by `renew`; a thread has nobody to raise it to
            self._failure = error
        self._arrived.set()

    def _take(self, policies: ClusterPolicies) -> None:
        force = policies.force
        if force is None:  # pragma: no cover - it is told of when there is one
            return
        self.force = force
        with self._lock:
            self._newest = (force, _summary(policies))
        self._arrived.set()

    def renew(self) -> bool:
        """Whether anything is different since the last time, for better or worse: for the log and the metrics."""
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is not None:
            self._unread = newest[1]
        before, self.broken = self.broken, self._stale() or self._unread
        told = (before and before.message) != (self.broken and self.broken.message)
        return newest is not None or told

    def _stale(self) -> SealgateError | None:
        """Why what is in force may be old, although nothing that came is wrong."""
        if not self._thread.is_alive():
            return ClusterUnavailableError(
                "the policies of the cluster are watched no more; what was known is in force"
            )
        failed = self._policies.stale(time.monotonic())
        if not failed:
            return None
        what, error = next(iter(failed.items()))
        return ClusterUnavailableError(
            f"{what} cannot be watched, and what is in force of them may be old: {error.message}", hint=error.hint
        )


def _summary(policies: ClusterPolicies) -> SealgateError | None:
    broken = policies.broken
    if not broken:
        return None
    shown = "; ".join(f"{key}: {error.message}" for key, error in list(broken.items())[:8])
    more = f"; and {len(broken) - 8} more" if len(broken) > 8 else ""
    return PolicyInvalidError(f"{len(broken)} policies of the cluster cannot be read: {shown}{more}")
