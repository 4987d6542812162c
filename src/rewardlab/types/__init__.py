"""The data that flows through rewardlab: tasks, trajectories, tokens, preferences and scores.

Only numpy and the standard library are imported here, so that every other room can build on it.
"""

from rewardlab.types.judgements import Preference, Scores, Status
from rewardlab.types.messages import ROLES, Message, call_arguments, call_message, check_message, message_text
from rewardlab.types.trajectories import Task, Tokens, Trajectory, group_indices

__all__ = [
    "ROLES",
    "Message",
    "Preference",
    "Scores",
    "Status",
    "Task",
    "Tokens",
    "Trajectory",
    "call_arguments",
    "call_message",
    "check_message",
    "group_indices",
    "message_text",
]
