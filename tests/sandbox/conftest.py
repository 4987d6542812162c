"""One isolated and one plain sandbox for all tests of this folder, and what both must do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rewardlab.sandbox import Limits, Sandbox

LIMITS = Limits(seconds=5, memory_mb=512, processes=8, file_mb=8, output_kb=64)


@pytest.fixture(scope="session")
def box() -> Iterator[Sandbox]:
    """Whatever isolates best here: bubblewrap where it works."""
    with Sandbox(2, limits=LIMITS) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def plain() -> Iterator[Sandbox]:
    """The fallback, asked for by name, so that it is tested where bubblewrap works too."""
    with Sandbox(2, limits=LIMITS, isolation="subprocess") as sandbox:
        yield sandbox


@pytest.fixture(scope="session", params=["box", "plain"])
def either(request: pytest.FixtureRequest) -> Sandbox:
    """Both in turn, for what must hold with isolation and without."""
    sandbox: Sandbox = request.getfixturevalue(request.param)
    return sandbox
