"""Bayesian optimisation over architectures."""
