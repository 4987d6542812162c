"""The travel desk: trips asked for with dates, cities and limits, planned with four search tools, answered by an itinerary.

`tables` has the names, `database` what is offered on which day, `agency` the tools, `requests` what is asked for, `planner`
the scripted agent, `environment` puts them together, `picture` draws an attempt.
"""

from __future__ import annotations

from rewardlab.environments.travel_desk.database import Database
from rewardlab.environments.travel_desk.environment import TravelDesk
from rewardlab.environments.travel_desk.levels import LEVELS

__all__ = ["LEVELS", "Database", "TravelDesk"]
