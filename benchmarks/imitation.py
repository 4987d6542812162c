"""Learning from demonstrations beside the library `imitation`: the same data, environments, steps and seeds.

    python -m venv PEER && PEER/bin/pip install torch "numpy<2" gymnasium==0.29.1 stable-baselines3==2.2.1 imitation==1.0.1
    OMP_NUM_THREADS=1 python benchmarks/imitation.py --demonstrations DATA/expert_demos --peer PEER/bin/python

Each seed runs on this side and then on the other, so that both meet the same load; seconds are of the processor, one thread.
Evaluation is not measured. The true reward of CartPole is a constant, from which no distance can be taken, and fragments of
equal length are all ties there, so distances and preference comparisons are on Pendulum.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rewardlab.functional.reward_distances import SampledEpic, sampled_starc
from rewardlab.learning.demonstrations import PPOOptions, imitate, mean_return
from rewardlab.storage.demonstrations import read_demonstrations

FILES = {"CartPole-v1": "cartpole_expert.train.npz", "Pendulum-v1": "pendulum_expert.train.npz"}
PENDULUM = PPOOptions(discount=0.9, learning_rate=3e-3)
PATIENT = PPOOptions(discount=0.9, learning_rate=2e-3, batch_size=64, epochs=10)
"""As many gradient steps for each step of the environment as the other side's tutorial makes; chosen on seeds 100 to 103."""
TASKS: list[dict[str, Any]] = [
    {"method": "behaviour_cloning", "environment": "CartPole-v1", "epochs": 1, "ours": {}, "updates": 500},
    {"method": "gail", "environment": "CartPole-v1", "steps": 8_192, "ours": {}, "ppo": {}},
    {
        "method": "preferences",
        "environment": "Pendulum-v1",
        "steps": 10_240,
        "comparisons": 500,
        "rounds": 5,
        "ours": {"comparisons": 500, "rounds": 5, "updates": 45, "ppo": PATIENT},
    },
    {"method": "behaviour_cloning", "environment": "Pendulum-v1", "epochs": 60, "ours": {}, "updates": 1000},
    {"method": "airl", "environment": "CartPole-v1", "steps": 8_192, "ours": {}, "ppo": {}},
    {
        "method": "gail",
        "environment": "Pendulum-v1",
        "steps": 24_576,
        "ours": {"ppo": PENDULUM},
        "ppo": {"gamma": 0.9},
    },
]
DISCOUNT = 0.97
EPISODES = 20


