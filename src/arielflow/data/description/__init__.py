"""A retrieval described by the user: units, priors, parameters."""
