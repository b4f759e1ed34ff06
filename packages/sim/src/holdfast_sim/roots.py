"""Device root trees: real Debian packages plus the settings of a maker who cares, or of one who does not.

1. A tree is packages unpacked with ``dpkg -x``, then the overlays of this package in order, then accounts, modes and
   what must differ from build to build (keys). Nothing of the host's own settings gets in.
2. The careless tree has the flaws that vendors really ship. Its private key is made anew at every build: this
   repository holds no key, not even a bad one. Its maker states nothing of its build.
3. Without root, owners are lost (everything belongs to who builds); modes are kept.
4. A build goes into a new folder, and a half-made one is removed.
5. `plant_backdoor` adds lines to the end of two files and `remove_backdoor` takes the same bytes away again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from holdfast_core.kernel.errors import Bug, WorldError
from holdfast_sim import stated
from holdfast_sim.packages import Package, PackageStore

_OVERLAYS = Path(__file__).parent / "overlays"

_BASE = ("base-files", "base-passwd", "netbase", "libc6", "ca-certificates", "nftables", "chrony")
_SSH = ("dropbear-bin", "libcrypt1", "libtomcrypt1", "libtommath1", "libgmp10", "zlib1g")
_BROKER = ("mosquitto", "libmosquitto1", "libcjson1", "libssl3")

_APPLETS = {
    "bin": ("ash", "cat", "chmod", "cp", "dmesg", "grep", "ls", "mkdir", "mount", "ps", "sed", "sh", "true", "umount"),
    "sbin": ("halt", "ifconfig", "init", "klogd", "reboot", "start-stop-daemon", "sysctl", "watchdog"),
    "usr/bin": ("awk", "head", "id", "logger", "passwd", "tail", "top", "wc"),
}
_CARELESS_APPLETS = {"usr/sbin": ("telnetd", "inetd", "ftpd", "tftpd", "httpd"), "usr/bin": ("wget", "nc", "tftp")}
"""Applets, not services: having them is no flaw, starting them is."""
_TOOLS = ("usr/bin/mosquitto_ctrl", "usr/bin/mosquitto_passwd")
"""What administers a broker from the bench; nothing on the device calls it."""
_AUTHORITIES = ("ISRG_Root_X1.crt", "ISRG_Root_X2.crt")
"""A device trusts those who certify the servers it calls, not all 140 of a browser's list."""

_KEPT_ACCOUNTS = ("root", "daemon", "bin", "sys", "mail", "www-data", "_apt", "nobody")
_LOCKED = "!*"
_KEY_ONLY = "*"
_ADMIN_MD5 = "$1$hfdemo00$2Ul6KT/gux4Y6Ii1MX.wU/"
"""The password "admin" in md5-crypt: a vendor's default, as vendors hash it."""
_BACKDOOR_PASSWD = b"support:x:0:0::/root:/bin/sh\n"
_BACKDOOR_SHADOW = (
    b"support:$6$hfdemo00hfdemo00$gNQzBiT02/bnZLyp51aGRD6XJ2P/6O7AB8wGLu/RUZ9czpmsym3AfJRfYeE8D9oGJsHQyPZ58baxnc4u5u5Lo/"
    b":19700:0:99999:7:::\n"
)


class Account(msgspec.Struct, frozen=True):
    """An account beyond Debian's own; `password` is the field of ``/etc/shadow``."""

    name: str
    uid: int
    home: str
    shell: str = "/usr/sbin/nologin"
    password: str = _LOCKED


class Recipe(msgspec.Struct, frozen=True):
    """What one device is made of; `model` is the name in its model file."""

    model: str
    version: str
    packages: tuple[str, ...]
    overlays: tuple[str, ...]
    accounts: tuple[Account, ...]
    programs: tuple[str, ...]
    """The maker's own programs; stand-ins, which are not run."""
    facts: dict[str, bool | int | str] = {}
    """What its maker states of it; nothing for a careless one."""
    root_password: str = _LOCKED
    careless: bool = False


