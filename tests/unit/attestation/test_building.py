"""Reference values from a release's own files: each kind by what the real tools make."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from attest_builders import NOW, booted, log_of, policy
from boot_builders import Tree, fit_by_hand, fit_by_mkimage, image_node, mcu_image, texts
from event_log_builders import agile_log, event
from holdfast_core.attestation import building
from holdfast_core.attestation.boot import measured, parse_log
from holdfast_core.attestation.building import Source, build_statement, measure
from holdfast_core.attestation.reference import FileValue, Learned, Measurement, parse_statement, statement_bytes
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1
from holdfast_core.formats.pe import authenticode_digest
from holdfast_core.formats.uki import uki_measurements
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import ArtefactKind
from pe_builders import BOOT_LOADER, STUB, assembled, kernel_image, real
from tpm_builders import need


def built(*sources, svn=1, **more):
    made = build_statement(sources, model="gateway", version="1.0.0", svn=svn, made_at=NOW, **more)
    assert parse_statement(statement_bytes(made)[0]) == made
    return made


def refused(*sources, **more):
    with pytest.raises(HostileData) as caught:
        built(*sources, **more)
    return caught.value.code


def sha(data, bank="sha256"):
    return hashlib.new(bank, data).hexdigest()


def file(name="kernel", data=b"the kernel", register=9):
    return Source(name, ArtefactKind.FILE, data, register)


def line(text, register=None):
    return Source("cmdline", ArtefactKind.COMMAND_LINE, text, register)


def tree_of(folder, *options):
    """The hash tree of a root file system by veritysetup, and the root hash that it printed."""
    need("veritysetup")
    (folder / "root.img").write_bytes(bytes(range(256)) * 16 * 40)
    files = [folder / "root.img", folder / "root.hash", f"--root-hash-file={folder}/root"]
    subprocess.run(["/usr/sbin/veritysetup", "format", *files, *options], check=True, capture_output=True, timeout=60)
    return (folder / "root.hash").read_bytes(), (folder / "root").read_text().strip()


def verity(data, register=None):
    return Source("root.hash", ArtefactKind.VERITY, data, register)


# Kinds


@pytest.mark.parametrize("bank", ["sha256", "sha384", "sha512"])
def test_a_file_is_measured_whole_into_the_register_that_was_named(bank):
    made = built(file(), bank=bank)
    assert made.measurements == (Measurement(9, sha(b"the kernel", bank), "kernel"),)
    assert (made.artefacts[0].name, made.artefacts[0].size) == ("kernel", 10)
    assert made.artefacts[0].digest == "sha256:" + sha(b"the kernel")


def test_a_file_of_which_nothing_says_the_register_is_refused():
    assert refused(file(register=None)) == "reference.register"


def test_register_0_is_a_register():
    assert built(file(register=0)).measurements[0].register == 0
    assert built(line(b"quiet", 0)).measurements[0].register == 0


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\0"])
def test_a_command_line_is_measured_without_its_editors_line_end(end):
    assert built(line(b"quiet ro" + end)).measurements == (Measurement(8, sha(b"quiet ro"), "cmdline"),)


def test_a_boot_loader_is_measured_as_firmware_does():
    data = real(BOOT_LOADER)
    made = built(Source("loader", ArtefactKind.EFI, data))
    assert made.measurements == (Measurement(4, authenticode_digest(data).hex(), "loader"),)
    assert built(Source("loader", ArtefactKind.EFI, data, 2)).measurements[0].register == 2


def test_a_unified_kernel_image_is_measured_as_firmware_and_its_stub_do(tmp_path):
    real(STUB)
    data = assembled(tmp_path, {"linux": b"kernel" * 99, "cmdline": b"quiet", "initrd": b"initrd" * 99}).read_bytes()
    made = built(Source("uki", ArtefactKind.UKI, data))
    assert made.measurements[0] == Measurement(4, authenticode_digest(data).hex(), "uki")
    assert [(m.register, m.digest) for m in made.measurements[1:]] == [
        (each.register, each.digest.hex()) for each in uki_measurements(data)
    ]
    assert {"uki name of section .linux", "uki section .cmdline"} <= {m.what for m in made.measurements}


def test_the_images_of_a_fit_are_measured_as_they_lie_in_it():
    data = fit_by_hand(images=[(n, image_node(n.encode(), n)) for n in ("kernel", "ramdisk")],
                       conf=[("kernel", texts("kernel")), ("ramdisk", texts("ramdisk"))])  # fmt: skip
    made = built(Source("fit", ArtefactKind.FIT, data))
    assert {(m.register, m.digest, m.what) for m in made.measurements} == {
        (9, sha(b"kernel"), "fit kernel"),
        (9, sha(b"ramdisk"), "fit ramdisk"),
    }


def test_a_fit_of_u_boots_own_tool_is_read_as_far_as_its_device_tree():
    """Its images are measured; that a device tree which is none cannot be measured is told."""
    assert refused(Source("fit", ArtefactKind.FIT, fit_by_mkimage())) == "devicetree.malformed"


def fit_with_line(words: str) -> bytes:
    fdt = Tree([("chosen", [("bootargs", texts(words))])]).bytes()
    return fit_by_hand(images=[("fdt", image_node(fdt, "flat_dt")), ("kernel", image_node(b"k"))],
                       conf=[("kernel", texts("kernel")), ("fdt", texts("fdt"))])  # fmt: skip


def test_the_command_line_in_a_fits_device_tree_is_measured_too():
    made = built(Source("fit", ArtefactKind.FIT, fit_with_line("quiet ro"), 10))
    assert Measurement(8, sha(b"quiet ro"), "fit command line") in made.measurements
    assert {m.register for m in made.measurements} == {8, 10}


@pytest.mark.parametrize("parts", [[], [("chosen", [])]])
def test_a_device_tree_without_a_command_line_adds_none(parts):
    data = fit_by_hand(images=[("fdt", image_node(Tree(parts).bytes(), "flat_dt"))], conf=[("fdt", texts("fdt"))])
    assert {m.register for m in built(Source("fit", ArtefactKind.FIT, data)).measurements} == {9}


def test_a_fit_that_proposes_no_configuration_is_refused():
    data = Tree([("images", [("kernel", image_node(b"k"))]), ("configurations", [])]).bytes()
    assert refused(Source("fit", ArtefactKind.FIT, data)) == "reference.fit"


def test_an_mcuboot_image_is_a_component_and_states_its_security_counter():
    data = mcu_image("--security-counter", "7")
    made = built(Source("app", ArtefactKind.MCUBOOT, data), svn=None)
    (component,) = made.components
    assert (made.svn, component.kind, component.version) == (
        7,
        "app",
        "1.2.3+0" if "+" in component.version else "1.2.3",
    )
    assert (made.measurements, len(component.signer)) == ((), 64)
    into = built(Source("app", ArtefactKind.MCUBOOT, data, 5), svn=7)
    assert into.measurements == (Measurement(5, component.digest, "app"),)
    assert built(Source("app", ArtefactKind.MCUBOOT, data, 5), svn=7, bank="sha384").measurements == ()


def test_an_unsigned_mcuboot_image_has_no_signer():
    made = built(Source("app", ArtefactKind.MCUBOOT, mcu_image(kind="")))
    assert made.components[0].signer == ""


@pytest.mark.parametrize(
    ("named", "counters", "code"),
    [
        (None, (), "reference.svn"),
        (6, ("7",), "reference.svn"),
        (None, ("7", "8"), "reference.svn"),
        (7, ("7", "8"), "reference.svn"),
        (7, ("7", "7"), ""),
        (None, ("7", "7"), ""),
        (0, (), ""),
    ],
)
def test_the_security_version_is_one_number_and_the_images_own(named, counters, code):
    images = [
        Source(f"app{n}", ArtefactKind.MCUBOOT, mcu_image("--security-counter", counter))
        for n, counter in enumerate(counters)
    ]
    if code:
        assert refused(file(), *images, svn=named) == code
    else:
        assert built(file(), *images, svn=named).svn == (7 if counters else 0)


def test_an_event_log_gives_what_one_boot_measured_but_for_what_every_boot_does():
    log = log_of(booted())
    made = built(Source("boot", ArtefactKind.EVENT_LOG, log), learned=Learned("gate-1", "no values by its maker"))
    assert {(m.register, m.digest) for m in made.measurements} == {
        (event.register, event.digest) for event in measured(parse_log(log), policy()) if not event.structural
    }
    only = built(Source("boot", ArtefactKind.EVENT_LOG, log, 9))
    assert {m.register for m in only.measurements} == {9}
    assert made.learned.device == "gate-1"


def test_events_without_a_digest_in_the_bank_are_left_out():
    log = agile_log(event(9, kinds.IPL, b"old", banks=(SHA1,)), event(9, kinds.IPL, b"kernel"))
    assert [m.digest for m in built(Source("boot", ArtefactKind.EVENT_LOG, log)).measurements] == [sha(b"kernel")]


# Root file systems


def test_a_verity_tree_is_measured_by_its_root_hash(tmp_path):
    data, root = tree_of(tmp_path)
    assert built(file(), verity(data, 12)).measurements[1] == Measurement(12, root, "root.hash root hash")
    assert built(file(), verity(data)).measurements == built(file()).measurements


def test_a_root_hash_of_another_length_than_the_banks_is_never_measured(tmp_path):
    data, _ = tree_of(tmp_path)
    assert refused(file(), verity(data, 12), bank="sha384") == "reference.verity"


def test_a_tree_is_checked_against_the_command_line_of_its_release(tmp_path):
    data, root = tree_of(tmp_path)
    good, other = f"roothash={root} ro".encode(), f"roothash={'00' * 32} ro".encode()
    built(line(good), verity(data))
    assert refused(line(other), verity(data)) == "reference.verity"
    built(line(b"quiet"), verity(data))
    built(line(b"\xff\xfe"), verity(data))
    built(Source("fit", ArtefactKind.FIT, fit_with_line(good.decode())), verity(data))
    assert refused(Source("fit", ArtefactKind.FIT, fit_with_line(other.decode())), verity(data)) == "reference.verity"


def test_a_tree_is_checked_against_the_command_line_in_a_unified_kernel_image(tmp_path):
    data, root = tree_of(tmp_path)

    def uki(words):
        return Source("uki", ArtefactKind.UKI, kernel_image(linux=b"kernel", cmdline=words))

    built(uki(f"roothash={root}\0".encode()), verity(data))
    assert refused(uki(f"roothash={'00' * 32}".encode()), verity(data)) == "reference.verity"


def test_a_tree_that_was_changed_has_another_root(tmp_path):
    data, root = tree_of(tmp_path)
    bent = data[:4096] + bytes([data[4096] ^ 1]) + data[4097:]
    assert refused(line(f"roothash={root}".encode()), verity(bent)) == "reference.verity"


# The whole


def test_a_statement_holds_all_that_it_was_given():
    files = (FileValue("/usr/bin/true", "00" * 32),)
    made = built(file(), file(), files=files, file_keys=(b"key",), retire_at=Instant(NOW + DAY), svn=3)
    assert (made.svn, made.files, made.file_keys, made.retire_at) == (3, files, (b"key",), NOW + DAY)
    assert len(made.measurements) == 1, "the same thing twice is once"
    assert len(made.artefacts) == 2


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(building, "LARGEST_ARTEFACT", 4)
    with pytest.raises(LimitExceeded) as caught:
        measure(file(), "sha256")
    assert caught.value.code == "reference.artefact_large"


@pytest.mark.parametrize("kind", [k for k in ArtefactKind if k not in (ArtefactKind.FILE, ArtefactKind.COMMAND_LINE)])
@pytest.mark.parametrize("data", [b"", b"MZ", b"\xd0\x0d\xfe\xed", bytes(range(256)) * 8, b"\xff" * 99])
def test_a_file_that_is_not_what_it_is_called_is_refused(kind, data):
    with pytest.raises(HostileData):
        measure(Source("x", kind, data), "sha256")


@pytest.mark.parametrize("register", [16, 23])
def test_what_is_measured_into_a_register_that_a_running_system_resets_proves_nothing(register):
    assert refused(file(register=register)) == "reference.register"
    log = agile_log(event(9, kinds.IPL, b"kernel"), event(register, kinds.IPL, b"application"))
    assert [m.register for m in built(Source("boot", ArtefactKind.EVENT_LOG, log)).measurements] == [9]
    assert refused(Source("boot", ArtefactKind.EVENT_LOG, log, register)) == "reference.register"
