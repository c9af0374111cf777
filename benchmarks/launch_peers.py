"""The least that a launch service can be: `python -m benchmarks.launch_peers PORT DATAFLOW` launches what it is sent.

No records, so that a message which comes twice is launched twice; nothing is checked, nothing logged.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def app_of(dataflow: str) -> Starlette:
    """An application that makes a job of each message."""
    url = f"{dataflow}/v1b3/projects/my-project/locations/europe-west1/flexTemplates:launch"

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as session:
            app.state.session = session
            yield

    async def pubsub(request: Request) -> Response:
        message = orjson.loads(await request.body())["message"]
        parameters = orjson.loads(base64.b64decode(message["data"]))
        template = "gs://my-bucket/templates/1.0.0/api_to_bigquery.json"
        name = f"job-{message['messageId']}"
        launch = {"jobName": name, "containerSpecGcsPath": template, "parameters": parameters, "environment": {}}
        data = orjson.dumps({"launchParameter": launch})
        async with request.app.state.session.post(url, data=data) as answer:
            job = orjson.loads(await answer.read())["job"]
        return JSONResponse({"job_id": job["id"]}, 202)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [Route("/pubsub", pubsub, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(app_of(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
