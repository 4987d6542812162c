"""The table of formalisms as Markdown, written from the same data that decides; the page of the docs holds its output.

`python -m rewardlab.rewards.formal.expressivity.page docs/control/expressivity.md` writes it between the two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rewardlab.rewards.formal.expressivity.formalisms import EQUIVALENT, FORMALISMS, SEPARATED, relation
from rewardlab.rewards.formal.expressivity.witnesses import WITNESSES

BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"

ARGUMENTS = {
    "linear": "a linear programme: its values are linear in what cancels",
    "tie": "for every reward a tie that the task ranks",
    "jump": "the task leaps where its values are continuous",
    "ranks": "a sure trajectory has probability 0 or 1",
    "same": "it cannot tell two policies apart",
    "gaps": "too many strict pairs for numbers",
}


def render() -> str:
    """The formalisms, what is at least as expressive as what, and the separations with their witnesses."""
    lines = [
        "### The seventeen",
        "",
        "| short | formalism | stated by | a policy's value | here |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.short} | {one.name} | {_cell(one.stated_by)} | {_cell(one.value)} | {one.here} |" for one in FORMALISMS
    ]
    lines += ["", "### Which contains which", ""]
    lines.append("Equivalent: " + "; ".join(" = ".join(group) for group in EQUIVALENT) + ".")
    lines.append("")
    first = [one.short for one in FORMALISMS if not any(one.short in group[1:] for group in EQUIVALENT)]
    lines += ["| row can state all that column can | " + " | ".join(first) + " |", "|---" * (len(first) + 1) + "|"]
    sign = {"yes": "yes", "no": "·", "unknown": "?"}
    for more in first:
        lines.append(f"| **{more}** | " + " | ".join(sign[relation(more, less)] for less in first) + " |")
    lines += ["", "A dot stands for no: one of the witnesses below shows it, itself or through a containment.", ""]
    lines += ["### Separations", "", "| can | cannot | the task | why not | witness |", "|---|---|---|---|---|"]
    for more, less, name in SEPARATED:
        witness = WITNESSES[name]
        lines.append(f"| {more} | {less} | {witness.sentence} | {ARGUMENTS[witness.arguments[less]]} | `{name}` |")
    return "\n".join(lines) + "\n"


def insert(page: str) -> str:
    """A page with what stands between its two marks written anew.

    Raises:
        ValueError: the marks are not there.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page must hold the lines {BEGIN} and {END}")
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n\n{render()}\n{END}{rest.split(END, 1)[1]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(insert(file.read_text(encoding="utf-8")), encoding="utf-8")
