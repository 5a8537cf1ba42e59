"""What is sought: metrics with their directions, limits, and dominance among points."""
