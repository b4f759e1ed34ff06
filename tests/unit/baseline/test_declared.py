"""What a model declares, held against what an audit of its image found."""

from __future__ import annotations

import pytest

from baseline_builders import model
from holdfast_core.baseline.declared import Shows, claims
from holdfast_core.baseline.model import Judged, Outcome, Report
from holdfast_core.inventory.model import Boot, Expected, Update, UpdateKind
from holdfast_core.kernel.severity import Severity


def found(outcome: Outcome, control: str = "BOOT-01") -> Report:
    entry = Judged(control, "Title", Severity.HIGH, outcome, "As seen.", ("/boot/fit.itb",), "Why.", "Sign it.")
    return Report((entry,), 1, 1)


SECURE = model(boot=Boot(secure_boot=True))


@pytest.mark.parametrize(
    ("outcome", "shows"),
    [
        (Outcome.PASS, Shows.SHOWN),
        (Outcome.FAIL, Shows.CONTRADICTED),
        (Outcome.UNKNOWN, Shows.NOT_SHOWN),
    ],
)
def test_a_declaration_is_shown_contradicted_or_left_open(outcome: Outcome, shows: Shows) -> None:
    (claim,) = [claim for claim in claims(SECURE, found(outcome)) if claim.control == "BOOT-01"]
    assert (claim.field, claim.shows) == ("boot.secure_boot", shows)
    assert "signed" in claim.sentence


def test_a_silent_image_contradicts_nothing() -> None:
    assert claims(SECURE, Report((), 0, 0)) == ()


def test_what_the_image_shows_beyond_the_model_is_told() -> None:
    signed = model(update=Update(UpdateKind.AB_IMAGE, signed=False))
    (claim,) = claims(signed, found(Outcome.PASS, "UPD-01"))
    assert claim.shows is Shows.UNCLAIMED
    assert claims(signed, found(Outcome.FAIL, "UPD-01")) == (), "what is neither claimed nor shown is no news"


@pytest.mark.parametrize(("filesystem", "shows"), [("squashfs", Shows.SHOWN), ("cramfs", Shows.CONTRADICTED)])
def test_the_file_system_a_device_boots_from_must_be_declared(filesystem: str, shows: Shows) -> None:
    device = model(expected=Expected(root_fs_drivers=("squashfs", "jffs2")))
    (claim,) = claims(device, Report((), 0, 0), filesystem=filesystem)
    assert (claim.control, claim.shows) == ("FS-10", shows)


@pytest.mark.parametrize(("end", "shows"), [("2030-01-01", Shows.CONTRADICTED), ("", Shows.SHOWN)])
def test_another_last_day_of_support_in_the_image_is_a_contradiction(end: str, shows: Shows) -> None:
    device = model()
    (claim,) = claims(device, found(Outcome.PASS, "UPD-07"), support_end=end)
    assert (claim.field, claim.shows) == ("supplier.support_end", shows)
    same = claims(device, found(Outcome.PASS, "UPD-07"), support_end=device.supplier.support_end)
    assert [each.shows for each in same] == [Shows.SHOWN]
    if end:
        assert device.supplier.support_end in claim.sentence
        assert claim.proof == (f"SUPPORT_END={end}",)
