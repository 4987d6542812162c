"""Intrinsic rewards that are learned while the policy trains, from an annotator's labels of captions (ONI).

Each transition has a caption; the annotator labels captions in the background; a model of the labels values each caption at
once, divided by how often it was seen in the trajectory. What has no label yet gives the default. The reward never waits.

A reset's own message is no transition and is not counted; the paper counts it as seen once.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.intrinsic.captions import caption_arguments, clean
from rewardlab.rewards.intrinsic.episode_counts import EpisodeCounts
from rewardlab.rewards.intrinsic.files import item_of, plain, read_state, write_state
from rewardlab.rewards.intrinsic.record import Record
from rewardlab.rewards.intrinsic.word_models import RetrievalModel, WordClassifier, WordRanker, draw_pairs, hashed_words
from rewardlab.rewards.spec import register
from rewardlab.rewards.transitions import StatefulReward, transition_columns, unusable
from rewardlab.types import Scores, Trajectory

MEMORY = 100_000
"""Captions whose value is remembered until the model changes."""
RECENT = 256
"""The last captions, from which a ranker's pairs are drawn."""


def intrinsic_value(
    label: NDArray[np.float64], seen: NDArray[np.int64], *, coefficient: float, exponent: float
) -> NDArray[np.float64]:
    """`coefficient * label / seen**exponent`, with 0 where nothing was seen. float64[N] (Zheng et al. 2025, section 3)."""
    return np.where(seen > 0, coefficient * label / np.maximum(seen, 1).astype(np.float64) ** exponent, 0.0)


class _Mind:
    """What a reward learns and remembers; shared by all that hold the reward."""

    def __init__(self, owner: IntrinsicReward) -> None:
        self.model: Any = owner._new_model()
        self.labels: dict[Any, float] = {}
        self.known: dict[str, float] = {}
        self.record = Record()
        self.updates = 0
        self.frozen = False
        self.random = np.random.default_rng(owner.seed)
        self.recent: deque[str] = deque(maxlen=RECENT)


