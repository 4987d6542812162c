"""Labels from a judge while a policy trains, without the policy ever waiting for one.

`submit` puts items on a bounded queue and `poll` brings the labels that have arrived; both return at once. An answer that
holds no label is a failure: the item is kept, asked about again, and given up after some tries. It is never a label of 0.
A judge that raises (a server that is down) says nothing about the items, so they wait on, and it is tried again later.

Source: the asynchronous annotator of Zheng et al. 2025 (ONI, arXiv 2410.23022); unlike theirs it asks about an item once.
"""

from __future__ import annotations

import numbers
import statistics
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from rewardlab.learning.annotation.clock import VirtualClock
from rewardlab.learning.annotation.waiting import ORDERS, Item, Order, Waiting, WaitingItems
from rewardlab.rewards.base import attempt
from rewardlab.rewards.intrinsic.files import item_of, plain
from rewardlab.types import Status

Judge = Callable[[Sequence[Any]], "Sequence[float | None] | Mapping[Any, float | None]"]
COUNTERS = ("submitted", "labelled", "dropped", "failed", "abstained", "late", "withheld", "contradicted", "errors")
AGES = 1000
"""Over how many labels the mean age is taken."""


class AnnotatorDead(RuntimeError):
    """The judge cannot be used, and the annotator was told to stop then."""


