"""Real bundles, archives and images by the tools that make them, with keys that are thrown away, and a RAUC service.

1. Everything lies in the test's own folder; slots are plain files; the D-Bus is a session of the test's own.
2. A reboot is: the service ends, and comes back with the slot that the boot environment names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.rauc import RaucInstaller
from holdfast_agent.update.installers.rauc_bus import Bus
from holdfast_agent.update.installers.swupdate import SwConfig, SwSlot, SwupdateInstaller
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.supply.model import Nature, Offer, Payload, PayloadKind

MIB = 1024 * 1024
BOOT = """#!/bin/sh
# A boot environment in files, with the interface of RAUC's custom backend.
D={folder}
echo "$@" >> $D/log
case "$1" in
get-primary) cat $D/primary ;;
set-primary) echo "$2" > $D/primary; echo good > $D/state.$2 ;;
get-state) cat $D/state.$2 ;;
set-state) echo "$3" > $D/state.$2 ;;
get-current) cat $D/current ;;
*) exit 1 ;;
esac
"""


def need(*programs):
    """Skip where a program is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def sh(*argv, cwd=None, env=None):
    return subprocess.run([str(each) for each in argv], cwd=cwd, check=True, capture_output=True, env=env).stdout


def offer(version, counter, kind, *, svn=0, hardware=("board-1",)):
    return Offer(f"gw:{version}", counter, svn, kind, hardware, Nature.FEATURE)


def payload(path, kind):
    data = path.read_bytes()
    return Payload(kind, path.name, len(data), Digest("sha256:" + hashlib.sha256(data).hexdigest()))


def code_of(call, *arguments):
    """The code that a call is refused with; empty where it is not."""
    try:
        call(*arguments)
    except HoldfastError as error:
        return error.code if error.sentence and error.remedy else "silent"
    return ""


def quiet(_percent):
    pass


def content(version, size=2 * MIB):
    """Bytes that stand for a root file system: they follow from the version."""
    return hashlib.shake_256(str(version).encode()).digest(size)


