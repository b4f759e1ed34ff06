"""The probes of logs, judged over everything that logs.

1. Nothing that logs is a failure once: there is nothing to forward, to bound or to keep. Starts are counted by more
   than logs, so that question is asked all the same.
2. A shipper whose own settings would say whether it encrypts leaves that question `unknown`, never passed.
"""

from __future__ import annotations

from collections.abc import Callable

from holdfast_core.baseline.probes.logs import LogCheck, LogRetention, Logs
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.ini import values
from holdfast_probe.services.listen_common import arguments, options, settings
from holdfast_probe.services.log_files import FOLDER, see_private_logs
from holdfast_probe.services.loggers import JOURNALD, SYSLOGD, Logger, in_memory, loggers
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.texts import exists, fitting, lines
from holdfast_probe.services.verbosity import too_much
from holdfast_probe.sight import Sight, failed, judged, not_applicable, passed, unknown

_SILENT_SSHD = frozenset({"quiet", "fatal", "error"})
_SILENT_JOURNAL = frozenset({"emerg", "alert", "crit", "err", "0", "1", "2", "3"})
_NOTICE = 5
_NOTHING_LOGS = "Nothing logs here; LOG-01 tells."
_WTMP = "/var/log/wtmp"


def see_logs(case: Case, spec: Logs) -> Sight:
    """Judge one `Logs` probe."""
    found, sources = case.once(loggers)
    if spec.check is LogCheck.QUIET:
        return judged(too_much(case), "no program is told to log everything")
    if spec.check is LogCheck.PRIVATE:
        if found and not exists(case.root, FOLDER) and not any(each.files for each in found):
            return not_applicable("Logs are kept in memory; no file holds them.")
        return see_private_logs(case)
    if not sources:
        return unknown(NOTHING_STARTS)
    return _CHECKS[spec.check](case, found) if found else _without_loggers(case, spec.check)


def _without_loggers(case: Case, check: LogCheck) -> Sight:
    """What is left to say where nothing logs."""
    if check is LogCheck.EVENTS:
        return failed(["nothing that starts logs"])
    return _boots(case, ()) if check is LogCheck.BOOTS else not_applicable(_NOTHING_LOGS)


def see_log_retention(case: Case, spec: LogRetention) -> Sight:
    """Judge one `LogRetention` probe."""
    found, sources = case.once(loggers)
    if not sources:
        return unknown(NOTHING_STARTS)
    if not found:
        return not_applicable(_NOTHING_LOGS)
    timed = [each for each in found if each.days is not None]
    bad = [
        f"{each.program} keeps lines for {each.days} days, wanted {spec.days} ({each.where})"
        for each in timed
        if (each.days or 0) < spec.days
    ]
    if bad or timed:
        return judged(bad, f"{timed[0].program} keeps lines for {timed[0].days} days")
    if any(each.remotes for each in found):
        return passed("lines are kept by the host that they are sent to")
    if any(each.files and each.program == "systemd-journald" for each in found):
        return passed("journald keeps lines until its size is used up")
    return failed(["what is kept is bounded by size only, and nothing is sent to another host"])


def _events(_case: Case, found: tuple[Logger, ...]) -> Sight:
    own = [each for each in found if not each.shipper]
    if not own:
        return failed(f"{each.program} only ships what others log, and nothing logs" for each in found)
    taking = [each for each in own if each.security]
    if taking:
        return passed(f"{taking[0].program} takes what logins and rights say ({taking[0].where})")
    return failed(f"{each.program} leaves out what logins and rights say ({each.where})" for each in own)


def _forwarded(_case: Case, found: tuple[Logger, ...]) -> Sight:
    remotes = [(each, remote) for each in found for remote in each.remotes]
    if remotes:
        return passed(*(f"{each.program} sends lines to another host ({remote.where})" for each, remote in remotes[:3]))
    return failed(f"{each.program} sends nothing to another host ({each.where})" for each in found)


def _bounded(_case: Case, found: tuple[Logger, ...]) -> Sight:
    bad = [f"nothing bounds what {each.program} writes ({each.where})" for each in found if not each.bound]
    return judged(bad, "; ".join(each.bound for each in found)[:200])


