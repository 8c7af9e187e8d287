"""The page people look at: jobs, workers, the served model, messages, open tasks."""
