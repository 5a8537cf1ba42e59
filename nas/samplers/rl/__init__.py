"""Samplers that learn a policy by reinforcement, and what they are made of."""
