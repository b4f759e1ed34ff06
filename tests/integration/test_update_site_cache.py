"""A device at a site with a cache: payloads come over the site's own network, and from the server where they do not."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager

import msgspec
import pytest

from gateway_builders import caching, control_plane
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.ports import Ports
from holdfast_agent.update.site_cache import MOST_LATER, cache_line, parse_cache
from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.install import Phase
from update_driver_builders import NEW_IMAGE, Device, Payloads, plain_line, serving


class SiteDevice(Device):
    """A device that knows a cache; `direct` counts how often it called its server."""

    cache_url = "http://127.0.0.1:9"
    direct = 0

    def _driver(self):
        def dial():
            self.direct += 1
            return plain_line(self.payloads.port)

        ports = Ports(
            self.clock, self.trusted, self.installer, dial, self._reboot, lambda: self.well, lambda: self.power,
            self.said.append, lambda: cache_line(self.cache_url),
        )  # fmt: skip
        return Driver(self.state, Identity("cam-1", self.hardware), ports, slice_s=self.slice_s)


@pytest.fixture
def device(tmp_path):
    with serving(Payloads()) as payloads:
        made = SiteDevice(tmp_path / "device", payloads)
        made.offer()
        made.take(made.order())
        yield made


@contextmanager
def answering(status, headers=(), body=b""):
    """A cache that answers everything in one way; what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range", ""))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_address[1]}", asked
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def finished(device):
    device.turns()
    return device.phase is Phase.ARMED


def test_the_gateways_cache_serves_the_payload_and_the_server_sends_none(device, tmp_path):
    with control_plane(tmp_path) as plane:
        wanted = plane.add(NEW_IMAGE, name="image.img", release="cam/2")
        with caching(plane, tmp_path / "cache") as cache:
            host, port = cache.place
            device.cache_url = f"http://{host}:{port}"
            assert finished(device)
        assert plane.sent[wanted.path] == len(NEW_IMAGE), "the line carried it once"
    assert (device.payloads.sent, device.said, device.direct) == (0, [], 1), "once for the metadata"


def test_a_cache_that_is_not_there_is_left_out(device):
    assert finished(device)
    assert device.payloads.sent == len(NEW_IMAGE)
    assert "[update.cut_off]" in device.said[0]


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_a_cache_that_refuses_is_left_out(device, status):
    with answering(status) as (device.cache_url, asked):
        assert finished(device)
    assert (len(asked), device.payloads.sent) == (1, len(NEW_IMAGE))
    assert "[update.not_served]" in device.said[0]


@pytest.mark.parametrize(
    ("body", "code"), [(b"evil" + NEW_IMAGE[4:], "update.digest"), (NEW_IMAGE + b"!", "update.wrong_length")]
)
def test_what_a_cache_sends_wrongly_is_thrown_away_and_fetched_from_the_server(device, body, code):
    with answering(200, body=body) as (device.cache_url, asked):
        assert finished(device)
    assert (len(asked), device.payloads.sent) == (1, len(NEW_IMAGE))
    assert f"[{code}]" in device.said[0]


def test_a_wrong_beginning_from_the_cache_does_not_end_the_attempt(device):
    begun = b"evil" + NEW_IMAGE[4:70_000]
    with answering(200, [("Content-Length", str(len(NEW_IMAGE)))], begun) as (device.cache_url, asked):
        device.turns()
        while device.phase is Phase.FETCHING:
            device.clock.up_s += 3_600
            device.turns()
    assert device.phase is Phase.ARMED
    assert asked


def test_a_cache_that_says_later_is_waited_for_but_not_for_ever(device):
    with answering(503, [("Retry-After", "5")]) as (device.cache_url, asked):
        device.turns()
        assert (device.phase, device.install.code, len(asked)) == (Phase.FETCHING, "update.later", 1)
        assert device.payloads.sent == 0
        for _ in range(MOST_LATER):
            device.clock.up_s += 3_600
            device.turns()
    assert (device.phase, len(asked)) == (Phase.ARMED, MOST_LATER + 1)


@pytest.mark.parametrize("url", ["https://h:1", "http://h", "http://h:1/path", "http://u@h:1", "h:1", "http://[", ""])
def test_what_is_no_address_of_a_cache_is_told(url):
    with pytest.raises(HostileData) as refused:
        parse_cache(url)
    assert refused.value.code == "agent.cache_url"
    assert msgspec.to_builtins(parse_cache("http://10.0.0.1:8447/")) == {"host": "10.0.0.1", "port": 8447}
