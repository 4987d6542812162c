"""Behaviour alignment on real environments, beside the same learner with its blend frozen: the job of the scale file.

    python -m rewardlab.recipes.barfi.scale barfi.yaml --output runs/barfi

A run that is there is left out, so that a stopped job goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rewardlab.learning.alignment import align
from rewardlab.recipes.jobs import control_section, known_keys
from rewardlab.registry import nearest
from rewardlab.rewards.spec import from_spec

ARMS: dict[str, dict[str, float]] = {"aligned": {}, "frozen": {"reward_rate": 0.0, "discount_rate": 0.0}}
"""What each arm changes."""

KEYS = {"seeds", "arms", "environments", "options"}
WORLD_KEYS = {"id", "hints", "form", "hidden", "horizon", "options"}


def read_job(path: str | Path) -> dict[str, Any]:
    """Read a job, refusing keys that nobody knows.

    Raises:
        ValueError: an unknown or missing key, or an unknown arm.
    """
    job = known_keys(KEYS, control_section(path), str(path))
    for world in job.get("environments", []):
        known_keys(WORLD_KEYS, world, str(path))
    for key in ("seeds", "environments"):
        if not job.get(key):
            raise ValueError(f"{path}: {key!r} is missing or empty")
    for arm in job.get("arms", ARMS):
        if arm not in ARMS:
            raise ValueError(f"{path}: unknown arm {arm!r}{nearest(str(arm), ARMS)}")
    return {"arms": list(ARMS), "options": {}, **job}


def train(world: Mapping[str, Any], arm: str, seed: int, options: Mapping[str, Any], folder: Path) -> float:
    """One run; writes what `Alignment.save` does.

    Returns:
        Mean primary return of the last tenth of the updates.
    """
    hints = {name: from_spec(spec) for name, spec in world["hints"].items()}
    found = align(
        world["id"],
        hints,
        form=world.get("form"),
        hidden=tuple(world.get("hidden", (64, 64))),
        horizon=world.get("horizon"),
        seed=seed,
        **{**options, **world.get("options", {}), **ARMS[arm]},
    )
    found.save(folder)
    last = found.history[-max(1, len(found.history) // 10) :]
    return float(np.mean([line["primary_return"] for line in last]))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rewardlab.recipes.barfi.scale", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/barfi"))
    parser.add_argument("--check", action="store_true", help="only say what would run")
    chosen = parser.parse_args(arguments)
    job = read_job(chosen.file)
    for world in job["environments"]:
        for arm in job["arms"]:
            for seed in job["seeds"]:
                folder = chosen.output / world["id"] / arm / str(seed)
                if chosen.check:
                    for spec in world["hints"].values():
                        from_spec(spec)
                    print(f"{folder}: {', '.join(world['hints'])}")
                elif not (folder / "result.json").exists():
                    value = train(world, arm, seed, job["options"], folder)
                    (folder / "result.json").write_text(json.dumps({"primary_return": value}), encoding="utf-8")
                    print(f"{folder}: {value:.2f}", flush=True)


if __name__ == "__main__":
    main()
