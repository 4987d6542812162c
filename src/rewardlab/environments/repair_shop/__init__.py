"""The repair shop: small programs with injected mistakes and failing tests, run in the sandbox.

`families` and `mutations` draw programs and mistakes, `tasks` makes them into checked tasks, `workspace` has the tools,
`testing` runs tests (`interpreter` is its quick way), `demonstrator` is the scripted agent, `reward` judges an attempt.
"""

from __future__ import annotations

from rewardlab.environments.repair_shop.environment import RepairShop
from rewardlab.environments.repair_shop.families import FAMILIES
from rewardlab.environments.repair_shop.interpreter import interpret
from rewardlab.environments.repair_shop.mutations import KINDS
from rewardlab.environments.repair_shop.reward import RepairShopPassed

__all__ = ["FAMILIES", "KINDS", "RepairShop", "RepairShopPassed", "interpret"]
