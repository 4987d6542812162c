"""A classifier that reads the bytes of a caption: the convolutional network of the paper's code, in torch.

Source: Zheng et al. 2025 (ONI, arXiv 2410.23022): 256 bytes, embedding 32, six convolutions with 64 channels (widths 7, 7,
3, 3, 3, 3; pooling by 3 after the first, second and sixth), a layer of 128, and one logit in place of their two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.rewards.intrinsic.word_models import BATCH, SMALL, STEPS

LENGTH = 256


class CharacterClassifier:
    """1 where a caption helps with a probability above the threshold, else 0, by its characters.

    Args:
        threshold: of the probability.
        rate: of Adam.
        seed: of the weights and the draws.
    """

    pairs: ClassVar[bool] = False

    def __init__(self, threshold: float = 0.5, rate: float = 1e-4, seed: int = 0) -> None:
        torch = require("torch", extra="torch", why="a classifier of characters")
        self.threshold = threshold
        self.clear()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = _network()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.random = np.random.default_rng(seed)

    def clear(self) -> None:
        """Empty the data set; the weights stay."""
        self.targets: list[float] = []
        self._bytes = np.zeros((0, LENGTH), dtype=np.uint8)

    def remember(self, labels: Mapping[Any, float]) -> None:
        """Put labels into the data set, without learning."""
        self._bytes = np.concatenate([self._bytes, caption_bytes(list(labels))])
        self.targets += list(labels.values())

    def learn(self, labels: Mapping[Any, float]) -> None:
        """Take new labels in, and go some steps on all that there are."""
        import torch

        self.remember(labels)
        targets = torch.tensor(self.targets, dtype=torch.float32)
        for _ in range(STEPS if len(targets) < SMALL else 1):
            chosen = self.random.integers(len(targets), size=min(BATCH, len(targets)))
            logits = self.network(torch.from_numpy(self._bytes[chosen]).long())
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[torch.from_numpy(chosen)])
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()

    def probabilities(self, captions: Sequence[str]) -> NDArray[np.float64]:
        """float64[N], how likely captions help."""
        import torch

        with torch.no_grad():
            logits = self.network(torch.from_numpy(caption_bytes(captions)).long())
        return np.asarray(torch.sigmoid(logits).double().numpy())

    def values(self, captions: Sequence[str]) -> NDArray[np.float64]:
        """float64[N], 1 or 0; NaN before the first label."""
        if not self.targets or not captions:
            return np.full(len(captions), np.nan)
        return (self.probabilities(captions) > self.threshold).astype(np.float64)

    def agreement(self, labels: Mapping[Any, float]) -> float:
        """Share of labels that the model would have given; NaN before the first."""
        if not self.targets:
            return float("nan")
        given = np.array(list(labels.values())) > 0.5
        return float(np.mean((self.probabilities(list(labels)) > 0.5) == given))

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser as arrays by name, and the state of the draws."""
        names = dict(self.network.named_parameters())
        moments = {
            f"{name}/{key}": np.asarray(value.numpy())
            for name, parameter in names.items()
            for key, value in self.optimiser.state.get(parameter, {}).items()
        }
        return {
            "weights": {name: value.detach().numpy().copy() for name, value in names.items()},
            "moments": {name: value.copy() for name, value in moments.items()},
            "random": json.dumps(self.random.bit_generator.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        import torch

        names = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, value in state["weights"].items():
                names[name].copy_(torch.as_tensor(np.asarray(value)))
        self.optimiser.state.clear()
        for path, value in state["moments"].items():
            name, key = path.rsplit("/", 1)
            self.optimiser.state[names[name]][key] = torch.as_tensor(np.array(value))
        self.random.bit_generator.state = json.loads(state["random"])


def caption_bytes(captions: Sequence[str]) -> NDArray[np.uint8]:
    """Captions as bytes: uint8[N, 256], filled up with zeros."""
    table = np.zeros((len(captions), LENGTH), dtype=np.uint8)
    for row, caption in enumerate(captions):
        encoded = caption.encode()[:LENGTH]
        table[row, : len(encoded)] = np.frombuffer(encoded, dtype=np.uint8)
    return table


def _network() -> Any:
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(256, 32)
            layers: list[nn.Module] = []
            for place, width in enumerate((7, 7, 3, 3, 3, 3)):
                layers += [nn.Conv1d(32 if place == 0 else 64, 64, width), nn.ReLU()]
                if place in (0, 1, 5):
                    layers.append(nn.MaxPool1d(3))
            self.body = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 1))

        def forward(self, text: Any) -> Any:
            return self.body(self.embedding(text).transpose(1, 2)).squeeze(1)

    import torch

    network = Network()
    with torch.no_grad():
        network(torch.zeros(1, LENGTH, dtype=torch.long))  # tells the lazy layer its width
    return network
