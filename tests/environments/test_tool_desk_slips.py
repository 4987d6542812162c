from __future__ import annotations

import pytest

from rewardlab.environments.tool_desk import ToolDesk, ToolDeskSuccess


@pytest.mark.parametrize("slips", ["early", "wrong", "stale"])
def test_careless_demonstrations_make_the_mistakes_that_were_asked_for(slips: str) -> None:
    desk = ToolDesk(noise=1.0, slips=slips)  # type: ignore[arg-type]
    tasks = desk.tasks("train", 60, 0)
    made = [len(trajectory.tool_calls) for trajectory in desk.demonstrations(tasks)]
    needed = [task.metadata["calls"] for task in tasks]
    fewer = [have < need for have, need in zip(made, needed, strict=True)]
    assert all(fewer) if slips == "early" else not any(fewer)
    assert ToolDeskSuccess()(desk.demonstrations(tasks)).mean() < 0.2  # a stale answer can be right by chance


def test_an_unknown_kind_of_slip_is_refused() -> None:
    with pytest.raises(ValueError, match="slips must be one of any, early, wrong, stale, got 'late'"):
        ToolDesk(slips="late")  # type: ignore[arg-type]
