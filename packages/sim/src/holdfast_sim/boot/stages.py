"""The stages of a boot: each verifies the next, measures it, and only then starts it.

1. Order is everything: verify, look whether it may still run (security version, revocation), measure, start. What
   failed one of these was never started; its refusal leaves the stage as `HostileData`, and the machine recovers.
2. A stage relies on what the stage before handed over, and on nothing else in flash.
3. A floor is the least security version number that may run, kept by the machine for every artefact.

Source: NIST SP 800-193, sections 4.1 (roots of trust) and 4.2.1.3 (rollback).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast_core.formats.devicetree import Node, parse_device_tree
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.fit import image_data, parse_fit
from holdfast_core.formats.fit_verify import VerifiedFit, verify_fit
from holdfast_core.formats.mcuboot_verify import verify_mcuboot
from holdfast_core.formats.verity import parse_verity_superblock, verify_tree
from holdfast_core.formats.verity_cmdline import verity_lapses_in, verity_roots_in
from holdfast_core.kernel.errors import HostileData
from holdfast_sim.boot.artefacts import APP, FIT, MCUBOOT, RECOVERY, ROOT_TREE, ROOTFS, SPL, UBOOT, manifest_of
from holdfast_sim.boot.events import Measuring, authority
from holdfast_sim.boot.keys import FIT_KEY, KeyTable, PublicKey, key_digest, public_key
from holdfast_sim.boot.manifest import Manifest, check_digest, open_manifest

_ROOT_DIGITS = 64


class Boot:
    """One boot on its way.

    Args:
        flash: the files, by name.
        floors: the least security version number by artefact; absent is 0.
        measuring: where everything is measured.
    """

    def __init__(self, flash: Mapping[str, bytes], floors: Mapping[str, int], measuring: Measuring) -> None:
        self._flash = flash
        self._floors = floors
        self._measuring = measuring
        self._relied: set[bytes] = set()
        self._separated = False
        self.keys = KeyTable(())
        self.started: list[str] = []
        self.running: dict[str, int] = {}
        """Security version numbers of what was found good, by artefact."""
        self.command_line = ""

    def file(self, name: str) -> bytes:
        """A file of the flash. Raises HostileData ``boot.missing``."""
        if name not in self._flash:
            raise HostileData("boot.missing", f"There is no {name}.", remedy="Write the release anew, all of it.")
        return self._flash[name]

    def linux(self) -> None:
        """From the ROM to the root file system. Raises HostileData at the first thing that is wrong."""
        spl = self._firmware(SPL, self.root_key())
        uboot = self._firmware(UBOOT, self._key(spl.next_key))
        setting = f"configuration={uboot.configuration}".encode()
        self._measuring.telling(1, kinds.PLATFORM_CONFIG_FLAGS, setting)
        self._kernel(uboot)
        self._rootfs()

    def mcu(self) -> None:
        """From the ROM to the application. Raises HostileData at the first thing that is wrong."""
        loader = self._firmware(MCUBOOT, self.root_key())
        key = self._key(loader.next_key)
        verified = verify_mcuboot(self.file(APP), [key])
        self._may_run(APP, verified.security_counter or 0, verified.digest)
        self._rely(loader.next_key)
        self.separate()
        self._measuring.thing(4, kinds.IPL, APP.encode(), verified.digest)
        self.started.append(APP)

    def recovery(self) -> None:
        """The declared safe state: the recovery image, by the root key. Raises HostileData when it is wrong too."""
        digest = self.check_recovery()
        self._measuring.thing(4, kinds.IPL, RECOVERY.encode(), digest)
        self.started.append(RECOVERY)

    def check_recovery(self) -> bytes:
        """The digest of the recovery image, if it may run. Raises HostileData."""
        manifest = open_manifest(RECOVERY, self.file(manifest_of(RECOVERY)), self.root_key())
        digest = check_digest(manifest, self.file(RECOVERY))
        self._may_run(RECOVERY, manifest.svn, digest)
        return digest

    def root_key(self) -> PublicKey:
        """The key that the ROM knows. Raises HostileData ``boot.keys`` when no table was read."""
        if not self.keys.certificates:
            raise HostileData(
                "boot.keys", "There is no table of boot keys.", remedy="Write the table that the root key signed."
            )
        return public_key(self.keys.certificates[0])

    def separate(self) -> None:
        """Draw the line between firmware and what it starts, once."""
        if not self._separated:
            self._separated = True
            self._measuring.separators()

    def failed(self, sentence: str) -> None:
        """Measure, in words, why the boot stops here."""
        self.separate()
        self._measuring.telling(4, kinds.IPL, sentence.encode("ascii", "replace"))

    def _firmware(self, name: str, key: PublicKey) -> Manifest:
        """Verify, measure and start an artefact that has a manifest."""
        manifest = open_manifest(name, self.file(manifest_of(name)), key)
        digest = check_digest(manifest, self.file(name))
        self._may_run(name, manifest.svn, digest)
        self._rely(key_digest(key))
        self._measuring.thing(0, kinds.POST_CODE, name.encode(), digest)
        self.started.append(name)
        return manifest

    def _kernel(self, uboot: Manifest) -> None:
        """What U-Boot proper does: the FIT image, by the key and in the configuration of its manifest."""
        data, key = self.file(FIT), self._key(uboot.next_key)
        trusted = {FIT_KEY: key} if isinstance(key, rsa.RSAPublicKey) else {}
        verified = verify_fit(data, trusted, uboot.configuration)
        digest = hashlib.sha256(data).digest()
        self._may_run(FIT, _svn(data, verified.configuration.name), digest)
        for each in verified.images:
            self._not_revoked(each.role, each.digest)
        self.command_line = _command_line(data, verified)
        self._rely(uboot.next_key)
        self.separate()
        self._measuring.thing(4, kinds.IPL, FIT.encode(), digest)
        line = self.command_line.encode()
        self._measuring.thing(8, kinds.IPL, b"kernel_cmdline: " + line + b"\0", hashlib.sha256(line).digest())
        for each in verified.images:
            self._measuring.thing(9, kinds.IPL, each.role.encode(), each.digest)
        self.started.append("kernel")

    def _rootfs(self) -> None:
        """What the initrd does: the root file system, by the root hash on the signed command line."""
        roots = verity_roots_in(self.command_line)
        if len(roots) != 1 or len(roots[0]) != _ROOT_DIGITS or verity_lapses_in(self.command_line):
            raise HostileData(
                "boot.verity",
                "The command line does not name one root hash, or lets damaged blocks pass.",
                remedy="Sign a command line with one SHA-256 roothash= and without options that ignore corruption.",
            )
        tree = self.file(ROOT_TREE)
        superblock = parse_verity_superblock(tree)
        root = bytes.fromhex(roots[0])
        verify_tree(self.file(ROOTFS), tree[superblock.tree_offset :], superblock, root)
        self._not_revoked(ROOTFS, root)
        self._measuring.thing(9, kinds.IPL, ROOTFS.encode(), root)
        self.started.append(ROOTFS)

    def _key(self, digest: str) -> PublicKey:
        certificate = self.keys.certificate_of(digest)
        if certificate is None:
            raise HostileData(
                "boot.wrong_key",
                "A manifest names a key that is not in the table of boot keys.",
                remedy="Write a release that was signed with this product's keys, and its key table.",
            )
        return public_key(certificate)

    def _rely(self, digest: str) -> None:
        """Measure, once, that the key with this digest let something run."""
        certificate = self.keys.certificate_of(digest)
        if certificate is not None and certificate not in self._relied:
            self._relied.add(certificate)
            self._measuring.telling(7, kinds.EFI_VARIABLE_AUTHORITY, authority(certificate))

    def _may_run(self, name: str, svn: int, digest: bytes) -> None:
        """Refuse what is older than the floor, and what is revoked."""
        floor = self._floors.get(name, 0)
        if svn < floor:
            raise HostileData(
                "boot.rollback",
                f"{name} has the security version {svn}; {floor} is the least that may run.",
                remedy="Install a release with this security version or a later one.",
            )
        self._not_revoked(name, digest)
        self.running[name] = svn

    def _not_revoked(self, name: str, digest: bytes) -> None:
        if digest in self.keys.revoked:
            raise HostileData(
                "boot.revoked",
                f"{name} is revoked.",
                remedy="Install a release that is not on the list of revoked images.",
            )


def _svn(data: bytes, configuration: str) -> int:
    """The security version number in the signed configuration; none is 0."""
    nodes: Mapping[str, Node] = parse_fit(data).tree.root.children["configurations"].children
    cells = nodes[configuration].cells("svn")
    return cells[0] if cells else 0


def _command_line(data: bytes, verified: VerifiedFit) -> str:
    """The kernel's command line: the boot arguments of the signed device tree."""
    trees = [each.image for each in verified.images if each.role == "fdt"]
    chosen = parse_device_tree(image_data(data, trees[0])).root.children.get("chosen") if trees else None
    return chosen.text("bootargs") if chosen else ""
