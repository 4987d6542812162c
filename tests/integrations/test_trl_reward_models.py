"""A reward model that was fitted here, in the hands of TRL's own trainers."""

from __future__ import annotations

import pytest
import torch
import transformers
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer

from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.model import RewardModel
from rewardlab.types import Trajectory
from tests.integrations import trainers


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    policy = trainers.tiny()
    model = RewardModel.make(TextEncoder(model=policy.model, tokenizer=policy.tokenizer))
    model.network.scale.fill_(2.0)
    model.export(folder)
    return model, folder


def test_grpo_takes_an_exported_model_as_its_reward(exported, tmp_path):
    model, folder = exported
    trainer = trainers.run(GRPOTrainer, GRPOConfig, tmp_path, str(folder), trainers.conversational(), max_steps=1)
    prompts, completions = trainer._logs["prompt"], trainer._logs["completion"]
    (rewards,) = trainer._logs["rewards"].values()
    assert len(rewards) == len(completions) == 8
    chats = [
        Trajectory.from_messages([*prompt, *completion])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    readable = [row for row, chat in enumerate(chats) if chat.completion.strip()]
    assert len(readable) > 2
    expected = model([chats[row] for row in readable]).values
    assert [rewards[row] for row in readable] == pytest.approx(expected, abs=1e-4)


def test_the_reward_trainer_goes_on_with_an_exported_model(exported, tmp_path):
    _, folder = exported
    rows = [
        {"chosen": [{"role": "user", "content": noun}, {"role": "assistant", "content": "red"}],
         "rejected": [{"role": "user", "content": noun}, {"role": "assistant", "content": "blue"}]}
        for noun in trainers.NOUNS
    ]  # fmt: skip
    written = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32")
    trainer = RewardTrainer(
        written,
        args=RewardConfig(
            output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=8, use_cpu=True, bf16=False, report_to=[],
            learning_rate=1e-2, save_strategy="no", disable_tqdm=True, logging_steps=1,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
    )  # fmt: skip
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]
    trainer.save_model(str(tmp_path / "final"))
    again = RewardModel.from_pretrained(tmp_path / "final")
    odds = again.log_odds([Trajectory.from_text("sky", "red")], [Trajectory.from_text("sky", "blue")])
    with torch.no_grad():
        logits = [
            trainer.model(**trainer.processing_class.apply_chat_template(
                [{"role": "user", "content": "sky"}, {"role": "assistant", "content": answer}],
                return_tensors="pt", return_dict=True,
            )).logits.item()
            for answer in ("red", "blue")
        ]  # fmt: skip
    assert odds[0] == pytest.approx(logits[0] - logits[1], abs=1e-4)
