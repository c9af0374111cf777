"""What arrives: JSON, read strictly, and the envelope that Pub/Sub pushes a message in.

https://cloud.google.com/pubsub/docs/push#receive_push
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from wharf.launch.service.problems import Refusal
from wharf.model.json_document import DocumentError, parse, shown


class PubSubMessage(BaseModel):
    """One message; Pub/Sub sends more fields than are of use here."""

    model_config = ConfigDict(populate_by_name=True)

    message_id: str = Field(alias="messageId", min_length=1, max_length=256, examples=["2070443601311540"])
    data: str = Field("", description="base64", examples=["eyJyb3V0ZSI6ICIvZXhwb3J0In0="])
    attributes: dict[str, str] = Field({}, examples=[{"route": "/export"}])
    publish_time: AwareDatetime | None = Field(None, alias="publishTime", examples=["2025-03-02T02:00:00.123Z"])

    def document(self) -> dict[str, Any]:
        """The JSON object in `data`; empty where there is none. Raises: Refusal."""
        try:
            data = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refusal(400, "message.data is not base64", field="message.data") from error
        return document(data, "message.data") if data else {}


class Push(BaseModel):
    """What Pub/Sub posts."""

    message: PubSubMessage
    subscription: str = Field("", examples=["projects/my-project/subscriptions/wharf-requests"])


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings; empty if it brings nothing.

    Raises: Refusal.
    """
    data = await request.body()
    if not data:
        return {}
    # Only what a browser sends to no other site unasked (Fetch standard, 2.2.2); Cloud Scheduler says octet-stream.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/(json|[a-z0-9.-]+\+json|octet-stream)", kind):
        raise Refusal(415, f"the body is {kind or 'of no stated type'}: send Content-Type: application/json")
    return document(data)


def pushed(body: Mapping[str, Any]) -> PubSubMessage:
    """The message in Pub/Sub's envelope.

    Raises: Refusal.
    """
    try:
        return Push.model_validate(body).message
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Refusal(400, f"{place}: {first['msg']}; is this Pub/Sub's envelope?", field=place) from None


def document(data: bytes, what: str = "the body") -> dict[str, Any]:
    """The JSON object that `data` is, without keys that come twice; `what` is for the error.

    Raises: Refusal.
    """
    try:
        found, repeated = parse(data.decode(), what)
    except UnicodeDecodeError:
        raise Refusal(400, f"{what}: is not text in UTF-8") from None
    except DocumentError as error:
        raise Refusal(400, str(error)) from None
    try:
        # JSON can escape one half of a surrogate pair, which no API, log or URL takes.
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refusal(400, f"{what}: holds half a character") from None
    if repeated:
        raise Refusal(400, f"{what}: {shown(repeated[0])} is given more than once", field=shown(repeated[0]))
    return found
