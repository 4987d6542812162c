"""The updates of multi-agent inverse Q-learning: columns of the demonstrations, critics, replay and what is watched."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rewardlab.functional.inverse_q import (
    inverse_q_loss,
    recovered_rewards,
    soft_log_policy,
    soft_values,
    value_differences,
)
from rewardlab.learning.demonstrations.networks import mlp, standardisation
from rewardlab.learning.demonstrations.spaces import SpaceCode
from rewardlab.learning.marginal_q.critics import AgentCritic, MarginalPolicy, MarginalReward
from rewardlab.learning.marginal_q.joint_data import Episode, seen_and_mask
from rewardlab.learning.marginal_q.joint_play import JointGames, make_joint
from rewardlab.learning.marginal_q.method import MarginalQ, known_actions
from rewardlab.learning.marginal_q.replay import Columns, Replay

MOST_JOINT = 256
"""Joint actions of the others over which a joint critic averages, at most."""
FALLING = 5
"""Lines of the history over which the value on states of play must have fallen, by more than 1, for a warning."""


class Training:
    """One fit under way.

    Args:
        method: the options.
        term: where the value term is taken.
        episodes: the demonstrations.
        environment: a PettingZoo parallel environment, a function that makes one, or None.
        seed: of everything random.
    """

    def __init__(self, method: MarginalQ, term: str, episodes: Sequence[Episode], environment: Any, seed: int) -> None:
        self.method, self.term, self.episodes, self.seed = method, term, episodes, seed
        self.generator = torch.Generator().manual_seed(seed % 2**63)
        self.history: list[dict[str, Any]] = []
        self.games: JointGames | None = None
        if environment is not None and term in ("policy", "mixed"):
            count = method.games if callable(environment) else 1
            made = [make_joint(environment) for _ in range(count)]
            self.games = JointGames(made, seed=seed, agents=method.n_agents)
        self.critics = self._critics(None if environment is None else make_joint(environment))
        self.experts = [self._columns(agent) for agent in range(method.n_agents)]
        self.first = torch.tensor(np.cumsum([0] + [len(one.agents[0]) for one in episodes[:-1]]))
        self.slow = [copy.deepcopy(one.layers) for one in self.critics] if method.target is not None else []
        weights = {id(weight): weight for one in self.critics for net in _nets(one) for weight in net.parameters()}
        decay = 2 * method.l2  # what Adam adds to the gradient for l2 times the squared weights
        self.optimiser = torch.optim.Adam(weights.values(), lr=method.learning_rate, weight_decay=decay)
        self.replay: Replay | None = None
        if self.games is not None:
            self.replay = Replay(self.critics, method.replay)
            self._play()

    def _critics(self, environment: Any) -> list[AgentCritic]:
        count = self.method.n_agents
        seen = [[seen_and_mask(one.agents[agent].observations)[0] for one in self.episodes] for agent in range(count)]
        done = [[np.asarray(one.agents[agent].actions) for one in self.episodes] for agent in range(count)]
        if environment is None:
            known = known_actions(self.method.actions, [np.concatenate(columns) for columns in done])
            codes = [_code(columns) for columns in seen]
            acts = [SpaceCode("discrete", "action", count=number) for number in known]
        else:
            codes, acts = _spaces(environment, count)
        for agent in range(count):
            for number, episode in enumerate(self.episodes):
                where = f"episode {episode.name!r}, agent {agent}:"
                codes[agent].check(seen[agent][number], where)
                acts[agent].check(done[agent][number], where)
        return self._networks(codes, [one.count for one in acts], [np.concatenate(columns) for columns in seen])

    def _networks(self, codes: Sequence[SpaceCode], actions: Sequence[int], seen: Sequence[Any]) -> list[AgentCritic]:
        method, count = self.method, self.method.n_agents
        if method.share and (len(set(actions)) > 1 or len({one.width for one in codes}) > 1):
            raise ValueError(
                f"share=True needs agents that are alike, got {list(actions)} actions and observations of width "
                f"{[one.width for one in codes]}; use share=False"
            )
        made: list[AgentCritic] = []
        for agent in range(count):
            others = tuple(number for place, number in enumerate(actions) if place != agent)
            joint = int(np.prod(others, dtype=np.int64)) if method.critic == "joint" else 1
            if joint > MOST_JOINT:
                raise ValueError(
                    f"the others of agent {agent} have {joint} joint actions, more than {MOST_JOINT} to average over; "
                    "use critic='marginal'"
                )
            rows = codes[agent].encode(seen[agent])
            mean, spread = np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
            if np.abs(rows).max() > 1:  # one-hot rows and rows within [-1, 1] stay as they are
                mean, spread = standardisation(rows, codes[agent])
            index = tuple(float(place == agent) for place in range(count)) if method.share else ()
            width = rows.shape[1] + len(index)
            sizes = (width, *method.hidden, actions[agent] * joint)
            seed = self.seed * 1_000 + (0 if method.share else agent)
            shared = method.share and made
            made.append(
                AgentCritic(
                    layers=made[0].layers if shared else mlp(sizes, activation="relu", seed=seed, last_gain=0.1),
                    observation=codes[agent],
                    actions=actions[agent],
                    others=others,
                    mean=made[0].mean if shared else mean,
                    spread=made[0].spread if shared else spread,
                    index=index,
                    models=tuple(
                        mlp((width, *method.hidden, number), activation="relu", seed=seed + 100 + place, last_gain=0.1)
                        for place, number in enumerate(others)
                    )
                    if method.critic == "joint"
                    else (),
                    temperature=method.temperature,
                    discount=method.gamma,
                )
            )
        return made

    def _columns(self, agent: int) -> Columns:
        critic = self.critics[agent]
        pieces = []
        for episode in self.episodes:
            one = episode.agents[agent]
            rows, legal = critic.features(one.observations)
            if legal is None:
                legal = torch.ones(len(rows), critic.actions, dtype=torch.bool)
            if legal.shape[1] != critic.actions:
                raise ValueError(
                    f"episode {episode.name!r}: the action masks of agent {agent} have {legal.shape[1]} entries for "
                    f"{critic.actions} actions"
                )
            done = torch.from_numpy(np.asarray(one.actions).reshape(-1).astype(np.int64))
            banned = ~legal[:-1].gather(1, done.unsqueeze(1)).squeeze(1)
            if bool(banned.any()):
                step = int(banned.nonzero()[0])
                raise ValueError(
                    f"episode {episode.name!r}, step {step}: agent {agent} took action {int(done[step])}, "
                    f"which its mask forbids"
                )
            ended = torch.zeros(len(done), dtype=torch.bool)
            ended[-1] = one.terminated
            legal = torch.cat([legal[:-1], legal[-1:] | bool(one.terminated)])
            others = [
                np.asarray(other.actions).reshape(-1).astype(np.int64)
                for place, other in enumerate(episode.agents)
                if place != agent
            ]
            told = torch.from_numpy(np.stack(others, 1)) if others else torch.zeros(len(done), 0, dtype=torch.int64)
            pieces.append((rows[:-1], rows[1:], legal[:-1], legal[1:], done, told, ended))
        return Columns(*(torch.cat(column) for column in zip(*pieces, strict=True)))

    def run(self, steps: int, progress: Callable[[dict[str, Any]], None] | None) -> None:
        """Make the updates."""
        every = max(1, steps // 20)
        for step in range(1, steps + 1):
            index = torch.randint(len(self.experts[0].actions), (self.method.batch_size,), generator=self.generator)
            line: dict[str, Any] = {"step": step}
            self.optimiser.zero_grad()
            losses = [self._loss(agent, index, line) for agent in range(self.method.n_agents)]
            torch.stack(losses).sum().backward()
            self.optimiser.step()
            with torch.no_grad():
                for slow, critic in zip(self.slow, self.critics, strict=False):
                    for left, right in zip(slow.parameters(), critic.layers.parameters(), strict=True):
                        left.lerp_(right, float(self.method.target or 0.0))
            if self.games is not None:
                self._play()
            if step % every == 0 or step == steps:
                self.history.append({name: value if name == "step" else list(value) for name, value in line.items()})
                if progress is not None:
                    progress(self.history[-1])
        self._watch_values()

    def _loss(self, agent: int, index: Tensor, line: dict[str, Any]) -> Tensor:
        method, expert = self.method, self.experts[agent]
        batch = expert.rows(index)
        rewards, gaps, values = self._recover(agent, batch)
        policy_rewards = None
        if self.term == "initial":
            opening = expert.rows(self.first)
            start = self.critics[agent].action_values(opening.seen)
            started = soft_values(start, temperature=method.temperature, legal=opening.legal)
            gaps = (1 - method.gamma) * started
        elif self.replay is not None:
            played = self.replay.sample(agent, method.batch_size, self.generator)
            found, play_gaps, play_values = self._recover(agent, played)
            gaps = play_gaps if self.term == "policy" else torch.cat([play_gaps, gaps])
            policy_rewards = found if method.regularise == "both" else None
            _note(line, "policy_value", play_values)
            _note(line, "policy_reward", found)
        loss = inverse_q_loss(rewards, gaps, phi=method.phi, policy_rewards=policy_rewards)
        critic = self.critics[agent]
        for place, model in enumerate(critic.models):  # the others' clones learn beside the critic
            loss = loss + nn.functional.cross_entropy(model(batch.seen), batch.others[:, place])
        _note(line, "loss", loss)
        _note(line, "expert_reward", rewards)
        _note(line, "expert_value", values)
        return loss

    def _recover(self, agent: int, batch: Columns) -> tuple[Tensor, Tensor, Tensor]:
        """Recovered rewards, value differences and values of a batch."""
        critic, temperature = self.critics[agent], self.method.temperature
        here = critic.action_values(batch.seen)
        values = soft_values(here, temperature=temperature, legal=batch.legal)
        if self.slow:
            with torch.no_grad():
                following = critic.action_values(batch.following, self.slow[agent])
        else:
            following = critic.action_values(batch.following)
        then = soft_values(following, temperature=temperature, legal=batch.next_legal)
        gaps = value_differences(values, then, batch.ended, discount=self.method.gamma)
        if critic.models:  # the value of the joint action that was played, not the average
            joint, place = critic.joint_values(batch.seen), torch.zeros_like(batch.actions)
            for number, column in zip(critic.others, batch.others.unbind(1), strict=True):
                place = place * number + column
            here = joint.gather(-1, place.view(-1, 1, 1).expand(-1, critic.actions, 1)).squeeze(-1)
        rewards = recovered_rewards(here, batch.actions, then, batch.ended, discount=self.method.gamma)
        return rewards, gaps, values

    @torch.no_grad()
    def _play(self) -> None:
        assert self.games is not None
        assert self.replay is not None
        actions, seen = [], []
        for agent, critic in enumerate(self.critics):
            seen.append(self.games.seen(agent))
            rows, legal = critic.features(seen[-1])
            logs = soft_log_policy(critic.action_values(rows), temperature=self.method.temperature, legal=legal)
            actions.append(torch.multinomial(logs.exp(), 1, generator=self.generator).squeeze(1).numpy())
        self.replay.add(self.games.names, actions, self.games.step(actions))

    def _watch_values(self) -> None:
        lines = [line["policy_value"] for line in self.history if "policy_value" in line][-FALLING:]
        if len(lines) < FALLING:
            return
        table = np.array(lines)
        for agent in np.flatnonzero((np.diff(table, axis=0) < 0).all(0) & (table[0] - table[-1] > 1.0)).tolist():
            warnings.warn(
                f"the mean value of agent {agent} on states of play fell steadily, from {table[0, agent]:.2f} to "
                f"{table[-1, agent]:.2f}: nothing but weight decay holds it there; raise l2, or use regularise='both'",
                stacklevel=4,
            )

    @torch.no_grad()
    def report(self, told: dict[str, float]) -> list[dict[str, Any]]:
        """A report on each agent, see `MarginalQFit.agents`."""
        found = []
        for agent, critic in enumerate(self.critics):
            trajectories = [one.agents[agent] for one in self.episodes]
            steps = MarginalReward.of(critic)(trajectories).steps or []
            rewards = np.concatenate([one for one in steps if one is not None])
            true = np.concatenate([one.rewards for one in trajectories])
            logs = np.concatenate([MarginalPolicy(critic=critic).logprobs(one.observations) for one in trajectories])
            line: dict[str, Any] = {
                "agent": agent,
                "expert_reward": float(rewards.mean()),
                "saturated": float((np.abs(rewards) > 2).mean()),
                "entropy": float(-(np.exp(logs) * np.where(np.isfinite(logs), logs, 0.0)).sum(1).mean()),
                "coordination": told["excess"],
                "return": None,
                "correlation": None,
            }
            if np.isfinite(true).all():
                line["return"] = float(np.mean([one.rewards.sum() for one in trajectories]))
                if true.std() > 0 and rewards.std() > 0:
                    line["correlation"] = float(np.corrcoef(rewards, true)[0, 1])
            if self.replay is not None and self.games is not None:
                played, age = self.replay.everything(agent), self.replay.newest(agent, self.method.batch_size)
                line["policy_reward"] = float(self._recover(agent, played)[0].mean())
                line["replay_gap"] = float(self._recover(agent, age)[2].mean() - self._recover(agent, played)[2].mean())
            found.append(line)
        return found


def _nets(critic: AgentCritic) -> tuple[nn.Module, ...]:
    return critic.layers, *critic.models


def _note(line: dict[str, Any], name: str, values: Tensor) -> None:
    line.setdefault(name, []).append(float(values.detach().mean()))


def _code(columns: Sequence[np.ndarray]) -> SpaceCode:
    """A code for what demonstrations hold, where there is no space to say it: whole single numbers are one-hot."""
    first = columns[0]
    if first.ndim == 1 and first.dtype.kind in "iu":
        return SpaceCode("discrete", "observation", count=max(int(column.max()) for column in columns) + 1)
    return SpaceCode("box", "observation", tuple(first.shape[1:]))


def _spaces(environment: Any, count: int) -> tuple[list[SpaceCode], list[SpaceCode]]:
    names = list(environment.possible_agents)
    if len(names) != count:
        raise ValueError(
            f"the environment has {len(names)} agents ({', '.join(map(str, names))}), and n_agents is {count}"
        )
    codes, acts = [], []
    for name in names:
        space = environment.observation_space(name)
        if type(space).__name__ == "Dict" and set(space.spaces) == {"observation", "action_mask"}:
            space = space["observation"]
        codes.append(SpaceCode.of(space, "observation"))
        acts.append(SpaceCode.of(environment.action_space(name), "action"))
        if acts[-1].kind != "discrete" or acts[-1].start:
            raise TypeError(
                f"the action space of agent {name!r} is {environment.action_space(name)}; MarginalQ sums "
                f"over actions, so it takes "
                "Discrete spaces that begin at 0: bin continuous actions first"
            )
    return codes, acts