_AGENT = Account("holdfast", 990, "/var/lib/holdfast")
_SERVICE = Account("service", 1000, "/home/service", "/bin/sh", _KEY_ONLY)
"""The installer's account, as the model files name it."""
_CLOCK = Account("_chrony", 994, "/var/lib/chrony")
_LOGGER = Account("syslog", 995, "/var/spool/rsyslog")
_CARING = ("usr/bin/holdfast-agent", "usr/sbin/rsyslogd")

HARDENED_CAMERA = Recipe(
    model="door-camera",
    version="2.4.1",
    packages=(*_BASE, *_SSH, "busybox"),
    overlays=("common", "locked", "ssh", "fed", "camera"),
    accounts=(_AGENT, _CLOCK, _LOGGER, Account("camera", 991, "/var/lib/camera"), _SERVICE),
    programs=("usr/bin/camera-stream", *_CARING),
    facts=stated.CAMERA,
)
CARELESS_CAMERA = Recipe(
    model="door-camera",
    version="1.0.3",
    packages=("base-files", "base-passwd", "netbase", *_SSH, "busybox-static"),
    overlays=("common", "careless"),
    accounts=(Account("admin", 1000, "/home/admin", "/bin/sh", _ADMIN_MD5), Account("guest", 1001, "/", "/bin/sh", "")),
    programs=("usr/bin/camera-stream", "usr/bin/holdfast-agent"),
    root_password=_ADMIN_MD5,
    careless=True,
)
GATEWAY = Recipe(
    model="site-gateway",
    version="5.1.0",
    packages=(*_BASE, *_SSH, *_BROKER, "busybox"),
    overlays=("common", "locked", "ssh", "fed", "gateway"),
    accounts=(_AGENT, _CLOCK, _LOGGER, Account("mosquitto", 992, "/var/lib/mosquitto"), _SERVICE),
    programs=_CARING,
    facts=stated.GATEWAY,
)
PUMP_CONTROLLER = Recipe(
    model="pump-controller",
    version="3.0.7",
    packages=(*_BASE, "busybox"),
    overlays=("common", "locked", "pump"),
    accounts=(
        _AGENT,
        _CLOCK,
        _LOGGER,
        Account("pump", 993, "/var/lib/pump"),
        Account("operator", 1000, "/home/operator", "/bin/sh", _KEY_ONLY),
    ),
    programs=("usr/bin/pump-control", *_CARING),
    facts=stated.PUMP,
)


def hardened_camera(root: Path, store: PackageStore) -> None:
    """Build the camera of a maker who cares into the new folder `root`. Raises `WorldError`."""
    build(HARDENED_CAMERA, root, store)


def careless_camera(root: Path, store: PackageStore) -> None:
    """Build the camera that careless vendors ship into the new folder `root`. Raises `WorldError`."""
    build(CARELESS_CAMERA, root, store)


def gateway(root: Path, store: PackageStore) -> None:
    """Build a site's gateway with its MQTT broker into the new folder `root`. Raises `WorldError`."""
    build(GATEWAY, root, store)


def pump_controller(root: Path, store: PackageStore) -> None:
    """Build a pump's controller, which must not reboot, into the new folder `root`. Raises `WorldError`."""
    build(PUMP_CONTROLLER, root, store)


def build(recipe: Recipe, root: Path, store: PackageStore) -> None:
    """Build the tree of `recipe` into `root`, which must not exist yet.

    Raises:
        WorldError: ``root.exists``; or as `PackageStore.fetch` and `PackageStore.unpack`.
    """
    packages = store.fetch(recipe.packages)
    with _new_folder(root):
        store.unpack((packages[name] for name in recipe.packages), root)
        _trim(root)
        _applets(root, _APPLETS)
        for overlay in recipe.overlays:
            _lay(_OVERLAYS / overlay, root, recipe)
        _accounts(root, recipe)
        _programs(root, recipe.programs)
        _identity(root, recipe)
        _bill_of_materials(root, recipe, packages.values())
        if recipe.careless:
            _be_careless(root)
        else:
            _update_keyring(root / "etc/rauc/keyring.pem")
            _modes(root)
            stated.write(root, f"{recipe.model}-{recipe.version}", recipe.facts, recipe.programs)


