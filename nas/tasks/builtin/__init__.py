"""Tasks that the project brings along."""
