"""The examples of docs/library.md run as they stand there, and its tables name what there is."""

import ast
import asyncio
import inspect
import re
import tomllib

import pytest

import sealgate
from peers.images import push_image
from peers.programs import ROOT
from sealgate import blocking

TEXT = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("adapter", ["aiohttp", "threads"])
def test_the_examples_run(docker_registry, tmp_path, monkeypatch, adapter):
    if adapter == "aiohttp":
        pytest.importorskip("aiohttp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sealgate.library.client.choose", lambda _: adapter)
    monkeypatch.setattr("sealgate.library.driving.choose", lambda _: adapter)
    private = sealgate.PrivateKey.generate()
    (tmp_path / "cosign.key").write_bytes(private.encrypt(b"secret"))
    (tmp_path / "cosign.pub").write_bytes(private.public_key.pem())
    (tmp_path / "release.tar").write_bytes(b"content")
    root = ROOT / "tests" / "trust" / "recorded" / "trusted_root.json"
    (tmp_path / "trusted_root.json").write_bytes(root.read_bytes())
    image = push_image(docker_registry, "app", "1.0")
    blocking.sign(image.reference, keys=[private])

    async def everything():
        names = {"print": lambda *_: None, "__name__": "examples"}
        for number, example in enumerate(EXAMPLES, 1):
            source = example.replace("registry.example.com", docker_registry)
            code = compile(source, f"example {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                await eval(code, names)
            else:
                exec(code, names)
        return names

    names = asyncio.run(everything())
    assert len(EXAMPLES) > 10
    assert names["verdict"].accepted


def test_every_argument_is_in_the_tables():
    rows = set(re.findall(r"`(\w+)`", "\n".join(line for line in TEXT.splitlines() if line.startswith("| "))))
    for arguments in (sealgate.VerifyArguments, sealgate.SignArguments):
        assert set(arguments.__annotations__) <= rows
    assert {"outcome", "code", "digest", "signatures", "problems", "exit_code"} <= rows


def test_typed_use_is_checked_by_mypy():
    """`make types` runs mypy on it; here it is only seen to that it does."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "tests/library/typed_use.py" in settings["tool"]["mypy"]["files"]
    assert settings["tool"]["mypy"]["strict"] is True
    assert (ROOT / "src" / "sealgate" / "py.typed").exists()
