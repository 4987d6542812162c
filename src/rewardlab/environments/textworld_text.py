"""TextWorld: text games that are made locally from a seed, with their walkthrough as demonstration."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewardlab.environments.base import Environment, Split, Step, play
from rewardlab.environments.spoken import EMPTY_ACTION, listed, seed_of, spoken_action, task_seed
from rewardlab.extras import require
from rewardlab.types import Message, Task, Trajectory

_MAKING = threading.Lock()  # the maker of games is not made for threads
_LONGEST = 200
_COMMAND = re.compile(r"[A-Za-z0-9' -]+")  # one command: a full stop or `then` would begin another, `restart` say
_END = re.compile(r"\*\*\* .* \*\*\*.*", re.DOTALL)
_STATUS = re.compile(r"\s*>?\s*-= [^\n]*$")


class TextWorldGame(Environment):
    """Text games: go from room to room, take things, open containers, until the quest is done.

    A game is made when it is first needed (about two seconds, with the compiler that TextWorld brings) and kept in a folder.
    A command whose verb the games do not know, and one for the interpreter (`save`, `quit`, debugging), is answered with an
    error that lists what can be done now; the game itself answers the rest. `Step.reward` is the gain in score; the last
    step's `info` has `success`, `score` (share of the most) and `actions`.

    Args:
        rooms: rooms of a game.
        objects: things in it, beside those of the quest.
        quest_length: how many commands the quest needs.
        show_commands: whether each observation lists the admissible commands.
        folder: where games are kept; a temporary folder when not given.
        max_steps: most commands.

    Raises:
        ImportError: textworld is not installed.
        ValueError: an option is not positive.
    """

    blocking = True  # games are made by a child process

    def __init__(
        self,
        *,
        rooms: int = 3,
        objects: int = 4,
        quest_length: int = 3,
        show_commands: bool = True,
        folder: str | Path | None = None,
        max_steps: int = 50,
    ) -> None:
        self._textworld = require("textworld", extra="worlds", why="TextWorld")
        # what plays the games warns that it does not know them; it need not, they bring their own state
        warnings.filterwarnings("ignore", message="Game .* is not fully supported")
        self.sizes = {"rooms": rooms, "objects": objects, "quest_length": quest_length}
        for name, value in {**self.sizes, "max_steps": max_steps}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        self.show_commands, self.max_steps = show_commands, max_steps
        self.folder = Path(folder) if folder is not None else _shared_folder()
        self._game: Any = None
        self._loaded: Path | None = None
        self._ended = True
        self._opening = "You play a text game. Reply with one command alone."

    # ---- the contract -------------------------------------------------------------------------------------------------

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin the game of the task; games have no chance in them."""
        self._load(self.game_file(task_seed(task, seed), task.metadata.get("game")))
        state = self._game.reset()
        self._ended, self._count, self._score = False, 0, 0
        self._commands, self._verbs = list(state.admissible_commands), set(state.verbs)
        opening = f"{state.objective}\n\n{_plain(state.description)}\n{_plain(state.inventory)}"
        return [
            {"role": "system", "content": self._opening},
            {"role": "user", "content": opening + self._shown_commands()},
        ]

    def step(self, action: Message) -> Step:
        """Give a message to the game as a command, or answer what could be done.

        Raises:
            RuntimeError: the attempt has ended, or `reset` was never called.
        """
        if self._ended:
            raise RuntimeError("no attempt is under way; call reset(task, seed) first")
        command = " ".join(spoken_action(action).split())
        self._count += 1
        verb = command.partition(" ")[0].lower()
        if (
            verb not in self._verbs
            or len(command) > _LONGEST
            or not _COMMAND.fullmatch(command)
            or "then" in command.split()
        ):
            wrong = f"Error: {command!r:.80} is no command" if command else EMPTY_ACTION
            answer = f"{wrong}. The commands are: {listed(self._commands)}."
            step = Step(observation=[{"role": "user", "content": answer}], reward=0.0, info={"refused": True})
        else:
            state, score, _ = self._game.step(command.lower())
            gained, self._score = score - self._score, score
            self._commands = list(state.admissible_commands)
            won, lost = bool(state.won), bool(state.lost)
            step = Step(
                observation=[{"role": "user", "content": _plain(state.feedback) + self._shown_commands(won or lost)}],
                reward=float(gained),
                terminated=won or lost,
                info={"refused": False, "success": won, "score": score / max(1, state.max_score)},
            )
        step.truncated = self._count >= self.max_steps and not step.terminated
        self._ended = step.ended
        if step.ended:
            step.info.setdefault("success", False)
            step.info["actions"] = self._count
        return step

    def close(self) -> None:
        """Close the game."""
        if self._game is not None:
            self._game.close()
            self._game, self._loaded = None, None

    # ---- tasks --------------------------------------------------------------------------------------------------------

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """Games by their seeds, of which none is in both splits; they are made when they are played."""
        drawn = [seed_of(split, seed, index) for index in range(count)]
        size = "-".join(map(str, self.sizes.values()))
        return [
            Task(
                id=f"textworld-{size}/{split}/{number}",
                prompt=[{"role": "system", "content": self._opening}],
                metadata={"game": dict(self.sizes), "seed": number, "split": split},
            )
            for number in drawn
        ]

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Play the walkthrough of each game."""
        trajectories = []
        for task in tasks:
            seed = task_seed(task, 0)
            file = self.game_file(seed, task.metadata.get("game"))
            walk = iter(json.loads(file.with_suffix(".walkthrough").read_text(encoding="utf-8")))
            trajectories.append(
                play(self, task, lambda _, walk=walk: {"role": "assistant", "content": next(walk)}, seed=seed)  # type: ignore[misc]
            )
        return trajectories

    def corpus(self, seed: int = 0) -> list[list[Message]]:
        """Conversations of the train split, for fitting a tokenizer; makes a few games."""
        return [trajectory.messages for trajectory in self.demonstrations(self.tasks("train", 5, seed))]

    def game_file(self, seed: int, sizes: Any = None) -> Path:
        """The file of a game; made where it is not there yet.

        Args:
            seed: what the game is drawn from.
            sizes: `rooms`, `objects` and `quest_length`; this environment's own when not given.
        """
        sizes = {**self.sizes, **(sizes or {})}
        key = hashlib.sha256(json.dumps([seed, sizes], sort_keys=True).encode()).hexdigest()[:20]
        file = self.folder / f"{key}.z8"
        with _MAKING:
            if not file.with_suffix(".walkthrough").exists():
                self._make(file, seed, sizes)
        return file

    def _make(self, file: Path, seed: int, sizes: dict[str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = self._textworld.GameOptions()
        options.seeds = seed
        options.nb_rooms, options.nb_objects = sizes["rooms"], sizes["objects"]
        options.quest_length = sizes["quest_length"]
        # made aside and put in place at the end, so that processes that share the folder never read half a game
        with tempfile.TemporaryDirectory(dir=self.folder) as aside:
            options.path = str(Path(aside) / "game.z8")
            made, game = self._textworld.make(options)
            walk = file.with_suffix(".walkthrough")
            Path(aside, "walkthrough").write_text(json.dumps(game.metadata["walkthrough"]), encoding="utf-8")
            Path(made).with_suffix(".json").replace(file.with_suffix(".json"))
            Path(made).replace(file)
            Path(aside, "walkthrough").replace(walk)  # last: it says that the game is there

    def _load(self, file: Path) -> None:
        if self._loaded == file:
            return
        self.close()
        wanted = ("admissible_commands", "description", "inventory", "objective", "won", "lost", "max_score", "verbs")
        infos = self._textworld.EnvInfos(**dict.fromkeys(wanted, True))
        self._game, self._loaded = self._textworld.start(str(file), infos), file

    def _shown_commands(self, over: bool = False) -> str:
        if over or not self.show_commands:
            return ""
        return f"\nYou can: {listed(self._commands)}."


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _shared_folder() -> Path:
    """A temporary folder for all environments of this process."""
    if not _FOLDERS:
        logging.getLogger(__name__).debug(
            "games are kept in a temporary folder; give folder= to keep them for later runs"
        )
        _FOLDERS.append(tempfile.TemporaryDirectory(prefix="textworld-"))
    return Path(_FOLDERS[0].name)


def _plain(text: str | None) -> str:
    """What the game says, without its status line and empty lines."""
    lines = (line.strip() for line in _END.sub("", _STATUS.sub("", text or "")).splitlines())
    return "\n".join(line for line in lines if line and line != ">")
