"""How far services are shut in: systemd's units with their drop-ins, procd's scripts, and the drop-ins we would add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.programs import Confined, Exposed
from holdfast_probe.case import Case
from holdfast_probe.changing import apply
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.mending import mend
from holdfast_probe.programs.confinement import WEIGHTS, Unit, services
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, ask, grow

UNITS = "/etc/systemd/system"
WANTS = f"{UNITS}/multi-user.target.wants"
SHUT = "NoNewPrivileges=yes\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\nSystemCallFilter=@system-service\n"
ASKED = Confined(
    directives=("NoNewPrivileges", "CapabilityBoundingSet", "SystemCallFilter"), procd=("dnsmasq",), but=("ssh",)
)
PASS, FAIL, NA, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.NOT_APPLICABLE, Outcome.UNKNOWN


def unit(settings: str = "", *, name: str = "web", after: str = "network.target") -> Files:
    return {
        f"{UNITS}/{name}.service": f"[Unit]\nAfter={after}\n[Service]\nExecStart=/usr/sbin/{name}\n{settings}",
        f"{WANTS}/{name}.service": f"-> ../{name}.service",
    }


def graded(settings: str, directive: str) -> float:
    given = dict(line.split("=", 1) for line in settings.splitlines())
    return Unit("x", "x.service", given, networked=True).grade(directive)


CASES: dict[str, tuple[Files, Outcome]] = {
    "a service that is shut in": (unit(SHUT), PASS),
    "one that is not": (unit(), FAIL),
    "one that lacks the filter": (unit(SHUT.replace("SystemCallFilter", "#SystemCallFilter")), FAIL),
    "one that keeps every capability": (unit(SHUT.replace("CAP_NET_BIND_SERVICE", "~")), FAIL),
    "one that keeps a great capability": (unit(SHUT.replace("CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN")), FAIL),
    "one with its confinement in a drop-in": ({**unit(), f"{UNITS}/web.service.d/a.conf": f"[Service]\n{SHUT}"}, PASS),
    "one that a drop-in opens": (
        {**unit(SHUT), f"{UNITS}/web.service.d/a.conf": "[Service]\nNoNewPrivileges=no\n"},
        FAIL,
    ),
    "one that has nothing to do with the network": (unit(after="sysinit.target"), NA),
    "one that is excused": (unit(name="ssh"), NA),
    "one that ends": (unit("Type=oneshot\n"), NA),
    "one that a socket of the network starts": (
        {
            f"{UNITS}/web.socket": "[Socket]\nListenStream=80\n",
            f"{UNITS}/web@.service": "[Service]\nExecStart=/usr/sbin/web\n",
            f"{UNITS}/sockets.target.wants/web.socket": "-> ../web.socket",
        },
        FAIL,
    ),
    "one that starts by itself and by a socket of the network": (
        {
            **unit(after="sysinit.target"),
            f"{UNITS}/web.socket": "[Socket]\nListenStream=80\n",
            f"{UNITS}/sockets.target.wants/web.socket": "-> ../web.socket",
        },
        FAIL,
    ),
    "one that a socket of this device starts": (
        {
            f"{UNITS}/web.socket": "[Socket]\nListenStream=/run/web\n",
            f"{UNITS}/web@.service": "[Service]\nExecStart=/usr/sbin/web\n",
            f"{UNITS}/sockets.target.wants/web.socket": "-> ../web.socket",
        },
        NA,
    ),
    "a procd script with a jail": (
        {
            "/etc/init.d/dnsmasq": "USE_PROCD=1\nprocd_add_jail dnsmasq ubus log\n",
            "/etc/rc.d/S19dnsmasq": "-> ../init.d/dnsmasq",
            "/sbin/ujail": "x",
        },
        PASS,
    ),
    "a procd script whose jail is not there": (
        {
            "/etc/init.d/dnsmasq": "USE_PROCD=1\nprocd_add_jail dnsmasq ubus log\n",
            "/etc/rc.d/S19dnsmasq": "-> ../init.d/dnsmasq",
        },
        FAIL,
    ),
    "a procd script without": (
        {"/etc/init.d/dnsmasq": "USE_PROCD=1\n", "/etc/rc.d/S19dnsmasq": "-> ../init.d/dnsmasq"},
        FAIL,
    ),
    "a procd script that nobody asked about": (
        {"/etc/init.d/led": "USE_PROCD=1\n", "/etc/rc.d/S96led": "-> ../init.d/led"},
        NA,
    ),
    "nothing that starts anything": ({}, UNKNOWN),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_faces_the_network_is_confined_or_not(tmp_path: Path, case: tuple[Files, Outcome]) -> None:
    files, outcome = case
    finding = ask(grow(tmp_path, {"etc/x": "", **files}), ASKED)
    assert finding.outcome is outcome, finding


@pytest.mark.parametrize(
    ("settings", "directive", "grade"),
    [
        ("", "User", 0.0),
        ("User=root", "User", 0.0),
        ("User=web", "User", 1.0),
        ("DynamicUser=yes", "User", 1.0),
        ("User=web", "CapabilityBoundingSet", 0.9),
        ("User=web\nAmbientCapabilities=CAP_SYS_ADMIN", "CapabilityBoundingSet", 0.0),
        ("CapabilityBoundingSet=", "CapabilityBoundingSet", 1.0),
        ("CapabilityBoundingSet=~CAP_SYS_ADMIN", "CapabilityBoundingSet", 0.0),
        ("ProtectSystem=strict", "ProtectSystem", 1.0),
        ("ProtectSystem=full", "ProtectSystem", 0.7),
        ("ProtectSystem=yes", "ProtectSystem", 0.4),
        ("ProtectSystem=no", "ProtectSystem", 0.0),
        ("ProtectHome=read-only", "ProtectHome", 0.7),
        ("ProtectHome=tmpfs", "ProtectHome", 1.0),
        ("SystemCallFilter=~@mount", "SystemCallFilter", 0.7),
        ("SystemCallFilter=", "SystemCallFilter", 0.0),
        ("RestrictNamespaces=no", "RestrictNamespaces", 0.0),
        ("RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies", 1.0),
        ("UMask=0077", "UMask", 1.0),
        ("UMask=0022", "UMask", 0.0),
        ("PrivateTmp=yes", "PrivateTmp", 1.0),
    ],
)
def test_a_directive_counts_for_what_it_keeps_away(settings: str, directive: str, grade: float) -> None:
    assert graded(settings, directive) == grade


def test_nothing_set_is_exposed_wholly_and_every_directive_lowers_it() -> None:
    assert sum(WEIGHTS.values()) == 100
    bare = Unit("x", "x.service", {}, networked=False)
    assert bare.exposure == 100
    best = {
        "User": "x",
        "ProtectSystem": "strict",
        "UMask": "0077",
        "CapabilityBoundingSet": "",
        "SystemCallFilter": "@x",
    }
    for name in WEIGHTS:
        given = {name: best.get(name, "yes")}
        assert Unit("x", "x.service", given, networked=False).exposure < 100, name
    shut = {name: best.get(name, "yes") for name in WEIGHTS}
    assert Unit("x", "x.service", shut, networked=False).exposure == 0


def test_a_dynamic_user_brings_its_protections_along(tmp_path: Path) -> None:
    grow(tmp_path, unit("DynamicUser=yes\nProtectSystem=full\n"))
    (web,) = services(FolderRoot(tmp_path))
    assert web.grade("NoNewPrivileges") == 1.0
    assert web.grade("ProtectSystem") == 0.7, "what the unit itself says counts"


def test_the_worst_unit_decides_and_is_named(tmp_path: Path) -> None:
    grow(tmp_path, {**unit(SHUT), **unit(name="old", after="sysinit.target")})
    finding = ask(tmp_path, Exposed(maximum=80))
    assert finding.outcome is FAIL
    assert finding.proof == ("old.service is exposed by 100 of 100",)
    assert ask(tmp_path, Exposed(maximum=80, but=("ol*",))).outcome is PASS
    assert ask(tmp_path, Exposed(maximum=100)).outcome is PASS


@pytest.mark.parametrize("spec", [ASKED, Exposed(maximum=70)], ids=["confined", "exposed"])
def test_a_drop_in_shuts_a_service_in_and_leaves_its_unit_alone(tmp_path: Path, spec: Any) -> None:
    grow(tmp_path, unit())
    before = (tmp_path / f"{UNITS}/web.service"[1:]).read_bytes()
    assert ask(tmp_path, spec).outcome is FAIL
    root = FolderRoot(tmp_path, owners_kept=True)
    editor = Editor(root)
    mend(Case(root, a_plan()), editor, spec)
    apply(tmp_path, editor.changes())
    assert ask(tmp_path, spec).outcome is PASS
    assert (tmp_path / f"{UNITS}/web.service"[1:]).read_bytes() == before


def test_both_mends_write_one_drop_in_without_saying_anything_twice(tmp_path: Path) -> None:
    root = FolderRoot(grow(tmp_path, unit()), owners_kept=True)
    editor = Editor(root)
    for spec in (ASKED, Exposed(maximum=70)):
        mend(Case(root, a_plan()), editor, spec)
    apply(tmp_path, editor.changes())
    lines = (tmp_path / f"{UNITS}/web.service.d/50-holdfast.conf"[1:]).read_text().splitlines()
    assert lines[0] == "[Service]"
    assert len(lines) == len(set(lines))


def test_what_a_jail_must_let_through_is_left_to_a_person(tmp_path: Path) -> None:
    files, _ = CASES["a procd script without"]
    root = FolderRoot(grow(tmp_path, files), owners_kept=True)
    with pytest.raises(CannotMend):
        mend(Case(root, a_plan()), Editor(root), ASKED)


def test_what_no_drop_in_can_reach_is_left_to_a_person(tmp_path: Path) -> None:
    root = FolderRoot(grow(tmp_path, unit()), owners_kept=True)
    with pytest.raises(CannotMend):
        mend(Case(root, a_plan()), Editor(root), Exposed(maximum=10))
    with pytest.raises(CannotMend):
        mend(Case(root, a_plan()), Editor(root), Confined(directives=("User",)))
