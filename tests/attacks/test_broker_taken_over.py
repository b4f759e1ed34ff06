"""A broker that was taken over, its account with it: what it says and what it leaves in ``state/`` ends nothing here.

The control plane looks at every broker from its one loop, so what makes it wait, or raises what nobody foresaw, would
cost every device its check-in and every other broker its revocations.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from builders import enrolled, new_plane
from holdfast.adapters.broker import mosquitto_files, nats_files
from holdfast.adapters.broker.mosquitto import MosquittoBroker
from holdfast.adapters.broker.mosquitto_log import Sessions
from holdfast.adapters.broker.mqtt import check_answer
from holdfast.adapters.broker.nats import PAGE, NatsBroker
from holdfast.adapters.broker.process import tell
from holdfast.adapters.broker.tail import lines_since
from holdfast.identity.broker_sight import BrokerSight
from holdfast.ports.broker import Action, Broker, BrokerKind, ClientIdentity, Observed, Seen
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import Instant, rfc3339

GOOD = {"start": "2026-11-21T10:15:00.123456789Z", "authorized_user": "fan-1.production.acme.holdfast.internal"}


def broker(kind: BrokerKind, folder: Path, control_port: int = 4222) -> Broker:
    return Broker(
        scope=Scope("acme", "production"),
        id="hub",
        kind=kind,
        folder=str(folder),
        host="127.0.0.1",
        port=8883,
        control_port=control_port,
        names=("localhost",),
        added_at=Instant(0),
    )


def within_seconds(work):
    """`work` in a thread: a test that waits for ever would say nothing."""
    done: list[object] = []

    def run() -> None:
        try:
            done.append(work())
        except WorldError as error:
            done.append(error.code)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert done, "it waits"
    return done[0]


def test_a_pipe_in_place_of_the_pid_file(tmp_path):
    """It is read in the server's loop, where waiting would stop everything."""
    os.mkfifo(tmp_path / "nats.pid")
    assert within_seconds(lambda: tell(tmp_path / "nats.pid", "nats-server", signal.SIGHUP)) == "broker.not_running"


def test_a_pid_file_without_end(tmp_path):
    with (tmp_path / "nats.pid").open("wb") as file:
        file.truncate(1 << 40)
    assert within_seconds(lambda: tell(tmp_path / "nats.pid", "nats-server", signal.SIGHUP)) == "broker.not_running"


def test_a_pipe_in_place_of_the_log(tmp_path):
    os.mkfifo(tmp_path / "mosquitto.log")
    assert within_seconds(lambda: lines_since(tmp_path / "mosquitto.log", "")).lines == ()


def test_a_pipe_in_place_of_the_plugins_state(tmp_path):
    adapter = MosquittoBroker(broker(BrokerKind.MOSQUITTO, tmp_path))
    (tmp_path / "state").mkdir()
    os.mkfifo(tmp_path / mosquitto_files.DYNSEC)
    within_seconds(lambda: adapter.prepare(ClientIdentity("hub", "hub", "1", b"chain", b"key"), b"root") or "done")
    assert (tmp_path / mosquitto_files.DYNSEC).is_file()


def test_a_log_that_somebody_else_wrote():
    """Every line names another device, in a year that there is not: neither memory nor clock gives out."""
    sessions = Sessions()
    joined = "New client connected from 192.0.2.1:1 as fan-{} (p2, c1, k60)."
    sessions.read(f"999999999999: {joined.format(number)}" for number in range(mosquitto_files.CONNECTIONS + 50))
    assert len(sessions.live) == mosquitto_files.CONNECTIONS
    assert all(rfc3339(connection.since).startswith("9999") for connection in sessions.live.values())
    sessions.read(["1: Client fan-1 disconnected.", f"2: {joined.format('real')}"])
    assert "fan-real" in sessions.live


@pytest.mark.anyio
async def test_devices_that_a_log_makes_up(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane, "fan-1")
        one = msgspec.structs.replace(broker(BrokerKind.MOSQUITTO, tmp_path), scope=device.key.scope)
        sight = BrokerSight(one, book=plane.brokers.book, store=plane.store, clock=plane.clock, emit=lambda _: ())
        await sight.write()
        made_up = [Seen(DeviceId(f"no-{number}"), Action.PUBLISH, "a/b") for number in range(100)]
        with mock.patch.object(sight, "write"):
            await sight.take_in(Observed("1:2", (*made_up, Seen(device.key.device, Action.PUBLISH, "a/b"))))
        assert set(sight._acts) == {device.key.device}


@pytest.fixture
def monitor():
    """A monitoring port that answers with `page`."""
    pages: list[object] = []
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(pages[0]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, pages, asked
    server.shutdown()
    server.server_close()


def connections(folder, monitor, page):
    port, pages, _ = monitor
    pages.append(page)
    return asyncio.run(NatsBroker(broker(BrokerKind.NATS, folder, port)).connections())


def test_control_a_connection_is_told(tmp_path, monitor):
    (found,) = connections(tmp_path, monitor, {"connections": [GOOD], "total": 1})
    assert found.device == "fan-1"


@pytest.mark.parametrize("start", ["", "yesterday", "9" * 4000, "2026-13-41T99:99:99Z"])
def test_a_connection_that_began_at_no_time_there_is(tmp_path, monitor, start):
    with pytest.raises(WorldError) as told:
        connections(tmp_path, monitor, {"connections": [{**GOOD, "start": start}], "total": 1})
    assert told.value.code == "broker.unreachable"


def test_connections_without_end(tmp_path, monitor):
    connections(tmp_path, monitor, {"connections": [GOOD], "total": 1 << 60})
    assert len(monitor[2]) <= 2 * nats_files.CONNECTIONS // PAGE + 1


def test_control_a_plugin_that_did_what_it_was_told():
    check_answer(
        b'{"responses": [{"command": "createClient"}, {"command": "deleteClient", "correlationData": "x"}]}', 2
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no", b"\xff", b'{"responses": 1}', b'{"responses": [1]}', b'{"responses": []}', b"[" * 9999]
)
def test_a_plugin_that_answers_otherwise(body):
    with pytest.raises(WorldError) as told:
        check_answer(body, 1)
    assert told.value.code == "broker.control_refused"
