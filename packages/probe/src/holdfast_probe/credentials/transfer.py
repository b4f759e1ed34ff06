"""The hunt for transfers that do not look whom they talk to: a switched-off check of certificates or host keys."""

from __future__ import annotations

import re

from holdfast_probe.credentials.text_hunt import TextHunt

_COMMANDS = re.compile(r"[|;&]")
_FLAGS = {
    "curl": re.compile(r"\s(?:-[a-zA-Z]{0,8}k[a-zA-Z]{0,8}|--insecure)(?:\s|$)"),
    "mosquitto_": re.compile(r"\s--insecure(?:\s|$)"),
}
"""Programs, and the flag of theirs that switches the check off."""
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("--no-check-certificate", re.compile(r"--no-check-certificate")),
    ("StrictHostKeyChecking", re.compile(r"StrictHostKeyChecking[\s=]{1,4}(?:no|off)\b", re.IGNORECASE)),
    ("verify", re.compile(r"\bverify\s{0,2}=\s{0,2}False\b|\bCERT_NONE\b|_create_unverified_context")),
    (
        "CURLOPT_SSL_VERIFY",
        re.compile(r"CURLOPT_SSL_VERIFY(?:PEER|HOST)\s{0,4}(?:,|=>)\s{0,4}(?:0|false)", re.IGNORECASE),
    ),
    ("NODE_TLS_REJECT_UNAUTHORIZED", re.compile(r"NODE_TLS_REJECT_UNAUTHORIZED['\"]?\]?\s{0,2}=\s{0,2}['\"]?0")),
    ("GIT_SSL_NO_VERIFY", re.compile(r"GIT_SSL_NO_VERIFY=(?:1|true)|sslVerify\s{0,4}=?\s{0,4}false", re.IGNORECASE)),
    ("PERL_LWP_SSL_VERIFY_HOSTNAME", re.compile(r"PERL_LWP_SSL_VERIFY_HOSTNAME['\"}]*\s{0,2}=\s{0,2}['\"]?0")),
    ("check_certificate", re.compile(r"^\s{0,8}check[-_]certificate\s{0,4}=\s{0,4}off", re.IGNORECASE)),
    ("Verify-Peer", re.compile(r"Verify-(?:Peer|Host)\"?\s{1,4}\"?false", re.IGNORECASE)),
)
"""What it is called, and how it is written."""
_DATA = (".json", ".xml", ".yaml", ".yml", ".html", ".htm")
_CURLRC = re.compile(r"/\.?curlrc$")


class TransferHunt(TextHunt):
    """Lines that switch a check off."""

    anchors = (
        b"curl", b"mosquitto_", b"no-check-certificate", b"stricthostkeychecking", b"verify", b"cert_none",
        b"unverified", b"reject_unauthorized", b"check_certificate", b"check-certificate", b"insecure",
    )  # fmt: skip
    praise = "no script and no client's settings switch a check off"

    def skips(self, path: str) -> bool:
        """Beside examples, data: what it says is said about somebody else's transfer, if about any."""
        return super().skips(path) or path.endswith(_DATA)

    def line(self, path: str, number: int, line: str, *, script: bool) -> None:  # noqa: ARG002  (the hunt's shape)
        """Count it."""
        for word, pattern in _PATTERNS:
            if pattern.search(line):
                self.found.add(f"{path}:{number} does not check whom it talks to ({word})")
        for word, flag in _FLAGS.items():
            if word in line and any(word in part and flag.search(part) for part in _COMMANDS.split(line)):
                self.found.add(f"{path}:{number} does not check whom it talks to ({word.strip('_')})")
        if _CURLRC.search(path) and line.strip().lower() in ("insecure", "-k", "--insecure"):
            self.found.add(f"{path}:{number} does not check whom it talks to (insecure)")
