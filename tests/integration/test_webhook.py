"""The outside is told of incidents: signed, retried, and not forgotten over a restart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading

import pytest

from builders import START, FakeClock, FakeRandomness, data_folder, enrolled
from holdfast.adapters.webhook import WebhookNotifier
from holdfast.bootstrap import Plane
from holdfast.config import Config
from holdfast.ports.store import Delivery
from holdfast.response.dispatch import SCHEDULE, Dispatcher, after_attempt
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, SECOND

pytestmark = pytest.mark.anyio
SECRET = b"a secret of twenty-four b"
TOLD = Config(webhook_url="http://127.0.0.1:1/told")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it is sent; answers with the next of `answers`, then 204."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.got, server.answers = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def notifier_for(receiver):
    secret = "whsec_" + base64.b64encode(SECRET).decode()
    return WebhookNotifier(f"http://127.0.0.1:{receiver.server_port}/told", secret)


async def quarantined(folder, clock):
    """A plane whose one device has just opened an incident."""
    plane = Plane.open(TOLD, folder, clock=clock, randomness=FakeRandomness())
    device = await enrolled(plane)
    await device.check_in()
    await device.check_in(failing=("ACC-05",))
    return plane


async def test_an_incident_is_posted_with_the_signature_of_standard_webhooks(tmp_path, receiver):
    clock = FakeClock()
    plane = await quarantined(data_folder(tmp_path), clock)
    notifier = notifier_for(receiver)
    dispatcher = Dispatcher(store=plane.store, clock=clock, notifier=notifier)
    assert await dispatcher.dispatch() == 1
    ((headers, body),) = receiver.got
    headers = {name.lower(): value for name, value in headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert int(headers["webhook-timestamp"]) == START // SECOND
    assert json.loads(body)["type"] == "incident.opened"
    assert plane.store.deliveries() == []
    await notifier.close()
    await plane.close()


async def test_a_refused_message_is_sent_again_after_a_restart(tmp_path, receiver):
    folder, clock = data_folder(tmp_path), FakeClock()
    receiver.answers.append(500)
    notifier = notifier_for(receiver)
    plane = await quarantined(folder, clock)
    assert await Dispatcher(store=plane.store, clock=clock, notifier=notifier).dispatch() == 0
    await plane.close()
    plane = Plane.open(TOLD, folder, clock=clock, randomness=FakeRandomness())
    dispatcher = Dispatcher(store=plane.store, clock=clock, notifier=notifier)
    assert await dispatcher.dispatch() == 0, "not before it is due"
    clock.forward(SCHEDULE[0])
    assert await dispatcher.dispatch() == 1
    assert receiver.got[0][1] == receiver.got[1][1]
    await notifier.close()
    await plane.close()


async def test_nobody_listening_is_a_failed_attempt_and_no_error(tmp_path):
    clock = FakeClock()
    plane = await quarantined(data_folder(tmp_path), clock)
    notifier = WebhookNotifier(TOLD.webhook_url, "whsec_" + base64.b64encode(SECRET).decode())
    assert await Dispatcher(store=plane.store, clock=clock, notifier=notifier).dispatch() == 0
    assert [delivery.attempts for delivery in plane.store.deliveries()] == [1]
    await notifier.close()
    await plane.close()


def test_a_message_is_given_up_only_after_the_whole_schedule():
    delivery, now = Delivery("msg_1", Scope("default", "production"), b"{}", START, START), START
    tries = 0
    while not delivery.done:
        now = delivery.due_at
        delivery = after_attempt(delivery, now, taken=False)
        tries += 1
    assert tries == len(SCHEDULE) + 1
    assert now - START > 3 * DAY
