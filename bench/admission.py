"""`make bench`, second part: measures the admission webhook, one replica, and prints a table with bars.

    bench/admission.py                  everything, about ten minutes (five of them: memory under load)
    bench/admission.py --quick          shorter loads: about a minute and a half
    bench/admission.py --only warm      one case (repeatable)
    bench/admission.py --json FILE      the numbers as well

`sealgate admission serve` runs as operators run it: TLS, keep-alive, metrics, and its log to a file; 20 policies of Kyverno's,
each about the repositories of a team, with a key of its own for all but one. Pods have 3 containers. The load comes from the
same machine (`load.py`), and so does the registry (`stock.py`), which answers through the latency proxy: 20 ms a request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import load  # noqa: E402
from run import machine_and_date  # noqa: E402
from stock import Stock, stock  # noqa: E402

from bypasses.scene import Signer  # noqa: E402
from peers.certificates import Authority  # noqa: E402

ROUND_TRIP = 0.02
TEAMS = 20
_RECORDED = ROOT / "tests/admission/recorded/01-mutate-create-pod.json"


class Row(NamedTuple):
    """One line of the table."""

    case: str
    result: str
    bar: str
    held: bool


class Webhook:
    """A webhook that runs, and what it takes."""

    def __init__(self, process: subprocess.Popen[bytes], target: load.Target, log: Path) -> None:
        self._process = process
        self.target = target
        self.log = log

    @property
    def mebibytes(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    @property
    def processor(self) -> float:
        """Seconds of processor time so far."""
        found = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")


class Scene:
    """What the cases share."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self._count = 0

    @contextlib.contextmanager
    def stock(self, images: int, *, seconds: float = ROUND_TRIP) -> Iterator[Stock]:
        self._count += 1
        with stock(self.folder / f"stock{self._count}", images=images, teams=TEAMS, seconds=seconds) as found:
            yield found

    @contextlib.contextmanager
    def webhook(self, store: Stock, *, policies: int = TEAMS, program: list[str] | None = None) -> Iterator[Webhook]:
        """A webhook of its own: nothing is cached."""
        self._count += 1
        folder = self.folder / f"webhook{self._count}"
        folder.mkdir()
        authority = Authority(folder)
        issued = authority.issue("127.0.0.1")
        (folder / "policies").mkdir()
        write_policies(folder / "policies", store, policies)
        environ = {
            "PATH": os.defpath, "HOME": str(folder), "DOCKER_CONFIG": str(folder), "TMPDIR": str(folder),
            "XDG_CONFIG_HOME": str(folder), "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        sealgate = program or [str(Path(sys.executable).with_name("sealgate"))]
        command = [
            *sealgate, "admission", "serve", "--policies", str(folder / "policies"), "--listen", "127.0.0.1:0",
            "--tls-cert", str(issued.certificate), "--tls-key", str(issued.key), "--port-file", str(folder / "port"),
            "--allow-local-registries", "--drain", "0",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log, (folder / "stderr").open("wb") as said:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=said)
            try:
                ends = time.monotonic() + 120
                while not (folder / "port").exists() or not (folder / "port").read_text(encoding="ascii").strip():
                    if process.poll() is not None or time.monotonic() > ends:
                        raise RuntimeError((folder / "stderr").read_text(errors="replace")[-2000:])
                    time.sleep(0.02)
                context = ssl.create_default_context(cafile=str(authority.certificate))
                port = int((folder / "port").read_text(encoding="ascii"))
                yield Webhook(process, load.Target("127.0.0.1", port, context), folder / "log")
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def write_policies(folder: Path, store: Stock, count: int) -> None:
    """Each about a team's repositories; the key of the stock signs for the teams that have images, others for the rest."""
    theirs = store.key.read_text(encoding="ascii")
    for number in range(count):
        key = theirs if number < TEAMS else Signer(folder.parent, "other").path.read_text(encoding="ascii")
        hosts = [f"{host}/team-{number}/*" for host in (store.near, store.far)]
        policy = {
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {"name": f"team-{number}"},
            "spec": {
                "validationFailureAction": "Enforce",
                "rules": [
                    {
                        "name": "signed",
                        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                        "verifyImages": [
                            {"imageReferences": hosts, "attestors": [{"entries": [{"keys": {"publicKeys": key}}]}]}
                        ],
                    }
                ],
            },
        }
        (folder / f"{number}.json").write_text(json.dumps(policy), encoding="ascii")


def pod(images: list[str]) -> bytes:
    """The recorded creation of a Pod, with these containers, as the API server writes it."""
    review = json.loads(_RECORDED.read_text(encoding="utf-8"))
    base = review["request"]["object"]["spec"]["containers"][0]
    review["request"]["object"]["spec"]["containers"] = [
        {**base, "name": f"c{number}", "image": image} for number, image in enumerate(images)
    ]
    return json.dumps(review, separators=(",", ":")).encode()


def _both(store: Stock, numbers: list[int], *, host: str | None = None) -> list[bytes]:
    """What the API server sends for a pod: by tag to /mutate, then by digest to /validate."""
    tagged = pod([store.tag(number, host=host) for number in numbers])
    pinned = pod([store.pinned(number, host=host) for number in numbers])
    return [load.request("/mutate", tagged), load.request("/validate", pinned)]


# ------------------------------------------------------------------------------------------------------- the cases


def warm(scene: Scene) -> Iterator[Row]:
    """Verdicts that are known: as fast as it goes, then 1,000 a second."""
    with scene.stock(60) as store, scene.webhook(store) as webhook:
        requests = [each for start in range(0, 60, 3) for each in _both(store, [start, start + 1, start + 2])]
        load.run(webhook.target, requests, connections=8)
        load.run(webhook.target, requests, connections=32, seconds=2)
        before = webhook.processor
        found = load.run(webhook.target, requests, connections=32, seconds=5 if scene.quick else 15)
        each = (webhook.processor - before) / len(found.times)
        yield Row(
            "warm, as fast as it goes",
            f"{found.rate:,.0f} requests/s, processor {each * 1e6:.0f} µs a request",
            "≥ 2,500 requests/s", found.rate >= 2500,
        )  # fmt: skip
        found = load.run(webhook.target, requests, connections=32, seconds=5 if scene.quick else 20, rate=1000)
        yield _times("warm, 1,000 requests/s", found, p99=0.010)


def cold(scene: Scene) -> Iterator[Row]:
    """One image that nobody has seen, in three containers of a pod, 20 of them a second."""
    count = 100 if scene.quick else 400
    with scene.stock(count + 20) as store, scene.webhook(store) as webhook:
        requests = [load.request("/mutate", pod([store.tag(number)] * 3)) for number in range(count + 20)]
        load.run(webhook.target, requests[:20], connections=4)
        found = load.run(webhook.target, requests[20:], connections=32, rate=20)
        yield _times("cold, one signed image, 20 new images/s, 20 ms a request", found, p50=0.120, p99=0.250)


def burst(scene: Scene) -> Iterator[Row]:
    """1,000 pods of one new image at once."""
    with scene.stock(10) as store, scene.webhook(store) as webhook:
        load.run(webhook.target, _both(store, [0, 1, 2]) * 50, connections=8)
        slowest, looks = 0.0, 0
        for number in range(3, 6):
            store.counts()
            requests = [load.request("/mutate", pod([store.tag(number)] * 3))] * 1000
            found = load.run(webhook.target, requests, connections=1000)
            slowest = max(slowest, found.times[-1])
            looks = max(looks, *store.counts().values())
        yield Row(
            "1,000 pods of one new image at once (the worst of 3)",
            f"{looks} verification, the last answer after {slowest * 1000:.0f} ms",
            "1 verification, ≤ 1 s", slowest <= 1.0 and looks == 1,
        )  # fmt: skip


def many(scene: Scene) -> Iterator[Row]:
    """A pod of 20 different images, cold."""
    with scene.stock(203) as store, scene.webhook(store) as webhook:
        load.run(webhook.target, _both(store, [200, 201, 202]), connections=1)
        times = []
        for start in range(0, 200, 20):
            review = load.request("/mutate", pod([store.tag(number) for number in range(start, start + 20)]))
            times += load.run(webhook.target, [review], connections=1).times
        times.sort()
        yield Row(
            "a pod of 20 different images, cold, 20 ms a request (10 pods)",
            f"median {times[5] * 1000:.0f} ms, most {times[-1] * 1000:.0f} ms",
            "≤ 400 ms", times[-1] <= 0.4,
        )  # fmt: skip


def memory(scene: Scene) -> Iterator[Row]:
    """500 policies and 10,000 cached images; then minutes of load."""
    images = 9999
    with scene.stock(images, seconds=0) as store, scene.webhook(store, policies=500) as webhook:
        start = webhook.mebibytes
        pods = [
            load.request("/validate", pod([store.pinned(each, host=store.near) for each in range(first, first + 3)]))
            for first in range(0, images, 3)
        ]
        load.run(webhook.target, pods, connections=16)
        filled = webhook.mebibytes
        yield Row(
            "memory, 500 policies, 10,000 cached images",
            f"{filled:.0f} MiB (without images {start:.0f} MiB)", "≤ 150 MiB", filled <= 150,
        )  # fmt: skip
        minutes = 0.5 if scene.quick else 5
        readings = []
        for _ in range(10):
            load.run(webhook.target, pods, connections=16, seconds=minutes * 6, rate=1000)
            readings.append(webhook.mebibytes)
        growth = readings[-1] - readings[1]
        yield Row(
            f"memory over {minutes:g} minutes of 1,000 requests/s",
            f"{readings[0]:.0f} to {readings[-1]:.0f} MiB, most {max(readings):.0f} MiB",
            "≤ 150 MiB, flat (± 5 MiB)", max(readings) <= 150 and growth <= 5,
        )  # fmt: skip


def matching(scene: Scene) -> Iterator[Row]:
    """1,000 policies: finding those that are about an image, of a name that was not seen before."""
    from sealgate.gate import policies
    from sealgate.oci.reference import parse
    from sealgate.policy import attestors
    from sealgate.policy.index import Index
    from sealgate.workloads import kubernetes

    folder = scene.folder / "matching"
    folder.mkdir()
    signer = Signer(scene.folder, "matching")
    write_policies(folder, Stock("registry.example.com", "mirror.example.com", signer.path, [], 1000), 1000)
    index = Index(policies.load([str(folder)], attestors.Settings()))
    document = json.loads(pod(["registry.example.com/x"]))["request"]["object"]
    workload = kubernetes.workload_of(document, "Pod")._replace(operation="CREATE", namespace="default", version="v1")
    times = []
    for number in range(2000):
        reference = parse(f"registry.example.com/team-{number % 1000}/app-{number}:1")
        begun = time.perf_counter()
        found, _ = index.matching(reference, workload)
        times.append(time.perf_counter() - begun)
        if [rule.policy for rule in found] != [f"team-{number % 1000}"]:
            raise RuntimeError(f"{reference}: {[rule.policy for rule in found]}")
    times.sort()
    yield Row(
        "matching 1,000 policies, an image",
        f"median {times[1000] * 1e6:.0f} µs, p99 {times[1980] * 1e6:.0f} µs", "≤ 1 ms", times[1980] <= 0.001,
    )  # fmt: skip


def _times(case: str, found: load.Load, *, p50: float | None = None, p99: float) -> Row:
    half, most = found.quantile(0.5), found.quantile(0.99)
    bars = ([f"p50 ≤ {p50 * 1000:.0f} ms"] if p50 is not None else []) + [f"p99 ≤ {p99 * 1000:.0f} ms"]
    held = most <= p99 and (p50 is None or half <= p50)
    result = f"p50 {half * 1000:.1f} ms, p99 {most * 1000:.1f} ms, most {found.times[-1] * 1000:.1f} ms"
    return Row(case, result, ", ".join(bars), held)


CASES: dict[str, Callable[[Scene], Iterator[Row]]] = {
    "warm": warm, "cold": cold, "burst": burst, "many": many, "memory": memory, "matching": matching,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the admission webhook.")
    parser.add_argument("--quick", action="store_true", help="shorter loads")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    arguments = parser.parse_args()
    about = machine_and_date()
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-") as folder:
        scene = Scene(Path(folder), quick=arguments.quick)
        for name, case in CASES.items():
            if arguments.only and name not in arguments.only:
                continue
            for row in case(scene):
                print(f"{'✓' if row.held else '✗'} {row.case}: {row.result} (bar: {row.bar})", flush=True)
                rows.append(row)
    print(f"load at the end: {os.getloadavg()[0]:.1f}\n\n| case | measured | bar | |\n|---|---|---|---|")
    print("\n".join(f"| {row.case} | {row.result} | {row.bar} | {'✓' if row.held else '✗'} |" for row in rows))
    if arguments.json:
        document = {**about, "rows": [row._asdict() for row in rows]}
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