class Boot:
    """A boot environment and its program."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.program = folder / "boot.sh"
        self.program.write_text(BOOT.format(folder=folder))
        self.program.chmod(0o755)
        for name, value in (("primary", "A"), ("current", "A"), ("state.A", "good"), ("state.B", "good")):
            self.set(name, value)

    def get(self, name):
        return (self.folder / name).read_text().strip()

    def set(self, name, value):
        (self.folder / name).write_text(value + "\n")

    def next(self):
        """What a boot loader would start: the primary slot where it is good, else the other."""
        primary = self.get("primary")
        other = "B" if primary == "A" else "A"
        return primary if self.get(f"state.{primary}") == "good" else other


def authority(folder, name="ca"):
    """A CA and a signer under it, as RAUC wants them: `NAME.pem`, `NAME.signer.pem`, `NAME.signer.key`."""
    extensions = folder / f"{name}.ext"
    extensions.write_text(
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=codeSigning,emailProtection\n"
    )
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    sh("openssl", "req", "-x509", *curve, "-days", "3650", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
       "-out", f"{name}.pem", cwd=folder)  # fmt: skip
    sh("openssl", "req", *curve, "-subj", "/CN=signer", "-keyout", f"{name}.signer.key", "-out", f"{name}.csr",
       cwd=folder)  # fmt: skip
    sh("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}.pem", "-CAkey", f"{name}.key",
       "-CAcreateserial", "-days", "365", "-extfile", extensions, "-out", f"{name}.signer.pem", cwd=folder)  # fmt: skip
    return folder / f"{name}.pem"


def bundle(folder, version, *, ca="ca", compatible="lab-board", size=2 * MIB, form="plain"):
    """A RAUC bundle of one image, signed under `ca`."""
    source = folder / f"bundle-{version}-{ca}-{compatible}"
    source.mkdir()
    (source / "rootfs.img").write_bytes(content(version, size))
    head = "" if form == "plain" else f"[bundle]\nformat={form}\n\n"
    (source / "manifest.raucm").write_text(
        f"{head}[update]\ncompatible={compatible}\nversion={version}\n\n[image.rootfs]\nfilename=rootfs.img\n"
    )
    made = folder / f"{source.name}.raucb"
    sh("rauc", "--cert", f"{ca}.signer.pem", "--key", f"{ca}.signer.key", "bundle", source, made, cwd=folder)
    shutil.rmtree(source)
    return made


class RaucLab:
    """A device with two slots in files, its RAUC service, and the installer over it."""

    def __init__(self, folder, *, activates=False, slot_size=8 * MIB):
        self.folder, self.boot = folder, Boot(folder / "boot")
        self.slots = {"A": folder / "a.img", "B": folder / "b.img"}
        self.slots["A"].write_bytes(content("factory"))
        os.truncate(self.slots["A"], slot_size)
        self.slots["B"].write_bytes(bytes(slot_size))
        authority(folder)
        (folder / "mnt").mkdir()
        (folder / "system.conf").write_text(
            f"[system]\ncompatible=lab-board\nbootloader=custom\nmountprefix={folder}/mnt\nstatusfile={folder}/status\n"
            f"bundle-formats=plain verity\nactivate-installed={str(activates).lower()}\n"
            f"[handlers]\nbootloader-custom-backend={self.boot.program}\n[keyring]\npath={folder}/ca.pem\n"
            f"[slot.rootfs.0]\ndevice={self.slots['A']}\ntype=raw\nbootname=A\n"
            f"[slot.rootfs.1]\ndevice={self.slots['B']}\ntype=raw\nbootname=B\n"
        )
        self.daemon = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.address = self.daemon.stdout.readline().strip()
        self.service = None
        self.start()

    def start(self):
        """Boot: the service comes up in the slot that the boot environment names."""
        self.boot.set("current", self.boot.next())
        environment = {
            **os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address, "DBUS_STARTER_BUS_TYPE": "session", "LC_ALL": "C"
        }  # fmt: skip
        with (self.folder / "service.log").open("ab") as log:
            self.service = subprocess.Popen(
                ["rauc", "--conf=system.conf", f"--override-boot-slot={self.boot.get('current')}", "service"],
                cwd=self.folder, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        for _ in range(400):
            with contextlib.suppress(HoldfastError):
                Bus(self.address).operation()
                break
            time.sleep(0.05)
        self.memory = Memory(self.folder / "memory.json")
        self.bus = Bus(self.address)
        self.installer = RaucInstaller(self.bus, self.memory, mount=self.folder / "mnt", longest=120.0)

    def stop(self):
        self.service.kill()
        self.service.wait()

    def reboot(self):
        self.stop()
        self.start()

    def kill_while_writing(self, made):
        """SIGKILL the service as soon as the first bytes of a bundle's image are in slot B."""
        before = self.slots["B"].read_bytes()[:16]
        self.bus.install(str(made))
        with self.slots["B"].open("rb", buffering=0) as file:
            while os.pread(file.fileno(), 16, 0) == before:
                assert self.service.poll() is None
        self.stop()

    def mounts(self):
        return [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]

    def close(self):
        self.stop()
        for _ in self.mounts():
            subprocess.run(["umount", self.folder / "mnt" / "bundle"], check=False)
        self.daemon.kill()
        self.daemon.wait()
        self.daemon.stdout.close()

    def holds(self, slot, version, size=2 * MIB):
        """Whether a slot begins with the content of a version."""
        with self.slots[slot].open("rb") as file:
            return file.read(size) == content(version, size)


@contextlib.contextmanager
def rauc_lab(folder, **how):
    need("rauc", "busctl", "dbus-daemon", "openssl", "mksquashfs")
    if os.geteuid() != 0:
        pytest.skip("RAUC mounts bundles, which needs root")
    lab = RaucLab(folder, **how)
    try:
        yield lab
    finally:
        lab.close()


def installed(lab, bundle_path, offered, progress=quiet):
    """All that an attempt does before the reboot."""
    stated = payload(bundle_path, offered.kind)
    lab.installer.verify(bundle_path, offered)
    slot = lab.installer.write(bundle_path, offered, stated, progress)
    lab.installer.read_back(bundle_path, offered, stated)
    lab.installer.arm(offered)
    return slot


def rauc(version, counter):
    return offer(version, counter, PayloadKind.RAUC)


def imgtool():
    found = Path(sys.executable).parent / "imgtool"
    return str(found) if found.exists() else "imgtool"


def swupdate(version, counter):
    return offer(version, counter, PayloadKind.SWUPDATE)


def signer(folder, name="cert"):
    """A self-signed certificate as SWUpdate verifies with: `NAME.pem` and `NAME.key`."""
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
       "-subj", f"/CN={name}", "-addext", "extendedKeyUsage=emailProtection", "-keyout", f"{name}.key",
       "-out", f"{name}.pem", cwd=folder)  # fmt: skip
    return folder / f"{name}.pem"


