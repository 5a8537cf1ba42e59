"""From an architecture to its metrics: counted, exported, measured, trained, scored."""
