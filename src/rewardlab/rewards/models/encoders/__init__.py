"""The encoders of learned rewards, one kind a file; `rewardlab.rewards.models.base` says what each must offer."""
