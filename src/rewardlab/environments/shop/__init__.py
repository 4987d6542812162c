"""The shop: buy what a customer wants from a catalogue, with search, open, choose and buy.

`catalogue` says what products and goals are, `made_up` and `written_goals` make them, `search_index` finds them, `store`
has the tools, `shopper` is the scripted customer, `environment` puts them together, `purchase` and `reward` grade what was
bought.
"""

from __future__ import annotations

from rewardlab.environments.shop.catalogue import Catalogue, Goal, Product
from rewardlab.environments.shop.environment import Shop
from rewardlab.environments.shop.purchase import PurchaseScore, score_purchase
from rewardlab.environments.shop.reward import ShopScore
from rewardlab.environments.shop.search_index import SearchIndex
from rewardlab.environments.shop.written_goals import read_written_goals

__all__ = [
    "Catalogue",
    "Goal",
    "Product",
    "PurchaseScore",
    "SearchIndex",
    "Shop",
    "ShopScore",
    "read_written_goals",
    "score_purchase",
]
