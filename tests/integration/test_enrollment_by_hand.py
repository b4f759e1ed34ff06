"""A device that has nothing but its name, over the served EST port: it asks, a person compares, it gets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from served_builders import served


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


def test_a_device_without_a_claim_gets_in_once_a_person_approved_its_key(plane, tmp_path) -> None:
    plane.claim("cam-1")
    root = tmp_path / "plane" / "keys" / "root.pem"
    for url in (plane.est_url, plane.url):
        client = EstClient(url, root)
        key = new_key()
        body = request("cam-1", key)
        first = client.call("simpleenroll", body, basic=("cam-1", ""))
        assert (first.status, int(first.headers["retry-after"]) > 0) == (202, True)
        plane.do(plane.plane.approvals.settled())
        (pending,) = plane.plane.approvals.pending(plane.plane.config.scope)
        assert pending.address == "127.0.0.1"
        plane.do(plane.plane.approvals.approve(plane.plane.config.scope, pending.id, actor=ACTOR))
        made = client.call("simpleenroll", body, basic=("cam-1", ""))
        client.close()
        assert made.status == 200
        holder = EstClient(url, root, keep(tmp_path / "identity.pem", key, made.certificate))
        assert holder.call("simplereenroll", request("cam-1", new_key())).status == 200
        holder.close()
