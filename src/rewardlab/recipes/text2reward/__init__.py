"""Text2Reward (Xie et al. 2024): a language model writes the dense reward of a task; with its proof."""
