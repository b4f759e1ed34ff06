"""Closing what settings leave open: firewall policies, anonymous brokers, communities, chatter, log modes.

1. A policy is set to deny only where rules let the answers in and something else beside: a filter that lets nothing in
   would cut off whoever sent the change.
2. A port that is open because nothing is said is left to a person: saying it needs a decision.
"""

from __future__ import annotations

import re

from holdfast_core.baseline.probes.logs import LogCheck, Logs
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from holdfast_core.baseline.probes.services import Broker, Snmp
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.services import broker, snmp
from holdfast_probe.services.edits import change_lines, comment_out, place
from holdfast_probe.services.filters import Chain
from holdfast_probe.services.firewall import loaded
from holdfast_probe.services.log_files import WRONG_BITS, open_files
from holdfast_probe.services.starts import started
from holdfast_probe.services.uci import sections
from holdfast_probe.services.verbosity import chatty_lines
from holdfast_probe.services.zones import PATH as UCI_FIREWALL

_INPUT = re.compile(r"^(\s*option\s+input\s+).*$")
_POLICIES = (
    ("policy accept", "policy drop"),
    (":INPUT ACCEPT", ":INPUT DROP"),
    ("-P INPUT ACCEPT", "-P INPUT DROP"),
)
_FEWEST = 2
"""Rules that let something in, beside answers, before a policy may deny."""


def mend_firewall(case: Case, editor: Editor, spec: Firewall) -> None:
    """Let the policy for what comes in be to deny."""
    filters, _ = case.once(loaded)
    if spec.check is not FirewallCheck.INBOUND or not filters:
        raise CannotMend("/", "rules have to be written by a person who knows the device")
    for each in filters:
        for chain in each.at("input", 4):
            if chain.denies:
                continue
            if each.program == "uci":
                _uci_policy(editor)
            else:
                _policy(editor, chain)


def _policy(editor: Editor, chain: Chain) -> None:
    accepting = [rule for rule in chain.rules if rule.verdict == "accept"]
    if not any(rule.established for rule in accepting) or len(accepting) < _FEWEST or any(r.wide for r in accepting):
        raise CannotMend(chain.where, "its rules do not let in what is needed, so denying the rest would cut it off")
    path, number = place(chain.where)

    def denied(line: str) -> str:
        for old, new in _POLICIES:
            if old in line:
                return line.replace(old, new, 1)
        raise CannotMend(path, "its policy is not written in this line")

    change_lines(editor, path, [number], denied)


def _uci_policy(editor: Editor) -> None:
    defaults = [section for section in sections(editor.root, UCI_FIREWALL) if section.kind == "defaults"]
    if not defaults:
        raise CannotMend(UCI_FIREWALL, "it has no defaults")
    path, start = place(defaults[-1].where)
    content = (editor.read(path) or b"").decode("utf-8", "surrogateescape").splitlines()
    for number in range(start + 1, len(content) + 1):
        if content[number - 1].split()[:1] == ["config"]:
            break
        if _INPUT.match(content[number - 1]):
            change_lines(editor, path, [number], lambda line: _INPUT.sub(r"\1'REJECT'", line))
            return
    change_lines(editor, path, [start], lambda line: f"{line}\n\toption input 'REJECT'")


def mend_broker(case: Case, editor: Editor, _spec: Broker) -> None:
    """Let mosquitto ask everybody who they are."""
    found = broker.broker_settings(case.root, case.once(started)[0])
    open_at = [where for key, value, where in found if key == "allow_anonymous" and broker.yes(value)]
    if not open_at:
        raise CannotMend("/etc/mosquitto/mosquitto.conf", "nothing in it lets anybody in")
    for where in open_at:
        path, number = place(where)
        change_lines(editor, path, [number], lambda line: re.sub(r"(allow_anonymous\s+)\S+", r"\1false", line))


def mend_snmp(case: Case, editor: Editor, _spec: Snmp) -> None:
    """Take the communities out."""
    found = [
        where
        for key, _, where in snmp.snmp_settings(case.root, case.once(started)[0])
        if key.lower() in snmp.COMMUNITIES
    ]
    if not found:
        raise CannotMend("/etc/config/snmpd", "its sections belong together")
    for where in found:
        path, number = place(where)
        comment_out(editor, path, [number])


def mend_logs(case: Case, editor: Editor, spec: Logs) -> None:
    """Take permissions of log files away, or settings out that log too much."""
    if spec.check is LogCheck.PRIVATE:
        for path, _ in open_files(case.root):
            editor.take_bits(path, WRONG_BITS)
        return
    found = chatty_lines(case.root) if spec.check is LogCheck.QUIET else []
    if not found:
        raise CannotMend("/etc", "what logs has to be set up by a person")
    for path, number, _ in found:
        comment_out(editor, path, [number])
