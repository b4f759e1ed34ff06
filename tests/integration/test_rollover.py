"""An issuer followed by another under a served plane: nobody is refused, who lags is listed, the old one ends."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.identity.issuers import Rollover
from holdfast_core.identity.model import Method
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant
from served_builders import ServedPlane, served


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


def enrolled(plane: ServedPlane, folder: Path, name: str) -> Path:
    key, root = new_key(), plane.plane.folder / "keys" / "root.pem"
    client = EstClient(plane.url, root)
    answer = client.call("simpleenroll", request(name, key), basic=(name, plane.claim(name)))
    client.close()
    return keep(folder / f"{name}.pem", key, answer.certificate)


def renewed(plane: ServedPlane, identity: Path, name: str, key=None):
    client = EstClient(plane.url, plane.plane.folder / "keys" / "root.pem", identity)
    answer = client.call("simplereenroll", request(name, key or new_key()))
    client.close()
    return answer


def move(plane: ServedPlane, step: Rollover, **more):
    services = plane.plane
    return plane.do(services.rollover.move(services.config.scope, step, actor=ACTOR, **more))


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_an_issuer_of_any_kind_takes_over_while_devices_go_on(
    plane: ServedPlane, tmp_path: Path, algorithm: KeyAlgorithm
) -> None:
    scope, rollover = plane.plane.config.scope, plane.plane.rollover
    early, late = enrolled(plane, tmp_path, "early"), enrolled(plane, tmp_path, "late")
    move(plane, Rollover.BEGIN, algorithm=algorithm)
    assert [view.standing.value for view in rollover.show(scope)] == ["active", "next"]
    assert [view.algorithm for view in rollover.show(scope)] == ["p256", algorithm.value], "of its key, not the root's"
    move(plane, Rollover.SWITCH)
    assert [credential.key.device for credential in rollover.laggards(scope)] == ["early", "late"]
    key = new_key()
    answer = renewed(plane, early, "early", key)
    assert answer.status == 200
    assert [credential.key.device for credential in rollover.laggards(scope)] == ["late"]
    # The new one shows only its leaf: the port has learnt of its issuer while it ran.
    successor = keep(tmp_path / "successor.pem", key, answer.certificate)
    assert renewed(plane, successor, "early").status == 200
    with pytest.raises(HostileData) as refused:
        move(plane, Rollover.END)
    assert refused.value.code == "authority.laggards"
    move(plane, Rollover.END, force=True)
    assert [view.in_force for view in rollover.show(scope)] == [0, 1]
    told = renewed(plane, late, "late")
    assert told.status == 200, "who lagged comes back by grace"
    assert plane.plane.store.credentials_of(plane.key("late"))[-1].method is Method.GRACE
    anchors = [c.public_bytes(Encoding.PEM) for c in rollover.certificates(scope, "anchors")]
    assert len(anchors) == 1
    leaf, anchor = tmp_path / "leaf.pem", tmp_path / "anchor.pem"
    leaf.write_bytes(answer.certificate.public_bytes(Encoding.PEM))
    anchor.write_bytes(anchors[0])
    done = subprocess.run(["openssl", "verify", "-CAfile", anchor, leaf], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_root_key_that_is_away_is_asked_for(plane: ServedPlane, tmp_path: Path) -> None:
    keys = plane.plane.folder / "keys"
    shutil.move(keys / "root.key", tmp_path / "root.key")
    assert not plane.plane.rollover.root_key_is_here
    with pytest.raises(WorldError) as refused:
        move(plane, Rollover.BEGIN)
    assert refused.value.code == "authority.root_away"
    shutil.move(tmp_path / "root.key", keys / "root.key")
    assert len(move(plane, Rollover.BEGIN)) == 2


def verified(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", "verify", *map(str, words)], check=False, capture_output=True, text=True)


def test_an_issuer_cannot_certify_devices_of_another_environment(plane: ServedPlane, tmp_path: Path) -> None:
    """Cross-environment: a certificate that the staging issuer signs for a production name fails everywhere."""
    authority, now = plane.plane.authority, plane.clock.now()
    staging = Scope("default", "staging")
    plane.do(plane.plane.rollover.found(staging, actor=ACTOR, algorithm=KeyAlgorithm.P256))
    ends = Instant(now + DAY)
    own = authority.issue(new_key().public_key(), DeviceKey(staging, DeviceId("cam")), 1, now=now, not_after=ends)
    from holdfast.adapters.pki import certificates  # noqa: PLC0415  (to forge what the authority never makes)

    production = DeviceKey(plane.plane.config.scope, DeviceId("cam"))
    forged = certificates.device(
        new_key().public_key(),
        production,
        authority.issuer(staging, 1),
        authority.signer(staging, 1),
        now=now,
        not_after=ends,
        serial=7,
    )
    files = {}
    for name, certificate in (
        ("own", own),
        ("forged", forged),
        ("issuer", authority.issuer(staging, 1)),
        ("other", authority.anchor(plane.plane.config.scope, 1)),
    ):
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(certificate.public_bytes(Encoding.PEM))
    root = plane.plane.folder / "keys" / "root.pem"
    assert verified("-CAfile", root, "-untrusted", files["issuer"], files["own"]).returncode == 0
    refused = verified("-CAfile", root, "-untrusted", files["issuer"], files["forged"])
    assert "permitted subtree violation" in refused.stderr + refused.stdout
    # A broker of production trusts production's anchor: what staging's issuer made leads nowhere.
    assert verified("-CAfile", files["other"], "-untrusted", files["issuer"], files["own"]).returncode != 0
