"""Label configurations, one XML per way of working; loaded by path."""
