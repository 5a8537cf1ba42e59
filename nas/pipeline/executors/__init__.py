"""Who executes a search's trials: Ray Tune, or a virtual clock."""
