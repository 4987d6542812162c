"""RAFT, stage by stage: sample k answers to each prompt, score them, keep the best, imitate those, and begin again.

A stage has four parts that can run as separate jobs, since a sampler, a reward model and a trainer need not fit into one
memory together: with a `folder`, each part leaves its result in a file, and a part whose file is there is read and not done
again. Selection looks at the order of rewards alone, so with `select="local"` any increasing transform of the reward, and
any shift for each prompt, changes nothing.

Source: Dong et al. 2023, "RAFT: Reward rAnked FineTuning" (arXiv 2304.06767), and the authors' repositories.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.advantages import best_of_group
from rewardlab.functional.selection import best_of_pool, distinct_ngrams, excess_supply
from rewardlab.policies.engines.sampling import derive_seed
from rewardlab.recipes.raft.report import StageReport, count_written, score_samples, write_json, written
from rewardlab.recipes.raft.samplers import PolicySampler, Sampler
from rewardlab.storage import read_trajectories, write_trajectories
from rewardlab.training.credit.base import group_ids
from rewardlab.training.curricula import Shuffled
from rewardlab.types import Scores, Task, Trajectory

Selection = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""A rule of your own: values[sample] (NaN where discarded) and groups[sample] in, weights[sample] out."""

_LARGEST_SUPPLY = 5.0


