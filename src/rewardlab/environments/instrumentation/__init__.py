"""Programs that print how far they come: an agent's code is rewritten on its way into an environment, by rules or a model.

`rules` finds the places in the syntax tree, `model` asks a frozen language model, `check` refuses any rewriting that does
more than print, and `environment` puts it around an environment that runs programs.
"""

from __future__ import annotations

from rewardlab.environments.instrumentation.check import only_prints
from rewardlab.environments.instrumentation.environment import Instrumented
from rewardlab.environments.instrumentation.model import LMInstrumentor
from rewardlab.environments.instrumentation.rules import PHRASES, ASTInstrumentor

__all__ = ["PHRASES", "ASTInstrumentor", "Instrumented", "LMInstrumentor", "only_prints"]
