"""The files that an audit is given beside its target: bounded, strict, each refused with what would fit."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.cli.files import read_bounded, read_model
from holdfast.cli.minimal import minimal
from holdfast_core.baseline.compare import MAX_EARLIER_BYTES, Earlier, read_earlier
from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.inspections import InspectionRecord, InspectionRecords, check_inspections
from holdfast_core.baseline.model import BuildManifest
from holdfast_core.baseline.waivers import Waiver, Waivers, checked_waivers
from holdfast_core.inventory.model import DeviceClass, DeviceModel
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.catalogue import shipped_catalogue


class Given(msgspec.Struct, frozen=True):
    """What the command line named; nothing of it is read yet."""

    device_class: DeviceClass | None = None
    model_file: Path | None = None
    earlier_file: Path | None = None
    waivers_file: Path | None = None
    manifest_file: Path | None = None
    inspections_file: Path | None = None
    catalogues: tuple[Path, ...] = ()
    """Folders of controls laid over the shipped ones."""

    @property
    def declared(self) -> bool:
        """Whether somebody described the device, so that the questions have answers."""
        return self.model_file is not None

    def model(self) -> DeviceModel:
        """The model of the device; where only a class is known, one that declares nothing else."""
        if self.model_file is not None:
            return read_model(self.model_file)
        assert self.device_class is not None  # noqa: S101  (the command asks for one of the two)
        return minimal(self.device_class)

    def catalogue(self) -> Catalogue:
        """The shipped controls with what was laid over them; ``catalogue.*`` where that cannot be."""
        if not self.catalogues:
            return shipped_catalogue()
        from holdfast.baseline.catalogue_file import catalogue_with  # noqa: PLC0415  (PyYAML only where such files are read)

        return catalogue_with(self.catalogues)

    def earlier(self) -> Earlier | None:
        """The earlier audit; see `read_earlier` for the errors."""
        return None if self.earlier_file is None else read_earlier(read_bounded(self.earlier_file, MAX_EARLIER_BYTES))

    def waivers(self) -> tuple[Waiver, ...]:
        """The waivers; ``waivers.*`` where the file cannot be."""
        if self.waivers_file is None:
            return ()
        from holdfast import strict_yaml  # noqa: PLC0415  (PyYAML only where such a file is read)

        data = read_bounded(self.waivers_file, LIMITS.model_bytes)
        read: tuple[Waiver, ...] = strict_yaml.read(data, "waivers", Waivers)
        return checked_waivers(read)

    def inspections(self, now: Instant) -> tuple[InspectionRecord, ...]:
        """The inspections; ``inspections.*`` where the file cannot be."""
        if self.inspections_file is None:
            return ()
        from holdfast import strict_yaml  # noqa: PLC0415  (same)

        data = read_bounded(self.inspections_file, LIMITS.model_bytes)
        read: tuple[InspectionRecord, ...] = strict_yaml.read(data, "inspections", InspectionRecords)
        check_inspections(read, now)
        return read

    def manifest(self) -> BuildManifest | None:
        """What the build says of itself, where a file with it was named."""
        return None if self.manifest_file is None else read_manifest(self.manifest_file)


def read_manifest(path: Path) -> BuildManifest:
    """The build manifest at `path`.

    Raises:
        WorldError: ``audit.not_a_manifest`` for a folder.
        HostileData: ``audit.manifest``.
    """
    if path.is_dir():
        raise WorldError(
            "audit.not_a_manifest",
            f"{path} is a folder, and a device of class mcu has no files to look at.",
            remedy='Give its build manifest: {"type": "manifest", "build": "…", "facts": {…}}.',
        )
    try:
        return msgspec.json.decode(read_bounded(path, LIMITS.section_bytes), type=BuildManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HostileData(
            "audit.manifest",
            f"{path} is not a build manifest: {error}.",
            remedy='Write {"type": "manifest", "build": "1.2.3", "facts": {"stack_protector": true}}.',
        ) from error
