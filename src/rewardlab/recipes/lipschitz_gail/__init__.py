"""Off-policy adversarial imitation with a smooth reward (Blondé et al. 2022), with its proof on real demonstrations."""
