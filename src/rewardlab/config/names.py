"""Names of policies in configurations."""

from __future__ import annotations

from rewardlab.registry import Registry

POLICIES = Registry(
    "policy",
    {
        "tiny": "rewardlab.config.policies:tiny",
        "pretrained": "rewardlab.config.policies:pretrained",
        "endpoint": "rewardlab.config.policies:endpoint",
        "saved": "rewardlab.config.policies:saved",
    },
    group="rewardlab.policies",
)
"""Every policy that a configuration can name."""
