"""From files to a planets dataset: ingestion, priors, forward models."""
