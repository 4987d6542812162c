"""Reading judgements: preferences, rankings, ratings and step labels, from files and data sets in the usual layouts."""

from rewardlab.learning.reading.labels import VOCABULARIES
from rewardlab.learning.reading.layouts import Layout, UnclearLayout
from rewardlab.learning.reading.read import read_preferences, read_step_labels

__all__ = ["Layout", "UnclearLayout", "VOCABULARIES", "read_preferences", "read_step_labels"]
