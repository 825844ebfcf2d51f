"""What surrounds a job: its log, checksums, manifest, resources, configuration."""
