"""The listening probe: what the kernel lists as listening, compared with the plan.

1. The kernel's own list is asked, not a tool's and not a configuration: a backdoor is in no configuration.
2. A folder has no kernel, unless it was told where its device's namespace is listed: then its settings are asked, and
   what starts without anybody knowing its ports leaves it `unknown`.

Format: proc_pid_net(5); addresses are hexadecimal words in host byte order, ports are not swapped.
"""

from __future__ import annotations

import ipaddress
import sys
from contextlib import suppress

from holdfast_core.baseline.probes import Listening
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.listeners import derived, judge_derived
from holdfast_probe.sight import Sight, judged, unknown

_TABLES = (("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07"))
"""File, transport, and the state that means listening (TCP_LISTEN) or bound and unconnected (TCP_CLOSE)."""
_EPHEMERAL = (32_768, 60_999)
_MOST = 4096


def see_listening(case: Case, spec: Listening) -> Sight:
    """Judge one `Listening` probe."""
    root, plan = case.root, case.plan
    found: set[tuple[str, int, str]] = set()
    tables = 0
    for table, transport, state in _TABLES:
        with suppress(Missing):  # a kernel without IPv6 has no tcp6
            for address, port in _bound(root, table, state):
                found.add((transport, port, address))
                if len(found) > _MOST:
                    return unknown(f"More than {_MOST} sockets are listening.")
            tables += 1
    if not tables:
        return _derived(case, spec)
    low, high = _ephemeral(root)
    extra = [
        f"{transport}/{port} on {address}"
        for transport, port, address in found
        if (transport, port) not in plan.listening
        and (spec.loopback or not _is_loopback(address))
        and not (transport == "udp" and low <= port <= high)
    ]
    return judged(extra, "only expected ports are listening")


def _derived(case: Case, spec: Listening) -> Sight:
    if case.root.live:
        return unknown("The kernel's list of sockets is not there.")
    return judge_derived(case.once(derived), case.plan, loopback=spec.loopback)


def _bound(root: Root, table: str, state: str) -> set[tuple[str, int]]:
    wanted = state.encode()
    bound = set()
    for line in root.proc_lines(f"net/{table}"):
        fields = line.split(None, 4)
        if len(fields) < 4 or fields[3] != wanted:  # noqa: PLR2004  (sl, local, remote, state)
            continue
        address, _, port = fields[1].decode("ascii", "replace").partition(":")
        try:
            bound.add((_address(address), int(port, 16)))
        except ValueError:
            raise Unreadable(f"/proc/net/{table}", "it is not the kernel's list") from None
    return bound


def _address(text: str) -> str:
    words = bytes.fromhex(text)
    if sys.byteorder == "little":
        words = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return str(ipaddress.ip_address(words))


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)


def _ephemeral(root: Root) -> tuple[int, int]:
    with suppress(Missing, Unreadable, ValueError, StopIteration):
        low, high = next(root.proc_lines("sys/net/ipv4/ip_local_port_range")).split()
        return int(low), int(high)
    return _EPHEMERAL
