"""Configurations: YAML files checked by pydantic, whose errors name the line, the key and the nearest valid key."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "rewardlab.config.control": ["ControlConfig", "ControlOutcome", "run_control"],
        "rewardlab.config.fit": ["FitConfig"],
        "rewardlab.config.load": ["load_as", "load_config", "parse_override"],
        "rewardlab.config.model": ["TrainConfig"],
        "rewardlab.config.schema": ["control_schema", "fit_schema", "reward_schema", "train_schema"],
    },
)
