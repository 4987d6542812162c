"""The side of `imitation` in `benchmarks/imitation.py`: reads jobs as lines of JSON, writes results as lines of JSON.

It runs in a virtual environment of its own (`pip install torch "numpy<2" gymnasium==0.29.1 stable-baselines3==2.2.1
imitation==1.0.1`), because that library needs older versions of Gymnasium and numpy. Settings are those of the tutorials in
its documentation; where one is not, the docstring says so.
"""

import json
import logging
import os
import sys
import tempfile
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
logging.disable(logging.WARNING)
torch.set_num_threads(1)

from imitation.algorithms import bc  # noqa: E402
from imitation.algorithms import preference_comparisons as pc  # noqa: E402
from imitation.algorithms.adversarial.airl import AIRL  # noqa: E402
from imitation.algorithms.adversarial.gail import GAIL  # noqa: E402
from imitation.data import rollout, types  # noqa: E402
from imitation.policies.base import FeedForward32Policy, NormalizeFeaturesExtractor  # noqa: E402
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet  # noqa: E402
from imitation.util import logger as peer_logger  # noqa: E402
from imitation.util.networks import RunningNorm  # noqa: E402
from imitation.util.util import make_vec_env  # noqa: E402
from stable_baselines3 import PPO  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402


def demonstrations(path, discrete):
    """The npz file as trajectories; their ends are not in it, so the last action is left out, as on the other side."""
    stored = np.load(path)
    found = []
    for number in np.unique(stored["traj_id"]):
        rows = stored["traj_id"] == number
        actions = stored["actions"][rows][:-1]
        actions = actions.reshape(-1).astype(int) if discrete else actions
        found.append(
            types.TrajectoryWithRew(
                stored["obs"][rows], actions, None, False, stored["rewards"][rows][:-1].ravel().astype(float)
            )
        )
    return found


def adversarial(job, venv, experts, log):
    """The tutorial's discriminator. Of its PPO the rollouts are shorter (64 steps of 8 environments, not 2048), and rate,
    discount and epochs are higher: with the tutorial's own, budgets this small hold a single round of learning (on CartPole
    these settings gave 500 where the tutorial's rate, discount and epochs gave 245, on a seed that is not reported)."""
    learner = PPO(
        "MlpPolicy", venv, batch_size=64, ent_coef=0.0, learning_rate=1e-3, gamma=job["ppo"].get("gamma", 0.98), n_epochs=8,
        n_steps=64, seed=job["seed"], device="cpu",
    )  # fmt: skip
    kind, net = (GAIL, BasicRewardNet) if job["method"] == "gail" else (AIRL, BasicShapedRewardNet)
    reward = net(venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm)
    trainer = kind(
        demonstrations=experts, demo_batch_size=1024, gen_replay_buffer_capacity=512, n_disc_updates_per_round=8, venv=venv,
        gen_algo=learner, reward_net=reward, allow_variable_horizon=True, custom_logger=log, log_dir=tempfile.mkdtemp(),
    )  # fmt: skip
    trainer.train(job["steps"])
    return learner, reward


def preferences(job, venv, rng, log):
    """The tutorial on Pendulum, with the larger numbers that it recommends for better performance."""
    net = BasicRewardNet(venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm)
    model = pc.PreferenceModel(net)
    agent = PPO(
        FeedForward32Policy, venv, seed=job["seed"], n_steps=2048 // venv.num_envs, batch_size=64, ent_coef=0.01,
        learning_rate=2e-3, clip_range=0.1, gae_lambda=0.95, gamma=0.97, n_epochs=10, device="cpu",
        policy_kwargs={
            "features_extractor_class": NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {"normalize_class": RunningNorm},
        },
    )  # fmt: skip
    trainer = pc.PreferenceComparisons(
        pc.AgentTrainer(algorithm=agent, reward_fn=net, venv=venv, exploration_frac=0.05, rng=rng, custom_logger=log),
        net,
        num_iterations=job["rounds"],
        fragmenter=pc.RandomFragmenter(warning_threshold=0, rng=rng, custom_logger=log),
        preference_gatherer=pc.SyntheticGatherer(rng=rng, custom_logger=log),
        reward_trainer=pc.BasicRewardTrainer(
            preference_model=model, loss=pc.CrossEntropyRewardLoss(), epochs=3, rng=rng, custom_logger=log
        ),
        fragment_length=100, transition_oversampling=1, initial_comparison_frac=0.1, allow_variable_horizon=False,
        initial_epoch_multiplier=4, query_schedule="hyperbolic", custom_logger=log,
    )  # fmt: skip
    trainer.train(total_timesteps=job["steps"], total_comparisons=job["comparisons"])
    return agent, net


def work(job):
    """Learn, then (unmeasured) evaluate and reward the transitions that a file holds."""
    rng = np.random.default_rng(job["seed"])
    torch.manual_seed(job["seed"])
    log = peer_logger.configure(tempfile.mkdtemp(), format_strs=[])
    experts = demonstrations(job["demonstrations"], job["discrete"])
    wall, cpu = time.perf_counter(), time.process_time()
    venv = make_vec_env(job["environment"], rng=rng, n_envs=8)
    reward = None
    if job["method"] == "behaviour_cloning":
        trainer = bc.BC(
            observation_space=venv.observation_space, action_space=venv.action_space,
            demonstrations=rollout.flatten_trajectories(experts),
            rng=rng, custom_logger=log, device="cpu",
        )  # fmt: skip
        trainer.train(n_epochs=job["epochs"], log_interval=10**9, progress_bar=False)
        policy = trainer.policy
    elif job["method"] == "preferences":
        policy, reward = preferences(job, venv, rng, log)
    else:
        policy, reward = adversarial(job, venv, experts, log)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    judge = make_vec_env(job["environment"], rng=np.random.default_rng(10_000), n_envs=10)
    value, _ = evaluate_policy(policy, judge, n_eval_episodes=job["episodes"], deterministic=True)
    if reward is not None and job.get("queries"):
        asked = np.load(job["queries"])
        done = np.zeros(len(asked["action"]), dtype=bool)
        np.save(job["answers"], reward.predict(asked["observation"], asked["action"], asked["next_observation"], done))
    return {"cpu": cpu, "wall": wall, "return": float(value)}


if __name__ == "__main__":
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(work(json.loads(line))), file=answers, flush=True)
