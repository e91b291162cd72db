# SPDX-License-Identifier: Apache-2.0
"""Bodies are bounded before they are read."""

import json
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY_BYTES: Final = 1024 * 1024
"""A logo of 512 kB in base64, and room for the rest."""

REFUSAL: Final = json.dumps(
    {
        "error": {
            "code": "RequestEntityTooLarge",
            "message": f"The body may have at most {LARGEST_BODY_BYTES} bytes.",
            "details": [{"code": "body_too_large", "message": "The body is too large."}],
            "innerError": {},
        }
    }
).encode()


class BodyLimit:
    """Answers 413 in Graph's form when more is announced or sent than is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as long as its body is within the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or int(announced) > LARGEST_BODY_BYTES:
            await _refuse(send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > LARGEST_BODY_BYTES:
                await _refuse(send)
                return
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, again, send)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(REFUSAL)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})
