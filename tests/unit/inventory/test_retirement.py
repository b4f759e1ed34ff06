"""The end of a device's life: the machine, what a report is worth, and the certificate."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from holdfast.inventory.model_file import example_bytes, load
from holdfast_core.formats.note import VerifierKey, serialise, sign_note
from holdfast_core.inventory.erasure import (
    EraseArgs,
    Erased,
    ErasureReport,
    Technique,
    is_erasable,
    shortfall,
)
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.inventory.model import Eraser, Sanitizing
from holdfast_core.inventory.model import Retirement as Declared
from holdfast_core.inventory.retirement import (
    DEADLINE,
    LINGER,
    TRANSITIONS,
    Confirmation,
    Retirement,
    Step,
    StepEvent,
    advance,
    begin,
    confirmed,
    heard,
    hurried,
    lapsed,
    refused,
    tombstone_id,
)
from holdfast_core.inventory.sanitization import TITLE, Verification, certify, read_certificate, sanitization
from holdfast_core.inventory.validation import problems
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant

NOW = Instant(1_795_000_000_000)
KEY = DeviceKey(Scope("acme", "production"), DeviceId("cam-1"))
AGENT = Declared(Eraser.AGENT, Sanitizing.CLEAR, ("/data", "/dev/mmcblk0p3"), "eMMC, soldered")
GOOD = ErasureReport(
    (Erased("/data", Technique.DISCARD), Erased("/dev/mmcblk0p3", Technique.CRYPTOGRAPHIC_ERASE)),
)
WORD = Confirmation(Sanitizing.DESTROY, "shredded", "HSM 2000", "M. Weber", NOW, digest_of(b"receipt"))


def ordered(declared: Declared = AGENT, *, asked: bool = True, held_data: bool = True) -> Retirement:
    return begin(KEY, declared, asked=asked, held_data=held_data, by="os-user:ada", why="old", now=NOW)


@pytest.mark.parametrize(
    ("declared", "asked", "held_data", "step"),
    [
        (AGENT, True, True, Step.ORDERED),
        (AGENT, False, True, Step.BY_HAND),
        (AGENT, True, False, Step.NOT_OWED),
        (Declared(), True, True, Step.BY_HAND),
        (Declared(Eraser.NONE), True, True, Step.NOT_OWED),
    ],
    ids=["the agent", "an agent that cannot be asked", "never in use", "by hand", "nothing to erase"],
)
def test_a_retirement_begins_with_who_can_erase(declared, asked, held_data, step):
    assert ordered(declared, asked=asked, held_data=held_data).step is step


@pytest.mark.parametrize("lifetime", [0, -1, 91 * DAY])
def test_an_erasure_is_not_waited_for_for_ever(lifetime):
    with pytest.raises(HostileData, match=r"retirement\.deadline"):
        begin(KEY, AGENT, asked=True, held_data=True, by="x", why="y", now=NOW, lifetime=lifetime)


@pytest.mark.parametrize(
    ("report", "lacks"),
    [
        (GOOD, ""),
        (ErasureReport(GOOD.items, key=False), "keeps its own key"),
        (ErasureReport(GOOD.items[:1]), "does not say what became of /dev/mmcblk0p3"),
        (
            ErasureReport((Erased("/data", Technique.FAILED, "Permission denied"), GOOD.items[1])),
            "could not erase /data: Permission denied",
        ),
        (ErasureReport((Erased("/data", Technique.REMOVE), GOOD.items[1])), "To remove /data is less than clear"),
    ],
    ids=["all of it", "its key stays", "a place left out", "a place that failed", "removed and no more"],
)
def test_a_report_is_worth_what_its_techniques_earn(report, lacks):
    assert lacks in shortfall(EraseArgs(AGENT.method, AGENT.paths), report)
    assert bool(lacks) == bool(shortfall(EraseArgs(AGENT.method, AGENT.paths), report))


def test_discarding_is_no_purge():
    wanted = EraseArgs(Sanitizing.PURGE, ("/data",))
    assert "less than purge" in shortfall(wanted, ErasureReport((Erased("/data", Technique.DISCARD),)))
    assert not shortfall(wanted, ErasureReport((Erased("/data", Technique.CRYPTOGRAPHIC_ERASE),)))


def test_a_report_that_suffices_ends_the_wait_after_a_while():
    told = heard(ordered(), GOOD, Instant(NOW + 5))
    assert (told.step, told.reported_at, told.due_at) == (Step.REPORTED, NOW + 5, NOW + 5 + LINGER)
    ended = lapsed(told, Lifecycle.RETIRING, Instant(NOW + 5 + LINGER))
    assert (ended.step, ended.due_at) == (Step.REPORTED, None)


def test_a_report_that_falls_short_leaves_it_to_a_person_until_the_deadline():
    told = heard(ordered(), ErasureReport(), NOW)
    assert (told.step, told.due_at) == (Step.BY_HAND, NOW + LINGER)
    waiting = lapsed(told, Lifecycle.RETIRING, Instant(NOW + LINGER))
    assert (waiting.step, waiting.due_at) == (Step.BY_HAND, NOW + DEADLINE)
    assert lapsed(waiting, Lifecycle.RETIRED, Instant(NOW + DEADLINE)).step is Step.UNVERIFIED


def test_a_device_that_never_speaks_is_unverified_at_the_deadline_and_not_before():
    waiting = ordered()
    assert lapsed(waiting, Lifecycle.RETIRING, Instant(NOW + DEADLINE - 1)) == waiting
    assert lapsed(waiting, Lifecycle.RETIRING, Instant(NOW + DEADLINE)).step is Step.UNVERIFIED


def test_a_person_may_confirm_late_and_only_once():
    late = confirmed(lapsed(ordered(), Lifecycle.RETIRING, Instant(NOW + DEADLINE)), WORD)
    assert late.step is Step.CONFIRMED
    with pytest.raises(HostileData, match=r"retirement\.not_allowed"):
        confirmed(late, WORD)


def test_a_person_cannot_confirm_less_than_was_ordered():
    purge = ordered(Declared(Eraser.BY_HAND, Sanitizing.PURGE))
    with pytest.raises(HostileData, match=r"retirement\.less"):
        confirmed(purge, msgspec.structs.replace(WORD, method=Sanitizing.CLEAR))


EVENTS = {
    StepEvent.REPORT: lambda r: heard(r, GOOD, NOW),
    StepEvent.FALL_SHORT: lambda r: heard(r, ErasureReport(), NOW),
    StepEvent.REFUSE: lambda r: refused(r, "no", NOW),
    StepEvent.CONFIRM: lambda r: confirmed(r, WORD),
    StepEvent.LAPSE: lambda r: lapsed(r, Lifecycle.RETIRED, Instant(NOW + DEADLINE)),
    "hurry": hurried,
}


@given(st.sampled_from([AGENT, Declared(), Declared(Eraser.NONE)]), st.lists(st.sampled_from(list(EVENTS)), max_size=8))
def test_whatever_happens_verified_is_said_only_of_what_was_verified(declared, events):
    retirement = ordered(declared)
    for event in events:
        before = retirement
        try:
            retirement = EVENTS[event](retirement)
        except HostileData:
            retirement = before
        if retirement.step is not before.step:
            moves = {after for (step, _), after in TRANSITIONS.items() if step is before.step}
            assert retirement.step in moves
    verified = retirement.confirmation is not None or (
        retirement.report is not None and not shortfall(retirement.wanted, retirement.report)
    )
    assert not retirement.step.is_verified or verified
    if retirement.step is Step.CONFIRMED:
        assert retirement.due_at is None


def test_nothing_moves_an_erasure_that_was_verified():
    for step in (Step.REPORTED, Step.CONFIRMED, Step.NOT_OWED):
        for event in StepEvent:
            if (step, event) == (Step.REPORTED, StepEvent.DOUBT):
                continue  # a device's word alone, once it may have been another's
            with pytest.raises(HostileData, match=r"retirement\.not_allowed"):
                advance(step, event)


@pytest.mark.parametrize("path", ["/data", "/var/lib/camera", "/dev/mmcblk0p3", "/home", "/etc/camera.key"])
def test_data_may_be_erased(path):
    assert is_erasable(path)


@pytest.mark.parametrize(
    "path",
    ["/", "", "data", "/data/", "/data/../etc", "/./data", "/etc", "/usr/bin", "/boot/zImage", "/proc/1", "/var",
     "/dev", "/da\nta", "/d\u00e4ta", "/" + "d" * 200],
)  # fmt: skip
def test_what_a_device_starts_from_may_not(path):
    assert not is_erasable(path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{erase: agent, method: destroy}", "model.retirement"),
        ("{erase: by-hand, paths: [/data]}", "model.retirement"),
        ("{erase: agent, paths: [/usr]}", "model.path"),
        ("{erase: agent, paths: [" + ", ".join(f"/data/{n}" for n in range(17)) + "]}", "model.too_many"),
    ],
)
def test_a_model_that_cannot_be_erased_as_it_says_is_refused(text, code):
    data = example_bytes("door-camera") + f"\nretirement: {text}\n".encode()
    with pytest.raises(HostileData, match=code.replace(".", r"\.")):
        load(data)


def test_a_model_that_says_how_it_is_erased_is_taken():
    model = load(example_bytes("door-camera") + b"\nretirement: {erase: agent, paths: [/data], media: eMMC}\n")
    assert not problems(model)
    assert model.retirement == Declared(Eraser.AGENT, Sanitizing.CLEAR, ("/data",), "eMMC")


def test_a_serial_number_is_known_whatever_the_version_of_its_model():
    assert (
        tombstone_id("camera@1.0.0", "A1") == tombstone_id("camera@2.0.0", "A1") != tombstone_id("camera@1.0.0", "A2")
    )


# The certificate

PRIVATE = ed25519.Ed25519PrivateKey.generate()
LOG = VerifierKey("localhost/log", PRIVATE.public_key().public_bytes_raw())
DEVICE = Device(KEY, Lifecycle.RETIRED, NOW, "door-camera@1.0.0", "ada", serial="SN-7")
MODEL = load(example_bytes("door-camera"))


def certificate(retirement: Retirement) -> str:
    return certify(sanitization(retirement, DEVICE, MODEL, NOW), LOG, PRIVATE.sign)


def test_a_certificate_says_who_verified_and_what_it_does_not_cover():
    said = read_certificate(certificate(heard(ordered(), GOOD, NOW)), [LOG])
    assert (said.device, said.serial, said.method, said.media) == ("cam-1", "SN-7", Sanitizing.CLEAR, "eMMC, soldered")
    assert said.verification is Verification.DEVICE_REPORT
    assert said.items == GOOD.items
    assert any("nobody looked at its storage" in sentence for sentence in said.limits)


def test_a_certificate_of_a_persons_word_names_them_and_their_evidence():
    said = read_certificate(certificate(confirmed(ordered(), WORD)), [LOG])
    assert (said.verified_by, said.evidence, said.method) == ("M. Weber", digest_of(b"receipt"), Sanitizing.DESTROY)
    assert said.verification is Verification.PERSON


def test_nothing_is_certified_that_nobody_verified():
    for retirement in (ordered(), ordered(Declared()), ordered(Declared(Eraser.NONE))):
        with pytest.raises(HostileData, match=r"sanitization\.not_verified"):
            sanitization(retirement, DEVICE, MODEL, NOW)


def test_a_changed_certificate_is_refused():
    text = certificate(confirmed(ordered(), WORD))
    with pytest.raises(HostileData, match=r"note\.signature_wrong"):
        read_certificate(text.replace("M. Weber", "N. Weber"), [LOG])


def test_a_certificate_by_another_key_is_refused():
    other = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    with pytest.raises(HostileData, match=r"note\.unverified"):
        read_certificate(certificate(confirmed(ordered(), WORD)), [VerifierKey("localhost/log", other)])


def test_another_note_of_the_same_key_is_no_certificate():
    checkpoint = serialise(sign_note("localhost/log\n3\ncm9vdA==\n", LOG, PRIVATE.sign))
    with pytest.raises(HostileData, match=r"sanitization\.malformed"):
        read_certificate(checkpoint, [LOG])


def test_a_certificate_in_another_byte_form_is_refused():
    content = canonical(sanitization(confirmed(ordered(), WORD), DEVICE, MODEL, NOW)).decode()
    for text in (f"{TITLE}\n {content}\n", f'{TITLE}\n{content[:-1]},"x":1}}\n', f"{TITLE}\n{content}\n\n"):
        with pytest.raises(HostileData, match=r"sanitization\.malformed|note\."):
            read_certificate(serialise(sign_note(text, LOG, PRIVATE.sign)), [LOG])
