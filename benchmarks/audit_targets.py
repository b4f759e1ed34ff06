"""What the audit benchmark looks at: a Debian root, a router's flash, and this host.

The Debian root is what ``debootstrap --variant=minbase`` makes, fetched once from the mirror that apt knows and kept in
``.cache/bench``. The flash is packed on the spot of busybox, some of that root's packages and a router's settings, the
way OpenWrt lays it out: boot loader, its variables, a compressed kernel with its configuration, squashfs of xz, padded
to four MiB. Both need root; without it what is missing is said and left out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.image_builders import router

CACHE = Path(__file__).parent.parent / ".cache" / "bench"
SUITE = "bookworm"
_ASK_APT = ("apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Created-By: Packages")
DROP = Path("/proc/sys/vm/drop_caches")
FLASH_BYTES = 4 * 1024 * 1024
_PACKAGES = ("libc6", "mount", "sed", "grep", "gzip", "login", "dash", "sysvinit-utils")
"""Of the Debian root, what the router is filled with; as much as leaves room for the kernel."""
_APPLETS = ("sh", "ls", "cat", "mount", "ip", "udhcpc", "httpd", "crond", "syslogd", "klogd", "init", "login", "passwd")
_SETTINGS = {
    "etc/openwrt_release": "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='23.05.3'\nDISTRIB_TARGET='ramips/mt7621'\n",
    "etc/os-release": 'NAME="OpenWrt"\nVERSION_ID="23.05.3"\nID="openwrt"\n',
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/var:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root::0:0:99999:7:::\nnobody:*:0:0:99999:7:::\n",
    "etc/inittab": "::sysinit:/etc/init.d/rcS S boot\n::askconsole:/usr/libexec/login.sh\n",
    "etc/config/system": "config system\n\toption hostname 'OpenWrt'\n\toption log_size '64'\n",
    "etc/config/network": "config interface 'wan'\n\toption device 'eth1'\n\toption proto 'dhcp'\n",
    "etc/config/wireless": "config wifi-iface 'ap'\n\toption ssid 'OpenWrt'\n\toption encryption 'none'\n",
    "etc/config/firewall": "config zone\n\toption name 'wan'\n\tlist network 'wan'\n\toption input 'REJECT'\n",
    "etc/config/dropbear": "config dropbear\n\toption PasswordAuth 'on'\n\toption Port '22'\n",
    "etc/config/uhttpd": "config uhttpd 'main'\n\tlist listen_http '0.0.0.0:80'\n",
    "etc/init.d/dropbear": "#!/bin/sh /etc/rc.common\nSTART=19\nUSE_PROCD=1\nPROG=/usr/sbin/dropbear\n",
    "etc/sysctl.conf": "net.ipv4.ip_forward=1\n",
    "lib/modules/5.15.150/modules.builtin": "kernel/fs/squashfs/squashfs.ko\n",
}


def debian_root() -> Path | None:
    """The Debian root, made once; `None` where it cannot be."""
    root = CACHE / "debian"
    if (root / "etc/debian_version").is_file():
        return root
    program = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        print("no Debian root: debootstrap is not here, or this is not root")
        return None
    making = CACHE / "debian.new"
    shutil.rmtree(making, ignore_errors=True)
    making.parent.mkdir(parents=True, exist_ok=True)
    print(f"making {root} (once) ...", flush=True)
    mirrors = subprocess.run(_ASK_APT, capture_output=True, text=True, check=False).stdout.split()
    if not mirrors:
        print(f"no Debian root: apt knows no mirror of {SUITE}")
        return None
    argv = [program, "--variant=minbase", SUITE, str(making), mirrors[0]]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode != 0:
        print(f"no Debian root: debootstrap ended with {done.returncode}")
        return None
    making.rename(root)
    return root


def router_flash(root: Path, folder: Path) -> Path | None:
    """A router's flash of four MiB, made of `root`; `None` where its tools are not here."""
    busybox = shutil.which("busybox")
    if busybox is None or shutil.which("mksquashfs") is None:
        print("no router's flash: busybox or mksquashfs is not here")
        return None
    tree = folder / "router"
    for package in _PACKAGES:
        _copy_package(root, package, tree)
    for place in ("bin", "sbin", "lib"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    shutil.copy2(busybox, tree / "bin/busybox")
    for name in _APPLETS:
        (tree / "bin" / name).unlink(missing_ok=True)
        (tree / "bin" / name).symlink_to("busybox")
    for name, text in _SETTINGS.items():
        (tree / name).unlink(missing_ok=True)
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/rc.d").mkdir()
    (tree / "etc/rc.d/S19dropbear").symlink_to("../init.d/dropbear")
    flash = router(tree, folder)
    if len(flash) > FLASH_BYTES:
        raise SystemExit(f"the router's flash came out at {len(flash)} bytes")
    path = folder / "router.bin"
    path.write_bytes(flash)
    return path


def _copy_package(root: Path, package: str, tree: Path) -> None:
    """The files of an installed package, documentation left out, as images of routers do."""
    lists = root / "var/lib/dpkg/info"
    listed = next(path for path in (lists / f"{package}.list", lists / f"{package}:amd64.list") if path.is_file())
    for name in listed.read_text().splitlines():
        source, target = root / name.lstrip("/"), tree / name.lstrip("/")
        if name.startswith(("/usr/share", "/usr/lib/x86_64-linux-gnu/gconv")) or not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def entries(root: Path) -> int:
    """How many names lie below a folder, on its own file system; what does not open is left out."""
    count, device, waiting = 0, root.stat().st_dev, [os.fspath(root)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as listed:
            for entry in listed:
                count += 1
                if entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_dev == device:
                    waiting.append(entry.path)
    return count


def drop_caches() -> bool:
    """Have the kernel forget what it read; whether it could be told."""
    if os.geteuid() != 0 or not os.access(DROP, os.W_OK):
        return False
    os.sync()
    try:
        DROP.write_text("3\n")
    except OSError:  # a container with a /proc of its own
        return False
    return True
