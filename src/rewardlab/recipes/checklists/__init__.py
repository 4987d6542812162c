"""What published surveys ask for: which part of the library delivers each item, which test shows it, what is missing."""

from __future__ import annotations

from rewardlab.recipes.checklists.checklist import Checklist, Item
from rewardlab.registry import Registry

CHECKLISTS = Registry(
    "checklist",
    {
        "irl-llm-survey": "rewardlab.recipes.checklists.irl_llm_survey:CHECKLIST",
        "reward-specification-thesis": "rewardlab.recipes.checklists.reward_specification:CHECKLIST",
    },
    group="rewardlab.checklists",
)
"""Every checklist that `rewardlab checklist` can name."""


def catalogue(name: str) -> Checklist:
    """The checklist of a published work, with what the library has of it.

    Args:
        name: such as "irl-llm-survey"; `rewardlab checklist` shows them.

    Raises:
        UnknownName: there is no such checklist; the nearest name is said.
    """
    found = CHECKLISTS.resolve(name)
    if not isinstance(found, Checklist):
        raise TypeError(f"{name!r} is a {type(found).__name__}, expected a rewardlab.recipes.checklists.Checklist")
    return found


def page() -> str:
    """The page of the docs that shows all checklists."""
    opening = (
        "# Checklists\n\n"
        "Two of the works that the library is built from are surveys of a field. Their ideas are listed here one by one, "
        "with the part of the library that delivers each and the tests that show it. The page is made by "
        "`rewardlab checklist --all -o docs/control/checklists.md`; what is not there yet stands as missing.\n"
    )
    return "\n".join([opening, *(catalogue(name).to_markdown() for name in sorted(CHECKLISTS))])


__all__ = ["CHECKLISTS", "Checklist", "Item", "catalogue", "page"]