def plant_backdoor(root: Path) -> None:
    """Add a second account with uid 0 and a password, as an intruder would. Raises `Bug` when it is there already."""
    for path, line in _backdoor(root):
        content = path.read_bytes()
        if line in content or not content.endswith(b"\n"):
            raise Bug(
                "sim.backdoor", f"{path} has no place for the backdoor.", remedy="Plant it once, in a built tree."
            )
        _rewrite(path, content + line)


def remove_backdoor(root: Path) -> None:
    """Take the account of `plant_backdoor` away; the files have their former bytes. Nothing there: does nothing."""
    for path, line in _backdoor(root):
        _rewrite(path, path.read_bytes().replace(line, b"", 1))


def _backdoor(root: Path) -> tuple[tuple[Path, bytes], ...]:
    return ((root / "etc/passwd", _BACKDOOR_PASSWD), (root / "etc/shadow", _BACKDOOR_SHADOW))


def _rewrite(path: Path, content: bytes) -> None:
    """In place: owner and mode stay, and a reader of a line-wise file of this size sees old or new lines."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


@contextmanager
def _new_folder(root: Path) -> Iterator[None]:
    if root.exists():
        raise WorldError("root.exists", f"{root} is there already.", remedy="Build into a folder that does not exist.")
    root.mkdir(parents=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def _trim(root: Path) -> None:
    # Debian's own start scripts; these images have their own.
    for name in ("etc/init.d/chrony", "etc/init.d/mosquitto", *_TOOLS):
        (root / name).unlink(missing_ok=True)
    trusted = root / "etc/ssl/certs"
    shipped = root / "usr/share/ca-certificates"
    for authority in _AUTHORITIES:
        if (found := shipped / "mozilla" / authority).is_file():
            trusted.mkdir(parents=True, exist_ok=True)
            shutil.move(found, trusted / authority)
    shutil.rmtree(shipped, ignore_errors=True)


def _applets(root: Path, applets: dict[str, tuple[str, ...]]) -> None:
    for folder, names in applets.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / name).symlink_to("/bin/busybox")


def _lay(overlay: Path, root: Path, recipe: Recipe) -> None:
    """Copy an overlay; scripts get their x bit here, because a wheel does not keep it."""
    for source in sorted(path for path in overlay.rglob("*") if path.is_file()):
        target = root / source.relative_to(overlay)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        text = text.replace("@MODEL@", recipe.model).replace("@VERSION@", recipe.version)
        target.write_text(text, encoding="utf-8")
        target.chmod(0o755 if target.parent.name in {"init.d", "sbin"} else 0o644)


def _accounts(root: Path, recipe: Recipe) -> None:
    masters = root / "usr/share/base-passwd"
    kept = {
        fields[0]: fields
        for fields in (line.split(":") for line in (masters / "passwd.master").read_text(encoding="utf-8").splitlines())
        if fields[0] in _KEPT_ACCOUNTS
    }
    kept["root"][-1] = "/bin/sh"
    passwd = [":".join([name, "x", *fields[2:]]) for name, fields in kept.items()]
    shadow = [f"{name}:{recipe.root_password if name == 'root' else '*'}:19700:0:99999:7:::" for name in kept]
    group = (masters / "group.master").read_text(encoding="utf-8").replace(":*:", ":x:").splitlines()
    for account in recipe.accounts:
        passwd.append(f"{account.name}:x:{account.uid}:{account.uid}::{account.home}:{account.shell}")
        shadow.append(f"{account.name}:{account.password}:19700:0:99999:7:::")
        group.append(f"{account.name}:x:{account.uid}:")
        home = root / account.home.lstrip("/")
        home.mkdir(parents=True, exist_ok=True)
        if home != root:
            _give(home, account.uid, account.uid, 0o750)
    for name, lines, mode in (("passwd", passwd, 0o644), ("group", group, 0o644), ("shadow", shadow, 0o640)):
        path = root / "etc" / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        _give(path, 0, _SHADOW_GROUP if name == "shadow" else 0, mode)


_SHADOW_GROUP = 42
"""Debian's static gid of the group shadow."""


