"""What every test may ask for: the checkout, the shared vectors, and honesty about what was not run.

1. With ``HOLDFAST_NO_SKIP`` set (continuous integration) a skip is a failure: a test that quietly stops running is
   worse than one that fails. Only tests marked ``root`` are excused, and only where there is no root.
2. Tests marked ``slow`` are deselected on the command line, never skipped.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
VECTORS = ROOT.parent / "shared" / "vectors"
_NO_ROOT = "needs root (network namespaces, other uids)"

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("desk", deadline=None)  # deadlines are timings, and timings are never asserted
hypothesis.settings.load_profile("ci" if os.environ.get("HOLDFAST_DERANDOMIZE") else "desk")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes by their length: some are random (keys, signatures), and all processes must agree on the names of tests."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason=_NO_ROOT))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    excused = item.get_closest_marker("root") is not None and os.geteuid() != 0
    if os.environ.get("HOLDFAST_NO_SKIP") and report.skipped and not hasattr(report, "wasxfail") and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped although nothing may be ({item.nodeid}): {call.excinfo and call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The test vectors shared with other implementations; they lie beside the checkout."""
    if not VECTORS.is_dir():
        pytest.skip(f"the shared vectors are not at {VECTORS}")
    return VECTORS


@pytest.fixture(autouse=True)
def _umask_of_its_own() -> Iterator[None]:
    """Commands that run in this process set a umask for the rest of their own, which here is everybody's."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests (marked ``anyio``) run on the loop the server runs on."""
    return "asyncio"
