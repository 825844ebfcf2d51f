"""Servers that tests bring data from: HTTP with ranges and faults, and S3."""

from __future__ import annotations

import re
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` (path to content).

    Attributes
    ----------
    ranges : the ``Range`` header of every request, None where there was none
    break_after : bytes after which each of the next answers breaks off, one a request
    resumes : a range is answered with the rest of the file
    range_error : by how many bytes the answer to a range says that it starts elsewhere
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.ranges, self.break_after, self.resumes = files, [], [], True
        self.range_error = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and self.server.resumes else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        rest = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        if start:
            first = start + self.server.range_error
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        cut = self.server.break_after.pop(0) if self.server.break_after else len(rest)
        self.wfile.write(rest[:cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def file_server(files: dict[str, bytes]) -> Iterator[FileServer]:
    """A running :class:`FileServer`."""
    server = FileServer(files)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each request with the byte strings that ``answer`` yields, whatever they are.

    Attributes
    ----------
    answer : takes the number of the request, counted from 0
    requests : how many there were
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[int], Iterable[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _RawHandler)
        self.answer, self.requests = answer, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class _RawHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        number, self.server.requests = self.server.requests, self.server.requests + 1
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += self.request.recv(4096)
        with suppress(OSError):
            for part in self.server.answer(number):
                self.request.sendall(part)


@contextmanager
def raw_server(answer: Callable[[int], Iterable[bytes]]) -> Iterator[RawServer]:
    """A running :class:`RawServer`."""
    with RawServer(answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A running S3 server (moto's); yields the environment that the storage plugin needs for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        keys = {name: "testing" for name in ("ACCESS_KEY", "SECRET_KEY")}
        yield {f"SNAKEMAKE_STORAGE_S3_{k}": v for k, v in ({"ENDPOINT_URL": url} | keys).items()}
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen, patience_s: float = 60) -> None:
    end = time.monotonic() + patience_s
    while time.monotonic() < end and process.poll() is None:
        try:
            requests.get(url, timeout=2)
            return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise RuntimeError(f"no S3 server on {url}; exit status {process.poll()}")


def s3_client(environment: dict[str, str]):
    """A boto3 client of the server that :func:`s3_server` runs."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
