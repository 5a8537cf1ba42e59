"""The stages of a run: search, refine, compress; and who executes their work."""
