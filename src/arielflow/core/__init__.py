"""What every package uses: errors, the data model, samples, files, seeds."""
