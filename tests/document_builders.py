"""Documents of audits, for the tests of the formats."""

from __future__ import annotations

from typing import Any

import msgspec

from baseline_builders import NOW, catalogue, control, findings, model
from holdfast_core.baseline.compare import Earlier, read_earlier
from holdfast_core.baseline.control import Catalogue, Mappings
from holdfast_core.baseline.document import Document, Seen, Target, document
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.baseline.rules import judge
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.model import Compensation, DeviceModel
from holdfast_core.kernel.severity import Severity

OF = catalogue(
    control("FS-01", Severity.CRITICAL, mappings=Mappings(etsi=("5.1-1",), cra=("I.2.d",))),
    control("FS-02", Severity.LOW),
    control("FS-03"),
    control("FS-04"),
    control("FS-05", Severity.MEDIUM),
    control("NET-01", Severity.HIGH),
)
SIGNED = Compensation("FS-04", ("FS-02",), "The vendor is slow", "Ada", "2027-01-31")
LAMP = model(compensations=(SIGNED,))
BODY = findings(
    ["FS-02"],
    ["FS-04"],
    Finding("FS-01", Outcome.FAIL, ("/etc/a b%:12: open", "/etc/shadow has mode 0666", "no path at all")),
    Finding("FS-03", Outcome.NOT_APPLICABLE, reason="There is none."),
    Finding("NET-01", Outcome.FAIL, ("net.ipv4.ip_forward = 1",)),
)
FOLDER = Target("/srv/root", "folder")
PARTS = (
    Seen("rootfs", "squashfs", 512, 4096, understood=True),
    Seen("data", "jffs2", 8192, 4096, understood=False, sentence="It cannot be read here."),
)
IMAGE = Target("camera.bin", "image", PARTS)

ATTACK = "/srv/<script>alert(1)</script>&amp;\"'`]]>--><!--\x1b[2J\x07\u202e\ufffe\udc80\n{{7*7}}{% raw %}"
"""A file name that tries every reader at once."""


def audit_of(
    body: Findings = BODY,
    of: Catalogue = OF,
    device: DeviceModel = LAMP,
    *,
    target: Target = FOLDER,
    **given: Any,
) -> Document:
    """The document of `body`, with `given` changed."""
    baseline = tailor(of, device, NOW)
    options: dict[str, Any] = {"model": f"{device.name}@{device.version}", **given}
    return document(judge(baseline, body, of, NOW), baseline, of, target=target, now=NOW, **options)


def as_earlier(made: Document) -> Earlier:
    """`made` as it is read back by a later audit."""
    return read_earlier(msgspec.json.encode(made))
