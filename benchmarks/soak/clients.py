"""Clients of the server, by the hundred in one process: some wait when they are told to, some do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import anyio

_ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        headers: names in lower case.
    """

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Told:
    """What clients were told.

    Attributes:
        counts: by status, or "cut off" for connections that ended without an answer.
        wrong: what should not have been, a line for each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def head_of(method: str, path: str, length: int) -> bytes:
    """Write the head of a request with a picture of so many bytes."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes = b""
) -> Answer:
    """Ask over a connection, and read the answer.

    Raises:
        ConnectionError: the connection has ended.
    """
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    try:
        with anyio.fail_after(_ANSWER_SECONDS):
            raw = await reader.readuntil(b"\r\n\r\n")
            lines = raw.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            content = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        raise ConnectionResetError from None
    return Answer(int(lines[0].split()[1]), headers, content)


class Client:
    """A client that asks for labels of pictures, one after the other, over a connection that it keeps.

    Args:
        pictures: files, and the labels PNG that each must be answered with.
        patient: whether it waits as long as Retry-After says.
    """

    def __init__(self, port: int, pictures: Sequence[tuple[bytes, bytes]], told: Told, *, patient: bool) -> None:
        self._port, self._pictures, self._told, self._patient = port, pictures, told, patient

    async def run(self, number: int, until: float) -> None:
        """Ask until a time of the event loop."""
        loop = asyncio.get_running_loop()
        connection = None
        while loop.time() < until:
            file, expected = self._pictures[number % len(self._pictures)]
            number += 1
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self._port)
                answer = await ask(*connection, "POST", "/predict?format=labels", file)
            except (OSError, TimeoutError):
                self._told.counts["cut off"] += 1
                if connection:
                    connection[1].close()
                connection = None
                await asyncio.sleep(0.05)
                continue
            self._judge(answer, expected)
            if answer.status == 503 and self._patient:
                await asyncio.sleep(min(float(answer.headers.get("retry-after", "1")), max(0, until - loop.time())))
            if answer.headers.get("connection") == "close":
                connection[1].close()
                connection = None
        if connection:
            connection[1].close()

    def _judge(self, answer: Answer, expected: bytes) -> None:
        self._told.counts[str(answer.status)] += 1
        if answer.status == 200:
            if answer.body != expected:
                self._told.wrong.append("other labels than atonce.load gives")
            return
        if answer.status != 503:
            self._told.wrong.append(f"status {answer.status}: {answer.body[:200]!r}")
            return
        if not answer.headers.get("retry-after", "").isdigit():
            self._told.wrong.append("a refusal without Retry-After")
        try:
            fine = list(json.loads(answer.body)) == ["error"]
        except ValueError:
            fine = False
        if not fine:
            self._told.wrong.append(f"a refusal that is no JSON: {answer.body[:200]!r}")


async def silent(port: int, until: float) -> None:
    """Open a connection and say nothing; when it is closed, open another."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer), anyio.move_on_after(max(0.0, until - loop.time())):
                await reader.read()


async def slow(port: int, file: bytes, until: float) -> None:
    """Send a picture a byte at a time."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(head_of("POST", "/predict", len(file)))
                for byte in file:
                    if loop.time() > until:
                        break
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.2)


async def deaf(port: int, file: bytes, until: float) -> None:
    """Ask for the largest answer there is, and take nothing of it."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            with closing(writer):
                writer.write(head_of("POST", "/predict?format=probabilities", len(file)) + file)
                await writer.drain()
                await asyncio.sleep(min(20.0, max(0.0, until - loop.time())))


async def probe(port: int, told: Told, until: float) -> None:
    """Ask for the health twice a second over new connections, as a supervisor does that kills what does not answer."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        began = loop.time()
        try:
            with anyio.fail_after(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                with closing(writer):
                    answer = await ask(reader, writer, "GET", "/healthz")
            told.counts[f"health {answer.status}"] += 1
            if answer.status != 200:
                told.wrong.append(f"the health check got {answer.status}")
        except (OSError, TimeoutError) as error:
            told.wrong.append(f"the health check got no answer ({type(error).__name__}, {loop.time() - began:.1f} s)")
        await asyncio.sleep(0.5)
