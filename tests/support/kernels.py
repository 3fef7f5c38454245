"""A real kernel, spoken to as a front end does: messages in, messages out."""

from __future__ import annotations

import os
import queue
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.support.patience import PATIENCE

Message = dict[str, Any]


@dataclass
class Cell:
    """What a cell did: its reply, and every message on iopub that belongs to it."""

    reply: Message
    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.reply["content"]["status"])

    def of(self, kind: str) -> list[Message]:
        """The contents of the messages of one type, in order."""
        return [each["content"] for each in self.messages if each["msg_type"] == kind]

    @property
    def stdout(self) -> str:
        return "".join(content["text"] for content in self.of("stream"))

    @property
    def error(self) -> str:
        """The traceback as it is shown; '' where the cell ended well."""
        return "\n".join("\n".join(content["traceback"]) for content in self.of("error"))

    @property
    def shown(self) -> list[Mapping[str, str]]:
        """The displays as they stand at the end, updates applied, in order.

        Updates of another cell's display are left out: with ipykernel 6 a background run's come as
        messages of the cell that happens to run.
        """
        displays: dict[object, Mapping[str, str]] = {}
        for number, message in enumerate(self.messages):
            kind, content = message["msg_type"], message["content"]
            key = content.get("transient", {}).get("display_id", number)
            if kind in ("display_data", "execute_result") or (
                kind == "update_display_data" and key in displays
            ):
                displays[key] = content["data"]
        return list(displays.values())


class Kernel:
    """A running kernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self._early: list[Message] = []

    def send(self, code: str, *, person: bool = True, page: bool = True) -> str:
        """Queue a cell as JupyterLab does; its message id. Without a `page` it is sent as
        jupyter_client's own front ends do, without a `person` as nbclient, which has nobody to be
        asked for input."""
        if not (person and page):
            return str(self.client.execute(code, allow_stdin=person))
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True}
        content |= {"user_expressions": {}, "stop_on_error": True}
        cell = {"cellId": str(uuid.uuid4()), "deletedCells": [], "recordTiming": False}
        message = self.client.session.msg("execute_request", content, metadata=cell)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def run(
        self, code: str, timeout: float = PATIENCE, *, person: bool = True, page: bool = True
    ) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.send(code, person=person, page=page), timeout)

    def finish(self, msg_id: str, timeout: float = PATIENCE) -> Cell:
        """Everything of a queued cell, until its reply is there and the kernel is idle after it."""
        cell = Cell(reply={})
        for message in self.watch(msg_id, timeout):
            cell.messages.append(message)
        cell.reply = self._reply(msg_id, timeout)
        return cell

    def watch(self, msg_id: str, timeout: float = PATIENCE) -> Iterator[Message]:
        """The cell's messages on iopub as they come, until the kernel is idle after it."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._next(msg_id, deadline - time.monotonic())
            yield message
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    def press(self, button: str) -> None:
        """Click on the button of this comm, as a page does."""
        data = {"method": "custom", "content": {"event": "click"}}
        click = self.client.session.msg("comm_msg", {"comm_id": button, "data": data})
        self.client.shell_channel.send(click)

    def until(self, condition: str) -> None:
        """Until this is true in the kernel, which is asked again and again."""
        try:
            cell = self.run(
                f"import asyncio\nwhile not ({condition}):\n    await asyncio.sleep(0.01)"
            )
        except queue.Empty:  # it would ask for ever, and the next test's cells wait behind it
            self.manager.interrupt_kernel()
            raise
        assert cell.status == "ok", cell.error

    def value(self, expression: str) -> str:
        """The repr of an expression in the kernel."""
        msg_id = self.client.execute("", user_expressions={"x": expression}, store_history=False)
        cell = self.finish(msg_id)
        found = cell.reply["content"]["user_expressions"]["x"]
        return str(found["data"]["text/plain"] if found["status"] == "ok" else found["evalue"])

    def _next(self, msg_id: str, timeout: float) -> Message:
        for place, early in enumerate(self._early):
            if early["parent_header"].get("msg_id") == msg_id:
                return self._early.pop(place)
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") == msg_id:
                return message
            self._early.append(message)

    def _reply(self, msg_id: str, timeout: float) -> Message:
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == msg_id:
                return reply


@contextmanager
def kernel(env: Mapping[str, str] | None = None, first: str = "") -> Iterator[Kernel]:
    """A kernel of this environment with these variables beside the usual ones; `first` is run in it."""
    with tempfile.TemporaryDirectory() as folder, _started(folder, env or {}) as running:
        if first:
            cell = running.run(first)
            assert cell.status == "ok", cell.error
        yield running


@contextmanager
def _started(folder: str, env: Mapping[str, str]) -> Iterator[Kernel]:
    # Sockets in a folder: over TCP ipykernel warns of eavesdroppers, and ports can be taken.
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
    manager.start_kernel(env={**os.environ, **env})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


__all__ = ["Cell", "Kernel", "kernel"]
