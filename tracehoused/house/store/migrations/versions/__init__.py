"""Each step, by number. A released one is never edited."""
