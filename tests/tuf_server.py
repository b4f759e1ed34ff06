"""A TUF repository over HTTP on loopback, and the client's commands as the public conformance suite calls them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from tuf.api.metadata import Metadata

from holdfast_agent import __main__ as commands


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        kind, _, name = self.path.lstrip("/").partition("/")
        if name in self.server.instead:
            with contextlib.suppress(OSError):
                self.server.instead[name](self)
            return
        repository = self.server.repository
        files = repository.files if kind == "metadata" else repository.artefacts
        data = files.get(name, files.get(unquote(name)))
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class TufServer(ThreadingHTTPServer):
    """`instead` answers for a file by name in another way; `asked` are the paths that were asked for."""

    daemon_threads = True

    def __init__(self, repository):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repository, self.asked, self.instead = repository, [], {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def metadata_asked(self):
        """The metadata files that were asked for since the last time."""
        found = [path.removeprefix("/metadata/") for path in self.asked if path.startswith("/metadata/")]
        self.asked.clear()
        return found


class Client:
    """``holdfast-agent tuf`` with folders of its own; each command's answer is its exit code."""

    def __init__(self, folder, server):
        self.folder, self.server = Path(folder), server
        self.metadata, self.targets = self.folder / "metadata", self.folder / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        self.said = ""

    def init(self, root=None):
        given = self.folder / "initial_root.json"
        given.write_bytes(root or self.server.repository.first_root)
        return self.run("init", str(given))

    def refresh(self, faketime=None):
        return self.run("refresh", faketime=faketime)

    def download(self, *names):
        chosen = [part for name in names for part in ("--target-name", name)]
        places = ["--target-base-url", f"{self.server.url}/targets/", "--target-dir", str(self.targets)]
        return self.run(*chosen, *places, "download")

    def run(self, *arguments, faketime=None):
        options = ["tuf", "--metadata-dir", str(self.metadata)]
        if "init" not in arguments:
            options += ["--metadata-url", f"{self.server.url}/metadata/"]
        if faketime:
            program = ["faketime", faketime, sys.executable, "-m", "holdfast_agent"]
            return subprocess.run([*program, *options, *arguments], check=False).returncode
        try:
            commands.main([*options, *arguments])
        except SystemExit as left:
            return left.code

    def version(self, role):
        file = self.metadata / f"{role}.json"
        return Metadata.from_file(str(file)).signed.version if file.exists() else None

    def versions(self):
        return tuple(self.version(role) for role in ("root", "timestamp", "snapshot", "targets"))

    def got(self):
        return sorted(path.read_bytes() for path in self.targets.rglob("*") if path.is_file())


def endless(handler):
    """A body that never ends."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65_536)


def drip(handler):
    """A byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_header(handler):
    """A header that goes on and on."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(600):
        handler.wfile.write(b"a")
        handler.wfile.flush()
        time.sleep(0.05)


def silent(_handler):
    """Nothing at all."""
    time.sleep(20)