def _kept(_case: Case, found: tuple[Logger, ...]) -> Sight:
    for each in found:
        if each.files:
            return passed(f"{each.program} writes to {each.files[0]}")
        if any(remote.reliable for remote in each.remotes):
            return passed(f"{each.program} sends lines away at once ({each.where})")
    return failed(f"what {each.program} logs is gone without power ({each.where})" for each in found)


def _sealed(case: Case, found: tuple[Logger, ...]) -> Sight:
    remotes = [remote for each in found for remote in each.remotes]
    if any(remote.encrypted for remote in remotes):
        return passed("lines leave over an encrypted connection")
    items, _ = case.once(started)
    if any(item.answers_to(("auditd",)) for item in items) and _locked_rules(case.root):
        return passed("audit rules are locked until the next start (-e 2)")
    if _seals(case.root) and any(each.program == "systemd-journald" and each.files for each in found):
        return passed("journald seals its files with a key")
    if any(remote.encrypted is None for remote in remotes):
        return unknown("Lines are sent by a shipper; whether it encrypts is in its own settings.")
    return failed(["lines leave unencrypted or not at all, and neither auditd nor journald seals what is kept"])


def _locked_rules(root: Root) -> bool:
    paths = fitting(root, "/etc/audit/audit.rules", "/etc/audit/rules.d/*.rules")
    return any(line.split() == ["-e", "2"] for path in paths for line in lines(root, path) or ())


def _seals(root: Root) -> bool:
    wanted = values(root, JOURNALD).get(("Journal", "Seal"), ("yes", ""))[0].lower()
    return wanted in ("yes", "1", "true", "on") and bool(fitting(root, "/var/log/journal/*/fss"))


def _logins(case: Case, found: tuple[Logger, ...]) -> Sight:
    root = case.root
    bad = [
        f"sshd is told to keep quiet ({where})"
        for key, value, where in settings(root, "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf")
        if key.lower() == "loglevel" and value.lower() in _SILENT_SSHD
    ]
    level, where = values(root, JOURNALD).get(("Journal", "MaxLevelStore"), ("", ""))
    if level.lower() in _SILENT_JOURNAL:
        bad.append(f"journald keeps nothing below {level} ({where})")
    for item in case.once(started)[0]:
        if item.answers_to(SYSLOGD):
            levels = [n for n in options(arguments(root, item, "syslogd"), "-l") if n.isascii() and n.isdigit()]
            bad += [f"{item.name} drops warnings ({item.source})" for n in levels if int(n[:2]) < _NOTICE]
    return judged(bad, f"{found[0].program} keeps what logins say")


def _boots(case: Case, found: tuple[Logger, ...]) -> Sight:
    root = case.root
    if any(each.program == "systemd-journald" and each.files for each in found):
        return passed("journald keeps the logs of earlier boots apart")
    if exists(root, _WTMP) and not in_memory(root, "/var/log"):
        return passed(f"{_WTMP} records every start")
    table = "/proc/mounts" if root.live else "/etc/fstab"
    if any(line.split()[2:3] == ["pstore"] for line in lines(root, table) or ()):
        return passed(f"the kernel's last words are kept (pstore in {table})")
    items, _ = case.once(started)
    counters = [item for item in items if item.answers_to(("bootcount*", "systemd-pstore", "reset-reason*"))]
    if counters:
        return passed(f"{counters[0].name} is started by {counters[0].source}")
    if "bootcount" in root.told.boot_environment:
        return passed("the boot loader counts starts (bootcount)")
    return failed(["nothing here records starts or why they happened"])


_CHECKS: dict[LogCheck, Callable[[Case, tuple[Logger, ...]], Sight]] = {
    LogCheck.EVENTS: _events,
    LogCheck.FORWARDED: _forwarded,
    LogCheck.BOUNDED: _bounded,
    LogCheck.KEPT: _kept,
    LogCheck.SEALED: _sealed,
    LogCheck.LOGINS: _logins,
    LogCheck.BOOTS: _boots,
}
