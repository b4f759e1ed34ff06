"""A production line over real TLS: its claim is trusted as soon as it is made, enrolls, and does nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from holdfast.identity.fleet_claims import NewFleetClaim
from holdfast_core.kernel.instants import HOUR
from served_builders import served


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


def test_a_line_enrolls_devices_on_both_ports_until_its_claim_is_withdrawn(plane, tmp_path) -> None:
    plane.claim("cam-0")
    scope = plane.plane.config.scope
    (model,) = plane.plane.inventory.models(scope)
    wanted = NewFleetClaim("hall-3", model.reference, 5, HOUR, owner="Ada")
    made = plane.do(plane.plane.fleet_claims.create(scope, wanted, actor=ACTOR))
    claim, root = tmp_path / "claim.pem", tmp_path / "plane" / "keys" / "root.pem"
    claim.write_bytes(made.key + made.certificate)
    for number, url in enumerate((plane.url, plane.est_url), 1):
        name, key = f"cam-{number}", new_key()
        hall = EstClient(url, root, claim)
        answer = hall.call("simpleenroll", request(name, key))
        assert answer.status == 200, answer.body
        assert hall.call("simplereenroll", request(name, new_key())).code == "identity.unknown"
        hall.close()
        own = EstClient(url, root, keep(tmp_path / f"{name}.pem", key, answer.certificate))
        assert own.call("simplereenroll", request(name, new_key())).status == 200
        own.close()
    plane.do(plane.plane.fleet_claims.withdraw(scope, "hall-3", actor=ACTOR))
    late = EstClient(plane.url, root, claim)
    assert late.call("simpleenroll", request("cam-3", new_key())).code == "fleet.withdrawn"
    late.close()
