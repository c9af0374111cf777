"""What is answered where something is wrong: one JSON object, never a stack trace."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from wharf.launch.service.logs import REQUEST
from wharf.model.errors import UsageError

_LONGEST = 2_000  # characters of what a caller sent are enough to tell it by
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What is wrong, and the id under which the logs tell more."""

    error: str = Field(examples=["period: '2025-3' is not a month: write yyyyMM, such as 202503"])
    field: str | None = Field(None, description="The field of the body that must be mended", examples=["period"])
    request_id: str = Field(examples=["5f1c2b7d9e3a4860"])


class Refusal(Exception):
    """Ends a request with `status` and what is wrong, for the caller to read."""

    def __init__(self, status: int, text: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, dict(headers or {})
        self.text, self.field = _shortened(text), _shortened(field)

    @classmethod
    def of(cls, error: UsageError) -> Refusal:
        """What is wrong with a request; where the text begins with the name of a field, it is in that one."""
        field = re.match(r"([a-z_]+): ", str(error))
        return cls(400, str(error), field=field[1] if field else "")


def answer(refusal: Refusal) -> JSONResponse:
    """`refusal` as a `Problem`, which the logs tell of too.

    An ERROR calls somebody out of bed (deploy/terraform/monitoring.tf). What is tried again does not: if it never
    succeeds, the dead letters and the schedule that gives up will.
    """
    level = logging.ERROR if refusal.status >= 500 and refusal.status != 503 else logging.WARNING
    _log.log(level, "%s: %s", refusal.status, refusal.text)
    request = REQUEST.get()
    content = {"error": refusal.text, "field": refusal.field, "request_id": request.id if request else ""}
    return JSONResponse(
        {name: value for name, value in content.items() if value or name != "field"},
        status_code=refusal.status,
        headers=refusal.headers,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
