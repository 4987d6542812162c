"""`rewardlab schema`: the JSON Schema of configurations and reward specs, from which editors complete and check."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

NAME = "schema"
EXAMPLES = (
    (
        "rewardlab schema > train.schema.json",
        "then begin your YAML with # yaml-language-server: $schema=train.schema.json",
    ),
    ("rewardlab schema fit > fit.schema.json", "the schema of the configuration of a fit"),
    ("rewardlab schema control > control.schema.json", "the schema of a training in a Gymnasium environment"),
    ("rewardlab schema reward > reward.schema.json", "the schema of a file with one reward"),
)


class Document(StrEnum):
    """What the schema describes."""

    TRAIN = "train"
    FIT = "fit"
    CONTROL = "control"
    REWARD = "reward"


def command(
    document: Annotated[Document, typer.Argument(help="Which document.")] = Document.TRAIN,
    as_json: Annotated[bool, typer.Option("--json", help="Accepted for scripts; a schema is JSON anyway.")] = False,
) -> None:
    """Print the JSON Schema that editors complete and check YAML files with."""
    from rewardlab.config import schema

    made = {
        Document.TRAIN: schema.train_schema,
        Document.FIT: schema.fit_schema,
        Document.CONTROL: schema.control_schema,
        Document.REWARD: schema.reward_schema,
    }
    typer.echo(json.dumps(made[document](), indent=2, allow_nan=False))
