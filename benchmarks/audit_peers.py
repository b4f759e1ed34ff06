"""The peers of the audit benchmark: Lynis, and OpenSCAP with what Debian packages for it.

Lynis keeps no verdict for each test, so what it performed is counted, decided or not. OpenSCAP is given the largest
profile of the newest content that Debian packages. Debian 12 packages it for Debian 11, where it finds itself not
applicable throughout; so it runs a second time from a copy in which the one pattern that asks for that release takes
any, and the line says so. That is more than its user gets, and shows what it could decide.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

from benchmarks.process import Used, run

LIMIT_S = 300
"""The longest that a peer may take; a line says where it was cut."""
_CONTENTS = Path("/usr/share/xml/scap/ssg/content")
_PROFILES = ("cis_level2_server", "anssi_bp28_high", "anssi_np_nt28_high", "standard")
"""The largest first."""


def lynis(target: Path, folder: Path) -> tuple[Used, str]:
    """An audit by Lynis, and what it says of itself."""
    report = folder / "lynis.dat"
    report.unlink(missing_ok=True)
    argv = ["lynis", "audit", "system", "--quick", "--no-colors", "--logfile", str(folder / "lynis.log")]
    argv += ["--report-file", str(report)]
    if target != Path("/"):
        argv += ["--rootdir", f"{target}/"]  # without the slash it glues the folder and etc/passwd together
    used = run(argv, limit_s=LIMIT_S)
    lines = report.read_text(errors="replace").splitlines() if report.is_file() else []
    told = dict(line.split("=", 1) for line in lines if "=" in line and "[]" not in line.split("=", 1)[0])
    done, left = (
        len([test for test in told.get(key, "").split("|") if test]) for key in ("tests_executed", "tests_skipped")
    )
    said = f"{done} tests performed, {left} skipped, index {told.get('hardening_index', '-')}; no verdict for each"
    if target != Path("/"):
        said += f"; it took the tree for {told.get('os_fullname', '-')}, kernel {told.get('os_kernel_version', '-')}"
    return used, said


def packaged() -> Path | None:
    """The newest content that Debian packages for itself."""
    return max(_CONTENTS.glob("ssg-debian[0-9]*-ds.xml"), default=None)


def widened(content: Path, folder: Path) -> Path:
    """A copy of the content that takes any release of Debian for its own."""
    asks = r"(<ind:pattern operation=\"pattern match\">)\^[0-9]+\.\[0-9\]\+\$<"
    copy = folder / content.name
    copy.write_text(re.sub(asks, r"\1^[0-9]+\.[0-9]+$<", content.read_text()))
    return copy


def oscap(target: Path, content: Path, folder: Path) -> tuple[Used, str]:
    """An audit by OpenSCAP, and its results counted."""
    environ = {} if target == Path("/") else {"OSCAP_PROBE_ROOT": str(target)}
    text = content.read_text()
    profile = next(name for name in _PROFILES if f'content_profile_{name}"' in text)
    argv = ["oscap", "xccdf", "eval", "--profile", f"xccdf_org.ssgproject.content_profile_{profile}"]
    argv += ["--results", str(folder / "oscap.xml"), str(content)]
    used = run(argv, environ, limit_s=LIMIT_S)
    counted = Counter(re.findall(r"^Result\r?\t(\w+)", used.stdout.decode(errors="replace"), re.MULTILINE))
    decided = counted["pass"] + counted["fail"]
    others = ", ".join(f"{count} {name}" for name, count in counted.most_common())
    return used, f"{decided} of {counted.total()} decided ({others or 'nothing was said'}); {content.name}, {profile}"


def missing() -> str:
    """What of the peers is not here."""
    absent = [name for name in ("lynis", "oscap") if shutil.which(name) is None]
    return ", ".join(absent if packaged() else [*absent, "ssg-debian"])
