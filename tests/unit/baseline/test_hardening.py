"""Change sets as documents that people read, their order, their differences, and what they must not touch."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.baseline import hardening
from holdfast_core.baseline.differences import MAX_COMPARED, difference
from holdfast_core.baseline.essential import danger, start_name
from holdfast_core.baseline.hardening import ByHand, ChangeSet, Step, parse, rank, render
from holdfast_core.inventory.model import DeviceClass, HealthProbe
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.wire.changes import (
    MAX_CONTENT,
    Change,
    ContentChange,
    FolderChange,
    LinkChange,
    ModeChange,
    OwnerChange,
    place_fault,
)
from holdfast_probe.catalogue import shipped_catalogue
from probe_builders import a_plan

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in {".", ".."}
)
PATHS = (
    st.lists(NAMES, min_size=1, max_size=4)
    .map(lambda names: "/" + "/".join(names))
    .filter(lambda path: not place_fault(path))
)
CONTENTS = st.none() | st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode())
MODES = st.integers(0, 0o7777)
IDS = st.integers(0, 0xFFFF_FFFE)
TARGETS = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(ModeChange, PATHS, MODES, MODES),
    st.builds(FolderChange, PATHS, MODES),
    st.builds(OwnerChange, PATHS, st.tuples(IDS, IDS), st.tuples(IDS, IDS)),
    st.builds(LinkChange, PATHS, TARGETS, TARGETS),
    st.builds(ContentChange, PATHS, CONTENTS, CONTENTS, MODES, IDS, IDS),
)


def a_set(*changes: Change, by_hand: tuple[ByHand, ...] = ()) -> ChangeSet:
    step = Step("FS-08", "Password hashes are for root alone.", changes, undo=("Give the bits back.",))
    return ChangeSet("cam@1", digest_of(b"m"), a_plan(), "2026-11-21T10:00:00.000Z", (step,), by_hand)


@given(st.lists(CHANGES, max_size=6))
def test_a_change_set_survives_its_document(changes: list[Change]) -> None:
    before = a_set(*changes, by_hand=(ByHand("FS-01", "T", "W", ("One.", "Two.")),))
    assert parse(render(before)) == before


def test_people_read_lines_and_octal_digits() -> None:
    document = render(a_set(ContentChange("/etc/a", b"x\ny\n", b"x\n", 0o4755), ModeChange("/etc/a", 0o644, 0o600)))
    text = document.decode()
    assert '"x"' in text
    assert '"04755"' in text
    assert '"0600"' in text
    assert "base64" not in text


def test_what_a_reader_would_not_see_is_no_text() -> None:
    for content in (b"\xff\n", b"a\r\n", b"\x1b[2J", "\u202e".encode()):
        assert '"as": "base64"' in render(a_set(ContentChange("/etc/a", None, content))).decode()


@given(st.binary(max_size=200))
def test_only_documented_errors_come_of_any_bytes(data: bytes) -> None:
    with pytest.raises(HostileData):
        parse(data)


def edited(changes: ChangeSet, **fields: object) -> bytes:
    document = msgspec.json.decode(render(changes))
    document["steps"][0]["changes"][0].update(fields)
    return msgspec.json.encode(document)


CHANGE = ContentChange("/etc/a", b"old\n", b"new\n")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"path": "/../etc/shadow"}, "changes.invalid"),
        ({"path": "/etc/../../etc/shadow"}, "changes.invalid"),
        ({"path": "etc/shadow"}, "changes.invalid"),
        ({"path": "/etc//shadow"}, "changes.invalid"),
        ({"path": "/etc/a\0b"}, "changes.invalid"),
        ({"path": "/" + "x" * 5000}, "changes.invalid"),
        ({"mode": "010000"}, "changes.invalid"),
        ({"mode": "999"}, "changes.invalid"),
        ({"uid": -1}, "changes.invalid"),
        ({"kind": "shell"}, "changes.invalid"),
        ({"command": "rm -rf /"}, "changes.invalid"),
        ({"after": {"as": "text", "lines": ["x" * (MAX_CONTENT + 1)]}}, "changes.invalid"),
        ({"after": {"as": "text", "lines": ["x" * 1000] * 300}}, "changes.invalid"),
        ({"after": {"as": "text", "lines": ["\ud800"]}}, "changes.invalid"),
        ({"before": {"as": "text", "lines": ["another past"]}}, "changes.past_edited"),
        ({"before": None}, "changes.past_edited"),
    ],
)
def test_a_document_that_was_edited_badly_is_refused(fields: dict[str, object], code: str) -> None:
    data = edited(a_set(CHANGE), **{k: v for k, v in fields.items() if v != {"as": "text", "lines": ["\ud800"]}})
    if fields.get("after") == {"as": "text", "lines": ["\ud800"]}:
        data = data.replace(b'"new"', b'"\\ud800"')
    with pytest.raises(HostileData) as raised:
        parse(data)
    assert raised.value.code == code


def test_what_is_to_be_there_after_may_be_edited() -> None:
    changes = parse(edited(a_set(CHANGE), after={"as": "text", "lines": ["mine", ""]}))
    assert changes.changes == (ContentChange("/etc/a", b"old\n", b"mine\n"),)


def test_a_document_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening, "MAX_SET_BYTES", 300)
    with pytest.raises(LimitExceeded):
        render(a_set(CHANGE))
    with pytest.raises(LimitExceeded):
        parse(b" " * 301)


def test_bricking_and_rebooting_come_last_and_taking_permissions_away_first() -> None:
    ordered = sorted(shipped_catalogue().controls, key=rank)
    told = [(c.remedy.may_brick, c.remedy.reboot, c.remedy.fix.value != "automatic") for c in ordered]
    assert told == sorted(told)
    assert told[0] == (False, False, False)


# What is shown


def test_a_difference_shows_what_changes_and_little_around_it() -> None:
    lines = [b"line %d" % number for number in range(50)]
    changed = [*lines[:20], b"other", *lines[21:]]
    told = difference(ContentChange("/etc/a", b"\n".join(lines), b"\n".join(changed)))
    assert [line for line in told if line[0] in "+-"][2:] == ["-line 20", "+other"]
    assert "@@ -19,5 +19,5 @@" in told
    assert len(told) == 9


@pytest.mark.parametrize(
    "change",
    [
        ContentChange("/etc/shadow", b"root:$6$salt$hash:1:\n", b"root:!$6$salt$hash:1:\n", 0o644),
        ContentChange("/etc/app.conf", b"x hash\n", b"y hash\n", 0o600),
        ContentChange("/etc/wpa.conf", b"psk=hash\n", b"psk = hash2\n"),
        ContentChange("/etc/snmpd.conf", b"  rocommunity hash\n", None),
        ContentChange("/etc/a.key", b"hash\n", b"\n"),
        ContentChange("/etc/app.json", b'{"token":"hash"}\n', b"{}\n"),
    ],
    ids=lambda change: change.path,
)
def test_a_secret_never_stands_in_a_difference(change: ContentChange) -> None:
    told = "\n".join(difference(change))
    assert "hash" not in told
    assert "\n-" in told


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [
        ("/etc/shadow", b"root:$6$salt$hash:1:2", "root:<password>:\u2026"),
        ("/etc/shadow", b"root:!$6$salt$hash:1:2", "root:<locked>:\u2026"),
        ("/etc/shadow", b"root:*:1:2", "root:<locked>:\u2026"),
        ("/etc/shadow", b"root::1:2", "root:<empty>:\u2026"),
        ("/etc/shadow", b"hash", "\u2026"),
        ("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh", "root:x:0:0:root:/root:/bin/sh"),
        ("/etc/passwd", b"root:$1$hash:0:0:root:/root:/bin/sh", "root:<password>:0:0:root:/root:/bin/sh"),
    ],
)
def test_of_a_password_it_is_shown_whether_it_works_and_nothing_else(path: str, line: bytes, shown: str) -> None:
    told = difference(ContentChange(path, line + b"\n", None, 0o644))
    assert f"-{shown}" in told
    assert "hash" not in "".join(told)


def test_a_setting_about_passwords_that_holds_none_is_shown() -> None:
    told = difference(ContentChange("/etc/sshd", b"PasswordAuthentication yes\n", b"PasswordAuthentication no\n"))
    assert "-PasswordAuthentication yes" in told
    assert "+PasswordAuthentication no" in told


def test_a_large_difference_is_told_by_its_number_and_a_terminal_is_not_acted_on() -> None:
    huge = difference(ContentChange("/etc/a", b"a\n" * (MAX_COMPARED + 1), b"b\n" * (MAX_COMPARED + 1)))
    assert len(huge) == 3
    told = difference(ContentChange("/etc/\x1b[2J", b"\x1b]0;x\x07\n", b"x\n"))
    assert "\x1b" not in "".join(told)


@given(CHANGES)
def test_every_change_can_be_shown(change: Change) -> None:
    lines = difference(change)
    assert lines
    assert all(line.isprintable() for line in lines)


# What must not be touched

PROCESS = HealthProbe("process", process="camera")
TCP = HealthProbe("tcp", port=8554)
FRESH = HealthProbe("file-fresh", path="/var/lib/camera/last.jpg", max_age_s=60)


@pytest.mark.parametrize(
    ("change", "health"),
    [
        (LinkChange("/etc/rc.d/S90camera", "../init.d/camera", None), PROCESS),
        (LinkChange("/etc/rc.d/S90camera", "../init.d/camera", "../init.d/other"), PROCESS),
        (LinkChange("/etc/systemd/system/multi-user.target.wants/camera.service", "../camera.service", None), PROCESS),
        (ContentChange("/etc/init.d/camera", b"x", None), PROCESS),
        (ModeChange("/usr/bin/camera", 0o755, 0o700), PROCESS),
        (ContentChange("/etc/systemd/system/camera.service.d/hard.conf", None, b"[Service]\n"), PROCESS),
        (ContentChange("/etc/rc.local", b"/usr/bin/camera &\n", b": # /usr/bin/camera &\n"), PROCESS),
        (OwnerChange("/opt/bin/camera", (0, 0), (7, 7)), PROCESS),
        (
            ContentChange("/etc/inittab", b"::respawn:/usr/bin/camera -d\n", b"# ::respawn:/usr/bin/camera -d\n"),
            PROCESS,
        ),
        (ContentChange("/etc/camera.conf", b"listen 0.0.0.0:8554\n", b"\n"), TCP),
        (ContentChange("/var/lib/camera/last.jpg", b"x", None), FRESH),
        (ModeChange("/var/lib/camera", 0o777, 0o755), FRESH),
        (OwnerChange("/var/lib", (1, 1), (0, 0)), FRESH),
    ],
    ids=str,
)
def test_what_the_essential_function_visibly_needs_is_not_touched(change: Change, health: HealthProbe) -> None:
    plan = msgspec.structs.replace(a_plan(), health=health)
    assert danger(change, plan)


@pytest.mark.parametrize(
    "change",
    [
        LinkChange("/etc/rc.d/S50telnet", "../init.d/telnet", None),
        ContentChange("/etc/inittab", b"::respawn:/usr/bin/camera\n::x:y\n", b"::respawn:/usr/bin/camera\n"),
        ContentChange("/etc/a", b"# camera\n8554x\n", b""),
        ContentChange("/etc/a", b"listen 80 # was: 8554\n", b"listen 127.0.0.1 80 8554\n"),
        ModeChange("/etc/shadow", 0o644, 0o600),
        ModeChange("/var/lib/camera-old", 0o777, 0o755),
    ],
    ids=str,
)
@pytest.mark.parametrize("health", [PROCESS, TCP, FRESH], ids=["process", "tcp", "file"])
def test_everything_else_may_be(change: Change, health: HealthProbe) -> None:
    plan = msgspec.structs.replace(a_plan(), health=health)
    assert not danger(change, plan)


def test_what_the_model_says_must_start_is_never_kept_from_starting() -> None:
    plan = a_plan(autostart=("dropbear", "getty"))
    for change in (
        LinkChange("/etc/rc.d/S19dropbear", "../init.d/dropbear", None),
        ContentChange("/etc/init.d/dropbear", b"x", None),
        ModeChange("/etc/init.d/dropbear", 0o755, 0o644),
        LinkChange("/etc/systemd/system/getty.target.wants/getty@tty1.service", "/x", None),
        ContentChange("/etc/systemd/system/dropbear.service", None, b""),
        LinkChange("/etc/systemd/system/dropbear.service", None, "/dev/null"),
    ):
        assert danger(change, plan)
    assert not danger(ModeChange("/etc/init.d/dropbear", 0o775, 0o755), plan)
    assert not danger(ContentChange("/etc/init.d/dropbear", b"a\n", b"b\n"), plan)


def test_others_may_be_kept_from_writing_to_what_the_essential_function_starts_with() -> None:
    plan = msgspec.structs.replace(a_plan(), health=PROCESS)
    assert not danger(ModeChange("/etc/init.d/S50camera", 0o777, 0o755), plan)
    assert not danger(ModeChange("/usr/bin/camera", 0o4777, 0o4755), plan)
    assert danger(ModeChange("/etc/init.d/S50camera", 0o777, 0o655), plan)
    assert danger(ModeChange("/usr/bin/camera", 0o755, 0o4755), plan)
    assert danger(ModeChange("/var/lib/camera", 0o777, 0o775), plan)
    assert danger(ModeChange(FRESH.path, 0o666, 0o644), msgspec.structs.replace(a_plan(), health=FRESH))


@pytest.mark.parametrize("line", ["install squashfs /bin/true", "blacklist jffs2", "  install\tvfat /bin/false"])
def test_a_file_system_that_a_device_boots_from_is_never_disabled(line: str) -> None:
    change = ContentChange("/etc/modprobe.d/cis.conf", None, f"# hardening\n{line}\n".encode())
    assert "boots from" in danger(change, a_plan())
    server = msgspec.structs.replace(a_plan(), device_class=DeviceClass.SERVER)
    assert not danger(change, server)
    booting = msgspec.structs.replace(server, root_fs_drivers=(line.split()[1],))
    assert "boots from" in danger(change, booting)
    assert not danger(msgspec.structs.replace(change, before=change.after), a_plan())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/rc.d/S50telnet", "telnet"),
        ("/etc/rc3.d/K01sshd", "sshd"),
        ("/etc/init.d/dropbear", "dropbear"),
        ("/etc/systemd/system/multi-user.target.wants/camera.service", "camera"),
        ("/etc/systemd/system/camera.service.d/10-hard.conf", "camera"),
        ("/etc/ssh/sshd_config", ""),
    ],
)
def test_what_a_path_starts(path: str, name: str) -> None:
    assert start_name(path) == name


OPEN = b"chain input { type filter hook input priority 0; policy accept;\n tcp dport { 22, 8554 } accept\n }\n"


@pytest.mark.parametrize(
    ("before", "listening", "shut_out"),
    [
        (OPEN, (("tcp", 8554),), False),
        (OPEN, (("tcp", 8554), ("tcp", 22)), False),
        (OPEN, (("tcp", 8555),), True),
        (OPEN.replace(b" tcp", b" # tcp"), (("tcp", 8554),), True),
        (OPEN, (), False),
    ],
    ids=["spoken of", "both", "another port", "in a comment", "nobody calls"],
)
def test_a_filter_never_denies_what_others_call_without_a_rule_about_it(
    before: bytes, listening: tuple[tuple[str, int], ...], *, shut_out: bool
) -> None:
    change = ContentChange("/etc/nftables.conf", before, before.replace(b"policy accept", b"policy drop"))
    assert bool(danger(change, a_plan(listening=listening))) is shut_out
    assert not danger(ContentChange("/etc/nftables.conf", before, before + b"\n"), a_plan(listening=listening))
