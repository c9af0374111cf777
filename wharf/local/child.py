"""Runs a module as a child that never outlives its parent: `child.py PARENT_PID MODULE [ARGUMENT ...]`.

It is started as a file and imports the standard library only, so that it works from any directory.
Watching the parent's id is what every POSIX system can do; it covers `kill -9`, where no handler runs.
"""

import os
import runpy
import sys
import threading
import time


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)  # At once: an orderly exit could wait for clients, and the data is on disk after each commit.


def main() -> None:
    parent, module, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with, args=[int(parent)], daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
