"""Messages made to break the check-in: each is refused with its stable code, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import enrolled, new_plane, settled
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.codec import decode_check_in
from holdfast_core.wire.frame import CheckIn

GOOD = b'{"v":1,"boot":"boot-0001","seq":1,"sections":{"health":{"body":{"ok":true}}}}'
DIGEST = b"sha256:" + b"0" * 64

ATTACKS: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "checkin.malformed", 400),
    "truncated": (GOOD[:-3], "checkin.malformed", 400),
    "two messages in one": (GOOD + GOOD, "checkin.malformed", 400),
    "oversized": (GOOD[:-1] + b',"x":"' + b"x" * LIMITS.check_in_bytes + b'"}', "checkin.too_large", 413),
    "deeply nested": (GOOD[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "checkin.too_deep", 400),
    "deeply nested in a section": (
        GOOD.replace(b'{"ok":true}', b"[" * 60_000 + b"]" * 60_000), "checkin.too_deep", 400,
    ),
    "another version": (GOOD.replace(b'"v":1', b'"v":2'), "checkin.version", 400),
    "another version with another shape": (b'{"v":2,"what":"ever"}', "checkin.version", 400),
    "a section of nothing": (GOOD.replace(b'{"body":{"ok":true}}', b"{}"), "checkin.empty_section", 400),
    "a digest of other bytes": (
        GOOD.replace(b'{"body":', b'{"digest":"' + DIGEST + b'","body":'), "checkin.digest_mismatch", 400,
    ),
    "a digest that is none": (GOOD.replace(b'"body":{"ok":true}', b'"digest":"sha256:0"'), "checkin.malformed", 400),
    "a section that is too large": (
        GOOD.replace(b"true", b'true,"x":"' + b"x" * LIMITS.section_bytes + b'"'), "checkin.section_too_large", 413,
    ),
    "a small section that is large": (
        GOOD.replace(b"true", b'true,"x":"' + b"x" * 2_048 + b'"'), "checkin.section_too_large", 413,
    ),
    "a section of another shape": (GOOD.replace(b"true", b'"yes"'), "checkin.section_malformed", 400),
    "too many sections": (
        GOOD[:-2] + b"".join(b',"s%d":{"body":1}' % number for number in range(LIMITS.sections)) + b"}}",
        "checkin.malformed", 400,
    ),
    "not UTF-8": (GOOD.replace(b"boot-0001", b"boot-\xff\xfe01"), "checkin.malformed", 400),
    "not UTF-8 in a section": (GOOD.replace(b"true", b'true,"detail":"\xff"'), "checkin.section_malformed", 400),
    "a huge integer": (GOOD.replace(b'"seq":1', b'"seq":' + b"9" * 4_000), "checkin.malformed", 400),
    "a number beyond 2^53": (GOOD.replace(b'"seq":1', b'"seq":9007199254740993'), "checkin.malformed", 400),
    "a number below one": (GOOD.replace(b'"seq":1', b'"seq":0'), "checkin.malformed", 400),
    "evidence from the future": (
        GOOD.replace(b'{"body":', b'{"age_s":-5,"body":'), "checkin.malformed", 400,
    ),
    "too many reports": (
        GOOD[:-1] + b',"reports":[' + b",".join([b'{"id":1,"state":"done"}'] * 33) + b"]}", "checkin.malformed", 400,
    ),
}  # fmt: skip


async def _refused(folder: Path, data: bytes, code: str, status: int) -> None:
    async with new_plane(folder) as plane:
        device = await enrolled(plane)
        before, size = plane.store.posture(device.key), plane.store.log_size()
        with pytest.raises(HostileData) as caught:
            await plane.check_ins.check_in(device.fingerprint, data)
        assert (caught.value.code, caught.value.http_status) == (code, status)
        assert caught.value.remedy
        assert (plane.store.posture(device.key), plane.store.log_size()) == (before, size)
        reply = await device.send(GOOD)  # the control: the very number of the attack is still free
        assert reply.seq == 1
        after = plane.store.posture(device.key)
        assert after is not None
        assert after.sequence.last == 1


@pytest.mark.parametrize(("data", "code", "status"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_message_made_to_break_it(tmp_path: Path, data: bytes, code: str, status: int) -> None:
    asyncio.run(_refused(tmp_path, data, code, status))


def test_a_key_that_comes_twice_counts_once_and_cannot_hide_a_section(tmp_path: Path) -> None:
    """JSON does not forbid it. The last one counts, for every reader of the message alike."""

    async def attack() -> None:
        async with new_plane(tmp_path) as plane:
            device = await enrolled(plane)
            doubled = GOOD.replace(b'"health":', b'"health":{"body":{"ok":true}},"health":').replace(
                b'"ok":true}}}}', b'"ok":false}}}}'
            )
            assert doubled.count(b'"health"') == 2
            await device.send(doubled)
            posture = plane.store.posture(device.key)
            assert posture is not None
            assert posture.sections["health"].body == b'{"ok":false}'

    asyncio.run(attack())


def test_a_report_for_a_directive_of_another_device_changes_nothing(tmp_path: Path) -> None:
    async def attack() -> None:
        async with new_plane(tmp_path) as plane:
            victim, attacker = await enrolled(plane, "cam-1"), await enrolled(plane, "cam-2")
            await plane.baseline.audit_now(victim.key, actor="token:test")
            listed = (await victim.check_in()).directives
            own = {directive.id for directive in (await attacker.check_in()).directives}
            size = plane.store.log_size()
            foreign = [entry.id for entry in listed if entry.id not in own] + [2**40]
            await attacker.check_in(reports=settled(*foreign))
            assert (await victim.check_in()).directives == listed
            assert plane.store.log_size() == size
            await victim.check_in(reports=settled(*(entry.id for entry in listed)))  # the control
            assert (await victim.check_in()).directives == ()

    asyncio.run(attack())


@given(st.binary(max_size=2_000))
def test_arbitrary_bytes_are_a_message_or_hostile(data: bytes) -> None:
    _decodes_or_refuses(data)


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=8), st.integers(0, 8))
def test_a_damaged_message_is_a_message_or_hostile(place: int, planted: bytes, dropped: int) -> None:
    _decodes_or_refuses(GOOD[:place] + planted + GOOD[place + dropped :])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_FIELDS = st.sampled_from(["v", "boot", "seq", "sections", "nonce", "reports", "pin", "else"])


@given(st.dictionaries(_FIELDS, _JSON, max_size=6))
def test_any_json_in_any_field_is_a_message_or_hostile(fields: dict[str, object]) -> None:
    good: dict[str, object] = msgspec.json.decode(GOOD)
    _decodes_or_refuses(msgspec.json.encode({**good, **fields}))


def _decodes_or_refuses(data: bytes) -> None:
    try:
        message = decode_check_in(data, LIMITS)
    except HostileData as error:
        assert error.code.startswith("checkin.")  # noqa: PT017  (both outcomes are right, each in its form)
        assert error.remedy  # noqa: PT017
    else:
        assert isinstance(message, CheckIn)


def test_the_control_itself_decodes() -> None:
    assert decode_check_in(GOOD, LIMITS).seq == 1
