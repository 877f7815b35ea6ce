"""The child process in which users' policies run: `python -I cage.py ROOT`, started by `sealgate.conditions.evaluation`.

stdin and stdout carry frames: four bytes of length, most significant first, and a JSON document. The first frame has the
limits and the policies, and is not answered; each one after it is a Statement, answered by one result a policy, or (`compile`)
a text, answered by what is wrong with it. The process ends when its input ends.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    Evaluate = Callable[[Any, int], str | None]

MESSAGE_CHARS = 400


def _read(stream: BinaryIO) -> Any:
    head = stream.read(4)
    if len(head) < 4:
        return None
    size = struct.unpack(">I", head)[0]
    body = stream.read(size)
    return json.loads(body) if len(body) == size else None


def _prepare(kept: list[Evaluate], language: str, source: str, path: str) -> None:
    """Read a policy; how it is evaluated goes to `kept`. Raises `PolicyError`."""
    from sealgate.conditions.result import PolicyError

    if language == "rego":
        from sealgate.conditions.rego import Module

        kept.append(Module(source).evaluate)
    elif language == "rego-compliant":
        from sealgate.conditions.rego import Compliance

        kept.append(Compliance(source).evaluate)
    elif language == "cel":
        from sealgate.conditions.cel import Expression

        kept.append(Expression(source).evaluate)
    elif language == "schema":
        from sealgate.conditions.schema import Schema

        kept.append(Schema(source).evaluate)
    elif language == "cue":
        from sealgate.conditions.cue import Vet

        kept.append(Vet(source, path).evaluate)
    else:  # one that says nothing would agree with everything
        raise PolicyError(f"there is no language {language[:40]!r}")


def _compile(language: str, source: str, path: str) -> list[str]:
    """What is wrong with a text (`Fault`, or `""`), and why."""
    from sealgate.conditions.result import PolicyError

    if not language:  # whether it answers
        return ["", ""]
    try:
        if language == "cue":
            from sealgate.conditions.cue import Vet

            Vet(source, path).compile()
        else:
            _prepare([], language, source, path)
    except PolicyError as error:
        return [error.fault, str(error)[:MESSAGE_CHARS]]
    except MemoryError:
        return ["invalid", "needs more memory than it may have"]
    except RecursionError:
        return ["invalid", "is nested too deep"]
    except Exception as error:  # noqa: BLE001 (an engine that fails here fails at every Statement)
        return ["invalid", f"the engine failed ({type(error).__name__})"]
    return ["", ""]


def _attempt(evaluate: Callable[[], str | None]) -> list[str]:
    """`passed`, `failed` or `error`, and the reason."""
    from sealgate.conditions.result import PolicyError

    try:
        reason = evaluate()
    except PolicyError as error:
        return ["error", str(error)[:MESSAGE_CHARS]]
    except MemoryError:
        return ["error", "needs more memory than it may have"]
    except RecursionError:
        return ["error", "is nested too deep"]
    except Exception as error:  # noqa: BLE001 (whatever an engine raises is no yes)
        return ["error", f"the engine failed ({type(error).__name__})"]
    return ["passed", ""] if reason is None else ["failed", reason[:MESSAGE_CHARS]]


def main() -> None:
    """Answer until the input ends."""
    from sealgate.conditions import walls

    answers = open(walls.silence(), "wb")  # noqa: SIM115 (open until the process ends)
    setup = _read(sys.stdin.buffer)
    policies = setup["policies"]
    walls.limit(cpu=setup["cpu"], memory=setup["memory"], files=setup["files"])
    walls.close_off(programs=setup["programs"])
    results: list[Any]
    prepared: list[Evaluate | list[str]] = []
    for language, source in policies:
        kept: list[Evaluate] = []
        said = _attempt(partial(_prepare, kept, language, source, setup["path"]))
        prepared.append(kept[0] if kept else said)
    while (asked := _read(sys.stdin.buffer)) is not None:
        if "compile" in asked:
            language, source = asked["compile"]
            results = [_compile(language, source, setup["path"]), time.process_time()]
        else:
            document, now = asked["document"], asked["now"]
            results = [each if isinstance(each, list) else _attempt(partial(each, document, now)) for each in prepared]
        body = json.dumps(results).encode()
        answers.write(struct.pack(">I", len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    # Isolated (-I): neither the working directory nor PYTHONPATH is looked at. The package is where this file is.
    sys.path[0:0] = [sys.argv[1]] if sys.argv[1] not in sys.path else []
    main()
