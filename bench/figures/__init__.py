"""Figures of merit: what the gateway costs, each as a ratio to a floor measured in the same run."""
