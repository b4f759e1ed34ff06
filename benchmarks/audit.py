"""Audits of a Debian root, of a router's flash and of this host, beside Lynis and OpenSCAP in the same run.

Method: every program is a process of its own, one after the other, each cold (the kernel was told to forget what it
read, which needs root) and then warm (again, at once); wall, CPU and peak memory by wait4, children included, the peak
of the largest. Peers on ``/`` run once, after Holdfast has read it twice. *Decided* of Holdfast is what passed or
failed of what is asked of that class. More on the peers in `audit_peers`, on what is looked at in `audit_targets`, on
the reports in `audit_sizes`. Other work on the machine makes the figures larger: its load is printed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.audit_peers import LIMIT_S, lynis, missing, oscap, packaged, widened
from benchmarks.audit_sizes import formats, sent
from benchmarks.audit_targets import debian_root, drop_caches, entries, router_flash
from benchmarks.process import Used, run
from holdfast_core.inventory.model import DeviceClass

HOST = Path("/")
Look = Callable[[], tuple[Used, str]]


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        if absent := missing():
            print(f"without its peers, for these are not here: {absent} (make bench installs them where it may)")
        root = debian_root()
        if root is not None:
            _debian(root, folder, peers=not absent)
            _router(root, folder)
        _host(folder, peers=not absent)


def _debian(root: Path, folder: Path, *, peers: bool) -> None:
    print(f"\na Debian root of {entries(root):,} names, as a server  (target 3 s, 48 MiB; 5 times Lynis's speed)")
    own = _measured("holdfast", partial(_holdfast, root, DeviceClass.SERVER))
    if peers:
        # A copy, since OpenSCAP lets apt write its caches into the tree that it looks at.
        copy = folder / "debian"
        subprocess.run(["cp", "-a", root, copy], check=True)
        _beside(own, copy, folder, twice=True)
        shutil.rmtree(copy)
    print(f"  reports   {formats(root, DeviceClass.SERVER)}  (target 100 KB)")
    print(f"  a device  {sent(root, DeviceClass.SERVER)}  (target 2 KB)")


def _router(root: Path, folder: Path) -> None:
    flash = router_flash(root, folder)
    if flash is None:
        return
    print(
        f"\na router's flash of {flash.stat().st_size / 2**20:.0f} MiB, as a gateway, unpacking included  (target 4 s)"
    )
    _measured("holdfast", partial(_holdfast, flash, DeviceClass.GATEWAY))
    print(f"  reports   {formats(flash, DeviceClass.GATEWAY)}  (target 100 KB)")


def _host(folder: Path, *, peers: bool) -> None:
    print(f"\nthis host, {entries(HOST):,} names, as a server  (target 20 s, 64 MiB)")
    own = _measured("holdfast", partial(_holdfast, HOST, DeviceClass.SERVER))
    if peers:
        _beside(own, HOST, folder, twice=False)


def _beside(own: Used, target: Path, folder: Path, *, twice: bool) -> None:
    """The peers on the same target."""
    looks: dict[str, Look] = {"lynis": partial(lynis, target, folder)}
    if (content := packaged()) is not None:
        looks["oscap, as packaged"] = partial(oscap, target, content, folder)
        looks["oscap, for any Debian"] = partial(oscap, target, widened(content, folder), folder)
    for name, look in looks.items():
        peer = _measured(name, look, twice=twice)
        slower, larger = peer.wall_s / own.wall_s, peer.peak_mib / own.peak_mib
        print(f"  {'':24} {slower:.1f} times holdfast's time, {larger:.1f} times its memory")


def _measured(name: str, look: Look, *, twice: bool = True) -> Used:
    """Measure cold, where that can be, and warm; or once, as it comes. The last is returned."""
    if twice and drop_caches():
        _print(name, "cold", *look())
    elif twice:
        print(f"  {name:24} cold was not measured: the caches of this machine are not ours to drop")
        look()
    used, said = look()
    _print(name, "warm" if twice else "once", used, said)
    return used


def _print(name: str, cache: str, used: Used, said: str) -> None:
    figures = f"{used.wall_s:6.1f} s wall  {used.cpu_s:6.1f} s CPU  {used.peak_mib:4.0f} MiB"
    cut = f"  CUT at {LIMIT_S} s" if used.cut else ""
    print(f"  {name:24} {cache}  {figures}{cut}  {said}  (load {os.getloadavg()[0]:.1f})", flush=True)


def _holdfast(target: Path, device_class: DeviceClass) -> tuple[Used, str]:
    program = str(Path(sys.executable).parent / "holdfast")
    used = run([program, "audit", str(target), "--class", device_class, "--json"])
    told = json.loads(used.stdout)
    counts = told["counts"]
    return used, (
        f"{told['decided']} of {told['asked']} decided, coverage {told['coverage']:.0%} ({counts['pass']} pass, "
        f"{counts['fail']} fail, {counts['unknown']} unknown; not asked: {counts['not_applicable']}), exit {used.exit}"
    )
