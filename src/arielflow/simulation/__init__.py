"""Data sets in an edition's official layout, with their truth."""
