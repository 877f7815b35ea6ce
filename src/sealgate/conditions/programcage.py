"""The child process in which programs run (`programs`): `python -I programcage.py ROOT`.

The first frame has the limits and is not answered. Each one after it names a program, brings it along if it is new, and asks
one question, which is answered by one frame. The process ends when its input ends.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sealgate.conditions.celprogram import Compiled

PROGRAMS = 4096
"""Programs that are kept; a process with more is replaced."""


def _read() -> Any:
    stream = sys.stdin.buffer
    head = stream.read(4)
    if len(head) < 4:
        return None
    size = struct.unpack(">I", head)[0]
    body = stream.read(size)
    return json.loads(body) if len(body) == size else None


def _answer(kept: dict[str, Compiled], asked: dict[str, Any]) -> dict[str, Any]:
    from sealgate.conditions.celprogram import Compiled, ExpressionError

    key = asked["key"]
    try:
        found = kept.get(key)
        if found is None:
            found = kept[key] = Compiled(asked["program"])
        return found.answer(asked["question"])
    except ExpressionError as error:
        return {"error": [error.where, str(error)[:1000], error.unsupported]}
    except MemoryError:
        return {"error": ["", "needs more memory than it may have", False]}
    except RecursionError:
        return {"error": ["", "is nested too deep", False]}
    except Exception as error:  # noqa: BLE001 (whatever an engine raises is no yes)
        return {"error": ["", f"the engine failed ({type(error).__name__})", False]}


def main() -> None:
    """Answer until the input ends."""
    from sealgate.conditions import walls

    answers = open(walls.silence(), "wb")  # noqa: SIM115 (open until the process ends)
    setup = _read()
    from sealgate.conditions import celprogram  # noqa: F401 (what it imports is opened before the walls stand)

    walls.limit(cpu=setup["cpu"], memory=setup["memory"], files=setup["files"])
    walls.close_off(programs=False)
    kept: dict[str, Compiled] = {}
    while (asked := _read()) is not None:
        found = _answer(kept, asked)
        found |= {"cpu": time.process_time(), "full": len(kept) > PROGRAMS, "kept": asked["key"] in kept}
        body = json.dumps(found).encode()
        answers.write(struct.pack(">I", len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    # Isolated (-I): neither the working directory nor PYTHONPATH is looked at. The package is where this file is.
    sys.path[0:0] = [sys.argv[1]] if sys.argv[1] not in sys.path else []
    main()
