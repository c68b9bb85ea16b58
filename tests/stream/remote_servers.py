"""Real servers on loopback for the tests of fetching: HTTP that misbehaves by plan, alone or in front of a real S3 server."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mmcs.stream.remote import Access, Fetcher

CONTENT = random.Random(0).randbytes(300_000)
QUICK = Access(timeout=0.5, retries=4)

#: How an answer can go wrong: nothing comes; one byte, then nothing; half, then the end; an error of the server's.
FAULTS = ("stall", "byte", "cut", "500", "503")


class Server:
    """Serves ``files`` (path → bytes), or what ``upstream`` (host:port) answers.

    ``plan(number of the request for content)`` names what goes wrong with it, "" for nothing. ``asked`` lists (method,
    path, Range) of all requests. ``ranges``, ``lengths``, ``heads`` say what the server can do.
    """

    def __init__(self, files: dict[str, bytes] | None = None, upstream: str = "") -> None:
        self.files = files or {}
        self.upstream = upstream
        self.plan: Callable[[int], str] = lambda _: ""
        self.asked: list[tuple[str, str, str]] = []
        self.ranges = self.lengths = self.heads = True
        self.etag = '"1"'
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.url = ""

    @property
    def gets(self) -> int:
        return sum(method == "GET" for method, _, _ in self.asked)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(_Handler):
        pass

    Handler.ours = server
    with _Listening(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listening.shutdown()
            thread.join()


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Clients hang up here on purpose."""


class _Handler(BaseHTTPRequestHandler):
    ours: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        ours, part = self.ours, self.headers.get("Range", "")
        with ours.lock:
            ours.asked.append((self.command, self.path, part))
            fault = ours.plan(ours.gets - 1) if self.command == "GET" else ""
        if fault == "stall":
            ours.closing.wait(20)
            self.close_connection = True
            return
        if fault.isdecimal() or (self.command == "HEAD" and not ours.heads):
            return self._send(int(fault or 405), {}, b"")
        self._send(*(self._forwarded() if ours.upstream else self._own(part)), fault)

    def _own(self, part: str) -> tuple[int, dict[str, str], bytes]:
        content = self.ours.files.get(self.path.partition("?")[0])
        if content is None:
            return 404, {}, b""
        headers = {"ETag": self.ours.etag} if self.ours.etag else {}
        if part and self.ours.ranges:
            first, last = part.removeprefix("bytes=").split("-")
            if int(first) >= len(content):
                return 416, {"Content-Range": f"bytes */{len(content)}"}, b""
            end = min(int(last or len(content)), len(content) - 1) + 1
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
            return 206, headers, content[int(first) : end]
        return 200, headers, content

    def _forwarded(self) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.ours.upstream)
        connection.request(self.command, self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        kept = {
            name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "server", "date")
        }
        kept.pop("Transfer-Encoding", None)
        connection.close()
        return answer.status, kept, body

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: str = "") -> None:
        self.send_response(status)
        if self.ours.lengths and self.command != "HEAD":
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        elif not self.ours.lengths:
            self.close_connection = True
            headers["Connection"] = "close"
        elif not self.ours.upstream:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            self.wfile.write({"byte": body[:1], "cut": body[: len(body) // 2]}.get(fault, body))
            self.wfile.flush()
        except OSError:
            self.close_connection = True
        if fault == "byte":
            self.ours.closing.wait(20)
        if fault in ("byte", "cut"):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def shards(count: int = 12) -> dict[str, bytes]:
    """Files for a server: shards that differ in their last byte."""
    return {f"/train/{number:05}.tar": CONTENT + bytes([number]) for number in range(count)}


def taken(descriptor: int) -> bytes:
    """All that a descriptor holds, which is closed."""
    try:
        return os.pread(descriptor, os.fstat(descriptor).st_size + 1, 0)
    finally:
        os.close(descriptor)


def fetched(url: str, access: Access = QUICK) -> bytes:
    return taken(Fetcher(access).open(url))


def open_forked(fetcher: Fetcher, url: str) -> int:
    """For a process of its own: how many bytes it gets."""
    return len(taken(fetcher.open(url)))


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits for what comes about soon."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "never came about"
        time.sleep(0.02)
