"""What a model looked at, and whether that is what physics says it should look at."""
