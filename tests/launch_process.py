"""Launches in a process of its own, which a test may kill: `python -m tests.launch_process DATAFLOW STORAGE TIMES KEY`.

Asks TIMES at once for the same run and prints the answers, a JSON line each. KEY may be empty.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from tests.launches import MARCH, launch_config
from wharf.connectors.endpoints import Endpoints
from wharf.connectors.launcher import Launcher


async def main(dataflow: str, storage: str, times: str, key: str) -> None:
    async with Launcher(launch_config(), Endpoints(dataflow=dataflow, storage=storage)) as launcher:
        print("ready", flush=True)
        sys.stdin.readline()
        launches = [launcher.launch(replace(MARCH, key=key)) for _ in range(int(times))]
        for launched in await asyncio.gather(*launches):
            print(json.dumps(launched._asdict()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
