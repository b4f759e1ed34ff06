"""Who serves a TUF client what never ends, comes too slowly, or wants to lie elsewhere on its disk."""

from __future__ import annotations

import os
import time

import pytest

from holdfast_agent.update import web
from holdfast_core.kernel.instants import SECOND, Instant
from tuf_builders import TufRepository
from tuf_server import Client, TufServer, drip, drip_header, endless, silent

NOW = Instant(int(time.clock_gettime(time.CLOCK_REALTIME)) * SECOND)
METADATA = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]


@pytest.fixture
def server():
    with TufServer(TufRepository("plain", now=NOW)) as served:
        yield served


@pytest.fixture
def client(tmp_path, server):
    made = Client(tmp_path / "client", server)
    made.init()
    return made


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_control_an_honest_server(client):
    assert client.refresh() == 0


@pytest.mark.parametrize("name", METADATA)
def test_metadata_without_end(client, server, name, capsys):
    server.instead[name] = endless
    assert client.refresh() == 1
    assert "update.metadata_too_large" in capsys.readouterr().err
    server.instead.clear()
    assert client.refresh() == 0


@pytest.mark.parametrize("how", [drip, drip_header, silent])
@pytest.mark.parametrize("name", METADATA)
def test_a_byte_now_and_then(client, name, how, monkeypatch, capsys):
    """Each byte comes well within any timeout for one read; the whole does not."""
    server = client.server
    monkeypatch.setattr(web.WebFetcher.__init__, "__kwdefaults__", {"exchange_s": 0.2, "slowest": 10**9, "whole_s": 5})
    server.instead[name] = how
    assert client.refresh() == 1
    assert "update.metadata_slow" in capsys.readouterr().err
    server.instead.clear()
    assert client.refresh() == 0


def test_many_small_delays_make_no_long_one(client, server, monkeypatch):
    monkeypatch.setattr(web.WebFetcher.__init__, "__kwdefaults__", {"exchange_s": 9, "slowest": 10**9, "whole_s": 0.3})
    server.instead["timestamp.json"] = drip
    assert client.refresh() == 1


@pytest.mark.parametrize("how", [endless, drip])
def test_a_target_without_end_or_drop_by_drop(client, server, how, monkeypatch):
    made = server.repository.add("one", b"x" * 1000)
    server.repository.publish()
    monkeypatch.setattr(web.WebFetcher.__init__, "__kwdefaults__", {"exchange_s": 0.3, "slowest": 10**9, "whole_s": 5})
    server.instead[f"{made.hashes['sha256']}.one"] = how
    assert client.download("one") == 1
    assert client.got() == []
    server.instead.clear()
    assert client.download("one") == 0


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 500, 503])
def test_answers_that_are_no_files(client, server, status):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Location", "/metadata/1.targets.json")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.instead["timestamp.json"] = answer
    assert client.refresh() == 1
    assert server.asked[-1] == "/metadata/timestamp.json"


def test_an_answer_that_is_no_http(client, server):
    server.instead["timestamp.json"] = lambda handler: handler.wfile.write(b"\x00\xff garbage\r\n\r\n")
    assert client.refresh() == 1
    server.instead["timestamp.json"] = lambda handler: handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
    )
    assert client.refresh() == 1


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "..%2Fevil", "a/../../evil", "..", ".", "evil\\..\\x", "a//b", "~/evil", "C:evil"]
)
def test_a_target_whose_name_leads_out_of_its_folder(client, server, name):
    server.repository.add(name, b"evil")
    server.repository.publish()
    outside = set(files_in(client.folder)) - {"targets"}
    client.download(name)
    inside = {f"targets/{path}" for path in files_in(client.targets)}
    new = {path for path in set(files_in(client.folder)) - outside - inside if not path.startswith("metadata")}
    assert new <= {"targets"}
    assert not os.path.lexists("/etc/evil")


def test_nothing_listens_there(client, server):
    server.url = "http://127.0.0.1:1"
    assert client.refresh() == 1
