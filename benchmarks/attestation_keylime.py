"""Keylime's verifying functions on the inputs of `benchmarks.attestation_parts`; runs in an environment of its own.

Started with the path of the inputs; prints what each function does in a second of CPU, children included, as JSON. Its
logging is off, and ``gpg``, which only checks signed policies, is a name without anything behind it.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import types
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

logging.disable(logging.CRITICAL)
sys.modules["gpg"] = types.ModuleType("gpg")

from keylime.common.algorithms import Hash  # noqa: E402  (its logging has to be off before it is imported)
from keylime.ima import ima  # noqa: E402  (as above)
from keylime.mba import mba  # noqa: E402  (as above)
from keylime.tpm.tpm_main import Tpm  # noqa: E402  (as above)

SECONDS = 4.0


def used() -> float:
    """CPU seconds of this process and of those it started."""
    return sum(os.times()[:4])


def rate(work: Callable[[], object], items: int = 1) -> float:
    """How many items `work` does in a second of CPU."""
    work()
    begun, done = used(), 0
    while used() - begun < SECONDS:
        work()
        done += items
    return done / (used() - begun)


def must(good: object) -> None:
    """End the benchmark where the peer refuses an input: a refused figure is no figure."""
    if not good:
        sys.exit("keylime refused an input")


def _quote(given: dict[str, Any]) -> Callable[[], object]:
    turns = cycle(given["quotes"])

    def work() -> None:
        each = next(turns)
        values, error = Tpm._tpm2_checkquote(each["key"], each["quote"], each["nonce"], "sha256", compressed=False)  # noqa: SLF001  (what `check_quote` begins with)
        must(values and not error)

    return work


def _policed(given: dict[str, Any]) -> Callable[[], object]:
    turns, tpm = cycle(given["quotes"]), Tpm()
    policy = {register: [value] for register, value in given["values"].items()}

    def work() -> None:
        each = next(turns)
        must(not tpm.check_quote(None, each["nonce"], None, each["quote"], each["key"], tpm_policy=policy))

    return work


def _log(given: dict[str, Any]) -> Callable[[], object]:
    def work() -> None:
        values, _, _, failure = mba.bootlog_parse(given["log"], Hash.SHA256)
        must(not failure and f"{values['7']:064x}" == given["values"]["7"])

    return work


def _whole(given: dict[str, Any]) -> Callable[[], object]:
    turns, tpm = cycle(given["quotes"]), Tpm()

    def work() -> None:
        each = next(turns)
        failure = tpm.check_quote(
            None,
            each["nonce"],
            None,
            each["quote"],
            each["key"],
            mb_measurement_list=given["log"],
            mb_policy='{"accept": "all"}',
        )
        must(not failure)

    return work


def _list(given: dict[str, Any]) -> Callable[[], object]:
    lines = base64.b64decode(given["ima"]).decode().split("\n")
    policy = {**ima.EMPTY_RUNTIME_POLICY, "digests": given["files"]}

    def work() -> None:
        _, failure = ima.process_measurement_list(None, lines, policy, pcrval=given["ima_value"], hash_alg=Hash.SHA256)
        must(not failure)

    return work


def main() -> None:
    """Measure, and print."""
    given = json.loads(Path(sys.argv[1]).read_text())
    mba.load_imports(skip_custom_policies=True)
    rates = {
        "quote": rate(_quote(given)),
        "policed": rate(_policed(given)),
        "log": rate(_log(given)),
        "whole": rate(_whole(given)),
        "ima": rate(_list(given), given["ima_lines"]),
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
