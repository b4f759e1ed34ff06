"""``holdfast-sim attest-soak``: one run, told as it goes, and its figures as JSON at the end."""

from __future__ import annotations

import argparse
import sys

import msgspec

from holdfast_core.kernel.errors import HoldfastError
from holdfast_sim.attested.counting import Told
from holdfast_sim.attested.soak import Soak, Wanted
from holdfast_sim.demo.ground import Ended, end_on_signals, own_folder, running

FINE, FAILED, INTERRUPTED = 0, 1, 130


def attest_soak(options: argparse.Namespace) -> int:
    """Run it; the exit code: 0 nothing was lost and nothing went wrong, 1 something did, 130 somebody ended it."""
    wanted = Wanted(options.devices, options.minutes * 60, options.interval)
    folder = options.dir.resolve()
    try:
        with end_on_signals(), own_folder(folder), running(folder) as processes:
            soak = Soak(wanted, folder, processes, say)
            say(f"{wanted.devices} devices are enrolled after {soak.provision():.0f} s")
            told = soak.run()
    except Ended:
        return INTERRUPTED
    except HoldfastError as error:
        say(str(error))
        return FAILED
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    return FINE if is_good(told) else FAILED


def is_good(told: Told) -> bool:
    """Whether every device was answered in the end, and every evidence counted as what it was."""
    return not told.wrong and not told.silent and not any(_is_bad(word) for word in told.kept)


def _is_bad(word: str) -> bool:
    return not word.startswith("affirming ")


def say(words: str) -> None:
    """A line for a person."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()
