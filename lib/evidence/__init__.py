"""Numbers and what they mean: published, recorded, of this run, and how sure they are."""
