"""How the tables came to be what `schema` says: one step a file, run in order at the start of a house."""
