"""What a listener is, and the few ways in which programs write where they listen."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.texts import gathered, text, unquoted, words


class Listener(msgspec.Struct, frozen=True, order=True):
    """A port that a program opens; `address` is empty where it is every one of the device's."""

    program: str
    transport: str
    port: int
    address: str
    where: str

    @property
    def local(self) -> bool:
        """Whether only the device itself gets at it."""
        try:
            return ipaddress.ip_address(self.address.strip("[]")).is_loopback
        except ValueError:
            return self.address == "localhost"


Reader: TypeAlias = Callable[[Root, Started], "Iterable[Listener] | None"]
"""The listeners of one started program, or `None` where its settings do not tell."""
Readers: TypeAlias = Mapping[tuple[str, ...], Reader]
"""Readers by the names that a program goes by."""

_EVERYWHERE = frozenset({"*", "0.0.0.0", "::", "[::]", "any", "all"})  # noqa: S104  (read from settings, not bound)


def at(program: str, transport: str, written: str, default: int, where: str) -> Listener:
    """The listener of ``port``, ``address``, ``address:port`` or ``[address]:port``; port 0 where none is legible."""
    value = unquoted(written)
    address, _, port = value.rpartition(":")
    if value.isascii() and value.isdigit():
        address, port = "", value
    elif value.endswith("]") or not (port.isascii() and port.isdigit()) or (":" in address and address[0] != "["):
        address, port = value, str(default)
    return Listener(program, transport, int(port[:6]), "" if address in _EVERYWHERE else address, where)


def joined(address: str, port: str) -> str:
    """An address and a port as one word; an IPv6 address gets its brackets; no address, the port alone."""
    plain = f"[{address}]" if ":" in address and not address.startswith("[") else address
    return f"{plain}:{port}" if address else port


def fixed(transport_ports: Iterable[tuple[str, int]]) -> Reader:
    """The reader of a program that always opens the same ports."""
    ports = tuple(transport_ports)

    def read(_root: Root, item: Started) -> list[Listener]:
        return [Listener(item.name, transport, port, "", item.source) for transport, port in ports]

    return read


def settings(root: Root, *patterns: str, sign: str = " ") -> list[tuple[str, str, str]]:
    """Keyword, value and place of every line of some files; `sign` parts them (a blank: any white space)."""
    found = []
    for where, line in gathered(root, *patterns):
        key, _, value = line.partition(sign) if sign.strip() else _parted(line)
        found.append((key.strip(), unquoted(value), where))
    return found


def _parted(line: str) -> tuple[str, str, str]:
    pair = line.split(None, 1)
    return pair[0], " ", pair[1] if len(pair) > 1 else ""


def arguments(root: Root, item: Started, program: str) -> list[str]:
    """The words after `program` in what starts it: an init line, a script with its defaults, a unit."""
    if item.way is Way.LINE:
        return _after(words(item.command), program)
    found: list[str] = []
    for path in (item.command, f"/etc/default/{item.name}", f"/etc/conf.d/{item.name}"):
        for line in text(root, path).splitlines() if path.startswith("/") else ():
            key, sign, value = line.strip().partition("=")
            if sign and key.isidentifier() and key.lower().endswith(("args", "opts", "options", "flags")):
                found += words(unquoted(value))
            elif not line.lstrip().startswith("#"):
                found += _after(words(line), program)
    return found


def _after(parts: list[str], program: str) -> list[str]:
    bases = [part.rsplit("/", 1)[-1] for part in parts]
    return parts[bases.index(program) + 1 :] if program in bases else []


def options(found: list[str], *flags: str) -> list[str]:
    """The values of an option, written apart (``-p 22``) or together (``-p22``)."""
    values = []
    for index, word in enumerate(found):
        for flag in flags:
            if word == flag and index + 1 < len(found):
                values.append(found[index + 1])
            elif word.startswith(flag) and len(word) > len(flag) and not flag.startswith("--"):
                values.append(word[len(flag) :])
    return values