def main() -> None:
    """Run what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demonstrations", type=Path, required=True, help="the folder with the npz files")
    parser.add_argument(
        "--peer", type=Path, required=True, help="the interpreter of the virtual environment with imitation"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the tasks to run, from 0")
    parser.add_argument("--lines", type=Path, help="a file to which each result is added as a line of JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    importlib.import_module("rewardlab.learning.demonstrations.generator")  # as the other side, before it is timed
    tasks = [TASKS[number] for number in given.only] if given.only else TASKS
    with tempfile.TemporaryDirectory() as folder:
        queries = pendulum_queries(Path(folder))
        peer = subprocess.Popen(
            [str(given.peer), "-P", str(Path(__file__).with_name("imitation_peer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for task in tasks:
            found = []
            for seed in given.seeds:
                found.append(one_seed(task, seed, given.demonstrations, peer, queries))
                if given.lines:
                    with given.lines.open("a") as out:
                        out.write(json.dumps({**{k: v for k, v in task.items() if k != "ours"}, **found[-1]}) + "\n")
            report(task, found)
        assert peer.stdin is not None
        peer.stdin.close()
        peer.wait()


def one_seed(task: dict[str, Any], seed: int, data: Path, peer: Any, queries: Queries) -> dict[str, Any]:
    """Both sides, one after the other."""
    environment = task["environment"]
    pendulum = environment == "Pendulum-v1"
    path = data / FILES[environment]
    demonstrations = read_demonstrations(path)
    wall, cpu = time.perf_counter(), time.process_time()
    fit = imitate(
        [] if task["method"] == "preferences" else demonstrations,
        environment,
        method={"type": task["method"], **task["ours"]},
        steps=task.get("steps", task.get("updates")),
        seed=seed,
    )
    line: dict[str, Any] = {"seed": seed, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    line["return"] = mean_return(fit.policy, environment, episodes=EPISODES, seed=10_000)
    asks = pendulum and fit.reward is not None
    job = {name: value for name, value in task.items() if name != "ours"}
    job |= {"seed": seed, "episodes": EPISODES, "demonstrations": str(path), "discrete": not pendulum}
    if asks:
        job |= {"queries": str(queries.path), "answers": str(queries.path.with_name("answers.npy"))}
    peer.stdin.write(json.dumps(job) + "\n")
    peer.stdin.flush()
    answer = json.loads(peer.stdout.readline())
    line |= {f"peer_{name}": value for name, value in answer.items()}
    if asks:
        columns = queries.columns
        own = fit.reward.transition(**columns, terminated=np.zeros(len(columns["action"]), dtype=bool))
        for side, values in (("", own), ("peer_", np.load(job["answers"]).astype(float))):
            line |= {f"{side}{name}": value for name, value in queries.distances(values).items()}
    return line


class Queries:
    """Transitions of Pendulum on which learned rewards and the true one are asked.

    Args:
        path: where they are written for the other side.
        sample: transitions of the coverage distribution: states everywhere, uniform actions, and where they lead.
    """

    def __init__(self, path: Path, sample: SampledEpic) -> None:
        self.path, self.sample = path, sample
        self.columns = sample.queries()
        np.savez(path, **self.columns)
        self.true = true_reward(self.columns["observation"], self.columns["action"])

    def distances(self, values: np.ndarray) -> dict[str, float]:
        """EPIC and STARC distance from the true reward."""
        count = len(self.sample.action)
        before, after = (features(one) for one in (self.sample.observation, self.sample.next_observation))
        return {
            "epic": self.sample.distance(values, self.true, DISCOUNT),
            "starc": sampled_starc(values[:count], self.true[:count], before, after, DISCOUNT),
        }


def pendulum_queries(folder: Path) -> Queries:
    """Draw the transitions, from the pendulum's own equations (gymnasium, `classic_control/pendulum.py`)."""
    draw = np.random.default_rng(20_000)
    count = 1_000
    angle, speed = draw.uniform(-np.pi, np.pi, count), draw.uniform(-8, 8, count)
    action = draw.uniform(-2, 2, count)
    faster = np.clip(speed + (15.0 * np.sin(angle) + 3.0 * action) * 0.05, -8, 8)
    turned = angle + faster * 0.05
    before = np.stack([np.cos(angle), np.sin(angle), speed], 1).astype(np.float32)
    after = np.stack([np.cos(turned), np.sin(turned), faster], 1).astype(np.float32)
    return Queries(folder / "queries.npz", SampledEpic(before, action[:, None].astype(np.float32), after, draws=64))


def true_reward(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    """What Pendulum pays."""
    angle = np.arctan2(observation[:, 1], observation[:, 0]).astype(float)
    cost: np.ndarray = angle**2 + 0.1 * observation[:, 2].astype(float) ** 2 + 0.001 * action[:, 0].astype(float) ** 2
    return -cost


def features(observation: np.ndarray) -> np.ndarray:
    """Products of the observation's numbers up to the third degree, in which values are linear enough."""
    one = observation.astype(float) / [1, 1, 8]
    powers = [one[:, 0] ** i * one[:, 1] ** j * one[:, 2] ** k for i in range(2) for j in range(4) for k in range(4)]
    return np.stack(powers, 1)


def report(task: dict[str, Any], found: list[dict[str, Any]]) -> None:
    """Means over seeds with their standard errors, and the ratio of seconds."""

    def mean(name: str) -> str:
        values = np.array([line[name] for line in found])
        error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return f"{values.mean():.3g} ± {error:.2g}"

    ratios = {kind: np.median([line[kind] / line[f"peer_{kind}"] for line in found]) for kind in ("cpu", "wall")}
    print(f"{task['method']} {task['environment']} ({len(found)} seeds)")
    print(f"  return      {mean('return')}   imitation {mean('peer_return')}")
    print(
        f"  CPU seconds {mean('cpu')}   imitation {mean('peer_cpu')}   ratio {ratios['cpu']:.2f} (wall {ratios['wall']:.2f})"
    )
    if "epic" in found[0]:
        for name in ("epic", "starc"):
            print(f"  {name:11} {mean(name)}   imitation {mean(f'peer_{name}')}")
    print(flush=True)


if __name__ == "__main__":
    main()
