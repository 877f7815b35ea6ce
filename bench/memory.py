"""Runs a command and writes its seconds and its peak memory, in MiB, to a file: `memory.py FILE COMMAND …`.

A process of its own, and a small one: a child's peak memory begins with that of whoever forks it.
"""

import os
import signal
import sys
import time

began = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write(f"[{seconds}, {usage.ru_maxrss / 1024}]")
sys.exit(os.waitstatus_to_exitcode(status))
