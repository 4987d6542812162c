"""Real TRL trainers on a tiny model made on the spot, for a few steps."""

from __future__ import annotations

import os

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset

from rewardlab.policies.language_model import LanguageModelPolicy

WORDS = ("red", "blue", "green", "gold")
NOUNS = ("sky", "leaf", "rose", "sun", "sea", "moss", "wine", "ring")
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close": "<|end|>", "content": "text"},
    },
}
"""What TRL asks of a tokenizer with tools: how to read the calls in what the model wrote."""


def tiny(corpus=(), **options):
    torch.set_num_threads(1)
    options = {"hidden": 32, "layers": 1, "heads": 2, "context": 256, "tools": "hidden", **options}
    return LanguageModelPolicy.tiny([" ".join([*WORDS, *NOUNS])] * 4 + list(corpus), vocabulary_size=400, **options)


def conversational(count=4):
    return Dataset.from_list(
        [{"prompt": [{"role": "user", "content": NOUNS[i]}], "answer": WORDS[i % len(WORDS)]} for i in range(count)]
    )


def plain(count=4):
    return Dataset.from_list([{"prompt": NOUNS[i], "answer": WORDS[i % len(WORDS)]} for i in range(count)])


def run(trainer_class, config_class, folder, reward_funcs, dataset, policy=None, *, extra=None, **options):
    """Train for `max_steps`; returns the trainer, whose `state.log_history` and `_logs` tests look at."""
    policy = policy or tiny()
    config = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "max_steps": 2,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "learning_rate": 1e-4,
        "beta": 0.0,  # a model that has no name cannot be loaded again as the reference
        **options,
    }
    trainer = trainer_class(
        policy.model,
        reward_funcs=reward_funcs,
        args=config_class(**config),
        train_dataset=dataset,
        processing_class=policy.tokenizer,
        **(extra or {}),
    )
    trainer.train()
    return trainer


def memorise(policy, trajectories, *, steps=120, rate=1e-2):
    """Teach a tiny policy a few conversations by heart, so that it calls tools when it samples."""
    rows = [policy.encode_demonstration(trajectory) for trajectory in trajectories]
    length = max(len(row) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    labels = torch.full((len(rows), length), -100)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.from_numpy(row.ids)
        written = torch.from_numpy(row.step >= 0)
        labels[index, : len(row)] = torch.where(written, torch.from_numpy(row.ids), -100)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=rate)
    for _ in range(steps):
        loss = policy.model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)
