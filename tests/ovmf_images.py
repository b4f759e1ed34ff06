"""The images that machines of `ovmf_builders` boot: unified kernel images, signed by a key that counts or by another.

1. An image is systemd's stub with a kernel, a command line and first programs as sections: all that runs is signed.
2. The first program loads an IMA policy, makes an attestation key, quotes, works, quotes again, reports, powers off.
3. Keys: OVMF's public test key ("snakeoil"), which Debian's test variables have in ``db``; and a fresh one that no
   firmware knows.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from image_builders import cpio, run
from ovmf_reports import create_command, quote_command

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
TEST_KEY = Path("/usr/share/ovmf/PkKek-1-snakeoil.key")
TEST_CERTIFICATE = Path("/usr/share/ovmf/PkKek-1-snakeoil.pem")
TEST_PASSPHRASE = b"snakeoil"
KERNELS = Path(__file__).resolve().parent.parent / ".cache/uefi/boot"
COMMAND_LINE = "console=ttyS0 loglevel=4 panic=-1 ima_hash=sha256 ima_template=ima-ng"

IMA_POLICY = """\
dont_measure fsmagic=0x9fa0
dont_measure fsmagic=0x62656572
dont_measure fsmagic=0x64626720
dont_measure fsmagic=0x73636673
measure func=MMAP_CHECK mask=MAY_EXEC
measure func=BPRM_CHECK mask=MAY_EXEC
measure func=FILE_CHECK mask=MAY_READ uid=0
"""
"""The kernel's ``tcb`` without its rule for memory file systems, of which all here are; but proc, sysfs, debugfs and
securityfs are left out as there."""

INIT = """\
#!/bin/sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs security /sys/kernel/security
exec 2>/dev/null 4>/dev/ttyS1 3<>/dev/tpm0
security=/sys/kernel/security
part() { echo "== $1" >&4; base64 >&4; }
tpm() { dd if="/tpm/$1" bs=4096 count=1 >&3; dd bs=4096 count=1 <&3; }
moment() {
    tpm quote | part "quote-$1"
    part "ima-ascii-$1" <$security/ima/ascii_runtime_measurements
    part "ima-binary-$1" <$security/ima/binary_runtime_measurements
    grep . /sys/class/tpm/tpm0/pcr-*/* | part "registers-$1"
}
cat /ima-policy >$security/ima/policy
tpm create | part create
moment 1
sh /etc/later
moment 2
part events <$security/tpm0/binary_bios_measurements
echo '== end' >&4
exec 4>&-
poweroff -f
"""


def kernels() -> list[Path]:
    """The kernels that can be booted, the one to take first."""
    found = [*sorted(KERNELS.glob("vmlinuz-*"), reverse=True), *sorted(Path("/boot").glob("vmlinuz-*"), reverse=True)]
    return [each for each in found if os.access(each, os.R_OK)]


def unified_image(folder: Path) -> Path:
    """A unified kernel image (systemd's stub, a kernel, a command line, the first programs), not signed."""
    release, line = folder / "os-release", folder / "cmdline"
    release.write_text("ID=holdfast-test\nVERSION_ID=1\n")
    line.write_text(COMMAND_LINE)
    # Addresses as in systemd-stub(7); the kernel has room to the next.
    sections = {
        ".osrel": (release, 0x20000),
        ".cmdline": (line, 0x30000),
        ".linux": (kernels()[0], 0x2000000),
        ".initrd": (_initramfs(folder), 0x4000000),
    }
    options: list[str] = []
    for name, (file, address) in sections.items():
        options += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={address:#x}"]
    image = folder / "unsigned.efi"
    run("objcopy", *options, STUB, image)
    return image


def _initramfs(folder: Path) -> Path:
    tree = folder / "root"
    for each in ("bin", "proc", "sys", "dev", "tpm", "etc"):
        (tree / each).mkdir(parents=True)
    busybox = Path(shutil.which("busybox") or "busybox")
    shutil.copy(busybox, tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    linked = subprocess.run(["ldd", busybox], check=False, capture_output=True, text=True).stdout
    for library in re.findall(r"(/\S+) \(", linked):  # none if it is a static one
        target = tree / library.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    (tree / "ima-policy").write_text(IMA_POLICY)
    (tree / "etc/later").write_text("cat /etc/settings >/dev/null\n")
    (tree / "etc/settings").write_text("interval = 60\n")
    (tree / "tpm/create").write_bytes(create_command())
    (tree / "tpm/quote").write_bytes(quote_command())
    packed = folder / "initramfs"
    packed.write_bytes(gzip.compress(cpio(tree, folder / "initramfs.cpio").read_bytes(), mtime=0))
    return packed


def signed(image: Path, output: Path) -> Path:
    """`image` signed with the key that the firmware trusts."""
    key = output.with_suffix(".key")
    opened = load_pem_private_key(TEST_KEY.read_bytes(), TEST_PASSPHRASE)
    key.write_bytes(opened.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _signed(image, output, key, TEST_CERTIFICATE)


def signed_by_nobody(image: Path, output: Path) -> Path:
    """`image` signed with a fresh key that no firmware knows."""
    key, certificate = output.with_suffix(".key"), output.with_suffix(".pem")
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody", "-days", "2"]
    run(*request, "-keyout", key, "-out", certificate)
    return _signed(image, output, key, certificate)


def _signed(image: Path, output: Path, key: Path, certificate: Path) -> Path:
    run("sbsign", "--key", key, "--cert", certificate, "--output", output, image)
    return output