def _give(path: Path, uid: int, gid: int, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, uid, gid)
    path.chmod(mode)


def _programs(root: Path, programs: Iterable[str]) -> None:
    for program in programs:
        path = root / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n# Stands for the maker's program; the simulator runs its own.\n", encoding="utf-8")
        path.chmod(0o755)


def _identity(root: Path, recipe: Recipe) -> None:
    release = root / "usr/lib/os-release"
    release.write_text(
        f'ID={recipe.model}\nNAME="{recipe.model}"\nVERSION_ID={recipe.version}\n'
        f'PRETTY_NAME="{recipe.model} {recipe.version}"\nIMAGE_ID={recipe.model}\nIMAGE_VERSION={recipe.version}\n'
        "SUPPORT_END=2031-12-31\n",
        encoding="utf-8",
    )
    (root / "etc/hostname").write_text(f"{recipe.model}\n", encoding="utf-8")


def _bill_of_materials(root: Path, recipe: Recipe, packages: Iterable[Package]) -> None:
    """A CycloneDX list of the packages that the tree was really made of."""
    if recipe.careless:
        return
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "firmware", "name": recipe.model, "version": recipe.version}},
        "components": [
            {
                "type": "library",
                "name": package.name,
                "version": package.version,
                "purl": f"pkg:deb/debian/{package.name}@{package.version}?arch={package.architecture}",
                "hashes": [{"alg": "SHA-256", "content": package.sha256}],
            }
            for package in sorted(packages, key=lambda package: package.name)
        ],
    }
    path = root / "usr/share/sbom/firmware.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(bom)) + b"\n")


def _update_keyring(path: Path) -> None:
    """The certificate that updates are checked against; the private half is thrown away, nothing is ever signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Update signing")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


def _modes(root: Path) -> None:
    """What belongs to root alone."""
    modes: dict[str, int] = {
        "boot/cmdline.txt": 0o600,
        "etc/nftables.conf": 0o640,
        "etc/wpa_supplicant/wpa_supplicant.conf": 0o600,
        "etc/securetty": 0o600,
        "root": 0o700,
    }
    for name, mode in modes.items():
        (root / name).chmod(mode)


def _be_careless(root: Path) -> None:
    """What careless builds leave behind."""
    _applets(root, _CARELESS_APPLETS)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    for name in ("etc/ssl/private/server.key", "usr/share/www/cgi-bin/device.pem"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pem)
        path.chmod(0o644)
    modes: tuple[tuple[str, int], ...] = (
        ("etc/shadow", 0o666),
        ("etc/update.conf", 0o666),
        ("etc/init.d/S50camera-stream", 0o777),
        ("bin/busybox", 0o4755),
    )
    for name, mode in modes:
        (root / name).chmod(mode)
    (root / "usr/share/www/upload").mkdir()
    (root / "usr/share/www/upload").chmod(0o777)
    (root / "var/core.1234").write_bytes(b"\x7fELF" + bytes(60))


BUILDERS: dict[str, Callable[[Path, PackageStore], None]] = {
    "hardened-camera": hardened_camera,
    "careless-camera": careless_camera,
    "gateway": gateway,
    "pump-controller": pump_controller,
}
"""The builders by what a story calls the device."""
