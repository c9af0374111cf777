"""A server for incoming webhooks that answers as it is told to."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.servers.http_thread import HttpThread, Reply, Request

PATH = "/services/T000/B000/XXXXsecret"


class Webhook(HttpThread):
    """A server for webhooks that answers with `answers`, (status, headers, body), and then with `ok`."""

    def __init__(self, *answers: tuple[int, dict[str, str], str]) -> None:
        super().__init__()
        self.url += PATH
        self.answers = list(answers)
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.times: list[float] = []

    def reply(self, request: Request) -> Reply:
        self.times.append(time.monotonic())
        self.posts.append((request.path, json.loads(request.body)))
        status, headers, text = self.answers.pop(0) if self.answers else (200, {}, "ok")
        return status, headers, text.encode()
