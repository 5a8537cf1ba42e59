"""From the features of several modalities to those of one."""
