"""From a model of a run to the folder that is deployed."""
