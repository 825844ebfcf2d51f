"""What is in the spectra before any model is trained."""
