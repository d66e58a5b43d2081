"""A web application without a network: one request at a time, straight into it, from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote


class Application:
    """An application with its lifespan begun. Whatever it raises comes out of `ask`."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._life = self._loop.create_task(self._alive())
        self._loop.run_until_complete(asyncio.sleep(0.01))

    async def _alive(self) -> None:
        async with self._app.router.lifespan_context(self._app):
            await self._ending.wait()

    def wait(self, seconds: float) -> None:
        """Let it do what it does when nobody asks."""
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii", "replace"),
            "query_string": query.encode("ascii", "replace"),
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 9100),
        }
        return self._loop.run_until_complete(self._answer(scope, body))

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, bytes]:
        given, said, status = [body], bytearray(), 0
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if given:
                return {"type": "http.request", "body": given.pop(), "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                said.extend(message.get("body", b""))
                if not message.get("more_body"):
                    over.set()

        await self._app(scope, receive, send)
        return status, bytes(said)

    def close(self) -> None:
        self._ending.set()
        self._loop.run_until_complete(self._life)
        self._loop.run_until_complete(_ended())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _ended() -> None:
    """What libraries left running in this loop is over."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@contextlib.contextmanager
def running(app: Any) -> Iterator[Application]:
    application = Application(app)
    try:
        yield application
    finally:
        application.close()
