"""Endpoints that act on the model in memory and on the server itself."""

from __future__ import annotations

import asyncio

from starlette.responses import PlainTextResponse, Response

from modules.api.replies import Reply
from modules.api.services import ApiServices


class Control:
    """Unloading, loading, stopping."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    async def unload_checkpoint(self) -> Reply:
        """Take the model off the device; it stays the current one."""
        await asyncio.wrap_future(self._services.queue.call(self._services.unload_checkpoint, "unload"))
        return Reply({})

    async def reload_checkpoint(self) -> Reply:
        """Put the current model on the device."""
        await asyncio.wrap_future(self._services.queue.call(self._services.reload_checkpoint, "reload"))
        return Reply({})

    async def stop(self) -> Response:
        """Stop the server in good order."""
        self._services.state.server_command = "stop"
        return PlainTextResponse("Stopping.")

    async def restart(self) -> Response:
        """Stop the server and start it again, where whatever started it can do that."""
        if not self._services.restartable:
            return Response(status_code=501)
        self._services.state.request_restart()
        return PlainTextResponse("Restarting.")

    async def kill(self) -> Response:
        """End the process at once."""
        self._services.kill(0)
        return Response(status_code=204)
