"""Submission files: written, checked, scored."""
