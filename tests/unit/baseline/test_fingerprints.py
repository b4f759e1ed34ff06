"""What a finding is about, whatever its wording."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline.fingerprints import fingerprint, path_of, place_of, subject


@pytest.mark.parametrize(
    ("item", "about"),
    [
        ("/etc/shadow has mode 0666, wanted 0640", "/etc/shadow"),
        ("/etc/ssh/sshd_config:12: PermitRootLogin yes", "/etc/ssh/sshd_config"),
        ("net.ipv4.ip_forward = 1", "net.ipv4.ip_forward"),
        ("kernel.kptr_restrict is '0' (/proc/sys/kernel/kptr_restrict), wanted 1 or 2", "kernel.kptr_restrict"),
        ("root has no password", "root has no password"),
        ("and 12 more", "and 12 more"),
        ("", ""),
    ],
)
def test_what_an_item_of_proof_is_about(item: str, about: str) -> None:
    assert subject(item) == about


@given(st.lists(st.text(max_size=40), max_size=6))
def test_neither_order_nor_repetition_makes_another_finding(proof: list[str]) -> None:
    assert fingerprint("FS-01", proof) == fingerprint("FS-01", [*reversed(proof), *proof])
    assert fingerprint("FS-01", proof) != fingerprint("FS-02", proof)


@given(st.text(max_size=60))
def test_a_path_is_how_the_item_begins(item: str) -> None:
    path = path_of(item)
    assert (path is not None) == item.startswith("/")
    assert path is None or item.startswith(path)


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ("telnet is started by /etc/inetd.conf.", ("/etc/inetd.conf", None)),
        ("/etc/ssh/sshd_config:12: PermitRootLogin yes", ("/etc/ssh/sshd_config", 12)),
        ("kernel.x is '0' (/proc/sys/kernel/x), wanted 1", ("/proc/sys/kernel/x", None)),
        ("/a:0: nothing", ("/a", None)),
        ("/a:12x", ("/a", None)),
        ("https://host/path and 3/4", None),
        ("by a //server/share", None),
        ("", None),
    ],
)
def test_the_first_path_in_an_item_of_proof_and_its_line(item: str, place: tuple[str, int | None] | None) -> None:
    assert place_of(item) == place
