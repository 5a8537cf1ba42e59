"""From files to splits."""
