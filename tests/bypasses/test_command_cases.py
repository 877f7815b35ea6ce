"""The command itself (X01 to X13): what it makes of its folder, its environment, its arguments, and of hostile words."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from bypasses.scene import REPOSITORY, compact, run
from evil_registry.messages import error_answer

HOSTILE = "\x1b[2J\x1b[31m\r\nError: allowed=true\x07\x9b2J\u202egnp.exe\u2066\u200b\ufeff" + "x" * 5000


def test_X02_the_exit_code_says_what_the_verdict_says(scene, stranger, tmp_path):
    """Every state of an image, and its code: nothing but an accepted image ends in 0."""
    absent = scene.name.replace(scene.image.digest, f"sha256:{0:064x}")
    states = [(scene.name, "no-signature", 10), (absent, "image-not-found", 11), (scene.tag.replace(":v1", ":no"), "image-not-found", 11)]  # fmt: skip
    for image, code, exit_code in states:
        scene.verify(image=image).is_refused(code, exit_code)
    scene.attach(stranger.bundle(stranger.statement(scene.image.digest)))
    scene.verify().is_refused("signature-key-mismatch", 12)
    scene.verify(key=tmp_path / "absent.pub").is_refused("key-not-found", 15)
    scene.attach()
    scene.verify().is_accepted()
    for order, expected in (([scene.name, absent], 11), ([absent, scene.name], 11), ([scene.name, scene.name], 0)):
        outcome = run(["verify", "--key", str(scene.signer.path), *order])
        assert outcome.exit_code == expected


def test_X01_the_process_ends_as_the_verdict_says(scene):
    """The real command, as a process."""
    refused = subprocess.run(
        [sys.executable, "-m", "sealgate.cli", "verify", "--key", str(scene.signer.path), scene.name],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "No module named sealgate.cli.__main__" not in refused.stderr:
        assert refused.returncode == 10, refused
        assert refused.stdout == ""
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("arguments", [[], ["verfy"], ["verify"], ["verify", "--key"], ["verify", "--keys", "x"], ["verify", "--key", "x"], ["verify", "--require", "any", "x"], ["sign", "x"], ["verify", "--verbose=maybe", "x"], ["verify", "-t", "0s", "x"], ["verify", "--key", "x", "--output", "xml", "y"]])  # fmt: skip
def test_X01_wrong_use_is_never_success(arguments):
    outcome = run(arguments)
    assert outcome.exit_code in {2, 15}
    assert "Traceback" not in outcome.stderr
    assert run([*arguments[:1], "--help"] if arguments[:1] in (["verify"], ["sign"]) else ["--help"]).exit_code == 0


def test_X01_an_output_that_cannot_be_written_is_an_error(scene, tmp_path):
    scene.attach()
    for path in (str(tmp_path), str(tmp_path / "absent" / "file"), "/dev/full"):
        outcome = run([*scene.arguments("--output-file", path)])
        assert outcome.exit_code != 0
        assert "Traceback" not in outcome.stderr
    (tmp_path / "told").touch()
    assert run(scene.arguments("--output-file", str(tmp_path / "told"))).exit_code == 0
    assert json.loads((tmp_path / "told").read_text())["code"] == "accepted"


@pytest.mark.parametrize("signed", [True, False])
def test_X03_files_in_the_current_folder_change_nothing(scene, stranger, tmp_path, monkeypatch, signed):
    signer = scene.signer if signed else stranger
    scene.attach(signer.bundle(signer.statement(scene.image.digest)))
    folder = tmp_path / "hostile"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in (".in_totorc", "policy.json", "trusted_root.json", "cosign.pub", ".sealgate", "sealgate.toml", "sealgate.json",
                 "config.json", ".netrc", ".env", "pyproject.toml", "sitecustomize.py", "json.py", "deny", "registries.conf"):  # fmt: skip
        (folder / name).write_bytes(stranger.path.read_bytes() if name == "cosign.pub" else b"raise SystemExit(0)\n")
    outcome = scene.verify_apart()
    assert outcome.exit_code == (0 if signed else 12)


_ENVIRONMENT = (
    "TUF_ROOT", "TUF_ROOT_JSON", "TUF_MIRROR", "SIGSTORE_ROOT_FILE", "SIGSTORE_REKOR_PUBLIC_KEY", "SIGSTORE_TSA_CERTIFICATE_FILE",
    "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "COSIGN_EXPERIMENTAL", "COSIGN_KEY", "COSIGN_PUBLIC_KEY", "COSIGN_OCI_EXPERIMENTAL",
    "REKOR_URL", "FULCIO_URL", "SIGSTORE_NO_CACHE", "COSIGN_INSECURE_IGNORE_TLOG", "SEALGATE_KEY", "SEALGATE_DENY", "PYTHONOPTIMIZE",
)  # fmt: skip


@pytest.mark.parametrize("signed", [True, False])
def test_X04_U14_the_environment_swaps_no_trust(scene, stranger, signed, tmp_path):
    signer = scene.signer if signed else stranger
    scene.attach(signer.bundle(signer.statement(scene.image.digest)))
    for value in ("1", "true", str(stranger.path), "/dev/null", "{}"):
        environ = {**dict.fromkeys(_ENVIRONMENT, value), "HOME": str(tmp_path)}
        assert scene.verify(environ=environ).exit_code == (0 if signed else 12)


def test_X04_W29_a_repository_of_signatures_elsewhere_is_looked_at_instead_and_named(scene):
    """COSIGN_REPOSITORY moves the search; what is found there must still be of this image and by this key."""
    scene.attach()
    environ = {"COSIGN_REPOSITORY": f"{scene.registry.host}/signatures"}
    outcome = scene.verify(environ=environ)
    outcome.is_refused("no-signature", 10)
    assert f"{scene.registry.host}/signatures (COSIGN_REPOSITORY)" in outcome.stderr
    assert "COSIGN_REPOSITORY" not in scene.verify().stderr
    image = scene.image
    scene.honest.put_referrer("signatures", image, compact(scene.bundle(scene.evil)), artifact_type="application/vnd.dev.sigstore.bundle.v0.3+json")  # fmt: skip
    scene.verify(environ=environ).is_refused("signature-subject-mismatch", 12)
    scene.honest.put_referrer("signatures", image, compact(scene.bundle()), artifact_type="application/vnd.dev.sigstore.bundle.v0.3+json")  # fmt: skip
    scene.verify(environ=environ).is_accepted()
    assert scene.verify(environ={"COSIGN_REPOSITORY": "UPPER/../x"}).exit_code == 2


def test_X06_a_file_that_is_named_like_an_image_is_not_taken_for_it(scene, tmp_path, monkeypatch):
    scene.attach()
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in (scene.image.digest, "app", "v1"):
        (folder / name).write_bytes(scene.image.raw)
    outcome = scene.verify(image=scene.image.digest)
    assert (outcome.code, outcome.exit_code) == ("reference-invalid", 2)
    assert "sha256" in outcome.stderr
    scene.verify().is_accepted()


# -- X10: words of others


def _is_harmless(text: str) -> None:
    """No control, format or bidirectional character but line ends, which none of the hostile words made."""
    strange = {char for char in text if not char.isprintable() and char != "\n"}
    assert not strange, strange
    assert not any(line.startswith("Error: allowed") for line in text.splitlines())


@pytest.mark.parametrize("output", ["json", "text", "verdict", "human", "sarif", "junit"])
@pytest.mark.parametrize("accepted", [True, False])
def test_X10_W40_hostile_words_of_a_signer_are_escaped(scene, stranger, output, accepted):
    signer = scene.signer if accepted else stranger
    words = {"note": HOSTILE, HOSTILE[:40]: "x"}
    scene.attach(signer.bundle(signer.statement(scene.image.digest, words)))
    scene.sign_legacy(scene.layer(signer.payload(scene.image.digest, words), signature=None if accepted else "AAAA"))
    scene.attach(signer.bundle({**signer.statement(scene.image.digest), "predicateType": HOSTILE}))
    wanted = () if accepted else ("-a", "note=other")
    outcome = run(["verify", "--key", str(scene.signer.path), "-o", output, "--verbose", *wanted, scene.name])
    assert outcome.exit_code == (0 if accepted else 12)
    _is_harmless(outcome.stdout)
    _is_harmless(outcome.stderr)
    if output in {"json", "verdict", "sarif"} and outcome.stdout.strip():
        json.loads(outcome.stdout)
    if output == "junit":
        ET.fromstring(outcome.stdout)


@pytest.mark.parametrize("output", ["json", "verdict", "human", "sarif", "junit"])
def test_X10_hostile_words_of_a_registry_are_escaped(scene, output):
    for status in (400, 403, 404, 500):
        answer = error_answer(status, HOSTILE, HOSTILE)
        scene.registry.on("GET", f"/v2/{REPOSITORY}/*", lambda exchange, answer=answer: exchange.reply(answer))
        outcome = run(["verify", "--key", str(scene.signer.path), "-o", output, scene.tag])
        assert outcome.exit_code != 0
        _is_harmless(outcome.stdout)
        _is_harmless(outcome.stderr)
        assert len(outcome.stderr) < 10_000


@pytest.mark.parametrize("command", ["tree", "triangulate", "download"])
def test_X10_hostile_words_of_attachments_are_escaped(scene, command):
    scene.attach()
    scene.honest.put_referrer(REPOSITORY, scene.image, b"x", artifact_type=HOSTILE[:200], media_type=HOSTILE[:200])
    scene.sign_legacy(scene.layer(**{HOSTILE[:50]: HOSTILE}))
    outcome = run([command, *(["signature"] if command == "download" else []), scene.name])
    _is_harmless(outcome.stdout)
    _is_harmless(outcome.stderr)


def test_X12_key_references_are_of_known_kinds_only(scene):
    scene.attach()
    for key in ("http://registry.example.com/key.pub", "ftp://x/key.pub", "k8s://kube-system/secret", "gcpkms://x", "file:///etc/passwd",
                "env://", "/dev/zero", "/dev/null", "/etc/passwd", str(scene.folder), "-", ""):  # fmt: skip
        outcome = run(["verify", f"--key={key}", "-o", "verdict", scene.name])
        assert outcome.exit_code in {2, 15}, key
        assert "Traceback" not in outcome.stderr
    scene.verify().is_accepted()


def test_X13_a_key_is_read_once(scene, tmp_path, monkeypatch):
    """What was read is what is used: a key file that changes between its uses has one use."""
    import builtins

    scene.attach()
    read: list[str] = []
    real = builtins.open

    def counted(path, *rest, **options):
        if str(path) == str(scene.signer.path):
            read.append(str(path))
        return real(path, *rest, **options)

    monkeypatch.setattr(builtins, "open", counted)
    scene.verify().is_accepted()
    assert len(read) <= 1
