"""The search-space DSL and its laws."""
