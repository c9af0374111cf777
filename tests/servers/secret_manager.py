"""A server that speaks what Wharf uses of Secret Manager, `:access` and `:addVersion`, with named faults.

    SecretManager      answers from `secrets`, {"projects/p/secrets/s": [payload of version 1, of version 2, ...]}
    +- Damages         a payload that does not fit its checksum
    +- Refuses         `code` with Google's error body, for the first `times` requests
    +- SendsNoChecksum a payload alone

https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/addVersion
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import google_crc32c

from tests.servers.http_thread import HttpThread, Reply, Request


class SecretManager(HttpThread):
    def __init__(self, secrets: dict[str, list[bytes]]) -> None:
        super().__init__()
        self.secrets = secrets
        self.requests: list[str] = []

    def reply(self, request: Request) -> Reply:
        resource = request.path.split("?")[0].removeprefix("/v1/")
        is_new = request.method == "POST"
        code, found = self.add(resource, json.loads(request.body)) if is_new else self.answer(resource)
        return code, {"Content-Type": "application/json"}, json.dumps(found).encode()

    def answer(self, resource: str) -> tuple[int, dict[str, Any]]:
        """A request's resource -> HTTP status and body."""
        self.requests.append(resource)
        match = re.fullmatch(r"(projects/[^/]+/secrets/[^/]+)/versions/(latest|\d+):access", resource)
        versions = self.secrets.get(match[1], []) if match else []
        number = 0
        if match:
            number = len(versions) if match[2] == "latest" else int(match[2])
        if not 1 <= number <= len(versions):
            return error(404, "NOT_FOUND")
        name = resource.rsplit("/", 1)[0] + f"/{number}"
        return 200, {"name": name, "payload": self.payload(versions[number - 1])}

    def add(self, resource: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A new version -> HTTP status and body."""
        self.requests.append(resource)
        name, colon, method = resource.partition(":")
        if name not in self.secrets or (colon, method) != (":", "addVersion"):
            return error(404, "NOT_FOUND")
        data = base64.b64decode(body["payload"]["data"])
        if int(body["payload"].get("dataCrc32c", google_crc32c.value(data))) != google_crc32c.value(data):
            return error(400, "INVALID_ARGUMENT")
        self.secrets[name].append(data)
        return 200, {"name": f"{name}/versions/{len(self.secrets[name])}", "state": "ENABLED"}

    def payload(self, data: bytes) -> dict[str, str]:
        checksum = str(google_crc32c.value(data))
        return {"data": base64.b64encode(data).decode(), "dataCrc32c": checksum}


class Damages(SecretManager):
    def payload(self, data: bytes) -> dict[str, str]:
        return super().payload(data) | {"data": base64.b64encode(data[:-1] + b"?").decode()}


class SendsNoChecksum(SecretManager):
    def payload(self, data: bytes) -> dict[str, str]:
        return {"data": base64.b64encode(data).decode()}


class Refuses(SecretManager):
    def __init__(self, secrets: dict[str, list[bytes]], *, code: int, status: str, times: int = 1_000_000) -> None:
        super().__init__(secrets)
        self._code, self._status, self._times = code, status, times

    def answer(self, resource: str) -> tuple[int, dict[str, Any]]:
        found = super().answer(resource)
        return error(self._code, self._status) if len(self.requests) <= self._times else found


def error(code: int, status: str) -> tuple[int, dict[str, Any]]:
    return code, {"error": {"code": code, "message": f"the server says {status}", "status": status}}
