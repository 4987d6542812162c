"""The math answer verifier: extraction of final answers, an exact fast path, and sympy in killable processes behind it."""

from rewardlab.rewards.verifiers.math.extraction import extract_answer
from rewardlab.rewards.verifiers.math.verifier import MathAnswer, answers_equal

__all__ = ["MathAnswer", "answers_equal", "extract_answer"]