@register("intrinsic")
@dataclass(frozen=True, kw_only=True)
class IntrinsicReward(StatefulReward):
    """Pays for messages that a judge finds helpful, each less often the more it repeats in a trajectory.

    On-line it learns as it goes: inside an environment's wrapper every step submits new captions, takes in the labels that
    have arrived, and values the step. Stored trajectories are scored without learning from them; `observe` learns.

    Source: Zheng et al. 2025, "Online Intrinsic Rewards for Decision Making Agents from Large Language Model Feedback" (RLC
    2025, arXiv 2410.23022).

    Args:
        caption: function of a transition that returns N captions; it names what it wants among observation, action,
            next_observation, terminated and info. `InfoCaption` and `ObservationCaption` are ready made.
        model: "retrieval" (a table), "classifier", or "ranker" (comparisons of two captions).
        reads: what a classifier reads: hashed "words", or "characters" (a convolutional network, needs torch).
        annotator: an `OnlineAnnotator` whose judge labels captions, or pairs of them for "ranker"; None to learn from
            `warm_start` only.
        count_exponent: how fast a repeated message loses its worth within a trajectory; 0: it never does.
        coefficient: what a new helpful message is worth.
        threshold: of the classifier's probability, or of the ranker's normalised score.
        default: value of a caption without a label, before the division by its count.
        normalise: function of a caption that takes out what makes each one new, such as `mask_numbers`.
        longest: bytes of a caption that are kept.
        words: number of hashed words.
        capacity: different messages of one trajectory that have room at first.
        seed: of all that is drawn.
    """

    caption: Callable[..., Any]
    model: Literal["retrieval", "classifier", "ranker"] = "retrieval"
    reads: Literal["words", "characters"] = "words"
    annotator: Any = None
    count_exponent: float = 3.0
    coefficient: float = 0.1
    threshold: float = 0.5
    default: float = 0.0
    normalise: Callable[[str], str] | None = None
    longest: int = 256
    words: int = 8192
    capacity: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, good, wanted in (
            ("count_exponent", self.count_exponent >= 0, "not negative"),
            ("coefficient", np.isfinite(self.coefficient), "a finite number"),
            ("threshold", self.model != "classifier" or 0 <= self.threshold <= 1, "a probability in [0, 1]"),
            ("longest", self.longest >= 1, "at least 1 byte"),
            ("words", self.words >= 2, "at least 2"),
            ("capacity", self.capacity >= 1, "at least 1 message"),
            ("reads", self.reads == "words" or self.model == "classifier", "'words' unless model is 'classifier'"),
            (
                "annotator",
                self.annotator is None or all(hasattr(self.annotator, name) for name in ("submit", "poll", "advance")),
                "an OnlineAnnotator, or None",
            ),
        ):
            if not good:
                raise ValueError(f"IntrinsicReward: option {name!r} must be {wanted}, got {getattr(self, name)!r}")
        object.__setattr__(self, "_arguments", caption_arguments(self.caption))

    def _new_model(self) -> Any:
        if self.model == "retrieval":
            return RetrievalModel()
        if self.model == "ranker":
            return WordRanker(self.words, self.threshold, seed=self.seed)
        if self.reads == "words":
            return WordClassifier(self.words, self.threshold, seed=self.seed)
        from rewardlab.rewards.intrinsic.characters import CharacterClassifier

        return CharacterClassifier(self.threshold, seed=self.seed)

    @cached_property
    def _mind(self) -> _Mind:
        return _Mind(self)

    # ---- the reward -------------------------------------------------------------------------------------------------

    @property
    def reads_info(self) -> bool:  # type: ignore[override]  # it depends on the caption function
        """Whether the caption is taken from `info`."""
        return "info" in self._arguments  # type: ignore[attr-defined]  # set when it was made

    @property
    def deterministic(self) -> bool:
        """The same caption is worth something else once there are more labels, so nothing may be cached."""
        return self._mind.frozen

    @cached_property
    def spec_hash(self) -> str | None:
        """None: what the reward gives is in its labels, which no spec names."""
        return None

    def named(self, name: str) -> Self:
        """The same reward, with the same labels, under another name."""
        renamed = replace(self, name=name)
        renamed.__dict__["_mind"] = self._mind
        return renamed

    def start(self, count: int) -> dict[str, NDArray[Any]]:
        """No message was seen in any of the trajectories."""
        return EpisodeCounts(self.capacity).start(count)

    def reset(self, state: dict[str, NDArray[Any]], mask: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """Forget the messages of the trajectories that ended."""
        return EpisodeCounts(self.capacity).reset(state, mask)

    def advance(
        self,
        state: dict[str, NDArray[Any]],
        observation: NDArray[Any],
        action: NDArray[Any],
        next_observation: NDArray[Any],
        terminated: NDArray[np.bool_],
        info: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[Any]]]:
        """Value a step of N environments, and learn from it; see `StatefulReward.advance`."""
        captions = self.captions(observation, action, next_observation, terminated, info)
        self.learn_from(captions, steps=len(captions))
        values, state, known = self._step(state, captions)
        self._mind.record.enter(captions, known, values, self.model)
        return values, state

    def captions(
        self, observation: Any, action: Any, next_observation: Any, terminated: Any, info: Any = None
    ) -> list[str]:
        """The captions of N transitions, as clean text; empty where there is none."""
        whole = {
            "observation": observation,
            "action": action,
            "next_observation": next_observation,
            "terminated": terminated,
            "info": info,
        }
        given = self.caption(**{name: whole[name] for name in self._arguments})  # type: ignore[attr-defined]
        texts, cut, broken = clean(given, len(terminated), self.longest)
        self._mind.record.cut += cut
        self._mind.record.broken += broken
        return texts if self.normalise is None else [self.normalise(text) if text else "" for text in texts]

    def values(self, captions: Sequence[str], seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """What captions are worth to the newest model: relabels a stored batch when it is trained on, as the paper does.

        Args:
            captions: N of them.
            seen: int[N], how often each had been seen in its trajectory then, itself included.
        """
        labels, known = self._labels(captions)
        return self._worth(labels, known, seen)

    def _step(self, state: Any, captions: list[str]) -> tuple[NDArray[np.float64], Any, NDArray[np.bool_]]:
        seen, after = EpisodeCounts(self.capacity).add(state, captions)
        labels, known = self._labels(captions)
        return self._worth(labels, known, seen), after, known

    def _worth(
        self, labels: NDArray[np.float64], known: NDArray[np.bool_], seen: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        labels = np.where(known, labels, self.default)
        return intrinsic_value(labels, seen, coefficient=self.coefficient, exponent=self.count_exponent)

    def _labels(self, captions: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The model's value of each caption, remembered until the model changes, and where it has one."""
        mind = self._mind
        fresh = [caption for caption in dict.fromkeys(captions) if caption and caption not in mind.known]
        if self.model == "ranker":
            if not mind.frozen and mind.model.targets:
                met = [caption for caption in captions if caption]
                mind.model.meet(self._scores(met))
            values = mind.model.values([caption or " " for caption in captions])  # its moments change with each step
            known = np.array([bool(caption) for caption in captions]) & ~np.isnan(values)
            return values, known
        if fresh:
            if len(mind.known) > MEMORY:
                mind.known, fresh = {}, [caption for caption in dict.fromkeys(captions) if caption]
            mind.known.update(zip(fresh, mind.model.values(fresh).tolist(), strict=True))
        values = np.array([mind.known[caption] if caption else np.nan for caption in captions])
        return values, ~np.isnan(values)

    def _scores(self, captions: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(self._mind.model.scores(hashed_words(captions, self.words)))

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        mind, passive = self._mind, replace(self, annotator=None)  # scoring asks nobody, and enters nothing
        frozen, record, mind.frozen, mind.record = mind.frozen, mind.record, True, Record()
        passive.__dict__["_mind"] = mind
        try:
            return super(IntrinsicReward, passive)._score(trajectories, progress)
        finally:
            mind.frozen, mind.record = frozen, record

    # ---- learning ---------------------------------------------------------------------------------------------------

    def learn_from(self, captions: Sequence[str], *, steps: int = 0) -> None:
        """Take in the labels that have arrived, and submit captions that have none. Returns at once.

        Args:
            captions: what was met; empty ones are left out.
            steps: environment steps that have passed.
        """
        mind, annotator = self._mind, self.annotator
        if annotator is None or mind.frozen:
            return
        annotator.advance(steps)
        self._take(annotator.poll())
        if mind.model.pairs:
            mind.recent.extend(caption for caption in captions if caption)
            if annotator.queued < 2 * annotator.batch:
                annotator.submit(draw_pairs(mind.recent, mind.random))
        else:
            annotator.submit([caption for caption in dict.fromkeys(captions) if caption and caption not in mind.labels])

    def observe(self, trajectories: Sequence[Trajectory], scores: Scores | None = None) -> None:
        """Learn from stored trajectories: submit their captions, and take in the labels that have arrived."""
        usable = [one for one in trajectories if unusable(one, label=self.label, reads_info=self.reads_info) is None]
        if usable:
            captions = self.captions(**{"info": None, **transition_columns(usable, reads_info=self.reads_info)})
            self.learn_from(captions, steps=len(captions))

    def warm_start(self, labels: Mapping[Any, float]) -> None:
        """Learn from labels that exist: those of another run, or of a data set (then with `freeze`, this is off-line).

        Args:
            labels: caption (or pair of captions, for "ranker") -> number in [0, 1].

        Raises:
            ValueError: a label is no such number, or its key is no caption (or pair).
        """
        for item, label in labels.items():
            right = isinstance(item, tuple) and len(item) == 2 if self._mind.model.pairs else isinstance(item, str)
            if not right or not 0.0 <= label <= 1.0:
                what = "a pair of captions" if self._mind.model.pairs else "a caption"
                raise ValueError(
                    f"expected {what} and a label in [0, 1] for model={self.model!r}, got {item!r:.80}: {label!r}"
                )
        self._take(dict(labels))

    def _take(self, labels: Mapping[Any, float]) -> None:
        if not labels:
            return
        mind = self._mind
        agreement = mind.model.agreement(labels)
        if not np.isnan(agreement):
            mind.record.agreement = agreement
        if any(item in mind.labels for item in labels):  # a label that has changed takes the place of the old one
            mind.labels = {item: label for item, label in mind.labels.items() if item not in labels}
            mind.model.clear()
            if mind.labels:
                mind.model.remember(mind.labels)
        mind.labels.update(labels)
        mind.model.learn(labels)
        mind.record.label(list(labels.values()), mind.model.pairs)
        mind.known = {}
        mind.updates += 1

    def freeze(self) -> None:
        """Stop learning: no more captions are submitted, no labels taken in; the values stay what they are."""
        self._mind.frozen = True

    def export_labels(self) -> dict[Any, float]:
        """Every label so far: caption (or pair) -> label."""
        return dict(self._mind.labels)

    @property
    def updates(self) -> int:
        """How often the model has changed; note it beside a batch to know which reward it was given."""
        return self._mind.updates

    def diagnostics(self, top: int = 10) -> dict[str, Any]:
        """How the labels and the reward are doing.

        Returns:
            The annotator's counters; `updates` of the model; `known_share` (of steps with a caption, those that the model
            could value); `positive_rate` of the labels (for a ranker, of comparisons that are no ties); `agreement` of the
            model with the newest labels before it learned from them; `unique_rate` of the last captions; `cut` and
            `undecodable` captions; and `top`, the messages that paid most, where an agent that farms a message shows.
        """
        record = self._mind.record
        return {
            **({} if self.annotator is None else self.annotator.diagnostics()),
            "updates": self.updates,
            "known_share": record.known / record.captions if record.captions else float("nan"),
            "positive_rate": record.positive / record.labels if record.labels else float("nan"),
            "agreement": record.agreement,
            "unique_rate": record.unique,
            "cut": record.cut,
            "undecodable": record.broken,
            "top": record.top(top),
        }

    # ---- what it holds, without pickle --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Labels, model, moments, records and the annotator with its queue, as arrays and plain values."""
        mind = self._mind
        return {
            "model": self.model,
            "labels": [[plain(item), label] for item, label in mind.labels.items()],
            "fitted": mind.model.state_dict(),
            "updates": mind.updates,
            "frozen": mind.frozen,
            "recent": list(mind.recent),
            "random": json.dumps(mind.random.bit_generator.state),
            "record": mind.record.state_dict(),
            **({} if self.annotator is None else {"annotator": self.annotator.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave, before the first step.

        Raises:
            ValueError: the state is that of another model.
        """
        if state.get("model") != self.model:
            raise ValueError(f"the state is that of model={state.get('model')!r}, this reward has model={self.model!r}")
        mind = self.__dict__["_mind"] = _Mind(self)
        mind.labels = {item_of(item): label for item, label in state["labels"]}
        if mind.labels:
            mind.model.remember(mind.labels)
        mind.model.load_state_dict(state["fitted"])
        mind.updates, mind.frozen = int(state["updates"]), bool(state["frozen"])
        mind.recent.extend(state["recent"])
        mind.random.bit_generator.state = json.loads(state["random"])
        mind.record.load_state_dict(state["record"])
        if self.annotator is not None and "annotator" in state:
            self.annotator.load_state_dict(state["annotator"])

    def save(self, folder: str | Path) -> None:
        """Write the state to `intrinsic.json` and `intrinsic.npz` in a folder."""
        write_state(self.state_dict(), folder)

    def restore(self, folder: str | Path) -> None:
        """Read what `save` wrote into this reward, before its first step."""
        self.load_state_dict(read_state(folder))