class OnlineAnnotator:
    """Asks a judge about items in the background.

    Args:
        judge: takes a list of items and returns as many labels, numbers in [0, 1] or None where it found none; or a dict of
            item to label. Items are captions, or pairs of captions (then the label is how sure it is of the first).
        policy: which items are asked about next, "lifo", "fifo" or "frequency"; see `WaitingItems`.
        batch: items in one call of the judge.
        max_queue: most items that wait.
        retries: how often an item is asked about again after an answer without a label.
        dedupe: whether an item is asked about once only; otherwise it may be again before its label is there.
        keep: which label counts where there are several: the "first", the "last", or the "majority".
        run: "thread", "process", or a `VirtualClock`, with which everything happens in `advance`, in environment steps.
        patience: after how many errors of the judge in a row it counts as dead.
        on_death: "warn" goes on and tries again ever more rarely; "stop" makes the next `poll` raise.
        allow: which items may be sent; captions can hold what a remote server should not see.

    Raises:
        ValueError: an option is out of its range.
        TypeError: the judge cannot be called.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        policy: Order = "lifo",
        batch: int = 100,
        max_queue: int = 10_000,
        retries: int = 2,
        dedupe: bool = True,
        keep: Literal["first", "last", "majority"] = "first",
        run: Literal["thread", "process"] | VirtualClock = "thread",
        patience: int = 5,
        on_death: Literal["warn", "stop"] = "warn",
        allow: Callable[[Any], bool] | None = None,
    ) -> None:
        if not callable(judge):
            raise TypeError(
                f"judge must be a function of a list of captions that returns their labels, got {judge!r:.80}"
            )
        for name, value, good in (
            ("policy", policy, ORDERS),
            ("keep", keep, ("first", "last", "majority")),
            ("on_death", on_death, ("warn", "stop")),
        ):
            if value not in good:
                raise ValueError(f"{name} must be one of {', '.join(good)}, got {value!r}")
        if not isinstance(run, VirtualClock) and run not in ("thread", "process"):
            raise ValueError(f"run must be 'thread', 'process' or a VirtualClock, got {run!r}")
        for name, number, least in (("batch", batch, 1), ("max_queue", max_queue, 1), ("retries", retries, 0)):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        if patience < 1:
            raise ValueError(f"patience must be at least 1 error, got {patience}")
        self.policy, self.batch, self.max_queue, self.retries, self.dedupe = policy, batch, max_queue, retries, dedupe
        self.keep, self.run, self.patience, self.on_death, self.allow = keep, run, patience, on_death, allow
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.labels: dict[Item, float] = {}
        """Every label so far."""
        self.steps = 0
        """Environment steps, as told to `advance`."""
        self.closed = False
        self._judge: Any = judge
        if run == "process":
            from rewardlab.learning.annotation.workers import ProcessJudge

            self._judge = ProcessJudge(judge)
        self._waiting = WaitingItems(policy, max_queue, dedupe)
        self._asked: list[Waiting] = []
        self._arrived: list[tuple[Waiting, float]] = []
        self._due: list[tuple[int, list[Waiting], Any]] = []
        self._votes: dict[Item, list[float]] = {}
        self._tries: dict[Item, int] = {}
        self._given_up: set[Item] = set()
        self._known: set[Item] = set()  # in any place: waiting, asked about, labelled or given up
        self._ages: deque[int] = deque(maxlen=AGES)
        self._errors_in_a_row, self._reason, self._told = 0, "", False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    # ---- what a policy's process calls; none of it waits ------------------------------------------------------------

    def submit(self, items: Sequence[Item]) -> int:
        """Ask for labels.

        Args:
            items: captions or pairs; what has a label, waits for one, or was given up, is left out.

        Returns:
            How many were put on the queue.
        """
        if isinstance(items, str):
            raise TypeError(f"submit takes a list of captions, got the single caption {items!r:.80}; write [caption]")
        with self._change:
            if self.closed:
                return 0
            fresh = []
            for item in items:
                # what waits already moves up under "lifo", and counts under "frequency"
                if item in self._given_up or (self.dedupe and item in self._known and item not in self._waiting):
                    continue
                if self.allow is not None and not self.allow(item):
                    self.counters["withheld"] += 1
                    self._given_up.add(item)
                    continue
                fresh.append(item)
            added, dropped = self._waiting.put(fresh, [self.steps] * len(fresh))
            self._known.update(fresh)
            self._known.difference_update(dropped)  # they may come back
            self.counters["submitted"] += added
            self.counters["dropped"] += len(dropped)
            self._change.notify()
        if self._thread is None and not isinstance(self.run, VirtualClock):
            self._thread = threading.Thread(target=self._work, daemon=True, name="annotator")
            self._thread.start()
        return added

    def poll(self) -> dict[Item, float]:
        """The labels that are new or have changed since the last call.

        Raises:
            AnnotatorDead: the judge is, and `on_death` is "stop".
        """
        self._warn()
        with self._change:
            arrived, self._arrived = self._arrived, []
            changed: dict[Item, float] = {}
            for entry, label in arrived:
                self._ages.append(self.steps - entry.seen)
                item, known = entry.item, self.labels.get(entry.item)
                if known is None:
                    self.counters["labelled"] += 1
                elif known != label:
                    self.counters["contradicted"] += 1
                if self.keep == "majority":
                    votes = self._votes.setdefault(item, [])
                    votes.append(label)
                    label = statistics.multimode(votes)[0]  # of several, the one that came first
                if known is None or (self.keep != "first" and label != known):
                    self.labels[item] = changed[item] = label
        return changed

    def advance(self, steps: int = 1) -> None:
        """Say that environment steps have passed; under a `VirtualClock` this is when questions and answers move."""
        clock = self.run
        if not isinstance(clock, VirtualClock):
            self.steps += steps
            return
        end = self.steps + steps
        while True:
            ask = (self.steps // clock.every + 1) * clock.every
            moments = [when for when, _, _ in self._due] + [ask]
            now = min(moments)
            if now > end:
                break
            self.steps = now
            if now == ask and not self.closed:
                with self._change:
                    entries = self._waiting.take(self.batch)
                    self._asked += entries
                if entries and clock.delay is not None:
                    answers = attempt(self._judge, [entry.item for entry in entries])
                    self._due.append((now + clock.delay, entries, answers))
            ready = [one for one in self._due if one[0] <= now]
            self._due = [one for one in self._due if one[0] > now]
            for _, entries, answers in ready:
                self._receive(entries, answers)
        self.steps = end

    def close(self) -> None:
        """Ask no more; labels that still arrive are dropped, and counted as late. Does not wait for the judge."""
        with self._change:
            self.closed = True
            self._change.notify_all()
        close = getattr(self._judge, "close", None)
        if close is not None:
            close()

    # ---- what it can say of itself ----------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    def diagnostics(self) -> dict[str, float]:
        """Counters; `queued` and `asked`, what waits and is being asked about now; `age`, the mean of environment steps
        from the first sight of an item to its label, over the last thousand labels (NaN without any)."""
        with self._change:
            return {
                **self.counters,
                "queued": len(self._waiting),
                "asked": len(self._asked),
                "age": statistics.fmean(self._ages) if self._ages else float("nan"),
            }

    def state_dict(self) -> dict[str, Any]:
        """Labels, counters and the queue as plain values; what is being asked about now is queued again."""
        with self._change:
            again = [*self._waiting.entries(), *(self._asked[::-1] if self.policy != "fifo" else [])]
            if self.policy == "fifo":
                again = [*self._asked, *again]
            return {
                "steps": self.steps,
                "counters": dict(self.counters),
                "queue": [[plain(entry.item), entry.count, entry.seen] for entry in again],
                "arrived": [[plain(entry.item), entry.seen, label] for entry, label in self._arrived],
                "labels": [[plain(item), label] for item, label in self.labels.items()],
                "votes": [[plain(item), votes] for item, votes in self._votes.items()],
                "tries": [[plain(item), count] for item, count in self._tries.items()],
                "given_up": [plain(item) for item in self._given_up],
                "ages": list(self._ages),
            }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave, before the first `submit`.

        Raises:
            RuntimeError: the annotator is at work already.
        """
        with self._change:
            if self._thread is not None or self._asked:
                raise RuntimeError("load the state of an annotator before its first submit; make a new one")
            self.steps = int(state["steps"])
            self.counters.update(state["counters"])
            self._waiting.replace([Waiting(item_of(item), count, seen) for item, count, seen in state["queue"]])
            self._arrived = [(Waiting(item_of(item), 1, seen), label) for item, seen, label in state["arrived"]]
            self.labels = {item_of(item): label for item, label in state["labels"]}
            self._votes = {item_of(item): list(votes) for item, votes in state["votes"]}
            self._tries = {item_of(item): count for item, count in state["tries"]}
            self._given_up = {item_of(item) for item in state["given_up"]}
            self._ages = deque(state["ages"], maxlen=AGES)
            waiting = {entry.item for entry in self._waiting.entries()}
            self._known = {*waiting, *self.labels, *self._given_up, *(entry.item for entry, _ in self._arrived)}

    # ---- in the background ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._change:
                while not self.closed and not len(self._waiting):
                    self._change.wait()
                if self.closed:
                    return
                entries = self._waiting.take(self.batch)
                self._asked += entries
            self._receive(entries, attempt(self._judge, [entry.item for entry in entries]))
            if self._errors_in_a_row:
                with self._change:
                    if not self.closed:
                        self._change.wait_for(
                            lambda: self.closed, min(30.0, 0.05 * 2 ** min(self._errors_in_a_row, 10))
                        )

    def _receive(self, entries: list[Waiting], answers: Any) -> None:
        """Sort answers into labels, failures and errors."""
        labels, reason = read_labels([entry.item for entry in entries], answers)
        with self._change:
            gone = {id(entry) for entry in entries}
            self._asked = [entry for entry in self._asked if id(entry) not in gone]
            if self.closed:
                self.counters["late"] += sum(label is not None for label in labels)
                return
            if reason is not None:
                self.counters["errors"] += 1
                self._errors_in_a_row += 1
                self._reason = reason
                self._waiting.give_back(entries)
                return
            self._errors_in_a_row, self._told = 0, False
            again = []
            for entry, label in zip(entries, labels, strict=True):
                if label is not None:
                    self._arrived.append((entry, label))
                    self._tries.pop(entry.item, None)
                    continue
                self.counters["failed"] += 1
                tries = self._tries.get(entry.item, 0) + 1
                if tries > self.retries:
                    self._tries.pop(entry.item, None)
                    self._given_up.add(entry.item)
                    self.counters["abstained"] += 1
                else:
                    self._tries[entry.item] = tries
                    again.append(entry)
            self._waiting.give_back(again)

    def _warn(self) -> None:
        if self._errors_in_a_row < self.patience:
            return
        message = f"the annotator's judge raised {self._errors_in_a_row} times in a row; the last time: {self._reason}"
        if self.on_death == "stop":
            raise AnnotatorDead(f"{message}. Mend it, or set on_death='warn' to train on with the labels there are")
        if not self._told:
            self._told = True
            warnings.warn(f"{message}. Training goes on with the labels there are", RuntimeWarning, stacklevel=3)


def read_labels(items: Sequence[Item], answers: Any) -> tuple[list[float | None], str | None]:
    """A judge's answers as one label for each item, None where it has none; and why the whole answer is of no use."""
    nothing: list[float | None] = [None] * len(items)
    if isinstance(answers, tuple) and len(answers) == 2 and isinstance(answers[0], Status):
        return nothing, answers[1]
    if isinstance(answers, Mapping):
        answers = [answers.get(item) for item in items]
    if hasattr(answers, "tolist"):
        answers = answers.tolist()
    if not isinstance(answers, Sequence) or isinstance(answers, (str, bytes)) or len(answers) != len(items):
        what = f"{len(answers)} answers" if isinstance(answers, Sequence) else type(answers).__name__
        return nothing, f"the judge returned {what} for {len(items)} items, expected one label (or None) for each"
    labels: list[float | None] = []
    for answer in answers:
        good = isinstance(answer, numbers.Real) and 0.0 <= float(answer) <= 1.0  # not so for NaN
        labels.append(float(answer) if good else None)
    return labels, None
