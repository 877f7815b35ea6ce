"""Where the embedded registry listens, whom it lets in, and the command that starts and stops it."""

import builtins
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bcrypt
import pytest

from peers.images import Client, push_image
from sealgate.errors import SealgateError, UsageError
from sealgate.oci.server import serve_in_thread
from sealgate.oci.server.htpasswd import Passwords

SECRET = "a canary called Ferdinand"


@pytest.fixture
def htpasswd(tmp_path):
    path = tmp_path / "htpasswd"
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(rounds=4))
    long = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(rounds=4))
    path.write_bytes(b"# users\n\nsomeone:" + hashed.replace(b"$2b$", b"$2y$") + b"\nlong:" + long + b"\n")
    return path


@pytest.fixture
def tls(authority):
    issued = authority.issue("127.0.0.1", "localhost")
    return {"tls_cert": str(issued.certificate), "tls_key": str(issued.key)}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "127.0.0.2:0"])
def test_loopback_needs_nothing(tmp_path, listen):
    with serve_in_thread(tmp_path / "registry", listen=listen) as host:
        assert host.startswith("127.0.0.")
        assert Client(host).request("GET", "/v2/").status == 200
    with pytest.raises(OSError, match="refused"):
        Client(host).request("GET", "/v2/")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", ":0", "[::]:0"])
@pytest.mark.parametrize("given", ["nothing", "users", "tls"])
def test_others_can_reach_it_only_with_tls_and_users(tmp_path, htpasswd, tls, listen, given):
    if listen == "[::]:0" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    both = {"htpasswd": str(htpasswd), **tls}
    some = {"nothing": {}, "users": {"htpasswd": str(htpasswd)}, "tls": tls}[given]
    with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path / "registry", listen=listen, **some):
        pass
    assert caught.value.code == "usage"
    assert "--htpasswd" in caught.value.hint
    assert not (tmp_path / "registry").exists()
    with serve_in_thread(tmp_path / "registry", listen=listen, **both):
        pass


@pytest.mark.parametrize(
    "listen", ["", "5000", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "no such name:1", "300.1.1.1:1"]
)
def test_addresses_that_are_none(tmp_path, listen):
    with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path, listen=listen):
        pass
    assert caught.value.code == "usage"


def test_an_address_that_is_taken(tmp_path):
    with serve_in_thread(tmp_path / "a") as host:
        with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path / "b", listen=host):
            pass
        assert caught.value.code == "usage"
        assert Client(host).request("GET", "/v2/").status == 200


# -- users


def test_users(tmp_path, htpasswd):
    with serve_in_thread(tmp_path / "registry", htpasswd=str(htpasswd)) as host:
        for auth in (None, ("someone", "wrong"), ("nobody", SECRET), ("someone", ""), ("someone", SECRET + "\0")):
            refused = Client(host, auth=auth).request("GET", "/v2/")
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Basic realm=")
            assert json.loads(refused.body)["errors"][0]["code"] == "UNAUTHORIZED"
        for _ in range(2):
            assert Client(host, auth=("someone", SECRET)).request("GET", "/v2/").status == 200
        for header in ("Basic", "Basic !!", "Bearer abc", "Basic " + "QQ" * 100, "Basic /w=="):
            assert Client(host).request("GET", "/v2/", headers={"Authorization": header}).status == 401
        assert Client(host, auth=("long", "x" * 72)).request("GET", "/v2/").status == 200
        assert Client(host, auth=("long", "x" * 73)).request("GET", "/v2/").status == 401
        assert push_image(host, auth=("someone", SECRET)).digest


@pytest.mark.parametrize(
    "line",
    [
        "someone",
        "someone:secret",
        "someone:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        ":x",
        "someone:$2y$31$" + "a" * 53,
        "",
        "\xff",
    ],
)
def test_files_that_are_no_htpasswd(tmp_path, htpasswd, line):
    Passwords.read(str(htpasswd))
    htpasswd.write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path / "registry", htpasswd=str(htpasswd)):
        pass
    assert caught.value.code == "usage"
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_a_user_twice_and_a_file_that_is_missing(htpasswd):
    lines = htpasswd.read_bytes()
    htpasswd.write_bytes(lines + lines)
    for path in (htpasswd, htpasswd.with_name("none")):
        with pytest.raises(UsageError) as caught:
            Passwords.read(str(path))
        assert caught.value.code == "usage"


