"""The tool desk: questions over small tables that need two to five calls of five tools.

`tables` draws the world, `desk` has the tools, `questions` and `scripts` say what is asked and how it is answered,
`demonstrator` is the scripted agent, `environment` puts them together, `answers` and `reward` judge an attempt.
"""

from __future__ import annotations

from rewardlab.environments.tool_desk.answers import answer_matches
from rewardlab.environments.tool_desk.environment import ToolDesk
from rewardlab.environments.tool_desk.questions import KINDS
from rewardlab.environments.tool_desk.reward import ToolDeskSuccess

__all__ = ["KINDS", "ToolDesk", "ToolDeskSuccess", "answer_matches"]
