"""The page of a device, where it says why something was refused."""

from __future__ import annotations

import pytest

from holdfast.cli.device_text import show_device
from holdfast_core.kernel.instants import Instant


@pytest.mark.parametrize("code", ["secret.no_account", "secret.not_set"])
def test_a_refused_secret_is_shown_with_what_to_do(
    code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = {"id": 2, "kind": "rotate-secrets", "about": "", "by": "server", "state": "refused", "code": code}
    told = {
        "device": "cam-1",
        "lifecycle": "active",
        "level": "",
        "labels": {},
        "answers": [],
        "inspections": [],
        "desired": {"open": [], "settled": [ended]},
    }
    show_device(told, Instant(0))
    shown = capsys.readouterr().out
    assert f"refused {code}" in shown
    assert f"  {code}: The" in shown
    assert max(map(len, shown.splitlines())) <= 80