@dataclass(kw_only=True)
class RaftStages:
    """Reward-ranked fine-tuning.

    Args:
        sampler: what is trained: a `PolicySampler`, or any object with `sample` and `fit`; a `LanguageModelPolicy` is
            wrapped with the sampler's defaults.
        reward: called with trajectories, returns `Scores` (or one number for each).
        k: answers to each prompt. With 1 there is nothing to choose from, and the policy imitates itself.
        batch: prompts in each stage of `run`.
        select: "local" keeps the best of each prompt; "global" the best 1/k of all, which favours easy prompts; or a
            function of values and groups that returns weights.
        ties: prompts whose answers are all equally good are left out ("skip"), or "share" the weight (the expectation of
            choosing one at random). Ties among the best of other prompts always share.
        kl_coefficient: answers are ranked by `reward - kl_coefficient * log(policy / starting policy)`.
        filters: functions of a trajectory; an answer that one of them refuses ranks below all others and is never kept.
        clean: function from the sampled text to the text that is scored and imitated (single answers of a `PolicySampler`).
        measure_kl: whether reports hold the divergence from the starting policy, which costs two passes over the samples.
        buffer: kept answers of so many earlier stages are imitated again.
        incomplete: prompts with fewer than k answers are used as they are ("keep"), or left out ("skip").
        exhausted: when all prompts were used, begin another pass ("cycle"), or "stop".
        held_out: tasks that are tried once each after every stage.
        held_out_reward: what scores those; the training reward when not given.
        folder: where every part leaves its file; None keeps all in memory.
        seed: of prompts and samples.

    Raises:
        ValueError: an option is out of its range.
    """

    sampler: Any
    reward: Callable[[Sequence[Trajectory]], Any]
    k: int = 8
    batch: int = 64
    select: Literal["local", "global"] | Selection = "local"
    ties: Literal["skip", "share"] = "skip"
    kl_coefficient: float = 0.0
    filters: Sequence[Callable[[Trajectory], bool]] = ()
    clean: Callable[[str], str] | None = None
    measure_kl: bool = True
    buffer: int = 0
    incomplete: Literal["keep", "skip"] = "keep"
    exhausted: Literal["cycle", "stop"] = "cycle"
    held_out: Sequence[Task] = ()
    held_out_reward: Callable[[Sequence[Trajectory]], Any] | None = None
    folder: str | Path | None = None
    seed: int = 0

    stage: int = field(default=1, init=False)
    """The stage that is next, from 1."""
    _past: list[tuple[list[Trajectory], list[float]]] = field(default_factory=list, init=False, repr=False)
    _report: StageReport = field(default=None, init=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("batch", 1), ("buffer", 0), ("kl_coefficient", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name, words in (
            ("ties", ("skip", "share")),
            ("incomplete", ("keep", "skip")),
            ("exhausted", ("cycle", "stop")),
        ):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, got {getattr(self, name)!r}")
        if not callable(self.select) and self.select not in ("local", "global"):
            raise ValueError(f'select must be "local", "global" or a function, got {self.select!r}')
        if self.k == 1:
            warnings.warn("k=1 leaves nothing to choose from: the policy imitates its own samples", stacklevel=3)
        if not isinstance(self.sampler, Sampler):
            self.sampler = PolicySampler(policy=self.sampler)
        if self.kl_coefficient and not hasattr(self.sampler, "log_probabilities"):
            raise ValueError(
                f"kl_coefficient needs a sampler with log_probabilities(trajectories), which {type(self.sampler).__name__} "
                "does not have; use PolicySampler, or kl_coefficient=0"
            )
        if self.folder is not None:
            self.folder = Path(self.folder)
            self._continue()
        self._report = StageReport(stage=self.stage)

    # ---- the whole ----------------------------------------------------------------------------------------------------

    def run(
        self, prompts: Sequence[Task], stages: int, *, early_stop: Callable[[StageReport], bool] | None = None
    ) -> list[StageReport]:
        """Run stages until so many are done in all; with a folder, those done earlier count.

        Args:
            prompts: drawn without replacement; see `exhausted`.
            stages: how many in all.
            early_stop: called after each stage; True ends the training. With an imperfect reward, watch the held-out reward
                or the diversity here: rewards can be hacked.

        Returns:
            The reports of the stages that this call ran.
        """
        reports: list[StageReport] = []
        while self.stage <= stages:
            tasks = self.prompts(prompts)
            if not tasks:
                reports.append(StageReport(stage=self.stage, stopped=f"all {len(prompts)} prompts were used"))
                break
            reports.append(self.step(tasks))
            if reports[-1].stopped is None and early_stop is not None and early_stop(reports[-1]):
                reports[-1].stopped = "early_stop said so"
            if reports[-1].stopped is not None:
                break
        return reports

    def prompts(self, prompts: Sequence[Task]) -> list[Task]:
        """The prompts of the next stage: every one once, in a shuffled order, before any comes again."""
        first = (self.stage - 1) * self.batch
        count = self.batch if self.exhausted == "cycle" else min(self.batch, len(prompts) - first)
        if count < 1:
            return []
        order = Shuffled(tasks=prompts, count=count, seed=self.seed)
        order.load_state_dict({"drawn": first})
        return order.sample()

    def step(self, tasks: Sequence[Task]) -> StageReport:
        """One stage on these tasks."""
        samples = self.sample(tasks)
        scores = self.score(samples)
        kept, weights = self.select_best(samples, scores)
        return self.finetune(kept, weights)

    # ---- the four parts -----------------------------------------------------------------------------------------------

    def sample(self, tasks: Sequence[Task] = ()) -> list[Trajectory]:
        """k answers to each task, cleaned; read from the folder where they are there."""
        path = self._path("samples.jsonl")
        if path is not None and path.exists():
            return list(read_trajectories(path))
        if not tasks:
            raise ValueError(f"stage {self.stage} has no samples yet, and no tasks were given to sample for")
        samples = list(self.sampler.sample(tasks, self.k, seed=derive_seed(self.seed, 0, self.stage)))
        if self.clean is not None:
            samples = [self._cleaned(one) for one in samples]
        if path is not None:
            write_trajectories(path, samples)
        return samples

    def score(self, samples: Sequence[Trajectory] | None = None) -> Scores:
        """The rewards of the samples; what is not a finite number is failed, and will not be selected."""
        path = self._path("scores.json")
        if path is not None and path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            values = [math.nan if value is None else value for value in found["values"]]
            return Scores(values=np.array(values), status=np.array(found["status"]), notes=found["notes"])
        scores = score_samples(self.reward, self.sample() if samples is None else samples)
        if path is not None:
            values = [None if math.isnan(value) else value for value in scores.values.tolist()]
            write_json(path, {"values": values, "status": scores.status.tolist(), "notes": scores.notes})
        return scores

    def select_best(
        self, samples: Sequence[Trajectory] | None = None, scores: Scores | None = None
    ) -> tuple[list[Trajectory], list[float]]:
        """What is to be imitated, and with which weights; nothing where nothing is better than anything else."""
        path, saved = self._path("kept.jsonl"), self._path("report.json")
        if path is not None and saved is not None and path.exists() and saved.exists():
            known = json.loads(saved.read_text(encoding="utf-8"))
            self._report = StageReport(**{name: value for name, value in known.items() if value is not None})
            kept = list(read_trajectories(path))
            return kept, [float(one.info["weight"]) for one in kept]
        samples = self.sample() if samples is None else samples
        scores = self.score(samples) if scores is None else scores
        weights = self._select(samples, scores)
        places = np.flatnonzero(weights > 0)
        chosen = weights[places].tolist()
        kept = [
            replace(samples[place], info={**samples[place].info, "weight": weight})
            for place, weight in zip(places.tolist(), chosen, strict=True)
        ]
        if len(places):
            self._report.selected = float(np.average(scores.values[places], weights=chosen))
            self._report.examples = [one.completion for one in kept[:3] if one.is_chat]
        self._report.kept = len(kept)
        if path is not None and saved is not None:
            write_trajectories(path, kept)
            write_json(saved, asdict(self._report))
        return kept, chosen

    def finetune(self, kept: Sequence[Trajectory] | None = None, weights: Sequence[float] | None = None) -> StageReport:
        """Imitate what was selected (and what the buffer holds), and end the stage.

        Where nothing was selected the weights stay as they are, and the report says why the training should stop.
        """
        if kept is None or weights is None:
            kept, weights = self.select_best()
        report = self._report
        if not kept:
            report.stopped = (
                f"stage {self.stage} has nothing to imitate: of {report.samples} samples {report.discarded} have no finite "
                f"reward, {report.filtered} were filtered, and in {report.zero_spread:.0%} of the groups all rewards are "
                "equal; the weights were not changed"
            )
            return report
        past = self._past[-self.buffer :] if self.buffer else []
        everything = [*past, (list(kept), list(weights))]
        trajectories = [one for part, _ in everything for one in part]
        combined = [weight for _, part in everything for weight in part]
        report.fit = self.sampler.fit(trajectories, combined, seed=derive_seed(self.seed, 1, self.stage))
        self._past = everything
        if self.held_out:
            tried = self.sampler.sample(self.held_out, 1, seed=derive_seed(self.seed, 2))
            report.held_out = score_samples(self.held_out_reward or self.reward, tried).mean()
        saved, weight_file = self._path("report.json"), self._path("weights.safetensors")
        if saved is not None and weight_file is not None:
            write_json(saved, asdict(report))
            self.sampler.save(weight_file)
        self.stage += 1
        self._report = StageReport(stage=self.stage)
        return report

    # ---- selection ----------------------------------------------------------------------------------------------------

    def _select(self, samples: Sequence[Trajectory], scores: Scores) -> NDArray[np.float64]:
        """float64[sample], the weights; also writes down what the report says about the samples."""
        if len(scores) != len(samples):
            raise ValueError(f"there are {len(scores)} scores for {len(samples)} samples")
        groups = group_ids(samples)
        refused = np.array([not all(rule(one) for rule in self.filters) for one in samples], dtype=bool)
        usable = scores.scored & ~refused
        values = scores.values.copy()
        self._describe(samples, scores, groups, usable, refused)
        if self.kl_coefficient:
            values -= self.kl_coefficient * self._log_ratios(samples)[0]
        part = scores.scored.copy()
        if self.incomplete == "skip":
            part &= np.bincount(groups, minlength=1)[groups] >= self.k
        if not (usable & part).any():
            return np.zeros(len(samples))
        if callable(self.select):
            return self._own_selection(np.where(usable & part, values, np.nan), groups)
        # what a filter refused is worse than all that it let pass, as if its reward were minus infinity
        ranked = torch.from_numpy(np.where(refused, values[usable & part].min() - 1.0, values))
        if self.k == 1:
            weights = part.astype(np.float64)
        elif self.select == "global":
            weights = best_of_pool(ranked, torch.from_numpy(part), fraction=1 / self.k).numpy()
        else:
            weights = best_of_group(
                ranked, torch.from_numpy(groups), torch.from_numpy(part), ties=self.ties
            ).advantages.numpy()
        weights = np.where(usable, weights, 0.0)
        self._watch_supply(samples, weights)
        return weights

    def _own_selection(self, values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
        assert callable(self.select)
        weights = np.asarray(self.select(values.copy(), groups), dtype=np.float64)
        if weights.shape != values.shape or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                f"select must return one finite weight of at least 0 for each of {values.size} samples, "
                f"got {weights!r:.120}"
            )
        return np.where(np.isnan(values), 0.0, weights)

    def _watch_supply(self, samples: Sequence[Trajectory], weights: NDArray[np.float64]) -> None:
        names = [one.task.id if one.task is not None else str(one.group) for one in samples]
        known = {name: number for number, name in enumerate(dict.fromkeys(names))}
        numbers = torch.tensor([known[name] for name in names])
        most, self._report.supply = excess_supply(torch.from_numpy(weights), numbers)
        if self.select == "global" and self._report.supply > _LARGEST_SUPPLY:
            warnings.warn(
                f"stage {self.stage}: prompt {list(known)[most]!r} supplies {self._report.supply:.1f} times its share of "
                'what is imitated; rewards that depend on the prompt make select="global" train on easy ones: use "local"',
                stacklevel=2,
            )

    def _describe(
        self,
        samples: Sequence[Trajectory],
        scores: Scores,
        groups: NDArray[np.int64],
        usable: NDArray[np.bool_],
        refused: NDArray[np.bool_],
    ) -> None:
        report = self._report
        report.samples, report.reward = len(samples), scores.mean()
        report.discarded, report.filtered = int((~scores.scored).sum()), int((refused & scores.scored).sum())
        sizes = np.bincount(groups) if len(samples) else np.zeros(0, dtype=np.int64)
        report.short_groups = int((sizes < self.k).sum())
        spread = [np.ptp(scores.values[usable & (groups == group)]) for group in np.unique(groups[usable])]
        report.zero_spread = float(np.mean(np.array(spread) == 0)) if spread else math.nan
        texts = [written(one) for one in samples]
        report.distinct = distinct_ngrams(texts, 2)
        report.length = float(np.mean([len(one) for one in texts])) if texts else math.nan
        if samples and self.measure_kl and hasattr(self.sampler, "log_probabilities"):
            ratios, reference = self._log_ratios(samples)
            report.kl = float(ratios.mean())
            report.perplexity = float(np.exp(-reference.sum() / max(1, sum(map(count_written, samples)))))

    def _log_ratios(self, samples: Sequence[Trajectory]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        present, reference = self.sampler.log_probabilities(samples)
        return present - reference, reference

    # ---- text and files -----------------------------------------------------------------------------------------------

    def _cleaned(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with its text as it is scored and trained on."""
        assert self.clean is not None
        text = self.clean(trajectory.completion)
        if text == trajectory.completion:
            return trajectory
        cleaned = copy.copy(trajectory)
        cleaned.actions = [*trajectory.actions[:-1], {**trajectory.actions[-1], "content": text}]
        encoded: Trajectory = self.sampler.encode(cleaned)
        return encoded

    def _path(self, name: str) -> Path | None:
        if self.folder is None:
            return None
        place = Path(self.folder) / f"stage-{self.stage:04d}"
        place.mkdir(parents=True, exist_ok=True)
        return place / name

    def _continue(self) -> None:
        """Go on after the newest finished stage of the folder."""
        assert self.folder is not None
        start = Path(self.folder) / "start.safetensors"
        if start.exists():
            self.sampler.load(start)
            if isinstance(self.sampler, PolicySampler):
                self.sampler.begin_here()
        else:
            start.parent.mkdir(parents=True, exist_ok=True)
            self.sampler.save(start)
        newest = None
        while (path := self._path("weights.safetensors")) is not None and path.exists():
            kept = list(read_trajectories(path.parent / "kept.jsonl")) if self.buffer else []
            self._past.append((kept, [float(one.info["weight"]) for one in kept]))
            newest, self.stage = path, self.stage + 1
        if newest is not None:
            self.sampler.load(newest)
