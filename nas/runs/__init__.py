"""The run folder: its terms, its study, its models, who writes to it, and the front of what it holds."""
