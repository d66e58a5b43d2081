"""What changes Komodo: configure a stack, deploy, restart, take it down. For the reconciler alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.komodo.reading import Reader, Stack, Update, read
from reconciler.komodo.wire import Secret, Wire


class KomodoApi(Reader):
    """Looks at one Komodo and changes it. An `Update` that comes back is only begun, whatever the status of HTTP."""

    def __init__(self, url: str, key: Secret, secret: Secret, *, ca_file: Path | None = None) -> None:
        super().__init__(Wire(url, key, secret, ca_file=ca_file))

    def create(self, name: str, config: Mapping[str, Any]) -> Stack:
        return self._write("CreateStack", {"name": name, "config": config}, Stack)

    def configure(self, id: str, config: Mapping[str, Any]) -> Stack:
        return self._write("UpdateStack", {"id": id, "config": config}, Stack)

    def delete(self, id: str) -> Stack:
        return self._write("DeleteStack", {"id": id}, Stack)

    def deploy(self, stack: str, services: list[str]) -> Update:
        """Deploy a stack, or only these services of it."""
        return self._execute("DeployStack", {"stack": stack, "services": services, "stop_time": None})

    def restart(self, stack: str, services: list[str]) -> Update:
        return self._execute("RestartStack", {"stack": stack, "services": services})

    def destroy(self, stack: str) -> Update:
        """Take its containers and networks away; volumes stay."""
        params = {"stack": stack, "services": [], "remove_orphans": False, "stop_time": None}
        return self._execute("DestroyStack", params)

    def _write(self, request: str, params: Mapping[str, Any], shape: type[Stack]) -> Stack:
        return read(self._wire.call("write", request, params), shape, f"{self.url}: {request}")

    def _execute(self, request: str, params: Mapping[str, Any]) -> Update:
        return read(self._wire.call("execute", request, params), Update, f"{self.url}: {request}")
