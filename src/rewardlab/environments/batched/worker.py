"""The other side of a worker process: it holds environments and answers orders, one after another."""

from __future__ import annotations

import multiprocessing
import pickle
import queue
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from rewardlab.environments.base import Environment
from rewardlab.environments.batched.calls import Answer, Factory, act, begin, caught
from rewardlab.types import Message, Task

IDLE = -1.0
_SECONDS_BETWEEN_LOOKS = 10.0


@dataclass(slots=True, kw_only=True)
class Order:
    """A call as it is sent.

    Args:
        number: of the order, rising within a process.
        slot: number of the environment.
        action: what to answer, or None.
        task, seed, replay: what to begin; with neither action nor task, the environment is closed.
    """

    number: int
    slot: int
    action: Message | None = None
    task: Task | None = None
    seed: int = 0
    replay: Sequence[Message] = ()


def serve(factory: Factory, inbox: Any, outbox: Connection, progress: Any) -> None:
    """Answer orders until None arrives or the parent is gone.

    Args:
        factory: makes an environment.
        inbox: queue of lists of orders.
        outbox: where lists of (number, answer) go.
        progress: two shared doubles: the number of the order under way, and when it began.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    environments: dict[int, Environment] = {}
    while True:
        try:
            orders = inbox.get(timeout=_SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            parent = multiprocessing.parent_process()
            if parent is None or not parent.is_alive():
                return
            continue
        if orders is None:
            break
        results = []
        for order in orders:
            progress[1], progress[0] = time.monotonic(), order.number
            results.append((order.number, _sendable(_follow(order, environments, factory))))
        progress[0] = IDLE
        outbox.send(results)
    for environment in environments.values():
        caught(environment.close)


def _follow(order: Order, environments: dict[int, Environment], factory: Factory) -> Answer:
    environment = environments.get(order.slot)
    if order.action is not None:
        if environment is None:
            return Answer(failure="the environment was lost with its worker process, and could not be brought back")
        return act(environment, order.action)
    if order.task is None:
        environments.pop(order.slot, None)
        return Answer(failure=None if environment is None else caught(environment.close)[1])
    made, answer = begin(environment, factory, order.task, order.seed)
    if made is not None:
        environments[order.slot] = made
        for action in order.replay:
            if answer.failure is None:
                replayed = act(made, action)
                answer.failure = replayed.failure
    if answer.failure is not None:
        environments.pop(order.slot, None)
    return answer


def _sendable(answer: Answer) -> Answer:
    """The answer, or why it cannot be sent to another process."""
    try:
        ForkingPickler.dumps(answer)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        return Answer(failure=f"what the environment answered cannot be sent between processes: {error}")
    return answer
