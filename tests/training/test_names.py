from __future__ import annotations

import subprocess
import sys

import pytest

import rewardlab.training as training
from rewardlab.training import credit, objectives


def test_importing_the_room_imports_no_torch():
    code = (
        "import sys, rewardlab.training as t; t.CREDITS.places(); t.OBJECTIVES.places(); t.CURRICULA.places(); "
        "assert not {'torch', 'transformers', 'accelerate', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("room", [training, credit, objectives])
def test_every_public_name_is_there_and_documented(room):
    for name in room.__all__:
        found = getattr(room, name)
        assert found.__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        room.Missing
