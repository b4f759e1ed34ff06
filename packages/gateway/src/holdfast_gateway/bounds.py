"""The named bounds of the cache: on what its devices may ask of it, and on what it asks of the control plane.

1. Every one of them has a value that fits a small gateway; tests take smaller ones.
"""

from __future__ import annotations

import msgspec


class Bounds(msgspec.Struct, frozen=True):
    """Sizes in bytes, times in seconds."""

    header_bytes: int = 8 * 1024
    """One request: its line and its headers."""
    header_s: float = 10.0
    """From the connection until the request is here whole."""
    connections: int = 128
    connections_per_address: int = 8
    chunk: int = 256 * 1024
    chunk_s: float = 60.0
    """In which a device has to take a chunk: 4 KiB/s is the slowest that is served."""
    wait_s: float = 20.0
    """How long a request waits for an artefact that is not here; then the device is asked to come again."""
    ending_s: float = 2.0
    """In which a device has to close its side after an answer."""
    fetches: int = 2
    """Artefacts that come over the line at once."""
    flights: int = 32
    """Artefacts that are fetched, checked or wait for it."""
    flights_per_address: int = 4
    """Of them, those that one address began."""
    misses: int = 30
    """Questions of one address that the control plane may deny in a row; one more each `miss_s`."""
    miss_s: float = 10.0
    addresses: int = 1024
    """Addresses whose misses are counted; the longest silent one is forgotten first."""
    failures: int = 1024
    """Artefacts that are remembered as not to be had."""
    absent_s: float = 60.0
    """For how long: what the control plane does not have,"""
    failed_s: float = 30.0
    """what did not come,"""
    wrong_s: float = 3600.0
    """and what came and was something else."""
    exchange_s: float = 30.0
    """For connecting to the control plane, and again for the head of its answer."""
    stall_s: float = 30.0
    """Without a byte of the body."""
    window_s: float = 60.0
    window_bytes: int = 16 * 1024
    """What has to come in each window, or the connection is given up."""
    tries: int = 5
    """Connections one after another that brought nothing new (less than `progress`) before a fetch is given up."""
    progress: int = 4 * 1024
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    sync_bytes: int = 8 * 1024 * 1024
    """Written before the next fsync: what a power cut costs at most."""
    recheck_s: float = 7 * 86_400.0
    """How long a verified artefact is served before it is hashed again: disks rot."""
    status_s: float = 30.0
    """Between two writings of the status: flash wears."""


BOUNDS = Bounds()
"""The bounds in force."""
