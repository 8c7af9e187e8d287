"""Pictures and videos on disk: reading, cutting into clips, writing masks, the drawn sample."""
