"""Benchmarks: each prints its figure beside the peer's, measured in the same run."""
