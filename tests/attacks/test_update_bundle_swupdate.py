"""Attacks by SWUpdate archives, against the real SWUpdate: each is refused, and the slot that runs is untouched."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_agent.update.installers.programs import Ended
from holdfast_agent.update.installers.swupdate_archive import member
from holdfast_agent.update.installers.swupdate_said import image_in
from holdfast_core.kernel.errors import HostileData
from update_tools import (
    DESCRIPTION,
    MIB,
    MORE,
    SwLab,
    archive,
    code_of,
    content,
    installed,
    payload,
    quiet,
    signer,
    swupdate,
)


@pytest.fixture
def lab(tmp_path):
    return SwLab(tmp_path)


def refused(lab, made):
    """The code of `verify` and of `write`, which are the same; nothing is written."""
    offered = swupdate("2.0", 2)
    codes = {
        code_of(lab.installer.verify, made, offered),
        code_of(lab.installer.write, made, offered, payload(made, offered.kind), quiet),
    }
    assert lab.boot.next() == "A"
    assert lab.holds("A", "factory")
    assert lab.slots["B"].read_bytes().strip(b"\0") == b""
    (code,) = codes
    return code


def test_control_the_honest_archive_is_installed(lab):
    assert installed(lab, archive(lab.folder, "2.0"), swupdate("2.0", 2)) == "B"


def test_an_archive_signed_by_another_key(lab):
    signer(lab.folder, "other")
    assert refused(lab, archive(lab.folder, "2.0", name="other")) == "installer.signature"


def test_an_archive_for_another_board(lab):
    text = DESCRIPTION.replace('"1.0", "1.1"', '"9.0"')
    digest = hashlib.sha256(content("2.0")).hexdigest()
    text = text.format(version="2.0", a=lab.slots["A"], b=lab.slots["B"], digest=digest, more="")
    assert refused(lab, archive(lab.folder, "2.0", description=text)) == "installer.compatible"


def test_an_archive_that_would_write_to_the_slot_that_runs(lab):
    made = archive(lab.folder, "2.0", slots=(lab.slots["B"], lab.slots["A"]))
    assert refused(lab, made) == "installer.other_device"


@pytest.mark.parametrize(
    "more",
    [
        'scripts: ( { filename = "more"; type = "shellscript"; sha256 = "$D"; } );',
        'scripts: ( { filename = "more"; type = "postinstall"; sha256 = "$D"; } );',
        'files: ( { filename = "more"; path = "/etc/passwd"; sha256 = "$D"; } );',
        'bootenv: ( { name = "bootargs"; value = "init=/bin/sh"; } );',
        'partitions: ( { type = "diskpart"; device = "/dev/null"; } );',
    ],
)
def test_an_archive_that_does_more_than_write_its_slot(lab, more):
    digest = hashlib.sha256(MORE).hexdigest()
    assert refused(lab, archive(lab.folder, "2.0", more=more.replace("$D", digest))) == "installer.unread"


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_truncated_archive(lab, cut):
    made = archive(lab.folder, "2.0")
    data = made.read_bytes()
    made.write_bytes(data[: int(len(data) * cut)])
    assert refused(lab, made) == "installer.bundle"


def test_an_archive_with_one_bit_of_its_image_flipped(lab):
    made = archive(lab.folder, "2.0")
    data = bytearray(made.read_bytes())
    data[MIB] ^= 1
    made.write_bytes(data)
    assert refused(lab, made) == "installer.bundle"


def test_an_archive_whose_description_was_changed(lab):
    made = archive(lab.folder, "2.0")
    made.write_bytes(made.read_bytes().replace(b'version = "2.0"', b'version = "9.0"'))
    assert refused(lab, made) in {"installer.signature", "installer.bundle"}


def test_a_slot_that_was_changed_or_cut_after_it_was_written(lab):
    made, offered = archive(lab.folder, "2.0"), swupdate("2.0", 2)
    stated = payload(made, offered.kind)
    lab.installer.write(made, offered, stated, quiet)
    lab.installer.read_back(made, offered, stated)  # control
    with lab.slots["B"].open("r+b") as file:
        file.seek(MIB)
        file.write(b"!")
    assert code_of(lab.installer.read_back, made, offered, stated) == "installer.slot_corrupt"
    lab.installer.write(made, offered, stated, quiet)
    with lab.slots["B"].open("r+b") as file:
        file.truncate(MIB)
    assert code_of(lab.installer.read_back, made, offered, stated) == "installer.slot_corrupt"


def test_an_older_archive_is_as_good_to_swupdate_and_is_ours_to_refuse(lab):
    installed(lab, archive(lab.folder, "2.0"), swupdate("2.0", 2))
    lab.reboot()
    lab.installer.confirm(swupdate("2.0", 2))
    assert installed(lab, archive(lab.folder, "1.0"), swupdate("1.0", 1)) == "A"  # agreement.accept is not asked here


@given(st.binary(max_size=400))
@settings(max_examples=60)
def test_no_bytes_make_the_reader_of_archives_fail_otherwise(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "some.swu"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert code_of(member, file.fileno(), "x") == "installer.archive"


LINE = "[TRACE] : SWUPDATE running :  [_parse_images] : "


@pytest.mark.parametrize(
    "said",
    [
        "Found Image: a in device : /dev/b for handler rdiff_image",
        "Found compressed Image: a in device : /dev/b for handler raw",
        "Found Image: a in volume : b for handler raw",
        "Found Image: a in device : /dev/b for handler raw (installed from stream)",
        "Found Image: ../a in device : /dev/b for handler raw",
        "anything else",
        "",
    ],
)
def test_what_swupdate_says_is_let_through_only_where_it_is_understood(said):
    good = f"{LINE}Found Image: a in device : /dev/b for handler raw\n"
    assert image_in(Ended(0, good, ""), "/dev/b").name == "a"  # control
    with pytest.raises(HostileData) as error:
        image_in(Ended(0, f"{good}{LINE}{said}\n", ""), "/dev/b")
    assert error.value.code == "installer.unread"


def header(name, size, *, length=None):
    raw = name + b"\0"
    fields = (0, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, len(raw) if length is None else length, 0)
    head = b"070702" + b"".join(b"%08X" % each for each in fields) + raw
    return head + bytes(-len(head) % 4)


END = header(b"TRAILER!!!", 0)


@pytest.mark.parametrize(
    "data",
    [
        END,
        header(b"y", 1) + b"1\0\0\0" + END,
        header(b"x", 0xFFFFFFFF) + END,
        header(b"x", 1, length=0) + b"1\0\0\0" + END,
        header(b"x", 1, length=0xFFFFFFFF) + b"1\0\0\0" + END,
        header(b"x", 1)[:-8],
        header(b"y", 0) * 65 + header(b"x", 0) + END,
        b"070707" + header(b"x", 1)[6:] + END,
    ],
)
def test_hostile_archives_are_refused_by_their_reader(tmp_path, data):
    path = tmp_path / "some.swu"
    path.write_bytes(header(b"y", 0) + header(b"x", 3) + b"123\0" + END)
    with path.open("rb") as file:
        start, size = member(file.fileno(), "x")
        assert path.read_bytes()[start : start + size] == b"123"  # control
    path.write_bytes(data)
    with path.open("rb") as file:
        assert code_of(member, file.fileno(), "x") == "installer.archive"
