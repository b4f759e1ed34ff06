"""Group ACC: root by key only, everybody else by none; what people may do as root is named."""

from __future__ import annotations

from typing import Any

from hardened.net import SSHD
from hardened.shape import Break
from probe_builders import Files

USERS = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/usr/sbin/nologin\noperator:x:1000:1000::/:/bin/sh\n"
SHADOW = "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\noperator:!:20000:0:99999:7:::\n"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJt1bWJsZWQgdG9nZXRoZXIgZm9yIHRlc3RzIG9ubHk= maintenance\n"
_SUDO = (
    "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\noperator ALL=(root) NOPASSWD: /usr/bin/systemctl restart function\n"
)
# sha512-crypt with 1000 rounds, so that guessing stays quick: of random letters, and of "admin"; md5-crypt of letters.
_STRONG = (
    "$6$rounds=1000$holdfast$zhwsDIQBEEbOHpU9yrZcE/q55GWZFCXJu02Fma3B4AQx5szGN62D87nr4uAtCcE99Lw8Hc051S1beO7yVOAGW."
)
_ADMIN = (
    "$6$rounds=1000$holdfast$oMAFci63I08bafSOrfCcbpDxmc1AvPN2zTUjix7xVXdI1N8tThcpY7dFro/1vSoRsFQz6HQoY6NPPGdcU6xKQ/"
)
_MD5 = "$1$holdfast$REARM6gcDJ5mh/KIjEpHg1"

GOOD: Files = {
    "etc/passwd": USERS,
    "etc/group": "root:x:0:\ndaemon:x:1:\noperator:x:1000:\n",
    "etc/shadow": (SHADOW, 0o600),
    "root/.ssh/authorized_keys": (_KEY, 0o600),
    "etc/sudoers": (_SUDO, 0o440),
    "etc/pam.d/login": "auth required pam_unix.so\naccount required pam_unix.so\n",
    "etc/bluetooth/main.conf": "[General]\nName = function\nAlwaysPairable = false\nDiscoverableTimeout = 120\n",
    "etc/nginx/htpasswd": ("operator:*\n", 0o600),
    "usr/sbin/nologin": ("", 0o755),
}
PLAN: dict[str, tuple[Any, ...]] = {"accounts": ("root",)}
FACTS: dict[str, Any] = {"default_password": False, "unique_identity": True, "pairing_closed": True}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()


def _with_root(field: str) -> Files:
    """Root's password on a running system whose image brought another, so that it is the device's own."""
    return {
        "etc/shadow": (SHADOW.replace("root:*", f"root:{field}"), 0o600),
        "rom/etc/passwd": USERS,
        "rom/etc/shadow": (SHADOW, 0o600),
    }


BREAKS: dict[str, Break] = {
    "ACC-01": Break(
        files={**_with_root(_ADMIN), "etc/pam.d/login": "auth required pam_faillock.so preauth\n"}, live=True
    ),
    "ACC-02": Break(
        files={
            "etc/shadow": (SHADOW.replace("daemon:*", "daemon:"), 0o600),
            "etc/pam.d/login": "auth required pam_faillock.so preauth\n",
        }
    ),
    "ACC-03": Break(
        files={
            "etc/shadow": (SHADOW.replace("root:*", f"root:{_STRONG}"), 0o600),
            "etc/pam.d/login": "auth required pam_faillock.so preauth\n",
        }
    ),
    "ACC-04": Break(
        files={**_with_root(_MD5), "etc/pam.d/login": "auth required pam_faillock.so preauth\n"}, live=True
    ),
    "ACC-05": Break(
        files={
            "etc/passwd": USERS + "toor:x:0:0::/:/usr/sbin/nologin\n",
            "etc/shadow": (SHADOW + "toor:*:20000::::::\n", 0o600),
        }
    ),
    "ACC-06": Break(files={"etc/ssh/sshd_config": SSHD.replace("Authentication no", "Authentication yes")}),
    "ACC-08": Break(files={"etc/sudoers": (_SUDO + "operator ALL=(ALL) NOPASSWD: ALL\n", 0o440)}),
    "ACC-09": Break(files=_with_root(_STRONG), live=True),
    "ACC-10": Break(files={".ssh/authorized_keys": (_KEY, 0o600)}),
    "ACC-11": Break(files={"etc/bluetooth/main.conf": "[General]\nName = function\nDiscoverableTimeout = 0\n"}),
    "ACC-12": Break(files={"usr/bin/report": ("#!/bin/sh\nCLOUD_PASSWORD='tr7-Kd9x2mQz'\n", 0o755)}),
    "ACC-13": Break(files={"usr/lib/firmware-agent.bin": b"\x7fELF" + bytes(100) + b"\0xc3511\0" + bytes(40)}),
    "ACC-14": Break(files={"etc/nginx/htpasswd": ("operator:$apr1$holdfast$u0zPqQ3H8tZz5o0v0k7e1.\n", 0o600)}),
}
