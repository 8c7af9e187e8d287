"""The loop's whole circle at small size, in real services: what `make loop-check` goes through."""
