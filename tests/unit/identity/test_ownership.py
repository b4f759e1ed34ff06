from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.ownership import PossessionCode, check_code, check_new_owner, code_of, code_text
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

SCOPE = Scope("acme", "test")
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,10}[.]?[a-z0-9_-]{0,10}[a-z0-9])?", fullmatch=True)
SECRETS = st.text("abcXYZ019-_", min_size=43, max_size=43)


@given(SECRETS, NAMES)
def test_a_code_says_its_device_and_is_known_by_its_digest(secret: str, name: str) -> None:
    text = code_text(secret, DeviceId(name))
    assert code_of(f" {text}\n") == (name, digest_of(text.encode()))


@given(st.text())
def test_any_other_text_is_no_code(text: str) -> None:
    with pytest.raises(IdentityRefused) as refused:
        code_of("x" + text)
    assert refused.value.code == "possession.unknown"


def test_only_the_code_that_was_made_counts() -> None:
    code = PossessionCode(scope=SCOPE, id="cam-1", digest=digest_of(b"1"), created_at=Instant(0), created_by="ada")
    assert check_code(code, digest_of(b"1")) is code
    for found, digest in ((code, digest_of(b"2")), (None, digest_of(b"1"))):
        with pytest.raises(IdentityRefused):
            check_code(found, digest)


@pytest.mark.parametrize(
    ("lifecycle", "owner", "code"),
    [
        (Lifecycle.RETIRED, "Bob", "device.retired"),
        (Lifecycle.ACTIVE, "  ", "owner.missing"),
        (Lifecycle.ACTIVE, "Ada", "owner.same"),
        (Lifecycle.ACTIVE, "B\nob", "device.text"),
    ],
)
def test_who_cannot_become_the_owner(lifecycle: Lifecycle, owner: str, code: str) -> None:
    device = Device(DeviceKey(SCOPE, DeviceId("cam-1")), lifecycle, Instant(0), owner="Ada")
    with pytest.raises(HostileData) as refused:
        check_new_owner(device, owner)
    assert refused.value.code == code


def test_somebody_else_can() -> None:
    device = Device(DeviceKey(SCOPE, DeviceId("cam-1")), Lifecycle.ACTIVE, Instant(0), owner="Ada")
    assert check_new_owner(device, " Bob ") == "Bob"
