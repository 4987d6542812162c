"""A package for each published system, built from the library's parts, with its main claims as a proof."""

from __future__ import annotations

from rewardlab.registry import Registry

RECIPES = Registry(
    "recipe",
    {
        "agent-rlvr": "rewardlab.recipes.agent_rlvr:RECIPE",
        "barfi": "rewardlab.recipes.barfi:RECIPE",
        "basereward": "rewardlab.recipes.basereward:RECIPE",
        "cooper": "rewardlab.recipes.cooper:RECIPE",
        "deeptravel": "rewardlab.recipes.deeptravel:RECIPE",
        "expressivity": "rewardlab.recipes.expressivity:RECIPE",
        "gpm": "rewardlab.recipes.gpm:RECIPE",
        "harmo": "rewardlab.recipes.harmo:RECIPE",
        "irl-llm-survey": "rewardlab.recipes.irl_llm_survey:RECIPE",
        "pal": "rewardlab.recipes.pal:RECIPE",
        "lucy-skg": "rewardlab.recipes.lucy_skg:RECIPE",
        "mamql": "rewardlab.recipes.mamql:RECIPE",
        "micro": "rewardlab.recipes.micro:RECIPE",
        "lipschitz-gail": "rewardlab.recipes.lipschitz_gail:RECIPE",
        "multi-turn-guide": "rewardlab.recipes.multi_turn_guide:RECIPE",
        "oni": "rewardlab.recipes.oni:RECIPE",
        "oprl": "rewardlab.recipes.oprl:RECIPE",
        "raft": "rewardlab.recipes.raft:RECIPE",
        "reward-specification-thesis": "rewardlab.recipes.reward_specification:RECIPE",
        "reward-design-thesis": "rewardlab.recipes.reward_design_thesis:RECIPE",
        "rl-mle-agents": "rewardlab.recipes.rl_mle_agents:RECIPE",
        "retroformer": "rewardlab.recipes.retroformer:RECIPE",
        "secrets-rm": "rewardlab.recipes.secrets_rm:RECIPE",
        "shop-r1": "rewardlab.recipes.shop_r1:RECIPE",
        "spa-rl": "rewardlab.recipes.spa_rl:RECIPE",
        "step-labels": "rewardlab.recipes.step_labels:RECIPE",
        "text2reward": "rewardlab.recipes.text2reward:RECIPE",
        "toolrl": "rewardlab.recipes.toolrl:RECIPE",
        "tree-preferences": "rewardlab.recipes.tree_preferences:RECIPE",
        "vpl": "rewardlab.recipes.vpl:RECIPE",
    },
    group="rewardlab.recipes",
)
"""Every recipe that `rewardlab prove` can name."""