# -- TLS


def test_tls(tmp_path, authority, tls):
    with serve_in_thread(tmp_path / "registry", **tls) as host:
        assert Client(host, ca=authority.certificate).request("GET", "/v2/").status == 200
        image = push_image(host, ca=authority.certificate)
        assert Client(host, ca=authority.certificate).get_manifest("test/image", "latest").body == image.raw


def test_certificates_that_are_none(tmp_path, tls):
    (tmp_path / "junk").write_text("junk")
    for wrong in (
        {"tls_cert": tls["tls_cert"]},
        {"tls_key": tls["tls_key"]},
        {**tls, "tls_key": str(tmp_path / "junk")},
        {**tls, "tls_cert": str(tmp_path / "none")},
    ):
        with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path / "registry", **wrong):
            pass
        assert caught.value.code == "usage"


# -- what it is given


def test_directories_that_cannot_be_served(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "layout!").mkdir()
    (tmp_path / "layout!/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for directory, options, expected in (
        (tmp_path / "file", {}, "layout-invalid"),
        (tmp_path / "none", {"read_only": True}, "usage"),
        (tmp_path / "layout!", {}, "usage"),
        (tmp_path / "new", {"repository": "a"}, "usage"),
    ):
        with pytest.raises(SealgateError) as caught, serve_in_thread(directory, **options):
            pass
        assert caught.value.code == expected
    with serve_in_thread(tmp_path / "layout!", repository="a"):
        pass


@pytest.mark.parametrize("package", ["uvicorn", "starlette", "uvloop", "httptools", "bcrypt"])
def test_a_package_that_is_not_installed(tmp_path, monkeypatch, package):
    real = builtins.__import__

    def without(name, *args, **more):
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught, serve_in_thread(tmp_path):
        pass
    assert caught.value.code == "usage"
    assert package in caught.value.message
    assert "sealgate[server]" in caught.value.hint


# -- the command


@contextlib.contextmanager
def command(sealgate, directory, *options):
    """`sealgate registry serve`; gives the process and where it listens."""
    port = directory.with_name("port")
    port.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sealgate.path, "registry", "serve", directory, "--listen", "127.0.0.1:0", "--port-file", port, *options],
        env=sealgate.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        ends = time.monotonic() + 30
        while not port.exists() and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.02)
        yield process, f"127.0.0.1:{port.read_text().strip()}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_stops_cleanly(sealgate, tmp_path, number):
    with command(sealgate, tmp_path / "registry") as (process, host):
        image = push_image(host)
        assert (tmp_path / "registry/.uploads").exists()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"")
    assert f"http://{host}" in err.decode()
    assert "laptops, tests and air-gapped sites" in err.decode()
    assert "Traceback" not in err.decode()
    assert sorted(os.listdir(tmp_path / "registry")) == ["test"]
    with command(sealgate, tmp_path / "registry", "--read-only", "--no-referrers-api", "--verbose") as (process, host):
        assert Client(host).get_manifest("test/image", "latest").body == image.raw
        assert Client(host).request("GET", f"/v2/test/image/referrers/{image.digest}").status == 404
        assert Client(host).request("DELETE", f"/v2/test/image/manifests/{image.digest}").status == 405
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "200 GET /v2/test/image/manifests/latest" in err.decode()


def test_the_command_stops_although_a_client_holds_on(sealgate, tmp_path):
    import http.client

    with command(sealgate, tmp_path / "registry") as (process, host):
        connection = http.client.HTTPConnection(host)
        connection.request("GET", "/v2/")
        connection.getresponse().read()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        connection.close()
    assert process.returncode == 0


def test_wrong_use_of_the_command(sealgate, tmp_path):
    for options in (["--listen", "0.0.0.0:0"], ["--tls-cert", "x"], ["--unknown"]):
        done = sealgate("registry", "serve", tmp_path / "registry", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.rstrip().count("[usage]") == 1
    assert sealgate("registry").returncode == 2
    shown = sealgate("registry", "serve", "--help")
    assert shown.returncode == 0
    assert "--htpasswd" in shown.stdout


def test_importing_the_room_costs_no_server():
    program = (
        "import sys, sealgate.oci.layout; print([n for n in ('uvicorn', 'starlette', 'asyncio') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