MORE = b"#!/bin/sh\nexit 0\n"
"""A member beside the image, for descriptions that ask for more than that."""
DESCRIPTION = """software =
{{
  version = "{version}";
  hardware-compatibility: [ "1.0", "1.1" ];
  stable = {{
    copy-1 : {{ images: ( {{ filename = "rootfs.img"; device = "{a}"; type = "raw"; sha256 = "{digest}"; }} ); }};
    copy-2 : {{ images: ( {{ filename = "rootfs.img"; device = "{b}"; type = "raw"; sha256 = "{digest}"; }} );{more} }};
  }};
}}
"""


def archive(folder, version, *, name="cert", size=2 * MIB, slots=None, more="", description=None):
    """An SWUpdate archive of one image for two slots, signed by `name`."""
    work = folder / f"swu-{version}-{name}"
    work.mkdir()
    image = content(version, size)
    (work / "rootfs.img").write_bytes(image)
    a, b = slots or (folder / "a.img", folder / "b.img")
    text = description or DESCRIPTION.format(
        version=version, a=a, b=b, digest=hashlib.sha256(image).hexdigest(), more=more
    )
    (work / "sw-description").write_text(text)
    (work / "more").write_bytes(MORE)
    key = ("-signer", folder / f"{name}.pem", "-inkey", folder / f"{name}.key")
    sh("openssl", "cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", *key,
       "-outform", "DER", "-nosmimecap", "-binary", cwd=work)  # fmt: skip
    made = folder / f"{work.name}.swu"
    made.write_bytes(packed(work, "sw-description", "sw-description.sig", "rootfs.img", "more"))
    shutil.rmtree(work)
    return made


def packed(folder, *names):
    """A cpio archive as SWUpdate wants it."""
    return subprocess.run(
        ["cpio", "-o", "-H", "crc", "--quiet"], cwd=folder, check=True, capture_output=True,
        input="".join(f"{name}\n" for name in names).encode(),
    ).stdout  # fmt: skip


class SwLab:
    """A device with two slots in files, a boot environment, and SWUpdate to write them."""

    def __init__(self, folder, *, slot_size=8 * MIB, command=("swupdate",)):
        need("swupdate", "openssl", "cpio")
        self.folder, self.boot = folder, Boot(folder / "boot")
        self.slots = {"A": folder / "a.img", "B": folder / "b.img"}
        for path, data in ((self.slots["A"], content("factory")), (self.slots["B"], b"")):
            path.write_bytes(data)
            os.truncate(path, slot_size)
        key = signer(folder)
        self.config = SwConfig(
            (SwSlot("A", str(self.slots["A"]), "stable,copy-1"), SwSlot("B", str(self.slots["B"]), "stable,copy-2")),
            str(key), "board:1.0", (str(self.boot.program),), str(folder / "work"), command, 120.0,
        )  # fmt: skip
        self.reboot()

    def reboot(self):
        self.boot.set("current", self.boot.next())
        self.memory = Memory(self.folder / "memory.json")
        self.installer = SwupdateInstaller(self.config, self.memory)

    def holds(self, slot, version, size=2 * MIB):
        with self.slots[slot].open("rb") as file:
            return file.read(size) == content(version, size)


def mcu_key(folder, name="mcu"):
    """A key pair for MCUboot images: `NAME.key.pem` and `NAME.pub.pem`; the path of the public one."""
    sh(imgtool(), "keygen", "-k", f"{name}.key.pem", "-t", "ecdsa-p256", cwd=folder)
    sh("openssl", "pkey", "-in", f"{name}.key.pem", "-pubout", "-out", f"{name}.pub.pem", cwd=folder)
    return folder / f"{name}.pub.pem"


def mcu_image(folder, version, *, svn=None, name="mcu", size=12 * 1024, more=()):
    """An image as imgtool signs it for a slot of 64 KiB."""
    (folder / "app").write_bytes(content(version, size))
    counter = () if svn is None else ("--security-counter", str(svn))
    made = folder / f"mcu-{version}-{name}.bin"
    sh(imgtool(), "sign", "-k", f"{name}.key.pem", "--align", "8", "--header-size", "0x100", "--pad-header",
       "--slot-size", "0x10000", "-v", version, *counter, *more, "app", made, cwd=folder)  # fmt: skip
    return made
