"""What was recorded for the proof: who wrote, examples of other tasks, and what was said about the trained agents.

`recorded.json` holds the answers of a large language model to the prompts of `writer()`, which are named by their hashes.
All were written in one sitting, before any training, and none was dropped or edited since. The same model had read the
published description of the system and had built this world: the set is not blind, and the page of the recipe says so.
"""

from __future__ import annotations

from pathlib import Path

from rewardlab.learning.programs.answers import RecordedAnswers
from rewardlab.learning.programs.program import RewardProgram
from rewardlab.learning.programs.refining import feedback
from rewardlab.learning.programs.writer import RewardWriter
from rewardlab.recipes.text2reward.world import ACTIONS, INSTRUCTION, ROBOT, PickPlaceView

RECORDING = Path(__file__).parent / "recorded.json"
ZERO_SHOT, FEW_SHOT, REVISED = 12, 4, 3

DESCRIPTION = (
    "The gripper goes to the cube, closes on it, carries it to the goal and stays there, with the cube in its closed "
    "fingers, until the end."
)
WISH = (
    "Close. The cube should also be let go of: at the end it lies at the goal and "
    "the fingers are open (openness above 0.6)."
)

EXAMPLES = {
    "Move the gripper to the goal position and stop there.": """import numpy as np

def compute_dense_reward(self, action) -> np.ndarray:
    distance = np.linalg.norm(self.goal_position - self.robot.ee_position, axis=1)
    reached = distance < 0.05
    still = self.robot.speed < 0.04
    reaching = 1.0 - np.tanh(5.0 * distance)
    return np.where(reached & still, 3.0, reaching + reached)
""",
    "Grasp cube A and hold it still where it lies.": """import numpy as np

def compute_dense_reward(self, action) -> np.ndarray:
    distance = np.linalg.norm(self.cubeA.position - self.robot.ee_position, axis=1)
    grasped = self.robot.check_grasp(self.cubeA)
    reaching = 1.0 - np.tanh(5.0 * distance)
    holding = 2.0 + 1.0 - np.tanh(20.0 * self.robot.speed)
    return np.where(grasped, holding, reaching)
""",
    "Keep the gripper away from cube A with open fingers.": """import numpy as np

def compute_dense_reward(self, action) -> np.ndarray:
    distance = np.linalg.norm(self.cubeA.position - self.robot.ee_position, axis=1)
    return np.minimum(distance, 0.4) / 0.4 + 0.5 * self.robot.gripper_openness
""",
}
"""Tasks with the same gripper and their rewards, for few-shot prompts; the task of the proof is not among them."""


def writer(*, shots: int = 0, recording: RecordedAnswers | None = None) -> RewardWriter:
    """The writer whose prompts were answered.

    Args:
        shots: examples of other tasks in the prompt.
        recording: other answers than those of the proof.
    """
    return RewardWriter(
        model=recording or RecordedAnswers.load(RECORDING),
        abstraction=PickPlaceView,
        robot=ROBOT,
        actions=ACTIONS,
        examples=EXAMPLES if shots else {},
        k=shots,
        form="vectorised",
        retries=0,
    )


def zero_shot() -> list[RewardProgram]:
    """All programs that were written from the prompt alone."""
    return writer().write(INSTRUCTION, ZERO_SHOT)


def few_shot() -> list[RewardProgram]:
    """All programs that were written from the prompt with the nearest example of another task."""
    return writer(shots=1).write(INSTRUCTION, FEW_SHOT)


def revised(text: str = WISH) -> list[RewardProgram]:
    """The first zero-shot programs after a round of feedback; with the text empty, after a round without any."""
    author = writer()
    return [feedback(author, program, DESCRIPTION, text) for program in zero_shot()[:REVISED]]
