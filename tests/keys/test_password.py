"""Where passwords come from."""

import io

import pytest

from sealgate import limits
from sealgate.errors import PasswordError
from sealgate.keys.password import PasswordSource

CANARY = "canary-4fa1c0ffee"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Pipe:
    """A stdin of bytes, as a pipe is one."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)

    def isatty(self):
        return False


def source(environ=None, stdin=None, answers=()):
    asked = []
    left = list(answers)

    def prompt(question):
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    return PasswordSource(environ=environ or {}, stdin=stdin, prompt=prompt), asked


@pytest.mark.parametrize("value", ["pw", "", "pässwörd\n"])
def test_the_variable_wins_even_when_empty(value):
    made, asked = source({"COSIGN_PASSWORD": value}, Terminal(), ["other"])
    assert made.read() == made.read_new() == value.encode()
    assert not asked


def test_a_person_is_asked_once_to_read_and_twice_to_make():
    made, asked = source(stdin=Terminal(), answers=["pw"])
    assert made.read() == made.read() == b"pw"
    assert asked == ["Enter password for private key: "]
    made, asked = source(stdin=Terminal(), answers=["pw", "pw"])
    assert made.read_new() == b"pw"
    assert asked == ["Enter password for private key: ", "Enter password for private key again: "]


def test_two_passwords_that_differ_are_refused_and_not_shown():
    made, _ = source(stdin=Terminal(), answers=[CANARY, CANARY + "x"])
    with pytest.raises(PasswordError) as caught:
        made.read_new()
    assert caught.value.message == "passwords do not match"
    assert CANARY not in repr(made) + repr(caught.value)


@pytest.mark.parametrize("data", [b"pw", b"pw\n", b"", b"\xff\n\n"])
def test_all_of_a_pipe_is_the_password(data):
    made, asked = source(stdin=Pipe(data), answers=["other"])
    assert made.read() == made.read() == data
    assert not asked


def test_an_endless_pipe_and_nobody_to_ask_are_errors():
    class Endless(Pipe):
        def __init__(self):
            self.buffer = self

        def read(self, size):
            return b"x" * size

    for stdin, word in ((Endless(), str(limits.PASSWORD_BYTES)), (None, "no stdin"), (Terminal(), "no password")):
        made, _ = source(stdin=stdin)
        with pytest.raises(PasswordError) as caught:
            made.read()
        assert word in caught.value.message


def test_a_closed_stdin_is_an_error():
    stdin = io.StringIO("pw")
    made, _ = source(stdin=stdin)
    assert made.read() == b"pw"
    closed = Pipe(b"pw")
    closed.buffer.close()
    made, _ = source(stdin=closed)
    with pytest.raises(PasswordError):
        made.read()
