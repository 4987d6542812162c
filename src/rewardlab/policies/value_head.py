"""The value head of a language-model policy: what a state is worth, read off the model's last hidden state.

A state is everything before a token. The head sits beside the model and not in it, so the model is saved, wrapped and served
as ever. Its last layer begins at 0, so that a fresh head says 0 of every state, and not noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rewardlab.extras import require

FILE = "value_head.safetensors"

FRESH = (
    "make a fresh one with policy.add_value_head(), which has to be trained first, or load the policy without one: "
    "LanguageModelPolicy.load(directory, value_head=False)"
)
"""What to do where there is no value head."""


class MissingValueHead(ValueError):
    """A policy or a checkpoint has no value head where one is needed; the message says how to make a fresh one."""


class ValueHead(nn.Module):
    """A small network on the last hidden state, in float32 whatever the model's type.

    Args:
        width: of the model's last hidden state.
        hidden: width of the layer between; 0 for a linear head.
        seed: of the weights; the random state of the program is left as it was.

    Raises:
        ValueError: a width is out of range.
    """

    def __init__(self, width: int, *, hidden: int = 128, seed: int = 0) -> None:
        super().__init__()
        if width < 1 or hidden < 0:
            raise ValueError(f"width must be positive and hidden not negative, got {width} and {hidden}")
        self.width, self.hidden = width, hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            first = [nn.Linear(width, hidden), nn.Tanh()] if hidden else []
            self.layers = nn.Sequential(*first, nn.Linear(hidden or width, 1))
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.zero_()

    def forward(self, states: Tensor) -> Tensor:
        """Values float32[...] of hidden states [..., width]."""
        with torch.autocast(states.device.type, enabled=False):
            values: Tensor = self.layers(states.float())
        return values.squeeze(-1)

    def about(self) -> dict[str, int]:
        """What `restore` needs beside the weights."""
        return {"width": self.width, "hidden": self.hidden}

    def save(self, directory: Path) -> None:
        """Write the weights beside the model."""
        st = require("safetensors.torch", extra="torch", why="saving a value head")
        st.save_file({name: weight.cpu().contiguous() for name, weight in self.state_dict().items()}, directory / FILE)

    @classmethod
    def restore(cls, directory: Path, about: Mapping[str, Any] | None) -> ValueHead:
        """The head that `save` wrote.

        Args:
            directory: where it stands.
            about: what `about` gave; None where the policy was saved without a head.

        Raises:
            MissingValueHead: there is none.
            ValueError: its weights are of another shape.
        """
        if about is None:
            raise MissingValueHead(f"the policy in {str(directory)!r} was saved without a value head; {FRESH}")
        path = directory / FILE
        if not path.is_file():
            raise MissingValueHead(
                f"{str(path)!r} is missing, although the policy was saved with a value head; {FRESH}"
            )
        st = require("safetensors.torch", extra="torch", why="loading a value head")
        head = cls(int(about["width"]), hidden=int(about["hidden"]))
        try:
            head.load_state_dict(st.load_file(path))
        except RuntimeError as error:
            raise ValueError(f"{str(path)!r} does not fit policy.json ({error}); {FRESH}") from None
        return head


def model_width(model: nn.Module) -> int:
    """The width of a model's last hidden state, as its output layer takes it.

    Raises:
        ValueError: the model shows no output layer.
    """
    from rewardlab.policies.logprobs import output_layer

    layer = output_layer(model)
    weight = getattr(layer, "weight", None)
    if weight is None or weight.ndim != 2:
        raise ValueError(
            f"a value head reads what a model's output layer gets, but {type(model).__name__} shows none "
            "(get_output_embeddings); use a transformers causal language model"
        )
    return int(weight.shape[1])
