"""env, version, completion."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sealgate._version import __version__
from sealgate.cli import completion
from sealgate.cli.environment import VARIABLES

SOURCE = Path(__file__).resolve().parents[2] / "src" / "sealgate"
CANARY = "canary-3f9c1d77"


# -- env


def test_every_variable_that_the_source_reads_is_in_the_table():
    reads = re.compile(
        r"""environ(?:ment)?(?:\.get\(|\[)"([A-Z][A-Z0-9_]+)"|"([A-Z][A-Z0-9_]+)" (?:not )?in (?:\w+\.)?environ|^[A-Z_]*VARIABLE = "([A-Z0-9_]+)"|value\("([a-z_]+)"\)""",
        re.MULTILINE,
    )
    found = {
        next(name for name in match.groups() if name).upper()
        for path in SOURCE.rglob("*.py")
        for match in reads.finditer(path.read_text(encoding="utf-8"))
    }
    assert {"COSIGN_PASSWORD", "HTTPS_PROXY", "SEALGATE_TRACEBACK"} <= found
    assert found <= {variable.name for variable in VARIABLES}


def test_env_masks_secrets_unless_told_otherwise(sealgate):
    secret = {
        "COSIGN_PASSWORD": CANARY,
        "https_proxy": f"http://u:{CANARY}@127.0.0.1:1",
        "COSIGN_REPOSITORY": "r.example/s",
    }
    shown = sealgate("env", env=secret, check=True)
    assert CANARY not in shown.stdout + shown.stderr
    assert "COSIGN_PASSWORD=******\n" in shown.stdout
    assert "HTTPS_PROXY=******\n" in shown.stdout
    assert "HTTP_PROXY=\n" in shown.stdout
    assert "COSIGN_REPOSITORY=r.example/s\n" in shown.stdout
    assert "# COSIGN_REPOSITORY keeps" in shown.stdout
    told = sealgate("env", "--show-sensitive-values", "--show-descriptions=false", env=secret, check=True)
    assert f"COSIGN_PASSWORD={CANARY}\n" in told.stdout
    assert "#" not in told.stdout
    assert [line.partition("=")[0] for line in told.stdout.splitlines()] == sorted(each.name for each in VARIABLES)


def test_X10_env_shows_control_characters_escaped(sealgate):
    done = sealgate("env", env={"COSIGN_REPOSITORY": "a\x1b[2J\nCOSIGN_PASSWORD=x"}, check=True)
    assert "\x1b" not in done.stdout
    assert "COSIGN_REPOSITORY=a\\x1b[2J\\nCOSIGN_PASSWORD=x\n" in done.stdout


def test_env_has_the_names_and_the_form_of_cosign(sealgate, cosign3):
    names = re.compile(r"^([A-Z0-9_]+)=", re.MULTILINE)
    theirs = cosign3("env", "--show-descriptions=false", check=True).stdout
    ours = sealgate("env", "--show-descriptions=false", check=True).stdout
    read_by_both = {name for name in names.findall(theirs) if name.startswith("COSIGN_")} & {v.name for v in VARIABLES}
    assert len(read_by_both) >= 4
    assert read_by_both <= set(names.findall(ours))
    assert "COSIGN_PASSWORD=******" in theirs
    assert "COSIGN_PASSWORD=******" in ours


# -- version


def test_version(sealgate):
    text = sealgate("version", check=True).stdout
    assert text.splitlines()[0].split() == ["sealgate", __version__]
    found = json.loads(sealgate("version", "--json", check=True).stdout)
    assert found["sealgate"] == __version__
    assert {"python", "cryptography", "openssl", "platform"} <= found.keys()
    assert sealgate("--version", check=True).stdout == text


# -- completion


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """What bash offers for a line of words."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    script = tmp_path_factory.mktemp("completion") / "sealgate.bash"
    script.write_text(completion.bash(list(completion.commands())), encoding="utf-8")

    def run(*words):
        program = (
            'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sealgate; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            [bash, "--norc", "-u", "-c", program, "bash", str(script), *words],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return run


def test_bash_completes_commands(complete):
    assert {"sign", "verify", "env", "help"} <= complete("sealgate", "")
    assert complete("sealgate", "verify-") == {"verify-attestation", "verify-blob", "verify-blob-attestation"}
    assert complete("sealgate", "-t", "3m", "versi") == {"version"}
    assert complete("sealgate", "registry", "") == {"serve"}
    assert "sign" in complete("sealgate", "help", "si")
    assert complete("sealgate", "nonsense", "") == set()


def test_bash_completes_options_and_their_values(complete):
    assert complete("sealgate", "sign", "--recur") == {"--recursive"}
    assert {"--key", "--timeout"} <= complete("sealgate", "sign", "--")
    assert "--listen" in complete("sealgate", "registry", "serve", "--")
    assert complete("sealgate", "sign", "--format", "") == {"bundle", "legacy", "both"}
    assert complete("sealgate", "sign", "--format", "=", "l") == {"legacy"}
    assert complete("sealgate", "sign", "--format", "=") == {"bundle", "legacy", "both"}
    assert complete("sealgate", "completion", "") == {"bash", "zsh", "fish"}
    assert complete("sealgate", "sign", "--key", "") == set()  # files, by bash itself
    assert complete("sealgate", "sign", "--key", "k", "") == set()


def test_options_that_are_not_shown_are_not_offered(complete):
    assert complete("sealgate", "verify", "--slo") == set()
    assert complete("sealgate", "verify", "--trusted-r") == {"--trusted-root"}
    assert complete("sealgate", "verify", "--check-claims=") == set()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_command_and_option_is_in_every_script(shell, sealgate):
    script = sealgate("completion", shell, check=True).stdout
    found = list(completion.commands())
    assert len(found) > 15
    for command in found:
        assert (command.words.rpartition(" ")[2] if shell == "fish" else command.words) in script
        for option in command.options:
            for name in option.names:
                in_fish = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                assert (in_fish if shell == "fish" else name) in script


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_scripts_are_of_their_shells(shell, check, sealgate, tmp_path):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")
    path = tmp_path / "script"
    path.write_text(sealgate("completion", shell, check=True).stdout, encoding="utf-8")
    done = subprocess.run([program, check, str(path)], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_wrong_usage(sealgate):
    assert sealgate("completion", "powershell").returncode == 2
